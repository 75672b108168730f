//! Attribute values: `{"S": "text"}` and its kin.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{invalid, number::Number};
use crate::error::ApiError;
use crate::wire::Node;

const DEPTH_MAX: usize = 32;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    Text(String),
    Number(Number),
    Bytes(Vec<u8>),
    Bool(bool),
    Null,
    List(Vec<Value>),
    Map(Item),
    Texts(BTreeSet<String>),
    Numbers(BTreeSet<Number>),
    Blobs(BTreeSet<Vec<u8>>),
}

/// Attributes by name.
pub type Item = BTreeMap<String, Value>;

impl Value {
    pub fn parse(node: &Node) -> Result<Self, ApiError> {
        parse(node, DEPTH_MAX)
    }

    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "S",
            Self::Number(_) => "N",
            Self::Bytes(_) => "B",
            Self::Bool(_) => "BOOL",
            Self::Null => "NULL",
            Self::List(_) => "L",
            Self::Map(_) => "M",
            Self::Texts(_) => "SS",
            Self::Numbers(_) => "NS",
            Self::Blobs(_) => "BS",
        }
    }

    pub fn render(&self) -> Node {
        let content = match self {
            Self::Text(text) => Node::text(text),
            Self::Number(number) => Node::text(number.text()),
            Self::Bytes(bytes) => Node::text(STANDARD.encode(bytes)),
            Self::Bool(value) => Node::Bool(*value),
            Self::Null => Node::Bool(true),
            Self::List(items) => Node::List("member", items.iter().map(Self::render).collect()),
            Self::Map(item) => render(item),
            Self::Texts(set) => Node::texts("member", set),
            Self::Numbers(set) => Node::texts("member", set.iter().map(Number::text)),
            Self::Blobs(set) => Node::texts("member", set.iter().map(|bytes| STANDARD.encode(bytes))),
        };
        Node::map().with(self.kind(), content)
    }

    /// Bytes, as AWS counts them towards the limit of an item.
    pub fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Number(number) => number.size(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Bool(_) | Self::Null => 1,
            Self::List(items) => 3 + items.iter().map(|item| 1 + item.size()).sum::<usize>(),
            Self::Map(item) => 3 + item.iter().map(|(name, value)| 1 + name.len() + value.size()).sum::<usize>(),
            Self::Texts(set) => set.iter().map(String::len).sum(),
            Self::Numbers(set) => set.iter().map(Number::size).sum(),
            Self::Blobs(set) => set.iter().map(Vec::len).sum(),
        }
    }
}

pub fn size(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + value.size()).sum()
}

pub fn render(item: &Item) -> Node {
    item.iter().fold(Node::map(), |node, (name, value)| node.with(name, value.render()))
}

pub fn parse_item(node: &Node) -> Result<Item, ApiError> {
    item(node, DEPTH_MAX)
}

fn item(node: &Node, depth: usize) -> Result<Item, ApiError> {
    let Node::Map(entries) = node else { return Err(serialization("a map of attributes")) };
    entries.iter().map(|(name, node)| Ok((name.clone(), parse(node, depth)?))).collect()
}

fn parse(node: &Node, depth: usize) -> Result<Value, ApiError> {
    let depth = depth.checked_sub(1).ok_or_else(|| invalid("Nesting Levels have exceeded supported limits"))?;
    let Node::Map(entries) = node else { return Err(serialization("an attribute value")) };
    let [(kind, content)] = entries.as_slice() else {
        let one = "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes";
        let none = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes";
        return Err(invalid(if entries.is_empty() { none } else { one }));
    };
    let text = || match content {
        Node::Text(text) => Ok(text.clone()),
        _ => Err(serialization("a string")),
    };
    match (kind.as_str(), content) {
        ("S", _) => Ok(Value::Text(text()?)),
        ("N", _) => Ok(Value::Number(Number::parse(&text()?)?)),
        ("B", _) => Ok(Value::Bytes(bytes(&text()?)?)),
        ("BOOL", Node::Bool(value)) => Ok(Value::Bool(*value)),
        ("NULL", Node::Bool(true)) => Ok(Value::Null),
        ("NULL", Node::Bool(false)) => Err(invalid(
            "One or more parameter values were invalid: Null attribute value types must have the value of true",
        )),
        ("L", Node::List(_, items)) => {
            Ok(Value::List(items.iter().map(|one| parse(one, depth)).collect::<Result<_, _>>()?))
        }
        ("M", _) => Ok(Value::Map(item(content, depth)?)),
        ("SS", _) => Ok(Value::Texts(set(content, |text| Ok(text.to_owned()))?)),
        ("NS", _) => Ok(Value::Numbers(set(content, Number::parse)?)),
        ("BS", _) => Ok(Value::Blobs(set(content, bytes)?)),
        ("BOOL" | "NULL" | "L", _) => Err(serialization(kind)),
        _ => Err(invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")),
    }
}

fn set<T: Ord>(node: &Node, parse: impl Fn(&str) -> Result<T, ApiError>) -> Result<BTreeSet<T>, ApiError> {
    let Node::List(_, items) = node else { return Err(serialization("a set")) };
    if items.is_empty() {
        return Err(invalid("One or more parameter values were invalid: An string set  may not be empty"));
    }
    let mut found = BTreeSet::new();
    for one in items {
        let Node::Text(text) = one else { return Err(serialization("a set of strings")) };
        if !found.insert(parse(text)?) {
            return Err(invalid("One or more parameter values were invalid: Input collection contains duplicates."));
        }
    }
    Ok(found)
}

fn bytes(text: &str) -> Result<Vec<u8>, ApiError> {
    STANDARD.decode(text).map_err(|_| ApiError::bad("SerializationException", "a blob must be base64"))
}

fn serialization(wanted: &str) -> ApiError {
    ApiError::bad("SerializationException", format!("Unexpected value where {wanted} was expected"))
}
