use super::expression::{Context, Projection};
use super::{allow, invalid, no_metrics, table_name, value};
use crate::error::ApiError;
use crate::wire::Node;
use crate::world::World;

pub fn get(world: &World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let known = ["TableName", "Key", "ConsistentRead", "ProjectionExpression", "ExpressionAttributeNames"];
    allow(input, &[&known[..], &["ReturnConsumedCapacity"]].concat())?;
    no_metrics(input)?;
    let mut context = Context::read(input)?;
    let projection = input.str("ProjectionExpression");
    let projection = projection.map(|text| Projection::read(&text, &mut context)).transpose()?;
    context.finish()?;
    let table = world.dynamodb.open(region, &table_name(input)?)?;
    let key = input.get("Key").ok_or_else(|| {
        invalid(
            "1 validation error detected: Value null at 'key' failed to satisfy constraint: Member must not be null",
        )
    })?;
    let found = table.get(&table.schema.parse_key(key)?);
    let shown = found.map(|item| projection.as_ref().map_or_else(|| item.clone(), |only| only.of(item)));
    Ok(Node::map().with_some("Item", shown.map(|item| value::render(&item))))
}
