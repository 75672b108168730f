use serde_json::{Map, Number, Value};

use super::{Node, clock};
use crate::error::ApiError;

pub fn parse(body: &[u8]) -> Result<Node, ApiError> {
    if body.is_empty() {
        return Ok(Node::map());
    }
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| ApiError::bad("SerializationException", format!("the body is not JSON: {error}")))?;
    Ok(from_value(value))
}

fn from_value(value: Value) -> Node {
    match value {
        Value::Null => Node::Null,
        Value::Bool(value) => Node::Bool(value),
        Value::Number(number) => match number.as_i64() {
            Some(number) => Node::Int(number),
            None => Node::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Node::Text(text),
        Value::Array(items) => Node::List("member", items.into_iter().map(from_value).collect()),
        Value::Object(entries) => {
            Node::Map(entries.into_iter().map(|(name, value)| (name, from_value(value))).collect())
        }
    }
}

pub fn to_value(node: &Node) -> Value {
    match node {
        Node::Null => Value::Null,
        Node::Bool(value) => Value::Bool(*value),
        Node::Int(number) => Value::Number((*number).into()),
        Node::Float(number) => Number::from_f64(*number).map_or(Value::Null, Value::Number),
        Node::Text(text) => Value::String(text.clone()),
        Node::Time(at) => Number::from_f64(clock::to_seconds(*at)).map_or(Value::Null, Value::Number),
        Node::List(_, items) => Value::Array(items.iter().map(to_value).collect()),
        Node::Map(entries) => {
            Value::Object(entries.iter().map(|(name, node)| (name.clone(), to_value(node))).collect::<Map<_, _>>())
        }
    }
}
