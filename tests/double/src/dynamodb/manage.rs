//! Tables come, change and go, each time with a while in between.

use std::collections::BTreeMap;

use super::table::{Billing, Count, Status, Table};
use super::{TableKey, allow, describe, invalid, key, replica, schema, table_name};
use crate::error::ApiError;
use crate::wire::{Node, clock};
use crate::world::World;
use crate::world::timers::Timer;

/// What an account may have in a region unless it asks for more.
const TABLES_MAX: usize = 2500;

pub const CREATION: &str = "table-creation";
pub const CHANGE: &str = "table-change";
pub const DELETION: &str = "table-deletion";

pub fn create(world: &mut World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let known = ["TableName", "AttributeDefinitions", "KeySchema", "BillingMode", "ProvisionedThroughput"];
    allow(input, &[&known[..], &["StreamSpecification"]].concat())?;
    let key = key(region, &table_name(input)?);
    let (schema, billing, stream) = (schema::keys(input)?, schema::billing(input)?, schema::stream(input)?);
    if world.dynamodb.tables.contains_key(&key) {
        return Err(ApiError::bad("ResourceInUseException", format!("Table already exists: {}", key.name)));
    }
    if world.dynamodb.tables.keys().filter(|other| other.region == region).count() >= TABLES_MAX {
        return Err(ApiError::bad("LimitExceededException", "Subscriber limit exceeded: too many tables"));
    }
    let table = Table {
        key: key.clone(),
        id: world.uuid(),
        schema,
        billing,
        status: Status::Creating,
        created_ms: world.now_ms,
        stream: stream.unwrap_or(false).then(|| stream_label(world.now_ms)),
        peers: BTreeMap::new(),
        items: BTreeMap::new(),
        count: Count::default(),
        sourced_ms: None,
    };
    world.dynamodb.tables.insert(key.clone(), table);
    later(world, &key, CREATION);
    describe::one(world, "TableDescription", &key)
}

pub fn update(world: &mut World, region: &str, input: &Node) -> Result<Node, ApiError> {
    allow(input, &["TableName", "ReplicaUpdates", "StreamSpecification", "BillingMode", "ProvisionedThroughput"])?;
    let key = key(region, &table_name(input)?);
    let rebilled = input.get("BillingMode").is_some() || input.get("ProvisionedThroughput").is_some();
    let changes = [input.get("ReplicaUpdates").is_some(), input.get("StreamSpecification").is_some(), rebilled];
    if changes.iter().filter(|given| **given).count() != 1 {
        return Err(invalid(
            "Exactly one of the replicas, the stream and the throughput of a table is changed at a time",
        ));
    }
    settled_table(world, &key)?;
    if !input.list("ReplicaUpdates").is_empty() {
        return replica::update(world, &key, input);
    }
    if rebilled {
        rebill(world, &key, input)?;
    } else {
        change_stream(world, &key, input)?;
    }
    world.dynamodb.table_mut(region, &key.name)?.status = Status::Updating;
    later(world, &key, CHANGE);
    describe::one(world, "TableDescription", &key)
}

fn rebill(world: &mut World, key: &TableKey, input: &Node) -> Result<(), ApiError> {
    let billing = schema::billing(input)?;
    let table = world.dynamodb.table_mut(&key.region, &key.name)?;
    if billing == table.billing {
        return Err(invalid("The provisioned throughput for the table will not change."));
    }
    if table.is_global() && billing != Billing::OnDemand {
        return Err(ApiError::unsupported("global tables with provisioned capacity"));
    }
    table.billing = billing;
    Ok(())
}

fn change_stream(world: &mut World, key: &TableKey, input: &Node) -> Result<(), ApiError> {
    let wanted = schema::stream(input)?.unwrap_or(false);
    let now_ms = world.now_ms;
    let table = world.dynamodb.table_mut(&key.region, &key.name)?;
    match (wanted, table.stream.is_some()) {
        (true, true) => return Err(invalid("Table already has an enabled stream")),
        (false, false) => return Err(invalid("Table has no stream to disable")),
        (false, true) if table.is_global() => {
            return Err(invalid("The stream of a global table's replica cannot be disabled"));
        }
        (true, false) => table.stream = Some(stream_label(now_ms)),
        (false, true) => table.stream = None,
    }
    Ok(())
}

pub fn delete(world: &mut World, region: &str, input: &Node) -> Result<Node, ApiError> {
    allow(input, &["TableName"])?;
    let key = key(region, &table_name(input)?);
    settled_table(world, &key)?;
    if world.dynamodb.table(region, &key.name)?.is_global() {
        return replica::remove(world, &key, &key);
    }
    world.dynamodb.table_mut(region, &key.name)?.status = Status::Deleting;
    later(world, &key, DELETION);
    describe::one(world, "TableDescription", &key)
}

/// Neither under change nor about to go.
fn settled_table<'a>(world: &'a World, key: &TableKey) -> Result<&'a Table, ApiError> {
    let table = world.dynamodb.table(&key.region, &key.name)?;
    let doing = match table.status {
        Status::Active => return Ok(table),
        Status::Creating => "created",
        Status::Updating => "updated",
        Status::Deleting => "deleted",
    };
    let text = format!("Attempt to change a resource which is still in use: Table is being {doing}: {}", key.name);
    Err(ApiError::bad("ResourceInUseException", text))
}

fn later(world: &mut World, key: &TableKey, activity: &str) {
    let (now_ms, delay) = (world.now_ms, world.settings.dynamodb_table_ms);
    world.activities.start(key.to_string(), activity, now_ms);
    world.timers.set(now_ms + delay, Timer::TableSettled { table: key.clone() });
}

pub fn settled(world: &mut World, key: &TableKey) {
    let now_ms = world.now_ms;
    let Some(table) = world.dynamodb.tables.get_mut(key) else { return };
    let activity = match std::mem::replace(&mut table.status, Status::Active) {
        Status::Creating => CREATION,
        Status::Updating | Status::Active => CHANGE,
        Status::Deleting => {
            world.dynamodb.tables.remove(key);
            DELETION
        }
    };
    world.activities.end(&key.to_string(), activity, now_ms);
}

/// A stream is named after the moment at which it was enabled.
pub fn stream_label(now_ms: u64) -> String {
    clock::iso(now_ms).trim_end_matches('Z').to_owned()
}
