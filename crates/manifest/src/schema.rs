//! The JSON Schema of a manifest, for editors. Made from the same table as the reader.

use serde_json::{Map, Value, json};

use crate::fields::{Field, Kind, MANIFEST, Presence, Record};
use crate::scalar::DURATION_PATTERN;

/// By the rules of [`mesh_core::ids`].
const NAME_PATTERN: &str = "^[a-z0-9][a-z0-9._-]{0,62}$";

/// JSON Schema, draft 2020-12.
pub fn json_schema() -> Value {
    let mut schema = of_record(&MANIFEST);
    if let Value::Object(root) = &mut schema {
        root.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        root.insert("title".to_owned(), json!("Manifest of one service of the mesh"));
    }
    schema
}

fn of_record(record: &Record) -> Value {
    let properties: Map<String, Value> =
        record.fields.iter().map(|field| (field.key.to_owned(), of_field(field))).collect();
    let required: Vec<&str> = record
        .fields
        .iter()
        .filter(|field| matches!(field.presence, Presence::Required))
        .map(|field| field.key)
        .collect();
    let mut schema = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    let Value::Object(entries) = &mut schema else { return schema };
    if !required.is_empty() {
        entries.insert("required".to_owned(), json!(required));
    }
    if !record.one_of.is_empty() {
        let choices: Vec<Value> = record.one_of.iter().map(|key| json!({ "required": [key] })).collect();
        entries.insert("oneOf".to_owned(), json!(choices));
    }
    if !record.at_most_one.is_empty() {
        entries.insert("not".to_owned(), json!({ "required": record.at_most_one }));
    }
    if !record.needs.is_empty() {
        let needs: Map<String, Value> =
            record.needs.iter().map(|(key, needed)| ((*key).to_owned(), json!([needed]))).collect();
        entries.insert("dependentRequired".to_owned(), json!(needs));
    }
    schema
}

fn of_field(field: &Field) -> Value {
    let mut schema = of_kind(field.kind);
    if let Value::Object(entries) = &mut schema {
        entries.insert("description".to_owned(), json!(field.doc));
        if let Presence::Default(text) = field.presence {
            entries.insert("default".to_owned(), default_value(field.kind, text));
        }
    }
    schema
}

fn default_value(kind: Kind, text: &str) -> Value {
    match kind {
        Kind::Integer { .. } => text.parse::<u32>().map_or(Value::Null, |number| json!(number)),
        Kind::Decimal => serde_json::from_str(text).unwrap_or(Value::Null),
        Kind::Boolean => json!(text == "true"),
        Kind::Text | Kind::Name | Kind::Duration | Kind::Seconds | Kind::Window | Kind::Rule | Kind::Word(_) => {
            json!(text)
        }
        Kind::List(_) | Kind::Regions(_) | Kind::Names(_) | Kind::Record(_) => Value::Null,
    }
}

fn of_kind(kind: Kind) -> Value {
    match kind {
        Kind::Text | Kind::Window | Kind::Rule => json!({ "type": "string" }),
        Kind::Name => json!({ "type": "string", "pattern": NAME_PATTERN }),
        Kind::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Decimal => json!({ "type": "number" }),
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Duration => json!({ "type": "string", "pattern": DURATION_PATTERN }),
        Kind::Seconds => json!({ "type": "string", "pattern": DURATION_PATTERN }),
        Kind::Word(words) => {
            let mut accepted: Vec<Value> = words.accepted.iter().map(|word| json!(word)).collect();
            accepted.extend(words.when_false.map(|_| json!(false)));
            json!({ "enum": accepted })
        }
        Kind::List(of @ (Kind::Text | Kind::Name)) => {
            json!({ "type": "array", "items": of_kind(*of), "uniqueItems": true })
        }
        Kind::List(of) => json!({ "type": "array", "items": of_kind(*of) }),
        Kind::Regions(of) | Kind::Names(of) => json!({
            "type": "object",
            "propertyNames": { "pattern": NAME_PATTERN },
            "additionalProperties": of_kind(*of),
        }),
        Kind::Record(record) => of_record(record),
    }
}
