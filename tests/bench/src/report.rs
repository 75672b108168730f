//! The lines on stdout.

use serde_json::{Value, json};

use crate::stats::rounded;

/// A figure beside its peer's of the same run; `more` is an object of further fields.
pub fn line(bench: &str, unit: &str, value: f64, peer: &str, peer_value: Option<f64>, more: Value) {
    let ratio = peer_value.filter(|peer| *peer > 0.0).map(|peer| rounded(value / peer, 3));
    let mut line = json!({
        "bench": bench, "value": rounded(value, 3), "unit": unit,
        "peer": peer, "peer_value": peer_value.map(|value| rounded(value, 3)), "ratio": ratio,
    });
    if let (Value::Object(line), Value::Object(more)) = (&mut line, more) {
        line.extend(more);
    }
    println!("{line}");
}
