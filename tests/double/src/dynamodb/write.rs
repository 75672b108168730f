//! One write: its key, its condition, and what it makes of the item.

use super::expression::{self, Condition, Context, Update};
use super::item::{BYTES_MAX, ItemKey, Stored, Version};
use super::table::{Change, Status, Table};
use super::value::{self, Item};
use super::{TableKey, allow, invalid, key, no_metrics, replication, table_name};
use crate::error::ApiError;
use crate::wire::Node;
use crate::world::World;

/// More than any test leaves in a table of the double.
const ITEMS_MAX: usize = 500_000;
const OF_A_WRITE: [&str; 7] = [
    "TableName",
    "ConditionExpression",
    "ExpressionAttributeNames",
    "ExpressionAttributeValues",
    "ReturnValuesOnConditionCheckFailure",
    "ReturnConsumedCapacity",
    "ReturnItemCollectionMetrics",
];

#[derive(Clone, Debug)]
pub enum Action {
    Put(Item),
    Delete,
    Update(Option<Update>),
    Check,
}

#[derive(Clone, Debug)]
pub struct Write {
    pub table: TableKey,
    pub key: ItemKey,
    pub action: Action,
    pub condition: Option<Condition>,
    /// Whether a refused condition shows the item that it was refused for.
    shows_old: bool,
}

/// What a write would do: the item before and after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    pub before: Option<Item>,
    pub after: Option<Item>,
}

pub fn one(world: &mut World, region: &str, operation: &str, input: &Node) -> Result<Node, ApiError> {
    let returns = returns(operation, input)?;
    let write = Write::read(world, region, operation, input)?;
    let effect = write.check(world)?;
    write.commit(world, &effect)?;
    Ok(Node::map().with_some("Attributes", shown(&returns, &write, &effect)?))
}

impl Write {
    /// From the call of that name, or from its part in a transaction.
    pub fn read(world: &World, region: &str, operation: &str, input: &Node) -> Result<Self, ApiError> {
        let own: &[&str] = match operation {
            "PutItem" => &["Item", "ReturnValues"],
            "UpdateItem" => &["Key", "UpdateExpression", "ReturnValues"],
            "DeleteItem" => &["Key", "ReturnValues"],
            _ => &["Key"],
        };
        allow(input, &[&OF_A_WRITE[..], own].concat())?;
        no_metrics(input)?;
        let name = table_name(input)?;
        let mut context = Context::read(input)?;
        let condition = expression::condition(input, "ConditionExpression", &mut context)?;
        let update = input.str("UpdateExpression").map(|text| Update::read(&text, &mut context)).transpose()?;
        context.finish()?;
        let shows_old = match input.str("ReturnValuesOnConditionCheckFailure").as_deref() {
            None | Some("NONE") => false,
            Some("ALL_OLD") => true,
            Some(other) => return Err(invalid(format!("ReturnValuesOnConditionCheckFailure cannot be {other}"))),
        };
        let table = world.dynamodb.open(region, &name)?;
        if let Some(update) = &update {
            update.check_keys(&table.schema)?;
        }
        let given = |member: &str| {
            let text = format!(
                "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
            );
            input.get(member).ok_or_else(|| invalid(text))
        };
        let (key, action) = if operation == "PutItem" {
            let item = value::parse_item(given("Item")?)?;
            (table.schema.key_of(&item)?, Action::Put(item))
        } else {
            let action = match operation {
                "UpdateItem" => Action::Update(update),
                "DeleteItem" => Action::Delete,
                _ => Action::Check,
            };
            (table.schema.parse_key(given("Key")?)?, action)
        };
        Ok(Self { table: table.key.clone(), key, action, condition, shows_old })
    }

    pub fn check(&self, world: &World) -> Result<Effect, ApiError> {
        let table = world.dynamodb.open(&self.table.region, &self.table.name)?;
        let before = table.get(&self.key).cloned();
        let holds = |condition: &Condition| condition.holds(before.as_ref().unwrap_or(&Item::new()));
        if !self.condition.as_ref().is_none_or(holds) {
            let mut error = ApiError::bad("ConditionalCheckFailedException", "The conditional request failed");
            let old = before.filter(|_| self.shows_old).map(|item| ("Item".to_owned(), value::render(&item)));
            error.more.extend(old);
            return Err(error);
        }
        let after = match &self.action {
            Action::Put(item) => Some(item.clone()),
            Action::Delete => None,
            Action::Check => before.clone(),
            Action::Update(update) => {
                let base = before.clone().unwrap_or_else(|| table.schema.item_of(&self.key));
                Some(update.as_ref().map_or(Ok(base.clone()), |update| update.apply(&base))?)
            }
        };
        if after.as_ref().is_some_and(|item| value::size(item) > BYTES_MAX) {
            let what = if matches!(self.action, Action::Update(_)) { "Item size to update" } else { "Item size" };
            return Err(invalid(format!("{what} has exceeded the maximum allowed size")));
        }
        check_room(table)?;
        Ok(Effect { before, after })
    }

    /// The write happens, and is on its way to the other replicas.
    pub fn commit(&self, world: &mut World, effect: &Effect) -> Result<(), ApiError> {
        let nothing = effect.before.is_none() && effect.after.is_none();
        if nothing || matches!(self.action, Action::Check) {
            return Ok(());
        }
        let (now_ms, every_ms) = (world.now_ms, world.settings.dynamodb_item_count_ms);
        let version = Version { at_ms: now_ms, number: world.next_number() };
        let table = world.dynamodb.table_mut(&self.table.region, &self.table.name)?;
        table.count(now_ms, every_ms);
        let change = Change { key: self.key.clone(), stored: Stored { item: effect.after.clone(), version } };
        table.items.insert(change.key.clone(), change.stored.clone());
        for peer in table.peers.values_mut().filter(|peer| peer.status != Status::Deleting) {
            peer.outbox.push_back(change.clone());
        }
        Ok(())
    }
}

fn check_room(table: &Table) -> Result<(), ApiError> {
    let waiting = table.peers.values().map(|peer| peer.outbox.len()).max().unwrap_or(0);
    if table.items.len() < ITEMS_MAX && waiting < replication::OUTBOX_MAX {
        return Ok(());
    }
    Err(ApiError::new(500, "InternalServerError", "the double keeps no more items"))
}

fn returns(operation: &str, input: &Node) -> Result<String, ApiError> {
    let returns = input.str("ReturnValues").unwrap_or_else(|| "NONE".to_owned());
    let known: &[&str] = match operation {
        "UpdateItem" => &["NONE", "ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW"],
        _ => &["NONE", "ALL_OLD"],
    };
    if known.contains(&returns.as_str()) { Ok(returns) } else { Err(invalid("Return values set to invalid value")) }
}

fn shown(returns: &str, write: &Write, effect: &Effect) -> Result<Option<Node>, ApiError> {
    let item = if returns.ends_with("_NEW") { &effect.after } else { &effect.before };
    let Some(item) = item.as_ref().filter(|_| returns != "NONE") else { return Ok(None) };
    if returns.starts_with("ALL") {
        return Ok(Some(value::render(item)));
    }
    let Action::Update(Some(update)) = &write.action else { return Ok(None) };
    if update.is_nested() {
        return Err(ApiError::unsupported("updated values inside of attributes"));
    }
    let touched: Item = update.touched().filter_map(|name| Some((name.to_owned(), item.get(name)?.clone()))).collect();
    Ok(Some(touched).filter(|touched| !touched.is_empty()).map(|touched| value::render(&touched)))
}

/// A write without a condition, as batches are made of.
pub fn plain(world: &World, region: &str, table: &str, action: Action, node: &Node) -> Result<Write, ApiError> {
    let schema = &world.dynamodb.open(region, table)?.schema;
    let item_key = match &action {
        Action::Put(item) => schema.key_of(item)?,
        Action::Delete | Action::Update(_) | Action::Check => schema.parse_key(node)?,
    };
    Ok(Write { table: key(region, table), key: item_key, action, condition: None, shows_old: false })
}
