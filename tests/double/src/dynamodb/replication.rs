//! Each replica sends its own writes to each other one, in their order and one lag later, while both regions are up.
//! What cannot be sent waits: a region that comes back is late, and nothing is lost.

use super::key;
use super::table::{Change, Status, Table};
use crate::cloudwatch::{Datum, MetricKey};
use crate::rds::replication::reached;
use crate::wire::clock;
use crate::world::World;

/// Writes that wait for one replica: more than any test leaves behind.
pub const OUTBOX_MAX: usize = 200_000;

pub fn replicate(world: &mut World) {
    let waiting: Vec<_> = world
        .dynamodb
        .tables
        .values()
        .flat_map(|table| table.peers.iter().map(move |(region, peer)| (table, region, peer)))
        .filter(|(_, _, peer)| !peer.outbox.is_empty())
        .map(|(table, region, _)| (table.key.clone(), region.clone()))
        .collect();
    for (from, to) in waiting {
        if !reached(world, &from.region, &to) {
            continue;
        }
        let arrived = take(world, &from, &to);
        let (now_ms, every_ms) = (world.now_ms, world.settings.dynamodb_item_count_ms);
        if let Some(table) = world.dynamodb.tables.get_mut(&key(&to, &from.name)) {
            table.count(now_ms, every_ms);
            arrived.into_iter().for_each(|change| merge(table, change));
        }
    }
}

/// What has had its lag's time to get there.
fn take(world: &mut World, from: &super::TableKey, to: &str) -> Vec<Change> {
    let (now_ms, lag_ms) = (world.now_ms, world.settings.dynamodb_replication_lag_ms);
    let table = world.dynamodb.tables.get_mut(from);
    let Some(peer) = table.and_then(|table| table.peers.get_mut(to)) else { return Vec::new() };
    let due = |change: &Change| change.stored.version.at_ms.saturating_add(lag_ms) <= now_ms;
    let count = peer.outbox.iter().take_while(|change| due(change)).count();
    let arrived: Vec<Change> = peer.outbox.drain(..count).collect();
    let slowest = arrived.iter().map(|change| now_ms.saturating_sub(change.stored.version.at_ms)).max();
    peer.slowest_ms = peer.slowest_ms.max(slowest);
    arrived
}

/// The later of two writes to an item stays, whichever arrives last.
pub fn merge(table: &mut Table, change: Change) {
    let older = table.items.get(&change.key).is_none_or(|there| there.version < change.stored.version);
    if older {
        table.items.insert(change.key, change.stored);
    }
}

/// `ReplicationLatency` of each pair of replicas, in the region that writes: AWS measures what arrives, so that a pair
/// that is cut off has none.
pub fn latencies(world: &mut World) -> Vec<(MetricKey, Datum)> {
    let (now_ms, settings) = (world.now_ms, &world.settings);
    let idle_ms = settings.dynamodb_idle_latency.then_some(settings.dynamodb_replication_lag_ms);
    let mut pairs: Vec<(super::TableKey, String)> = Vec::new();
    for table in world.dynamodb.tables.values().filter(|table| world.is_alive(&table.key.region)) {
        let settled = table.peers.iter().filter(|(_, peer)| peer.status == Status::Active);
        pairs.extend(settled.map(|(region, _)| (table.key.clone(), region.clone())));
    }
    let mut found = Vec::new();
    for (from, to) in pairs {
        let idle = idle_ms.filter(|_| reached(world, &from.region, &to));
        let table = world.dynamodb.tables.get_mut(&from);
        let slowest = table.and_then(|table| table.peers.get_mut(&to)).and_then(|peer| peer.slowest_ms.take());
        let Some(ms) = slowest.max(idle) else { continue };
        let dimensions = [("ReceivingRegion", &to), ("TableName", &from.name)];
        let key = MetricKey {
            region: from.region.clone(),
            namespace: "AWS/DynamoDB".to_owned(),
            name: "ReplicationLatency".to_owned(),
            dimensions: dimensions.map(|(name, value)| (name.to_owned(), value.clone())).to_vec(),
        };
        found.push((key, Datum::one(now_ms, clock::millis_as_f64(ms))));
    }
    found
}
