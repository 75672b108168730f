//! Asynchronous replication between regions: a replica reaches each moment of its source one lag later, as long as both
//! ends and the way between them live. When they do not, it stays where it is and its lag grows.

use super::{Instance, InstanceKey, Write};
use crate::world::{RegionState, World};

pub fn replicate(world: &mut World) {
    let replicas: Vec<InstanceKey> = world
        .rds
        .instances
        .values()
        .filter(|one| one.source.is_some() && !one.promoting)
        .map(|one| one.key.clone())
        .collect();
    for key in replicas {
        let linked = is_linked(world, &key);
        let now_ms = world.now_ms;
        let horizon = now_ms.saturating_sub(world.settings.replication_lag_ms);
        let heartbeat = horizon - horizon % world.settings.source_heartbeat_ms.max(1);
        if let Some(replica) = world.rds.instances.get_mut(&key) {
            if !linked {
                replica.link_lost_ms.get_or_insert(now_ms);
                continue;
            }
            replica.link_lost_ms = None;
        }
        take_over(world, &key, horizon, heartbeat);
    }
}

/// Promotion replays what the replica has received. With `lose_tail` the lag was on the way, and what was on the way is
/// lost; without it the lag was replay, and all that was sent before the link broke is there.
pub fn drain_for_promotion(world: &mut World, key: &InstanceKey) {
    if world.settings.lose_tail {
        return;
    }
    let Some(replica) = world.rds.instances.get(key) else { return };
    let received = replica.link_lost_ms.unwrap_or(world.now_ms);
    take_over(world, key, received, received);
}

/// How far behind its source a replica is, as `ReplicaLag` tells it.
pub fn lag_ms(instance: &Instance, now_ms: u64) -> Option<u64> {
    instance.source.as_ref().map(|_| now_ms.saturating_sub(instance.applied_through_ms))
}

fn is_linked(world: &World, key: &InstanceKey) -> bool {
    let Some(replica) = world.rds.instances.get(key) else { return false };
    let Some(source) = replica.source.as_ref().and_then(|source| world.rds.instances.get(source)) else { return false };
    let up = |region: &str| world.region_state(region) == RegionState::Up;
    let same_region = source.key.region == replica.key.region && world.is_alive(&source.key.region);
    source.serving && replica.serving && (same_region || (up(&source.key.region) && up(&replica.key.region)))
}

fn take_over(world: &mut World, key: &InstanceKey, through_ms: u64, heartbeat_ms: u64) {
    let Some(replica) = world.rds.instances.get(key) else { return };
    let Some(source) = replica.source.as_ref().and_then(|source| world.rds.instances.get(source)) else { return };
    let fresh: Vec<Write> = source
        .writes
        .get(replica.cursor..)
        .unwrap_or_default()
        .iter()
        .take_while(|write| write.at_ms <= through_ms)
        .cloned()
        .collect();
    let reached = fresh.last().map_or(heartbeat_ms, |write| write.at_ms.max(heartbeat_ms));
    if let Some(replica) = world.rds.instances.get_mut(key) {
        replica.cursor += fresh.len();
        replica.writes.extend(fresh);
        replica.applied_through_ms = replica.applied_through_ms.max(reached);
    }
}
