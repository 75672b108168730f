//! The schema and the reader come from one table; these tests hold them to it.

use mesh_core::manifest::Vantage;
use mesh_manifest::fields::{Kind, MANIFEST, Presence, Record};
use mesh_manifest::{json_schema, parse};
use serde_json::{Value, json};

use crate::support::{example, examples, schema_problems, yaml_to_json};

#[test]
fn every_key_of_the_table_is_in_the_schema_and_no_other() {
    let mut keys = 0;
    compare(&MANIFEST, &json_schema(), "", &mut keys);
    assert!(keys > 60, "the walk reached {keys} keys");
}

fn compare(record: &Record, schema: &Value, path: &str, keys: &mut usize) {
    let properties = schema["properties"].as_object().unwrap_or_else(|| panic!("{path} has properties"));
    assert_eq!(properties.len(), record.fields.len(), "{path}");
    assert_eq!(schema["additionalProperties"], json!(false), "{path} refuses unknown keys");
    for field in record.fields {
        *keys += 1;
        let path = format!("{path}.{}", field.key);
        let property = properties.get(field.key).unwrap_or_else(|| panic!("{path} is in the schema"));
        assert_eq!(property["description"], json!(field.doc), "{path}");
        let needed = schema["required"].as_array().is_some_and(|keys| keys.contains(&json!(field.key)));
        assert_eq!(needed, matches!(field.presence, Presence::Required), "{path}");
        compare_kind(field.kind, property, &path, keys);
    }
}

fn compare_kind(kind: Kind, schema: &Value, path: &str, keys: &mut usize) {
    match kind {
        Kind::Record(record) => compare(record, schema, path, keys),
        Kind::List(of) => compare_kind(*of, &schema["items"], path, keys),
        Kind::Regions(of) | Kind::Names(of) => compare_kind(*of, &schema["additionalProperties"], path, keys),
        Kind::Word(words) => {
            let accepted = schema["enum"].as_array().expect("an enum");
            assert!(words.accepted.iter().all(|word| accepted.contains(&json!(word))), "{path}");
        }
        Kind::Text
        | Kind::Name
        | Kind::Integer { .. }
        | Kind::Decimal
        | Kind::Boolean
        | Kind::Duration
        | Kind::Seconds
        | Kind::Window
        | Kind::Rule => {
            assert!(schema["type"].is_string(), "{path}");
        }
    }
}

/// The reader's side of the same table: without a required key, and with an unknown one, it refuses what the schema
/// refuses.
#[test]
fn reader_and_schema_agree_on_missing_and_unknown_keys() {
    let schema = json_schema();
    for (name, text) in examples() {
        for (i, line) in text.lines().enumerate() {
            let key = line.trim_start().split(':').next().unwrap_or_default();
            if key.is_empty() || line.contains(['#', '{', '-']) || !line.contains(':') {
                continue;
            }
            let lines: Vec<&str> = text.lines().collect();
            let mut misspelt: Vec<String> = lines.iter().map(ToString::to_string).collect();
            misspelt[i] = line.replacen(key, "zzz", 1);
            let misspelt = misspelt.join("\n");
            let by_schema = schema_problems(&schema, &yaml_to_json(&misspelt), "").is_empty();
            let by_reader = parse(&misspelt, &name).is_ok();
            assert!(!by_schema || !by_reader || line.contains("us-"), "{name}:{}: {line}", i + 1);
            assert!(by_schema || !by_reader, "the reader accepts what the schema refuses: {name}:{}: {line}", i + 1);
        }
    }
}

#[test]
fn every_default_of_the_table_is_what_the_reader_fills_in() {
    let text = example("minimal.yaml")
        + r#"
checks: [{name: c, tcp: {addresses: {eu-west-1: "a:1", eu-central-1: "b:1"}}}, {name: h, http: {urls: {eu-west-1: "http://a"}}}]
verify: [{name: v, url: "http://www.example.com/"}]
"#;
    let manifest = parse(&text, "").expect("defaults are readable and accepted");
    let check = &manifest.checks[0];
    assert_eq!((check.interval.as_secs(), check.timeout.as_secs()), (10, 1));
    assert_eq!((check.fail_after, check.pass_after, check.critical), (3, 2, true));
    assert_eq!((check.observe_only, check.from), (false, Vantage::Both));
    assert_eq!((manifest.verify[0].expect_status, manifest.verify[0].consecutive), (200, 3));
}

#[test]
fn the_schema_says_what_it_is() {
    let schema = json_schema();
    assert_eq!(schema["$schema"], json!("https://json-schema.org/draft/2020-12/schema"));
    assert_eq!(
        schema["properties"]["policy"]["properties"]["automatic"]["enum"],
        json!(["off", "notify", "fence", "full", false])
    );
}
