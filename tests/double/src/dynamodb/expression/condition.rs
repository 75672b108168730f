use std::cmp::Ordering;

use super::Context;
use super::parse::Parser;
use super::path::Path;
use super::token::Token;
use crate::dynamodb::number::Number;
use crate::dynamodb::value::{Item, Value};
use crate::error::ApiError;

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

const COMPARISONS: [&str; 6] = ["=", "<>", "<", "<=", ">", ">="];

pub fn read(text: &str, of: &'static str, context: &mut Context) -> Result<Condition, ApiError> {
    let mut parser = Parser::new(text, of, context)?;
    let condition = either(&mut parser)?;
    parser.end()?;
    Ok(condition)
}

fn either(parser: &mut Parser<'_>) -> Result<Condition, ApiError> {
    let mut left = both(parser)?;
    while parser.take_word("OR") {
        left = Condition::Or(Box::new(left), Box::new(both(parser)?));
    }
    Ok(left)
}

fn both(parser: &mut Parser<'_>) -> Result<Condition, ApiError> {
    let mut left = single(parser)?;
    while parser.take_word("AND") {
        left = Condition::And(Box::new(left), Box::new(single(parser)?));
    }
    Ok(left)
}

fn single(parser: &mut Parser<'_>) -> Result<Condition, ApiError> {
    if parser.take_word("NOT") {
        return Ok(Condition::Not(Box::new(parser.deeper(single)?)));
    }
    if parser.take("(") {
        let inner = parser.deeper(either)?;
        parser.expect(")")?;
        return Ok(inner);
    }
    match parser.function() {
        Some(name) if name == "size" => {
            let size = Operand::Size(closed(parser)?);
            comparison(parser, size)
        }
        Some(name) => function(parser, &name),
        None => {
            let left = operand(parser)?;
            comparison(parser, left)
        }
    }
}

fn function(parser: &mut Parser<'_>, name: &str) -> Result<Condition, ApiError> {
    match name {
        "attribute_exists" => Ok(Condition::Exists(closed(parser)?)),
        "attribute_not_exists" => Ok(Condition::NotExists(closed(parser)?)),
        "attribute_type" => {
            let path = parser.path()?;
            parser.expect(",")?;
            let kind = parser.placeholder()?;
            parser.expect(")")?;
            match kind {
                Some(Value::Text(kind)) => Ok(Condition::Type(path, kind)),
                _ => Err(parser
                    .wrong("Incorrect operand type for operator or function; operator or function: attribute_type")),
            }
        }
        "begins_with" | "contains" => {
            let left = operand(parser)?;
            parser.expect(",")?;
            let right = operand(parser)?;
            parser.expect(")")?;
            Ok(if name == "contains" { Condition::Contains(left, right) } else { Condition::BeginsWith(left, right) })
        }
        other => Err(parser.wrong(format!("Invalid function name; function: {other}"))),
    }
}

fn closed(parser: &mut Parser<'_>) -> Result<Path, ApiError> {
    let path = parser.path()?;
    parser.expect(")")?;
    Ok(path)
}

fn comparison(parser: &mut Parser<'_>, left: Operand) -> Result<Condition, ApiError> {
    if parser.take_word("BETWEEN") {
        let low = operand(parser)?;
        if !parser.take_word("AND") {
            return Err(parser.syntax());
        }
        return Ok(Condition::Between(left, low, operand(parser)?));
    }
    if parser.take_word("IN") {
        parser.expect("(")?;
        let mut among = vec![operand(parser)?];
        while parser.take(",") {
            among.push(operand(parser)?);
        }
        parser.expect(")")?;
        return Ok(Condition::In(left, among));
    }
    let sign = match parser.pop() {
        Some(Token::Sign(sign)) if COMPARISONS.contains(&sign) => sign,
        _ => return Err(parser.syntax()),
    };
    let right = operand(parser)?;
    if !matches!(sign, "=" | "<>") {
        for side in [&left, &right] {
            check_ordered(parser, sign, side)?;
        }
    }
    Ok(Condition::Compare(left, sign, right))
}

fn check_ordered(parser: &Parser<'_>, sign: &str, side: &Operand) -> Result<(), ApiError> {
    match side {
        Operand::Value(value) if !matches!(value, Value::Text(_) | Value::Number(_) | Value::Bytes(_)) => {
            let kind = value.kind();
            Err(parser.wrong(format!(
                "Incorrect operand type for operator or function; operator or function: {sign}, operand type: {kind}"
            )))
        }
        Operand::Value(_) | Operand::Path(_) | Operand::Size(_) => Ok(()),
    }
}

fn operand(parser: &mut Parser<'_>) -> Result<Operand, ApiError> {
    if let Some(value) = parser.placeholder()? {
        return Ok(Operand::Value(value));
    }
    match parser.function() {
        Some(name) if name == "size" => Ok(Operand::Size(closed(parser)?)),
        Some(other) => Err(parser.wrong(format!("The function is not allowed to be used this way; function: {other}"))),
        None => parser.path().map(Operand::Path),
    }
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
