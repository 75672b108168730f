//! Asynchronous replication between regions: a replica reaches each moment of its source one lag later, as long as both
//! ends and the way between them live. When they do not, it stays where it is and its lag grows.

use super::{Instance, InstanceKey, Write};
use crate::world::{RegionState, World};

/// Since when a replica has heard nothing of its source, and how many writes had been sent by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkLost {
    pub at_ms: u64,
    pub sent: usize,
}

pub fn replicate(world: &mut World) {
    let replicas = world.rds.instances.values().filter(|one| one.source.is_some() && !one.promoting);
    let replicas: Vec<InstanceKey> = replicas.map(|one| one.key.clone()).collect();
    let now_ms = world.now_ms;
    let horizon = now_ms.saturating_sub(world.settings.replication_lag_ms);
    let heartbeat = horizon - horizon % world.settings.source_heartbeat_ms.max(1);
    for key in replicas {
        let linked = is_linked(world, &key);
        let sent = source_of(world, &key).map_or(0, |source| source.writes.len());
        if let Some(replica) = world.rds.instances.get_mut(&key) {
            replica.link_lost = match (linked, replica.link_lost) {
                (true, _) => None,
                (false, None) => Some(LinkLost { at_ms: now_ms, sent }),
                (false, earlier) => earlier,
            };
        }
        if linked {
            take_over(world, &key, sent, horizon, heartbeat);
        }
    }
}

/// Promotion replays what the replica has received. With `lose_tail` the lag was on the way, and what was on the way is
/// lost; without it the lag was replay, and all that was sent before the link broke is there.
pub fn drain_for_promotion(world: &mut World, key: &InstanceKey) {
    if world.settings.lose_tail {
        return;
    }
    let sent = source_of(world, key).map_or(0, |source| source.writes.len());
    let now = LinkLost { at_ms: world.now_ms, sent };
    let lost = world.rds.instances.get(key).and_then(|replica| replica.link_lost).unwrap_or(now);
    take_over(world, key, lost.sent, lost.at_ms, lost.at_ms);
}

/// How far behind its source a replica is, as `ReplicaLag` tells it.
pub fn lag_ms(instance: &Instance, now_ms: u64) -> Option<u64> {
    instance.source.as_ref().map(|_| now_ms.saturating_sub(instance.applied_through_ms))
}

/// What the source of a promoted instance has accepted, before and since, and the instance never got. Nothing is lost of
/// one that was not promoted.
pub fn lost<'a>(world: &'a World, instance: &Instance) -> &'a [Write] {
    let source = instance.promoted_from.as_ref().and_then(|from| world.rds.instances.get(from));
    source.and_then(|source| source.writes.get(instance.cursor..)).unwrap_or_default()
}

fn source_of<'a>(world: &'a World, key: &InstanceKey) -> Option<&'a Instance> {
    let replica = world.rds.instances.get(key)?;
    replica.source.as_ref().and_then(|source| world.rds.instances.get(source))
}

fn is_linked(world: &World, key: &InstanceKey) -> bool {
    let (Some(replica), Some(source)) = (world.rds.instances.get(key), source_of(world, key)) else { return false };
    source.serving && replica.serving && reached(world, &source.key.region, &replica.key.region)
}

/// Whether one region gets at the other.
pub fn reached(world: &World, one: &str, other: &str) -> bool {
    let up = |region: &str| world.region_state(region) == RegionState::Up;
    if one == other { world.is_alive(one) } else { up(one) && up(other) }
}

/// Of the source's first `sent` writes, those until `through_ms`.
fn take_over(world: &mut World, key: &InstanceKey, sent: usize, through_ms: u64, heartbeat_ms: u64) {
    let (Some(replica), Some(source)) = (world.rds.instances.get(key), source_of(world, key)) else { return };
    let waiting = source.writes.get(replica.cursor..sent).unwrap_or_default();
    let fresh: Vec<Write> = waiting.iter().take_while(|write| write.at_ms <= through_ms).cloned().collect();
    let reached = fresh.last().map_or(heartbeat_ms, |write| write.at_ms.max(heartbeat_ms));
    if let Some(replica) = world.rds.instances.get_mut(key) {
        replica.cursor += fresh.len();
        replica.writes.extend(fresh);
        replica.applied_through_ms = replica.applied_through_ms.max(reached);
    }
}
