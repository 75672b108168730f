//! Scalars by kind, and the words for what is wrong with them.

use std::fmt::Display;
use std::str::FromStr;

use mesh_core::ids::StepId;
use mesh_core::manifest::{Predicate, Window};

use super::Value;
use crate::fields::{Kind, Words};
use crate::scalar::{Type, duration, type_of};
use crate::suggest::nearest;

/// What is wrong, and what to do.
type Refusal = (String, String);

/// Reads a scalar of a kind, or says what is wrong and what to do.
pub(super) fn scalar(kind: Kind, text: &str, plain: bool) -> Result<Value, Refusal> {
    let given = type_of(text, plain);
    let wrong = || {
        let given = if given == Type::Nothing { "nothing".to_owned() } else { format!("{} ({text:?})", given.name()) };
        let hint = match (kind, type_of(text, true)) {
            (Kind::Text | Kind::Name, Type::Number | Type::Boolean) => format!("write \"{text}\""),
            (Kind::Integer { .. } | Kind::Decimal, Type::Number) | (Kind::Boolean, Type::Boolean) => {
                "drop the quotes".to_owned()
            }
            (Kind::Duration | Kind::Seconds, Type::Number) => format!("say the unit: {text}s, {text}m or {text}ms"),
            (Kind::List(_) | Kind::Regions(_) | Kind::Names(_) | Kind::Record(_), Type::Nothing) => {
                "drop the key, or say what stands there".to_owned()
            }
            _ => format!("like {}", example(kind)),
        };
        (format!("{given} stands here, {} is needed", described(kind)), hint)
    };
    match kind {
        _ if is_blank(text) => Err((
            format!("{text} is not filled in yet"),
            format!("put {} there; the comment beside it says which", described(kind)),
        )),
        Kind::Text if given == Type::Text => Ok(Value::Text(text.to_owned())),
        Kind::Name if given == Type::Text => name(text),
        Kind::Integer { min, max } if given == Type::Number => integer(text, min, max).ok_or_else(|| {
            (format!("{text} stands here, {} is needed", described(kind)), format!("a whole number, {min} to {max}"))
        }),
        Kind::Decimal if given == Type::Number => match text.parse() {
            Ok(value) => Ok(Value::Decimal(value)),
            Err(error) => Err((format!("{text} {error}"), "like 0.05".to_owned())),
        },
        Kind::Boolean => match (given, text) {
            (Type::Boolean, "true" | "True" | "TRUE") => Ok(Value::Boolean(true)),
            (Type::Boolean, _) => Ok(Value::Boolean(false)),
            _ => Err(wrong()),
        },
        Kind::Duration | Kind::Seconds if given == Type::Text => {
            let value = duration(text).ok_or_else(wrong)?;
            if matches!(kind, Kind::Seconds) && value.subsec_millis() != 0 {
                return Err((format!("{text} is no whole number of seconds"), "like 60s".to_owned()));
            }
            Ok(Value::Duration(value))
        }
        Kind::Window if given == Type::Text => well_formed::<Window>(text),
        Kind::Rule if given == Type::Text => well_formed::<Predicate>(text),
        Kind::Word(words) => word(words, text, given).ok_or_else(|| refused_word(words, text)),
        _ => Err(wrong()),
    }
}

/// What a draft leaves open: `<the closed security group of us-east-1>`. No value of AWS looks like it.
fn is_blank(text: &str) -> bool {
    text.len() > 2 && text.starts_with('<') && text.ends_with('>')
}

fn name(text: &str) -> Result<Value, Refusal> {
    // Every name of the core follows the same rule.
    match StepId::new(text) {
        Ok(_) => Ok(Value::Text(text.to_owned())),
        Err(error) => Err((format!("{:?} is no name: it {}", error.given, error.rule), "like maip-api".to_owned())),
    }
}

/// The core reads it again: here it is only told where it is wrong.
fn well_formed<T: FromStr<Err: Display>>(text: &str) -> Result<Value, Refusal> {
    match text.parse::<T>() {
        Ok(_) => Ok(Value::Text(text.to_owned())),
        Err(error) => {
            let said = error.to_string();
            let (message, hint) = said.rsplit_once(": ").unwrap_or((said.as_str(), "look at the manifest's reference"));
            Err((message.to_owned(), hint.to_owned()))
        }
    }
}

fn integer(text: &str, min: u32, max: u32) -> Option<Value> {
    let decimal = text.bytes().all(|b| b.is_ascii_digit());
    let value = text.parse().ok().filter(|value| decimal && (min..=max).contains(value))?;
    Some(Value::Integer(value))
}

fn word(words: &Words, text: &str, given: Type) -> Option<Value> {
    let is_false = given == Type::Boolean && text.eq_ignore_ascii_case("false");
    let accepted = words.accepted.iter().copied().find(|word| *word == text);
    accepted.or(words.when_false.filter(|_| is_false)).map(Value::Word)
}

fn refused_word(words: &Words, text: &str) -> Refusal {
    let shown: String = text.chars().take(64).collect();
    if let Some((word, why)) = words.refused.iter().find(|(word, _)| *word == text) {
        return (format!("`{word}` is not carried out yet"), (*why).to_owned());
    }
    let hint = match nearest(text, words.accepted.iter().copied()) {
        Some(near) if words.accepted.len() > 1 => format!("did you mean `{near}`?"),
        _ => format!("write {}", quoted(words.accepted)),
    };
    (format!("{shown:?} is none of {}", quoted(words.accepted)), hint)
}

pub(super) fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

pub(super) fn described(kind: Kind) -> String {
    match kind {
        Kind::Text => "a text".to_owned(),
        Kind::Name => "a name".to_owned(),
        Kind::Integer { min, max } => format!("a whole number from {min} to {max}"),
        Kind::Decimal => "a number".to_owned(),
        Kind::Boolean => "true or false".to_owned(),
        Kind::Duration => "a duration".to_owned(),
        Kind::Seconds => "a duration in whole seconds".to_owned(),
        Kind::Window => "a span of the week".to_owned(),
        Kind::Rule => "a rule".to_owned(),
        Kind::Word(words) => format!("one of {}", quoted(words.accepted)),
        Kind::List(_) => "a list".to_owned(),
        Kind::Regions(_) => "a map by region".to_owned(),
        Kind::Names(_) => "a map by name".to_owned(),
        Kind::Record(record) => {
            format!("a map with {}", quoted(&record.fields.iter().map(|field| field.key).collect::<Vec<_>>()))
        }
    }
}

pub(super) fn example(kind: Kind) -> String {
    match kind {
        Kind::Text => "\"a text\"",
        Kind::Name => "my-name",
        Kind::Integer { min, max } => return 3.clamp(min, max).to_string(),
        Kind::Decimal => "0.05",
        Kind::Boolean => "true",
        Kind::Duration => "30s",
        Kind::Seconds => "60s",
        Kind::Window => "mon-fri 08:00-18:00",
        Kind::Rule => "lag(database) < 5s",
        Kind::Word(words) => words.accepted.first().copied().unwrap_or(""),
        Kind::List(of) => return format!("[{}]", example(*of)),
        Kind::Regions(of) => return format!("{{us-east-1: {}}}", example(*of)),
        Kind::Names(of) => return format!("{{api: {}}}", example(*of)),
        Kind::Record(record) => {
            return record.fields.first().map_or(String::new(), |first| format!("{{{}: …}}", first.key));
        }
    }
    .to_owned()
}
