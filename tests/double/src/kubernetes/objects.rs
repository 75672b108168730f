//! The objects as clients see them. Items of a list carry no kind; counts of zero are left out, as Kubernetes does.

pub mod autoscalers;
pub mod deployments;
pub mod nodes;
pub mod pods;

use serde_json::{Map, Value};

use crate::wire::clock;

/// With its kind in front, as a single object is shown.
pub fn typed(object: Value, kind: &str, version: &str) -> Value {
    let mut fields = Map::new();
    fields.insert("kind".to_owned(), kind.into());
    fields.insert("apiVersion".to_owned(), version.into());
    if let Value::Object(rest) = object {
        fields.extend(rest);
    }
    Value::Object(fields)
}

/// Kubernetes keeps whole seconds.
pub(super) fn seconds(at_ms: u64) -> Value {
    clock::iso(at_ms - at_ms % 1000).replace(".000Z", "Z").into()
}
