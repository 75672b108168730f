//! Reading many: a page ends at its limit or at one megabyte, and says where the next begins.

use super::expression::condition::Operand;
use super::expression::{self, Condition, Context, Projection};
use super::item::{ItemKey, Schema};
use super::table::Table;
use super::value::{self, Item, Value};
use super::{allow, invalid, no_metrics, table_name};
use crate::error::ApiError;
use crate::wire::Node;
use crate::world::World;

const PAGE_BYTES_MAX: usize = 1024 * 1024;
const COMMON: [&str; 10] = [
    "TableName",
    "FilterExpression",
    "ProjectionExpression",
    "ExpressionAttributeNames",
    "ExpressionAttributeValues",
    "ExclusiveStartKey",
    "Limit",
    "ConsistentRead",
    "Select",
    "ReturnConsumedCapacity",
];

struct Page {
    filter: Option<Condition>,
    projection: Option<Projection>,
    counts_only: bool,
    limit: usize,
}

pub fn query(world: &World, region: &str, input: &Node) -> Result<Node, ApiError> {
    allow(input, &[&COMMON[..], &["KeyConditionExpression", "ScanIndexForward"]].concat())?;
    let mut context = Context::read(input)?;
    let condition = expression::condition(input, "KeyConditionExpression", &mut context)?;
    let page = Page::read(input, &mut context)?;
    let table = world.dynamodb.open(region, &table_name(input)?)?;
    let condition = condition.ok_or_else(|| {
        invalid("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
    })?;
    let keys = KeyCondition::check(&condition, &table.schema)?;
    if page.filter.as_ref().is_some_and(|filter| names_key(filter, &table.schema)) {
        return Err(invalid("Filter Expression can only contain non-primary key attributes"));
    }
    let mut found: Vec<(&ItemKey, &Item)> = table.live().filter(|(key, item)| keys.holds(key, item)).collect();
    let forward = input.bool("ScanIndexForward")?.unwrap_or(true);
    if !forward {
        found.reverse();
    }
    page.cut(table, found, input, forward)
}

pub fn scan(world: &World, region: &str, input: &Node) -> Result<Node, ApiError> {
    allow(input, &COMMON)?;
    let mut context = Context::read(input)?;
    let page = Page::read(input, &mut context)?;
    let table = world.dynamodb.open(region, &table_name(input)?)?;
    page.cut(table, table.live().collect(), input, true)
}

impl Page {
    fn read(input: &Node, context: &mut Context) -> Result<Self, ApiError> {
        no_metrics(input)?;
        let filter = expression::condition(input, "FilterExpression", context)?;
        let projection = input.str("ProjectionExpression");
        let projection = projection.map(|text| Projection::read(&text, context)).transpose()?;
        context.finish()?;
        let counts_only = match input.str("Select").as_deref() {
            None | Some("ALL_ATTRIBUTES") => false,
            Some("SPECIFIC_ATTRIBUTES") if projection.is_some() => false,
            Some("COUNT") if projection.is_none() => true,
            Some(other) => return Err(invalid(format!("Select {other} does not go with this request"))),
        };
        let limit = match input.int("Limit")? {
            Some(limit) if limit < 1 => return Err(invalid("Limit must be greater than or equal to 1")),
            Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
            None => usize::MAX,
        };
        Ok(Self { filter, projection, counts_only, limit })
    }

    /// What is read counts towards the limit, also where the filter then drops it.
    fn cut(&self, table: &Table, found: Vec<(&ItemKey, &Item)>, input: &Node, forward: bool) -> Result<Node, ApiError> {
        let after = input.get("ExclusiveStartKey").map(|node| table.schema.parse_key(node)).transpose();
        let after = after.map_err(|_| invalid("The provided starting key is invalid"))?;
        let is_after =
            |key: &ItemKey| after.as_ref().is_none_or(|after| if forward { key > after } else { key < after });
        let rest: Vec<(&ItemKey, &Item)> = found.into_iter().filter(|(key, _)| is_after(key)).collect();
        let rendered = |key: &ItemKey| value::render(&table.schema.item_of(key));
        let (mut read, mut bytes, mut shown, mut last) = (0usize, 0usize, Vec::new(), None);
        for (key, item) in rest {
            if read >= self.limit || bytes >= PAGE_BYTES_MAX {
                return Ok(self.render(read, shown).with_some("LastEvaluatedKey", last.map(rendered)));
            }
            read += 1;
            bytes += value::size(item);
            last = Some(key);
            if self.filter.as_ref().is_none_or(|filter| filter.holds(item)) {
                shown.push(self.projection.as_ref().map_or_else(|| item.clone(), |only| only.of(item)));
            }
        }
        // A page that is full to its limit says that there may be more, even where there is not.
        let full = read == self.limit;
        let last = last.filter(|_| full);
        Ok(self.render(read, shown).with_some("LastEvaluatedKey", last.map(rendered)))
    }

    fn render(&self, read: usize, shown: Vec<Item>) -> Node {
        let node = Node::map().with("Count", shown.len()).with("ScannedCount", read);
        if self.counts_only {
            return node;
        }
        node.with("Items", Node::List("member", shown.iter().map(value::render).collect()))
    }
}

/// `hash = value`, alone or with one condition on the range key.
struct KeyCondition<'a> {
    hash: &'a Value,
    range: Option<&'a Condition>,
}

impl<'a> KeyCondition<'a> {
    fn check(condition: &'a Condition, schema: &Schema) -> Result<Self, ApiError> {
        let unfit = || invalid("Query key condition not supported");
        let (first, second) = match condition {
            Condition::And(left, right) => (left.as_ref(), Some(right.as_ref())),
            other => (other, None),
        };
        let hash_of = |one: &'a Condition| match one {
            Condition::Compare(Operand::Path(path), "=", Operand::Value(value))
                if path.top == schema.hash.name && path.rest.is_empty() =>
            {
                Some(value)
            }
            _ => None,
        };
        let (hash, range) = match (hash_of(first), second) {
            (Some(hash), range) => (hash, range),
            (None, Some(second)) => (hash_of(second).ok_or_else(unfit)?, Some(first)),
            (None, None) => {
                return Err(invalid(format!("Query condition missed key schema element: {}", schema.hash.name)));
            }
        };
        if hash.kind() != schema.hash.kind {
            return Err(invalid(
                "One or more parameter values were invalid: Condition parameter type does not match schema type",
            ));
        }
        if !range.is_none_or(|range| is_of_range(range, schema)) {
            return Err(unfit());
        }
        Ok(Self { hash, range })
    }

    fn holds(&self, key: &ItemKey, item: &Item) -> bool {
        key.hash == *self.hash && self.range.is_none_or(|range| range.holds(item))
    }
}

fn is_of_range(condition: &Condition, schema: &Schema) -> bool {
    let is_range = |operand: &Operand| {
        matches!(operand, Operand::Path(path)
            if path.rest.is_empty() && schema.range.as_ref().is_some_and(|range| range.name == path.top))
    };
    match condition {
        Condition::Compare(left, sign, Operand::Value(_)) => is_range(left) && *sign != "<>",
        Condition::Between(value, Operand::Value(_), Operand::Value(_)) => is_range(value),
        Condition::BeginsWith(value, Operand::Value(_)) => is_range(value),
        _ => false,
    }
}

fn names_key(condition: &Condition, schema: &Schema) -> bool {
    let of_operand = |operand: &Operand| match operand {
        Operand::Path(path) | Operand::Size(path) => schema.is_key(&path.top),
        Operand::Value(_) => false,
    };
    match condition {
        Condition::Compare(left, _, right) | Condition::BeginsWith(left, right) | Condition::Contains(left, right) => {
            of_operand(left) || of_operand(right)
        }
        Condition::Between(value, low, high) => [value, low, high].into_iter().any(of_operand),
        Condition::In(value, among) => of_operand(value) || among.iter().any(of_operand),
        Condition::Exists(path) | Condition::NotExists(path) | Condition::Type(path, _) => schema.is_key(&path.top),
        Condition::And(left, right) | Condition::Or(left, right) => names_key(left, schema) || names_key(right, schema),
        Condition::Not(inner) => names_key(inner, schema),
    }
}
