//! Up to 25 writes, or 100 reads, in one call. They are not one transaction.

use std::collections::BTreeSet;

use super::expression::{Context, Projection};
use super::write::{Action, Write, plain};
use super::{allow, invalid, no_metrics, schema, value};
use crate::error::ApiError;
use crate::wire::Node;
use crate::world::World;

const WRITES_MAX: usize = 25;
const READS_MAX: usize = 100;

pub fn write(world: &mut World, region: &str, input: &Node) -> Result<Node, ApiError> {
    allow(input, &["RequestItems", "ReturnConsumedCapacity", "ReturnItemCollectionMetrics"])?;
    no_metrics(input)?;
    let tables = tables(input)?;
    let requests: Vec<(&str, &Node)> =
        tables.iter().flat_map(|(table, node)| items(node).iter().map(move |one| (table.as_str(), one))).collect();
    if requests.is_empty() || requests.len() > WRITES_MAX || tables.iter().any(|(_, node)| items(node).is_empty()) {
        return Err(invalid(format!(
            "1 validation error detected: 'requestItems' failed to satisfy constraint: Member must have length less than or equal to {WRITES_MAX}, greater than or equal to 1"
        )));
    }
    let mut writes: Vec<Write> = Vec::new();
    for (table, request) in requests {
        let Node::Map(entries) = request else { return Err(invalid("a write request is a structure")) };
        let write = match entries.as_slice() {
            [(kind, what)] if kind == "PutRequest" => {
                let item = what.get("Item").ok_or_else(|| invalid("PutRequest must hold an Item"))?;
                plain(world, region, table, Action::Put(value::parse_item(item)?), item)?
            }
            [(kind, what)] if kind == "DeleteRequest" => {
                let key = what.get("Key").ok_or_else(|| invalid("DeleteRequest must hold a Key"))?;
                plain(world, region, table, Action::Delete, key)?
            }
            _ => {
                return Err(invalid(
                    "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes",
                ));
            }
        };
        if writes.iter().any(|other| other.table == write.table && other.key == write.key) {
            return Err(invalid("Provided list of item keys contains duplicates"));
        }
        writes.push(write);
    }
    // One that is too large refuses them all.
    for write in &writes {
        write.check(world)?;
    }
    for write in writes {
        let effect = write.check(world)?;
        write.commit(world, &effect)?;
    }
    Ok(Node::map().with("UnprocessedItems", Node::map()))
}

pub fn get(world: &World, region: &str, input: &Node) -> Result<Node, ApiError> {
    allow(input, &["RequestItems", "ReturnConsumedCapacity"])?;
    no_metrics(input)?;
    let mut responses = Node::map();
    let mut count = 0;
    for (name, request) in tables(input)? {
        allow(request, &["Keys", "ConsistentRead", "ProjectionExpression", "ExpressionAttributeNames"])?;
        let mut context = Context::read(request)?;
        let projection = request.str("ProjectionExpression");
        let projection = projection.map(|text| Projection::read(&text, &mut context)).transpose()?;
        context.finish()?;
        let table = world.dynamodb.open(region, name)?;
        let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
        for node in request.list("Keys") {
            count += 1;
            let key = table.schema.parse_key(node)?;
            if let Some(item) = table.get(&key) {
                found.push(value::render(&projection.as_ref().map_or_else(|| item.clone(), |only| only.of(item))));
            }
            if !seen.insert(key) {
                return Err(invalid("Provided list of item keys contains duplicates"));
            }
        }
        responses = responses.with(name, Node::List("member", found));
    }
    if count == 0 || count > READS_MAX {
        return Err(invalid("Too many items requested for the BatchGetItem call"));
    }
    Ok(Node::map().with("Responses", responses).with("UnprocessedKeys", Node::map()))
}

fn tables(input: &Node) -> Result<&Vec<(String, Node)>, ApiError> {
    let Some(Node::Map(tables)) = input.get("RequestItems") else {
        return Err(invalid(
            "1 validation error detected: Value null at 'requestItems' failed to satisfy constraint: Member must not be null",
        ));
    };
    tables.iter().try_for_each(|(name, _)| schema::check_name(name))?;
    Ok(tables)
}

fn items(node: &Node) -> &[Node] {
    match node {
        Node::List(_, items) => items,
        _ => &[],
    }
}
