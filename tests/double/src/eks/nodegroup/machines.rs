//! The machines of a node group: launched, joined, and taken away again.

use super::Issue;
use crate::eks::{Cluster, ClusterKey, Due, What};
use crate::kubernetes::workload::{Machine, scheduler};
use crate::world::World;
use crate::world::timers::Timer;

pub const JOINING: &str = "nodes-joining";
const LAUNCH_FAILURES: &str = "AsgInstanceLaunchFailures";

pub fn machine(world: &mut World, key: &ClusterKey, group: &str, ready: bool) -> Machine {
    let number = world.next_number();
    let (third, fourth) = (number / 250 % 250, number % 250 + 4);
    let revision = world.eks.clusters.get_mut(key).map_or(0, Cluster::next_revision);
    Machine {
        name: format!("ip-10-0-{third}-{fourth}.{}.compute.internal", key.region),
        instance: format!("i-{:017x}", number),
        uid: world.uuid(),
        group: group.to_owned(),
        ready,
        created_ms: world.now_ms,
        ready_ms: world.now_ms,
        revision,
    }
}

/// Starts the machines that are missing, as far as there are any to be had.
pub fn launch(world: &mut World, key: &ClusterKey, name: &str, desired: u32) {
    let at_ms = world.now_ms + world.settings.node_ready_ms;
    let Some(cluster) = world.eks.clusters.get(key) else { return };
    let limit = cluster.groups.get(name).and_then(|group| group.machines_max).unwrap_or(usize::MAX);
    let wanted = usize::try_from(desired).unwrap_or(usize::MAX).min(limit);
    let there = cluster.machines.iter().filter(|machine| machine.group == name).count();
    if wanted > there {
        world.activities.start(format!("{key}/{name}"), JOINING, world.now_ms);
    }
    for _ in there..wanted {
        let machine = machine(world, key, name, false);
        let what = What::MachineReady { machine: machine.name.clone() };
        world.timers.set(at_ms, Timer::Eks(Due { cluster: key.clone(), what }));
        if let Some(cluster) = world.eks.clusters.get_mut(key) {
            cluster.machines.push(machine);
        }
    }
}

pub fn joined(world: &mut World, key: &ClusterKey, name: &str) {
    let now_ms = world.now_ms;
    let Some(cluster) = world.eks.clusters.get_mut(key) else { return };
    let revision = cluster.next_revision();
    // One that a later update took away never joins.
    let Some(machine) = cluster.machines.iter_mut().find(|machine| machine.name == name) else { return };
    (machine.ready, machine.ready_ms, machine.revision) = (true, now_ms, revision);
    let group = machine.group.clone();
    end_of_joining(world, key, &group);
    scheduler::schedule(world, key);
}

pub fn end_of_joining(world: &mut World, key: &ClusterKey, name: &str) {
    let Some(cluster) = world.eks.clusters.get(key) else { return };
    if cluster.machines.iter().all(|machine| machine.ready || machine.group != name) {
        world.activities.end(&format!("{key}/{name}"), JOINING, world.now_ms);
    }
}

/// Those that are too many: first what has not joined yet, then the newest.
pub fn remove_surplus(cluster: &mut Cluster, name: &str, desired: u32) -> Vec<String> {
    let desired = usize::try_from(desired).unwrap_or(usize::MAX);
    let mut own: Vec<(bool, u64, String)> = cluster
        .machines
        .iter()
        .filter(|machine| machine.group == name)
        .map(|machine| (!machine.ready, machine.created_ms, machine.name.clone()))
        .collect();
    own.sort();
    let gone: Vec<String> = own.into_iter().skip(desired).map(|(_, _, name)| name).collect();
    cluster.machines.retain(|machine| !gone.contains(&machine.name));
    gone
}

/// ACTIVE, or DEGRADED for as long as machines are wanted that there are none of.
pub fn settle(world: &mut World, key: &ClusterKey, name: &str) {
    let Some(cluster) = world.eks.clusters.get_mut(key) else { return };
    let there = cluster.machines.iter().filter(|machine| machine.group == name).count();
    let Some(group) = cluster.groups.get_mut(name) else { return };
    let short = u32::try_from(there).is_ok_and(|there| there < group.sizes.desired);
    group.issues.retain(|issue| issue.code != LAUNCH_FAILURES);
    if short {
        let message = "Could not launch On-Demand Instances. InsufficientInstanceCapacity".to_owned();
        group.issues.push(Issue { code: LAUNCH_FAILURES.to_owned(), message });
    }
    let status = if group.issues.is_empty() { "ACTIVE" } else { "DEGRADED" };
    status.clone_into(&mut group.status);
}
