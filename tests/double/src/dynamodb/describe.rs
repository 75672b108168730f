use serde_json::{Value, json};

use super::table::{Billing, Table};
use super::{TableKey, allow, invalid, key, table_name};
use crate::error::ApiError;
use crate::wire::Node;
use crate::world::World;

const PAGE_MAX: i64 = 100;

pub fn table(world: &mut World, region: &str, input: &Node) -> Result<Node, ApiError> {
    allow(input, &["TableName"])?;
    one(world, "Table", &key(region, &table_name(input)?))
}

pub fn one(world: &mut World, member: &str, key: &TableKey) -> Result<Node, ApiError> {
    let (now_ms, every_ms) = (world.now_ms, world.settings.dynamodb_item_count_ms);
    let table = world.dynamodb.table_mut(&key.region, &key.name)?;
    table.count(now_ms, every_ms);
    let table = world.dynamodb.table(&key.region, &key.name)?;
    Ok(Node::map().with(member, render(&world.account, table)))
}

fn render(account: &str, table: &Table) -> Node {
    let arn = format!("arn:aws:dynamodb:{}:{account}:table/{}", table.key.region, table.key.name);
    let defined =
        |part: &super::item::KeyPart| Node::map().with("AttributeName", &part.name).with("AttributeType", &part.kind);
    let kinds = ["HASH", "RANGE"];
    let keys = table.schema.parts().zip(kinds);
    let keys = keys.map(|(part, kind)| Node::map().with("AttributeName", &part.name).with("KeyType", kind)).collect();
    let (reads, writes) = match table.billing {
        Billing::OnDemand => (0, 0),
        Billing::Provisioned { reads, writes } => (reads, writes),
    };
    let throughput = Node::map()
        .with("NumberOfDecreasesToday", 0i64)
        .with("ReadCapacityUnits", reads)
        .with("WriteCapacityUnits", writes);
    let mut node = Node::map()
        .with("AttributeDefinitions", Node::List("member", table.schema.parts().map(defined).collect()))
        .with("TableName", &table.key.name)
        .with("KeySchema", Node::List("member", keys))
        .with("TableStatus", table.status.name())
        .with("CreationDateTime", Node::Time(table.created_ms))
        .with("ProvisionedThroughput", throughput)
        .with("TableSizeBytes", table.count.bytes)
        .with("ItemCount", table.count.items)
        .with("TableArn", &arn)
        .with("TableId", &table.id)
        .with("DeletionProtectionEnabled", false);
    if table.billing == Billing::OnDemand {
        node = node.with("BillingModeSummary", Node::map().with("BillingMode", "PAY_PER_REQUEST"));
    }
    if let Some(label) = &table.stream {
        let images = Node::map().with("StreamEnabled", true).with("StreamViewType", "NEW_AND_OLD_IMAGES");
        node = node
            .with("StreamSpecification", images)
            .with("LatestStreamLabel", label)
            .with("LatestStreamArn", format!("{arn}/stream/{label}"));
    }
    if table.is_global() {
        node = node.with("GlobalTableVersion", "2019.11.21").with("Replicas", replicas(table));
    }
    node
}

/// The others: the table itself is the replica of its own region.
fn replicas(table: &Table) -> Node {
    let render = |(region, peer): (&String, &super::table::Peer)| {
        Node::map().with("RegionName", region).with("ReplicaStatus", peer.status.name())
    };
    Node::List("member", table.peers.iter().map(render).collect())
}

pub fn list(world: &World, region: &str, input: &Node) -> Result<Node, ApiError> {
    allow(input, &["ExclusiveStartTableName", "Limit"])?;
    let size = input.int("Limit")?.unwrap_or(PAGE_MAX);
    if !(1..=PAGE_MAX).contains(&size) {
        return Err(invalid(format!(
            "1 validation error detected: Value '{size}' at 'limit' failed to satisfy constraint: Member must have value between 1 and {PAGE_MAX}"
        )));
    }
    let after = input.str("ExclusiveStartTableName").unwrap_or_default();
    let names = world.dynamodb.tables.keys().filter(|key| key.region == region).map(|key| key.name.clone());
    let rest: Vec<String> = names.filter(|name| *name > after).collect();
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let last = rest.get(size.saturating_sub(1)).filter(|_| rest.len() > size).cloned();
    Ok(Node::map()
        .with("TableNames", Node::texts("member", rest.into_iter().take(size)))
        .with_some("LastEvaluatedTableName", last))
}

/// For `/_double/state`.
pub fn state(world: &World) -> Value {
    let table = |table: &Table| {
        let peers = table.peers.iter().map(|(region, peer)| {
            let waiting = json!({ "status": peer.status.name(), "waiting": peer.outbox.len() });
            (region.clone(), waiting)
        });
        json!({
            "region": table.key.region,
            "table": table.key.name,
            "status": table.status.name(),
            "items": table.live().count(),
            "replicas": peers.collect::<serde_json::Map<_, _>>(),
        })
    };
    world.dynamodb.tables.values().map(table).collect()
}
