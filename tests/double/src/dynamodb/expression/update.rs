use std::collections::BTreeSet;

use super::super::invalid;
use super::Context;
use super::parse::Parser;
use super::path::Path;
use super::token::Token;
use crate::dynamodb::item::Schema;
use crate::dynamodb::value::{Item, Value};
use crate::error::ApiError;

#[derive(Clone, Debug)]
enum Source {
    Path(Path),
    Value(Value),
    IfNotExists(Path, Box<Source>),
    Append(Box<Source>, Box<Source>),
    Plus(Box<Source>, Box<Source>),
    Minus(Box<Source>, Box<Source>),
}

#[derive(Clone, Debug)]
enum Action {
    Set(Path, Source),
    Remove(Path),
    Add(Path, Value),
    Delete(Path, Value),
}

#[derive(Clone, Debug)]
pub struct Update(Vec<Action>);

impl Update {
    pub fn read(text: &str, context: &mut Context) -> Result<Self, ApiError> {
        let mut parser = Parser::new(text, "UpdateExpression", context)?;
        let (mut actions, mut seen) = (Vec::new(), BTreeSet::new());
        while let Some(token) = parser.pop() {
            let Token::Word(clause) = token else { return Err(parser.syntax()) };
            let clause = clause.to_ascii_uppercase();
            if !seen.insert(clause.clone()) {
                return Err(
                    parser.wrong(format!("The \"{clause}\" section can only be used once in an update expression;"))
                );
            }
            actions.push(action(&mut parser, &clause)?);
            while parser.take(",") {
                actions.push(action(&mut parser, &clause)?);
            }
        }
        let paths: Vec<&Path> = actions.iter().map(Action::path).collect();
        let twice =
            paths.iter().enumerate().any(|(at, path)| paths.iter().skip(at + 1).any(|next| next.overlaps(path)));
        if twice {
            return Err(
                parser.wrong("Two document paths overlap with each other; must remove or rewrite one of these paths")
            );
        }
        Ok(Self(actions))
    }

    pub fn check_keys(&self, schema: &Schema) -> Result<(), ApiError> {
        match self.touched().find(|name| schema.is_key(name)) {
            Some(name) => Err(invalid(format!(
                "One or more parameter values were invalid: Cannot update attribute {name}. This attribute is part of the key"
            ))),
            None => Ok(()),
        }
    }

    /// The attributes that it changes, or something in them.
    pub fn touched(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|action| action.path().top.as_str())
    }

    pub fn is_nested(&self) -> bool {
        self.0.iter().any(|action| !action.path().rest.is_empty())
    }

    /// Every action sees the item as it was before any of them.
    pub fn apply(&self, before: &Item) -> Result<Item, ApiError> {
        let mut after = before.clone();
        let nowhere = || invalid("The document path provided in the update expression is invalid for update");
        let (mut removed, mut rest): (Vec<&Action>, Vec<&Action>) =
            self.0.iter().partition(|action| matches!(action, Action::Remove(_)));
        removed.sort_by_key(|action| std::cmp::Reverse(action.path().last_index()));
        rest.extend(removed);
        for action in rest {
            let done = match action {
                Action::Set(path, source) => path.put(&mut after, source.find(before)?),
                Action::Remove(path) => path.take(&mut after),
                Action::Add(path, value) => path.put(&mut after, added(path.find(before), value)?),
                Action::Delete(path, value) => match without(path.find(before), value)? {
                    Some(value) => path.put(&mut after, value),
                    None => path.take(&mut after),
                },
            };
            if !done {
                return Err(nowhere());
            }
        }
        Ok(after)
    }
}

impl Action {
    fn path(&self) -> &Path {
        match self {
            Self::Set(path, _) | Self::Remove(path) | Self::Add(path, _) | Self::Delete(path, _) => path,
        }
    }
}

fn action(parser: &mut Parser<'_>, clause: &str) -> Result<Action, ApiError> {
    let path = parser.path()?;
    match clause {
        "SET" => {
            parser.expect("=")?;
            let left = source(parser)?;
            let sum = if parser.take("+") {
                Source::Plus(Box::new(left), Box::new(source(parser)?))
            } else if parser.take("-") {
                Source::Minus(Box::new(left), Box::new(source(parser)?))
            } else {
                left
            };
            Ok(Action::Set(path, sum))
        }
        "REMOVE" => Ok(Action::Remove(path)),
        "ADD" | "DELETE" => {
            let value = parser.placeholder()?.ok_or_else(|| parser.syntax())?;
            let fits = match &value {
                Value::Texts(_) | Value::Numbers(_) | Value::Blobs(_) => true,
                Value::Number(_) => clause == "ADD",
                _ => false,
            };
            if !fits {
                let text = format!(
                    "Incorrect operand type for operator or function; operator: {clause}, operand type: {}",
                    value.kind()
                );
                return Err(parser.wrong(text));
            }
            Ok(if clause == "ADD" { Action::Add(path, value) } else { Action::Delete(path, value) })
        }
        _ => Err(parser.syntax()),
    }
}

fn source(parser: &mut Parser<'_>) -> Result<Source, ApiError> {
    if let Some(value) = parser.placeholder()? {
        return Ok(Source::Value(value));
    }
    match parser.function().as_deref() {
        Some("if_not_exists") => {
            let path = parser.path()?;
            parser.expect(",")?;
            let other = parser.deeper(source)?;
            parser.expect(")")?;
            Ok(Source::IfNotExists(path, Box::new(other)))
        }
        Some("list_append") => {
            let first = parser.deeper(source)?;
            parser.expect(",")?;
            let second = parser.deeper(source)?;
            parser.expect(")")?;
            Ok(Source::Append(Box::new(first), Box::new(second)))
        }
        Some(other) => Err(parser.wrong(format!("Invalid function name; function: {other}"))),
        None => parser.path().map(Source::Path),
    }
}

impl Source {
    fn find(&self, item: &Item) -> Result<Value, ApiError> {
        match self {
            Self::Value(value) => Ok(value.clone()),
            Self::Path(path) => path.find(item).cloned().ok_or_else(|| {
                invalid("The provided expression refers to an attribute that does not exist in the item")
            }),
            Self::IfNotExists(path, other) => path.find(item).cloned().map_or_else(|| other.find(item), Ok),
            Self::Append(first, second) => match (first.find(item)?, second.find(item)?) {
                (Value::List(mut first), Value::List(second)) => {
                    first.extend(second);
                    Ok(Value::List(first))
                }
                _ => Err(wrong_type()),
            },
            Self::Plus(left, right) => match (left.find(item)?, right.find(item)?) {
                (Value::Number(left), Value::Number(right)) => left.add(&right).map(Value::Number),
                _ => Err(wrong_type()),
            },
            Self::Minus(left, right) => match (left.find(item)?, right.find(item)?) {
                (Value::Number(left), Value::Number(right)) => left.add(&right.negated()).map(Value::Number),
                _ => Err(wrong_type()),
            },
        }
    }
}

fn added(before: Option<&Value>, value: &Value) -> Result<Value, ApiError> {
    match (before, value) {
        (None, value) => Ok(value.clone()),
        (Some(Value::Number(before)), Value::Number(value)) => before.add(value).map(Value::Number),
        (Some(Value::Texts(before)), Value::Texts(value)) => Ok(Value::Texts(before | value)),
        (Some(Value::Numbers(before)), Value::Numbers(value)) => Ok(Value::Numbers(before | value)),
        (Some(Value::Blobs(before)), Value::Blobs(value)) => Ok(Value::Blobs(before | value)),
        _ => Err(wrong_type()),
    }
}

/// A set that becomes empty is gone.
fn without(before: Option<&Value>, value: &Value) -> Result<Option<Value>, ApiError> {
    Ok(match (before, value) {
        (None, _) => None,
        (Some(Value::Texts(before)), Value::Texts(value)) => {
            Some(before - value).filter(|set| !set.is_empty()).map(Value::Texts)
        }
        (Some(Value::Numbers(before)), Value::Numbers(value)) => {
            Some(before - value).filter(|set| !set.is_empty()).map(Value::Numbers)
        }
        (Some(Value::Blobs(before)), Value::Blobs(value)) => {
            Some(before - value).filter(|set| !set.is_empty()).map(Value::Blobs)
        }
        _ => return Err(wrong_type()),
    })
}

fn wrong_type() -> ApiError {
    invalid("An operand in the update expression has an incorrect data type")
}
