//! A namespace's quota of pods: what it does not admit is not made, and the deployment says so.

use super::{Deployment, fill, touch};
use crate::eks::{Cluster, ClusterKey};
use crate::world::World;

/// Up to how many pods the deployment may have now, of those that it wants.
pub fn admit(world: &mut World, key: &ClusterKey, namespace: &str, name: &str, there: usize, wanted: usize) -> usize {
    let Some(cluster) = world.eks.clusters.get_mut(key) else { return wanted };
    let used = cluster.pods.iter().filter(|pod| pod.namespace == namespace).count();
    let limit = cluster.quotas.get(namespace).copied();
    let room = limit.map_or(usize::MAX, |limit| limit.saturating_sub(used));
    let allowed = wanted.min(there.saturating_add(room));
    let failure = (allowed < wanted).then(|| {
        let limit = limit.unwrap_or_default();
        format!(
            "pods \"{name}-\" is forbidden: exceeded quota: pods, requested: pods=1, used: pods={limit}, limited: pods={limit}"
        )
    });
    if let Some(deployment) = deployment(cluster, namespace, name) {
        let before = std::mem::replace(&mut deployment.failure, failure.clone());
        if before != failure {
            touch(cluster, namespace, name);
        }
    }
    allowed
}

fn deployment<'a>(cluster: &'a mut Cluster, namespace: &str, name: &str) -> Option<&'a mut Deployment> {
    cluster.namespaces.get_mut(namespace)?.get_mut(name)
}

/// Those that were refused pods ask again.
pub fn retry(world: &mut World, key: &ClusterKey, namespace: &str) {
    let deployments = world.eks.clusters.get(key).and_then(|cluster| cluster.namespaces.get(namespace));
    let refused: Vec<String> = deployments
        .into_iter()
        .flatten()
        .filter(|(_, deployment)| deployment.failure.is_some())
        .map(|(name, _)| name.clone())
        .collect();
    for name in refused {
        fill(world, key, namespace, &name);
    }
}

/// What the control API does; without a number there is no quota.
pub fn set(world: &mut World, key: &ClusterKey, namespace: &str, pods_max: Option<usize>) -> Result<(), String> {
    let unknown = || format!("no namespace {key}/{namespace}");
    let cluster = world.eks.clusters.get_mut(key).ok_or_else(unknown)?;
    if !cluster.namespaces.contains_key(namespace) {
        return Err(unknown());
    }
    match pods_max {
        Some(limit) => cluster.quotas.insert(namespace.to_owned(), limit),
        None => cluster.quotas.remove(namespace),
    };
    retry(world, key, namespace);
    super::scheduler::schedule(world, key);
    Ok(())
}
