//! Horizontal pod autoscalers: what sets a deployment's replicas beyond their range is taken back a moment later. Load is
//! not modelled, so within the range they leave it alone; nor do they wake a deployment of none.

use serde::{Deserialize, Serialize};

use super::changed;
use crate::eks::{ClusterKey, Due, What};
use crate::world::World;
use crate::world::timers::Timer;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    pub min: u32,
    pub max: u32,
}

pub fn watch(world: &mut World, key: &ClusterKey, namespace: &str, name: &str) {
    let of = (namespace.to_owned(), name.to_owned());
    if !world.eks.clusters.get(key).is_some_and(|cluster| cluster.autoscalers.contains_key(&of)) {
        return;
    }
    let what = What::Autoscaled { namespace: of.0, deployment: of.1 };
    let at_ms = world.now_ms + world.settings.autoscaler_ms;
    world.timers.set(at_ms, Timer::Eks(Due { cluster: key.clone(), what }));
}

pub fn adjust(world: &mut World, key: &ClusterKey, namespace: &str, name: &str) {
    let Some(cluster) = world.eks.clusters.get_mut(key) else { return };
    let revision = cluster.next_revision();
    let Some(range) = cluster.autoscalers.get(&(namespace.to_owned(), name.to_owned())).copied() else { return };
    let Some(deployment) = cluster.namespaces.get_mut(namespace).and_then(|all| all.get_mut(name)) else { return };
    let replicas = u32::try_from(deployment.replicas()).unwrap_or(u32::MAX);
    let wanted = replicas.min(range.max).max(range.min);
    if replicas == 0 || replicas == wanted {
        return;
    }
    if let Some(fields) = deployment.spec.as_object_mut() {
        fields.insert("replicas".to_owned(), wanted.into());
    }
    deployment.generation += 1;
    deployment.revision = revision;
    changed(world, key, namespace, name);
}
