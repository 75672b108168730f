//! The little languages of DynamoDB: conditions, filters, key conditions, updates and projections.

pub mod condition;
pub mod parse;
pub mod path;
pub mod projection;
pub mod token;
pub mod update;

pub use condition::Condition;
pub use projection::Projection;
pub use update::Update;

use std::collections::{BTreeMap, BTreeSet};

use super::invalid;
use super::value::{self, Item, Value};
use crate::error::ApiError;
use crate::wire::Node;

/// What expressions of one request may refer to; each that none of them does is an error.
#[derive(Debug)]
pub struct Context {
    names: BTreeMap<String, String>,
    values: Item,
    used: BTreeSet<String>,
}

impl Context {
    pub fn read(input: &Node) -> Result<Self, ApiError> {
        let mut names = BTreeMap::new();
        if let Some(Node::Map(entries)) = input.get("ExpressionAttributeNames") {
            for (alias, name) in entries {
                let name = name.as_string().ok_or_else(|| invalid("ExpressionAttributeNames must hold strings"))?;
                names.insert(alias.clone(), name);
            }
            check(names.keys(), '#', "ExpressionAttributeNames")?;
        }
        let values = match input.get("ExpressionAttributeValues") {
            Some(node @ Node::Map(_)) => {
                let values = value::parse_item(node)?;
                check(values.keys(), ':', "ExpressionAttributeValues")?;
                values
            }
            _ => Item::new(),
        };
        Ok(Self { names, values, used: BTreeSet::new() })
    }

    pub fn name(&mut self, alias: &str, of: &str) -> Result<String, ApiError> {
        self.used.insert(alias.to_owned());
        self.names.get(alias).cloned().ok_or_else(|| {
            invalid(format!("Invalid {of}: An expression attribute name used in the document path is not defined; attribute name: {alias}"))
        })
    }

    pub fn value(&mut self, placeholder: &str, of: &str) -> Result<Value, ApiError> {
        self.used.insert(placeholder.to_owned());
        self.values.get(placeholder).cloned().ok_or_else(|| {
            invalid(format!("Invalid {of}: An expression attribute value used in expression is not defined; attribute value: {placeholder}"))
        })
    }

    /// Once every expression of the request has been read.
    pub fn finish(&self) -> Result<(), ApiError> {
        let unused = |keys: Vec<&String>, what: &str| match keys.into_iter().find(|key| !self.used.contains(*key)) {
            Some(key) => Err(invalid(format!("Value provided in {what} unused in expressions: keys: {{{key}}}"))),
            None => Ok(()),
        };
        unused(self.names.keys().collect(), "ExpressionAttributeNames")?;
        unused(self.values.keys().collect(), "ExpressionAttributeValues")
    }
}

fn check<'a>(mut keys: impl Iterator<Item = &'a String>, sign: char, of: &str) -> Result<(), ApiError> {
    match keys.find(|key| !key.starts_with(sign) || key.len() < 2) {
        Some(key) => Err(invalid(format!("{of} contains invalid key: Syntax error; key: \"{key}\""))),
        None => Ok(()),
    }
}

/// The condition in a member of the request, if there is one.
pub fn condition(input: &Node, member: &'static str, context: &mut Context) -> Result<Option<Condition>, ApiError> {
    input.str(member).map(|text| condition::read::read(&text, member, context)).transpose()
}
