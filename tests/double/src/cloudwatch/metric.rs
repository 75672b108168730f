//! What is put in and read out of metrics. A datum is one value or a set of statistics; both are summed up by period.

pub mod put;
pub mod read;

use std::collections::BTreeMap;

use super::{Datum, MetricKey, page};
use crate::error::ApiError;
use crate::wire::Node;
use crate::world::World;

const DIMENSIONS_MAX: usize = 30;
const NAME_LENGTH_MAX: usize = 255;
const DIMENSION_VALUE_LENGTH_MAX: usize = 1024;
const METRICS_PER_PAGE: usize = 500;
const HOUR_MS: u64 = 3600 * 1000;

pub fn list(world: &World, region: &str, input: &Node) -> Result<Node, ApiError> {
    super::allow(input, &["Namespace", "MetricName", "Dimensions", "NextToken", "RecentlyActive"])?;
    let mut filters = Vec::new();
    for filter in input.list("Dimensions") {
        filters.push((filter.need("Name")?, filter.str("Value")));
    }
    let recent_ms = match input.str("RecentlyActive").as_deref() {
        None => None,
        Some("PT3H") => Some(3 * HOUR_MS),
        Some(other) => return Err(wrong(format!("The value {other} for parameter RecentlyActive is invalid."))),
    };
    let is_recent = |data: &[Datum]| {
        recent_ms.is_none_or(|ms| data.iter().any(|datum| datum.at_ms.saturating_add(ms) >= world.now_ms))
    };
    let matches = |key: &MetricKey| {
        let is = |name: &str, value: &str| input.str(name).is_none_or(|asked| asked == value);
        let has = |(name, value): &(String, Option<String>)| {
            key.dimensions.iter().any(|(own, of)| own == name && value.as_ref().is_none_or(|value| value == of))
        };
        key.region == region
            && is("Namespace", &key.namespace)
            && is("MetricName", &key.name)
            && filters.iter().all(has)
    };
    let found = world.cloudwatch.metrics.iter().filter(|(key, metric)| matches(key) && is_recent(&metric.data));
    let (found, next) = page::cut(found.map(|(key, _)| key).collect(), input, METRICS_PER_PAGE)?;
    let render = |key: &MetricKey| {
        Node::map()
            .with("Namespace", &key.namespace)
            .with("MetricName", &key.name)
            .with("Dimensions", dimensions(&key.dimensions))
    };
    let metrics = found.into_iter().map(render).collect();
    Ok(Node::map().with("Metrics", Node::List("member", metrics)).with_some("NextToken", next))
}

pub fn dimensions(all: &[(String, String)]) -> Node {
    let dimension = |(name, value): &(String, String)| Node::map().with("Name", name).with("Value", value);
    Node::List("member", all.iter().map(dimension).collect())
}

/// Data from the start (rounded down to its period) until before the end, each period's under its beginning.
pub fn by_period(data: &[Datum], start_ms: u64, end_ms: u64, period_ms: u64) -> BTreeMap<u64, Datum> {
    let start = start_ms - start_ms % period_ms;
    let mut buckets: BTreeMap<u64, Datum> = BTreeMap::new();
    for datum in data.iter().filter(|datum| datum.at_ms >= start && datum.at_ms < end_ms) {
        let at_ms = datum.at_ms - datum.at_ms % period_ms;
        let sum = buckets.get(&at_ms).map_or_else(|| Datum { at_ms, ..datum.clone() }, |before| before.with(datum));
        buckets.insert(at_ms, sum);
    }
    buckets
}

pub fn key(region: &str, namespace: &str, name: String, node: &Node) -> Result<MetricKey, ApiError> {
    if name.len() > NAME_LENGTH_MAX {
        return Err(wrong("The parameter MetricName must be at most 255 characters long."));
    }
    let mut dimensions: Vec<(String, String)> = Vec::new();
    for dimension in node.list("Dimensions") {
        let (name, value) = (dimension.need("Name")?, dimension.need("Value")?);
        if name.len() > NAME_LENGTH_MAX || value.len() > DIMENSION_VALUE_LENGTH_MAX || name.starts_with(':') {
            return Err(wrong(format!("The dimension {name} is invalid.")));
        }
        if dimensions.iter().any(|(other, _)| *other == name) {
            return Err(wrong(format!("The dimension {name} is given more than once.")));
        }
        dimensions.push((name, value));
    }
    if dimensions.len() > DIMENSIONS_MAX {
        return Err(wrong("The collection Dimensions must not have a size greater than 30."));
    }
    dimensions.sort();
    Ok(MetricKey { region: region.to_owned(), namespace: namespace.to_owned(), name, dimensions })
}

fn missing(name: &str) -> ApiError {
    ApiError::bad("MissingParameter", format!("The parameter {name} is required."))
}

fn wrong(message: impl Into<String>) -> ApiError {
    ApiError::bad("InvalidParameterValue", message)
}
