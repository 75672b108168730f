use super::{HOUR_MS, NAME_LENGTH_MAX, key, missing, wrong};
use crate::cloudwatch::{Datum, allow};
use crate::error::ApiError;
use crate::wire::Node;
use crate::world::World;

const DATA_PER_CALL_MAX: usize = 1000;
const VALUES_PER_DATUM_MAX: usize = 150;
const AGE_MAX_MS: u64 = 14 * 24 * HOUR_MS;
const AHEAD_MAX_MS: u64 = 2 * HOUR_MS;
/// 2^360, beyond which CloudWatch takes no value.
const VALUE_MAX: f64 = 2.348_542_582_773_833_3e108;
const UNITS: [&str; 27] = [
    "Seconds",
    "Microseconds",
    "Milliseconds",
    "Bytes",
    "Kilobytes",
    "Megabytes",
    "Gigabytes",
    "Terabytes",
    "Bits",
    "Kilobits",
    "Megabits",
    "Gigabits",
    "Terabits",
    "Percent",
    "Count",
    "Bytes/Second",
    "Kilobytes/Second",
    "Megabytes/Second",
    "Gigabytes/Second",
    "Terabytes/Second",
    "Bits/Second",
    "Kilobits/Second",
    "Megabits/Second",
    "Gigabits/Second",
    "Terabits/Second",
    "Count/Second",
    "None",
];

pub fn put(world: &mut World, region: &str, input: &Node) -> Result<Node, ApiError> {
    allow(input, &["Namespace", "MetricData"])?;
    let namespace = input.need("Namespace")?;
    if namespace.starts_with("AWS/") {
        return Err(ApiError::bad("InvalidParameterValue", "The value AWS/ for parameter Namespace is invalid."));
    }
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "._-/#: ".contains(letter);
    if namespace.len() > NAME_LENGTH_MAX || namespace.starts_with(':') || !namespace.chars().all(fits) {
        return Err(wrong(format!("The value {namespace} for parameter Namespace is invalid.")));
    }
    let entries = input.list("MetricData");
    if entries.is_empty() || entries.len() > DATA_PER_CALL_MAX {
        return Err(wrong("MetricData must hold 1 to 1000 entries"));
    }
    let now_ms = world.now_ms;
    let mut parsed = Vec::new();
    for entry in entries {
        let known = ["MetricName", "Dimensions", "Timestamp", "Value", "StatisticValues", "Values", "Counts", "Unit"];
        allow(entry, &[&known[..], &["StorageResolution"]].concat())?;
        let key = key(region, &namespace, entry.need("MetricName")?, entry)?;
        let at_ms = entry.time("Timestamp")?.unwrap_or(now_ms);
        if at_ms + AGE_MAX_MS < now_ms || at_ms > now_ms + AHEAD_MAX_MS {
            return Err(wrong("Timestamp must be within two weeks past and two hours ahead"));
        }
        if entry.int("StorageResolution")?.is_some_and(|seconds| seconds != 1 && seconds != 60) {
            return Err(wrong("StorageResolution must be 1 or 60"));
        }
        let unit = entry.str("Unit").unwrap_or_else(|| "None".to_owned());
        if !UNITS.contains(&unit.as_str()) {
            return Err(wrong(format!("The value {unit} for parameter Unit is invalid.")));
        }
        parsed.push((key, unit, datum(entry, at_ms)?));
    }
    for (key, unit, datum) in parsed {
        world.cloudwatch.record(key, &unit, datum)?;
    }
    Ok(Node::map())
}

/// Exactly one of a value, a set of statistics, and values with how often each came.
fn datum(entry: &Node, at_ms: u64) -> Result<Datum, ApiError> {
    let given = ["Value", "StatisticValues", "Values"].iter().filter(|name| entry.get(name).is_some()).count();
    if given != 1 {
        let text = "The parameters Value, StatisticValues and Values are mutually exclusive and you have specified none or more than one.";
        return Err(ApiError::bad("InvalidParameterCombination", text));
    }
    if let Some(set) = entry.get("StatisticValues") {
        let part = |name: &str| number(set, name)?.ok_or_else(|| missing(name));
        let (count, sum, min, max) = (part("SampleCount")?, part("Sum")?, part("Minimum")?, part("Maximum")?);
        if count <= 0.0 || min > max {
            return Err(wrong("StatisticValues do not fit together"));
        }
        // AWS, "Percentiles": a set of statistics has them only where it leaves no doubt about its values.
        let values = (min == max || count == 1.0).then(|| vec![(min, count)]);
        return Ok(Datum { at_ms, count, sum, min, max, values });
    }
    if let Some(value) = number(entry, "Value")? {
        return Ok(Datum::one(at_ms, value));
    }
    let values = floats(entry, "Values")?;
    let counts = floats(entry, "Counts")?;
    let counts = if counts.is_empty() { vec![1.0; values.len()] } else { counts };
    if values.is_empty() || values.len() > VALUES_PER_DATUM_MAX || values.len() != counts.len() {
        return Err(wrong("Values must hold 1 to 150 numbers, and Counts as many"));
    }
    if counts.iter().any(|count| *count <= 0.0) {
        return Err(wrong("Counts must be above 0"));
    }
    Ok(Datum {
        at_ms,
        count: counts.iter().sum(),
        sum: values.iter().zip(&counts).map(|(value, count)| value * count).sum(),
        min: values.iter().copied().fold(f64::INFINITY, f64::min),
        max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        values: Some(values.into_iter().zip(counts).collect()),
    })
}

fn number(node: &Node, name: &str) -> Result<Option<f64>, ApiError> {
    match node.float(name)? {
        Some(value) if !value.is_finite() || value.abs() > VALUE_MAX => {
            Err(wrong(format!("The value {value} for parameter {name} is invalid.")))
        }
        other => Ok(other),
    }
}

fn floats(node: &Node, name: &str) -> Result<Vec<f64>, ApiError> {
    let items = node.list(name).into_iter().map(|item| Node::map().with(name, item.clone()));
    items.map(|item| number(&item, name)?.ok_or_else(|| missing(name))).collect()
}
