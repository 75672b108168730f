pub mod read;

use std::cmp::Ordering;

use super::path::Path;
use crate::dynamodb::number::Number;
use crate::dynamodb::value::{Item, Value};

#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    Path(Path),
    Value(Value),
    Size(Path),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    Compare(Operand, &'static str, Operand),
    Between(Operand, Operand, Operand),
    In(Operand, Vec<Operand>),
    Exists(Path),
    NotExists(Path),
    Type(Path, String),
    BeginsWith(Operand, Operand),
    Contains(Operand, Operand),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
}

impl Operand {
    fn find(&self, item: &Item) -> Option<Value> {
        match self {
            Self::Path(path) => path.find(item).cloned(),
            Self::Value(value) => Some(value.clone()),
            Self::Size(path) => size(path.find(item)?),
        }
    }
}

impl Condition {
    pub fn holds(&self, item: &Item) -> bool {
        match self {
            Self::Compare(left, sign, right) => compare(left.find(item), sign, right.find(item)),
            Self::Between(value, low, high) => {
                let value = value.find(item);
                compare(value.clone(), ">=", low.find(item)) && compare(value, "<=", high.find(item))
            }
            Self::In(value, among) => {
                let value = value.find(item);
                value.is_some() && among.iter().any(|one| one.find(item) == value)
            }
            Self::Exists(path) => path.find(item).is_some(),
            Self::NotExists(path) => path.find(item).is_none(),
            Self::Type(path, kind) => path.find(item).is_some_and(|value| value.kind() == kind),
            Self::BeginsWith(value, start) => match (value.find(item), start.find(item)) {
                (Some(Value::Text(value)), Some(Value::Text(start))) => value.starts_with(&start),
                (Some(Value::Bytes(value)), Some(Value::Bytes(start))) => value.starts_with(&start),
                _ => false,
            },
            Self::Contains(value, part) => match (value.find(item), part.find(item)) {
                (Some(value), Some(part)) => contains(&value, &part),
                _ => false,
            },
            Self::And(left, right) => left.holds(item) && right.holds(item),
            Self::Or(left, right) => left.holds(item) || right.holds(item),
            Self::Not(inner) => !inner.holds(item),
        }
    }
}

/// What is not there differs from everything, and is in no order with anything.
fn compare(left: Option<Value>, sign: &str, right: Option<Value>) -> bool {
    let (Some(left), Some(right)) = (left, right) else { return sign == "<>" };
    match sign {
        "=" => return left == right,
        "<>" => return left != right,
        _ => {}
    }
    let order = match (&left, &right) {
        (Value::Text(left), Value::Text(right)) => left.as_bytes().cmp(right.as_bytes()),
        (Value::Number(left), Value::Number(right)) => left.cmp(right),
        (Value::Bytes(left), Value::Bytes(right)) => left.cmp(right),
        _ => return false,
    };
    match sign {
        "<" => order == Ordering::Less,
        "<=" => order != Ordering::Greater,
        ">" => order == Ordering::Greater,
        _ => order != Ordering::Less,
    }
}

fn contains(value: &Value, part: &Value) -> bool {
    match (value, part) {
        (Value::Text(value), Value::Text(part)) => value.contains(part.as_str()),
        (Value::Texts(set), Value::Text(part)) => set.contains(part),
        (Value::Numbers(set), Value::Number(part)) => set.contains(part),
        (Value::Blobs(set), Value::Bytes(part)) => set.contains(part),
        (Value::List(list), part) => list.contains(part),
        _ => false,
    }
}

fn size(value: &Value) -> Option<Value> {
    let size = match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        Value::Texts(set) => set.len(),
        Value::Numbers(set) => set.len(),
        Value::Blobs(set) => set.len(),
        Value::Number(_) | Value::Bool(_) | Value::Null => return None,
    };
    Number::parse(&size.to_string()).ok().map(Value::Number)
}
