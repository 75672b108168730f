//! Where pods run, and when they are ready.

use std::collections::BTreeMap;

use super::{Pod, fill, settle, touch};
use crate::eks::{ClusterKey, Due, What};
use crate::world::World;
use crate::world::timers::Timer;

/// Binds what waits, oldest first, to the emptiest node that is ready.
pub fn schedule(world: &mut World, key: &ClusterKey) {
    let delay = world.settings.pod_ready_ms;
    for uid in bind(world, key) {
        let due = Due { cluster: key.clone(), what: What::PodReady { uid } };
        world.timers.set(world.now_ms + delay, Timer::Eks(due));
    }
}

/// The pods that found room, by uid.
pub fn bind(world: &mut World, key: &ClusterKey) -> Vec<String> {
    let (now_ms, room) = (world.now_ms, world.settings.pods_per_node);
    let Some(cluster) = world.eks.clusters.get_mut(key) else { return Vec::new() };
    let ready = cluster.machines.iter().filter(|machine| machine.ready);
    let mut loads: BTreeMap<String, usize> = ready.map(|machine| (machine.name.clone(), 0)).collect();
    for machine in cluster.pods.iter().filter_map(|pod| pod.machine.as_ref()) {
        if let Some(load) = loads.get_mut(machine) {
            *load += 1;
        }
    }
    let mut bound = Vec::new();
    for pod in cluster.pods.iter_mut().filter(|pod| pod.machine.is_none()) {
        let Some((machine, load)) = loads.iter_mut().min_by_key(|(_, load)| **load) else { break };
        if *load >= room {
            break;
        }
        *load += 1;
        cluster.revision += 1;
        (pod.machine, pod.bound_ms, pod.revision) = (Some(machine.clone()), now_ms, cluster.revision);
        bound.push(pod.uid.clone());
    }
    bound
}

pub fn pod_ready(world: &mut World, key: &ClusterKey, uid: &str) {
    let now_ms = world.now_ms;
    let Some(cluster) = world.eks.clusters.get_mut(key) else { return };
    let revision = cluster.next_revision();
    // Gone, or evicted and waiting again: then this readiness was another pod's.
    let Some(pod) = cluster.pods.iter_mut().find(|pod| pod.uid == uid) else { return };
    (pod.ready, pod.ready_ms, pod.revision) = (true, now_ms, revision);
    let (namespace, name) = (pod.namespace.clone(), pod.deployment.clone());
    touch(cluster, &namespace, &name);
    settle(world, key, &namespace, &name);
}

/// The pods of machines that are gone are replaced by others, which must find room anew.
pub fn evict(world: &mut World, key: &ClusterKey, machines: &[String]) {
    let Some(cluster) = world.eks.clusters.get_mut(key) else { return };
    let is_lost = |pod: &Pod| pod.machine.as_ref().is_some_and(|machine| machines.contains(machine));
    let lost: Vec<(String, String)> = cluster
        .pods
        .iter()
        .filter(|pod| is_lost(pod))
        .map(|pod| (pod.namespace.clone(), pod.deployment.clone()))
        .collect();
    cluster.pods.retain(|pod| !is_lost(pod));
    for (namespace, name) in lost {
        if let Some(cluster) = world.eks.clusters.get_mut(key) {
            touch(cluster, &namespace, &name);
        }
        fill(world, key, &namespace, &name);
    }
    schedule(world, key);
}
