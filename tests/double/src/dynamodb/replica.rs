//! Replicas of a global table are added and taken away one at a time, through any other of them.

use std::collections::BTreeMap;

use super::table::{Billing, Change, Count, Peer, Status, Table};
use super::{TableKey, allow, describe, invalid, key, manage, replication};
use crate::error::ApiError;
use crate::rds::replication::reached;
use crate::wire::Node;
use crate::world::World;
use crate::world::timers::Timer;

/// A table that a replica was made from stays for that long.
const SOURCE_KEPT_MS: u64 = 24 * 3600 * 1000;

pub const ADDITION: &str = "replica-creation";
pub const REMOVAL: &str = "replica-deletion";

pub fn update(world: &mut World, of: &TableKey, input: &Node) -> Result<Node, ApiError> {
    let updates = input.list("ReplicaUpdates");
    let [update] = updates.as_slice() else {
        return Err(invalid("One or more parameter values were invalid: one replica is changed at a time"));
    };
    let Node::Map(entries) = update else { return Err(invalid("a replica update is a structure")) };
    let [(action, what)] = entries.as_slice() else {
        return Err(invalid("A replica update holds one action"));
    };
    allow(what, &["RegionName"])?;
    let region = what.need("RegionName")?;
    if region == of.region {
        return Err(invalid(
            "Cannot add, delete, or update the local region through ReplicaUpdates. Use CreateTable, DeleteTable, or UpdateTable as required.",
        ));
    }
    if !world.regions.contains_key(&region) {
        return Err(invalid(format!("The region {region} is not valid")));
    }
    match action.as_str() {
        "Create" => add(world, of, &key(&region, &of.name)),
        "Delete" => remove(world, of, &key(&region, &of.name)),
        other => Err(ApiError::unsupported(format!("the replica update {other}"))),
    }
}

fn add(world: &mut World, of: &TableKey, new: &TableKey) -> Result<Node, ApiError> {
    let source = world.dynamodb.table(&of.region, &of.name)?;
    if source.billing != Billing::OnDemand {
        return Err(invalid("Table write capacity should either be Pay-Per-Request or AutoScaled."));
    }
    if source.stream.is_none() {
        return Err(invalid("Table must have a stream of new and old images to be replicated"));
    }
    if world.dynamodb.tables.contains_key(new) {
        return Err(invalid(format!(
            "Failed to create a the new replica of table with name: '{}' because one or more replicas already existed as tables.",
            of.name
        )));
    }
    let (now_ms, schema) = (world.now_ms, source.schema.clone());
    let members: Vec<TableKey> = members(world, of);
    let table = Table {
        key: new.clone(),
        id: world.uuid(),
        schema,
        billing: Billing::OnDemand,
        status: Status::Creating,
        created_ms: now_ms,
        stream: Some(manage::stream_label(now_ms)),
        peers: members.iter().map(|member| (member.region.clone(), Peer::new(Status::Active))).collect(),
        items: BTreeMap::new(),
        count: Count::default(),
        sourced_ms: None,
    };
    world.dynamodb.tables.insert(new.clone(), table);
    for member in &members {
        let Some(table) = world.dynamodb.tables.get_mut(member) else { continue };
        let mut peer = Peer::new(Status::Creating);
        // The copy will be the source's: what has not reached it comes straight from where it was written.
        peer.outbox = table.peers.get(&of.region).map(|source| source.outbox.clone()).unwrap_or_default();
        table.peers.insert(new.region.clone(), peer);
    }
    let source = world.dynamodb.table_mut(&of.region, &of.name)?;
    source.status = Status::Updating;
    source.sourced_ms = Some(now_ms);
    later(world, of, new, ADDITION);
    describe::one(world, "TableDescription", of)
}

/// Takes a replica away, by its own `DeleteTable` or through another.
pub fn remove(world: &mut World, by: &TableKey, gone: &TableKey) -> Result<Node, ApiError> {
    if !members(world, by).contains(gone) {
        return Err(invalid(
            "Update global table operation failed because one or more replicas were not part of the global table.",
        ));
    }
    let now_ms = world.now_ms;
    let table = world.dynamodb.table_mut(&gone.region, &gone.name)?;
    if table.status != Status::Active {
        let text = format!("Replica is in use: it is {}", table.status.name());
        return Err(ApiError::bad("ResourceInUseException", text));
    }
    if table.sourced_ms.is_some_and(|at| now_ms < at + SOURCE_KEPT_MS) {
        return Err(invalid(
            "Replica cannot be deleted because it has acted as a source region for new replica(s) being added to the table in the last 24 hours.",
        ));
    }
    table.status = Status::Deleting;
    set_peers(world, gone, Some(Status::Deleting));
    if by != gone {
        world.dynamodb.table_mut(&by.region, &by.name)?.status = Status::Updating;
    }
    later(world, by, gone, REMOVAL);
    describe::one(world, "TableDescription", by)
}

fn later(world: &mut World, from: &TableKey, table: &TableKey, activity: &str) {
    let now_ms = world.now_ms;
    world.activities.start(table.to_string(), activity, now_ms);
    again(world, from, table);
}

fn again(world: &mut World, from: &TableKey, table: &TableKey) {
    let at_ms = world.now_ms + world.settings.dynamodb_replica_ms.max(1);
    world.timers.set(at_ms, Timer::ReplicaSettled { from: from.clone(), table: table.clone() });
}

/// A replica is there once it holds what its source does, and gone once it has sent what it had: neither happens while
/// the regions do not reach each other.
pub fn settled(world: &mut World, from: &TableKey, key: &TableKey) {
    let now_ms = world.now_ms;
    let Some(table) = world.dynamodb.tables.get(key) else { return };
    let owes = table.peers.values().any(|peer| !peer.outbox.is_empty());
    let (status, apart) = (table.status, !reached(world, &from.region, &key.region));
    let activity = match status {
        Status::Creating if !apart => {
            fill(world, from, key);
            set_peers(world, key, Some(Status::Active));
            ADDITION
        }
        Status::Deleting if !apart && !owes => {
            set_peers(world, key, None);
            world.dynamodb.tables.remove(key);
            REMOVAL
        }
        Status::Creating | Status::Deleting => return again(world, from, key),
        Status::Active | Status::Updating => return,
    };
    if let Some(source) = world.dynamodb.tables.get_mut(from).filter(|source| source.status == Status::Updating) {
        source.status = Status::Active;
    }
    world.activities.end(&key.to_string(), activity, now_ms);
}

fn fill(world: &mut World, from: &TableKey, key: &TableKey) {
    let Some(source) = world.dynamodb.tables.get(from) else { return };
    let all: Vec<Change> =
        source.items.iter().map(|(key, stored)| Change { key: key.clone(), stored: stored.clone() }).collect();
    if let Some(table) = world.dynamodb.tables.get_mut(key) {
        all.into_iter().for_each(|change| replication::merge(table, change));
        table.status = Status::Active;
    }
}

/// How every other replica sees this one from now on; None is no more.
fn set_peers(world: &mut World, key: &TableKey, status: Option<Status>) {
    for member in members(world, key) {
        let Some(table) = world.dynamodb.tables.get_mut(&member) else { continue };
        match (status, table.peers.get_mut(&key.region)) {
            (Some(status), Some(peer)) => peer.status = status,
            (None, Some(_)) => drop(table.peers.remove(&key.region)),
            (_, None) => {}
        }
    }
}

/// Every replica of the table's global table, itself among them.
fn members(world: &World, of: &TableKey) -> Vec<TableKey> {
    let peers = world.dynamodb.tables.get(of).map(|table| table.peers.keys().cloned().collect::<Vec<_>>());
    let others = peers.unwrap_or_default().into_iter().map(|region| key(&region, &of.name));
    std::iter::once(of.clone()).chain(others).collect()
}
