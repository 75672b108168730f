//! When everyone can know that a replica has reached the restart of its source. RDS tells it by the metric ReplicaLag
//! alone, once a period: until a lag is published that reaches back behind the restart, waiting is the provider's time.

use super::InstanceKey;
use crate::world::World;

const LAG_PUBLICATION: &str = "replica-lag-publication";

/// `source` has restarted: its replicas have all of it once they have reached this moment.
pub fn await_replicas(world: &mut World, source: &InstanceKey) {
    let now_ms = world.now_ms;
    let replicas = world.rds.instances.values().filter(|one| one.source.as_ref() == Some(source) && !one.promoting);
    let replicas: Vec<InstanceKey> = replicas.map(|replica| replica.key.clone()).collect();
    for replica in replicas {
        if world.rds.unpublished.insert(replica.clone(), now_ms).is_none() {
            world.activities.start(replica.to_string(), LAG_PUBLICATION, now_ms);
        }
    }
}

/// The lags of all instances that can publish have just been published.
pub fn published(world: &mut World) {
    let told = world.rds.unpublished.iter().filter(|(replica, restart_ms)| {
        let instance = world.rds.instances.get(*replica).filter(|one| one.serving);
        world.is_alive(&replica.region) && instance.is_some_and(|one| one.applied_through_ms >= **restart_ms)
    });
    let told: Vec<InstanceKey> = told.map(|(replica, _)| replica.clone()).collect();
    told.iter().for_each(|replica| end(world, replica));
}

/// Nobody waits for it any more: the replica is promoted.
pub fn end(world: &mut World, replica: &InstanceKey) {
    if world.rds.unpublished.remove(replica).is_some() {
        world.activities.end(&replica.to_string(), LAG_PUBLICATION, world.now_ms);
    }
}
