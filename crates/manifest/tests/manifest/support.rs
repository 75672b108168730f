//! Examples, and a second, small reading of YAML and JSON Schema to compare with.

use std::path::PathBuf;

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

pub fn root(below: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(below)
}

pub fn example(name: &str) -> String {
    std::fs::read_to_string(root("../../examples").join(name)).expect("the example can be read")
}

pub fn examples() -> Vec<(String, String)> {
    files("../../examples", "yaml")
}

/// Files of a directory by extension, sorted, with their text.
pub fn files(below: &str, extension: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = std::fs::read_dir(root(below))
        .expect("the directory can be read")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).expect("a text"))
        })
        .collect();
    found.sort();
    found
}

pub fn yaml_to_json(yaml: &str) -> Value {
    let mut events = Parser::new_from_str(yaml).map(|event| event.expect("YAML").0);
    loop {
        match events.next().expect("a document") {
            Event::StreamStart | Event::DocumentStart(_) => {}
            first => return value(first, &mut events),
        }
    }
}

fn value<'a>(first: Event<'a>, events: &mut impl Iterator<Item = Event<'a>>) -> Value {
    match first {
        Event::Scalar(text, ScalarStyle::Plain, ..) => {
            serde_json::from_str::<Value>(&text).unwrap_or_else(|_| Value::String(text.into_owned()))
        }
        Event::Scalar(text, ..) => Value::String(text.into_owned()),
        Event::SequenceStart(..) => {
            let mut items = Vec::new();
            loop {
                match events.next().expect("an item") {
                    Event::SequenceEnd => return Value::Array(items),
                    item => items.push(value(item, events)),
                }
            }
        }
        Event::MappingStart(..) => {
            let mut entries = Map::new();
            loop {
                match events.next().expect("a key") {
                    Event::MappingEnd => return Value::Object(entries),
                    Event::Scalar(key, ..) => {
                        let first = events.next().expect("a value");
                        entries.insert(key.into_owned(), value(first, events));
                    }
                    other => panic!("no key: {other:?}"),
                }
            }
        }
        other => panic!("no node: {other:?}"),
    }
}

/// The keywords that the manifest's schema uses, patterns apart.
pub fn schema_problems(schema: &Value, value: &Value, path: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let mut unless = |holds: bool, what: &str| {
        if !holds {
            problems.push(format!("{path}: {what}"));
        }
    };
    if let Some(kind) = schema.get("type").and_then(Value::as_str) {
        let holds = match kind {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_u64(),
            "number" => value.is_number(),
            other => panic!("{other}"),
        };
        unless(holds, kind);
    }
    if let Some(accepted) = schema.get("enum").and_then(Value::as_array) {
        unless(accepted.contains(value), "enum");
    }
    let bound = |key: &str| schema.get(key).and_then(Value::as_u64);
    if let Some(number) = value.as_u64() {
        unless(bound("minimum").is_none_or(|min| number >= min), "minimum");
        unless(bound("maximum").is_none_or(|max| number <= max), "maximum");
    }
    let Some(object) = value.as_object() else {
        for (i, item) in value.as_array().into_iter().flatten().enumerate() {
            problems.extend(schema_problems(&schema["items"], item, &format!("{path}[{i}]")));
        }
        return problems;
    };
    let has =
        |keys: &Value| keys.as_array().into_iter().flatten().all(|key| object.contains_key(key.as_str().expect("")));
    unless(has(&schema["required"]), "required");
    if let Some(choices) = schema.get("oneOf").and_then(Value::as_array) {
        unless(choices.iter().filter(|choice| has(&choice["required"])).count() == 1, "oneOf");
    }
    if let Some(not) = schema.get("not") {
        unless(!has(&not["required"]), "not");
    }
    for (key, needed) in schema.get("dependentRequired").and_then(Value::as_object).into_iter().flatten() {
        unless(!object.contains_key(key) || has(needed), "dependentRequired");
    }
    for (key, member) in object {
        let path = format!("{path}.{key}");
        match schema["properties"].get(key).unwrap_or(&schema["additionalProperties"]) {
            Value::Object(of) => problems.extend(schema_problems(&Value::Object(of.clone()), member, &path)),
            _ => problems.push(format!("{path}: no such property")),
        }
    }
    problems
}
