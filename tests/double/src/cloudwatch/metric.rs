use std::collections::BTreeMap;

use super::{Datum, MetricKey};
use crate::error::ApiError;
use crate::wire::Node;
use crate::world::World;

const STATISTICS: [&str; 5] = ["Average", "Maximum", "Minimum", "SampleCount", "Sum"];
const DATAPOINTS_MAX: u64 = 1440;
const DATA_PER_CALL_MAX: usize = 1000;
const QUERIES_MAX: usize = 500;
const AGE_MAX_MS: u64 = 14 * 24 * 3600 * 1000;
const AHEAD_MAX_MS: u64 = 2 * 3600 * 1000;

pub fn put(world: &mut World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let namespace = input.need("Namespace")?;
    if namespace.starts_with("AWS/") {
        return Err(ApiError::bad("InvalidParameterValue", "The value AWS/ for parameter Namespace is invalid."));
    }
    let entries = input.list("MetricData");
    if entries.is_empty() || entries.len() > DATA_PER_CALL_MAX {
        return Err(ApiError::bad("InvalidParameterValue", "MetricData must hold 1 to 1000 entries"));
    }
    let now_ms = world.now_ms;
    let mut parsed = Vec::new();
    for entry in entries {
        if entry.get("StatisticValues").is_some() || entry.get("Values").is_some() {
            return Err(ApiError::unsupported("statistic sets and value arrays"));
        }
        let key = key(region, &namespace, entry.need("MetricName")?, entry)?;
        let value = entry.float("Value")?.filter(|value| value.is_finite());
        let value = value.ok_or_else(|| ApiError::bad("InvalidParameterValue", "Value must be a finite number"))?;
        let at_ms = entry.time("Timestamp")?.unwrap_or(now_ms);
        if at_ms + AGE_MAX_MS < now_ms || at_ms > now_ms + AHEAD_MAX_MS {
            return Err(ApiError::bad(
                "InvalidParameterValue",
                "Timestamp must be within two weeks past and two hours ahead",
            ));
        }
        parsed.push((key, entry.str("Unit").unwrap_or_else(|| "None".to_owned()), Datum { at_ms, value }));
    }
    for (key, unit, datum) in parsed {
        world.cloudwatch.record(key, &unit, datum)?;
    }
    Ok(Node::map())
}

pub fn statistics(world: &World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let name = input.need("MetricName")?;
    let key = key(region, &input.need("Namespace")?, name.clone(), input)?;
    let range = Range::parse(input, input)?;
    let wanted = input.str_list("Statistics");
    if let Some(other) = wanted.iter().find(|name| !STATISTICS.contains(&name.as_str())) {
        return Err(ApiError::bad("InvalidParameterValue", format!("The statistic {other} is not valid")));
    }
    if wanted.is_empty() {
        let text = if input.get("ExtendedStatistics").is_some() { "extended statistics" } else { "" };
        return if text.is_empty() {
            Err(ApiError::bad("MissingParameter", "At least one of Statistics and ExtendedStatistics is needed"))
        } else {
            Err(ApiError::unsupported(text))
        };
    }
    if (range.end_ms - range.start_ms) / range.period_ms > DATAPOINTS_MAX {
        return Err(ApiError::bad(
            "InvalidParameterCombination",
            "You have requested up to more than 1,440 datapoints",
        ));
    }
    let metric = world.cloudwatch.metrics.get(&key);
    let unit = metric.map(|metric| metric.unit.clone()).unwrap_or_default();
    if input.str("Unit").is_some_and(|asked| asked != unit) {
        return Ok(Node::map().with("Label", name).with("Datapoints", Node::List("member", Vec::new())));
    }
    let buckets = range.buckets(metric.map(|metric| metric.data.as_slice()).unwrap_or_default());
    let points = buckets.into_iter().map(|(at, values)| {
        let point = Node::map().with("Timestamp", Node::Time(at));
        let point = wanted.iter().fold(point, |point, name| point.with(name, statistic(name, &values)));
        point.with("Unit", &unit)
    });
    Ok(Node::map().with("Label", name).with("Datapoints", Node::List("member", points.collect())))
}

pub fn data(world: &World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let queries = input.list("MetricDataQueries");
    if queries.is_empty() || queries.len() > QUERIES_MAX {
        return Err(ApiError::bad("InvalidParameterValue", "MetricDataQueries must hold 1 to 500 queries"));
    }
    let newest_first = input.str("ScanBy").as_deref() != Some("TimestampAscending");
    let mut results = Vec::new();
    for query in queries {
        let id = query.need("Id")?;
        let stat = query.get("MetricStat").ok_or_else(|| ApiError::unsupported("metric math"))?;
        let metric = stat.get("Metric").ok_or_else(|| ApiError::bad("MissingParameter", "Metric is missing"))?;
        let name = metric.need("MetricName")?;
        let key = key(region, &metric.need("Namespace")?, name.clone(), metric)?;
        let which = stat.need("Stat")?;
        if !STATISTICS.contains(&which.as_str()) {
            return Err(ApiError::unsupported(format!("the statistic {which}")));
        }
        let range = Range::parse(input, stat)?;
        let found = world.cloudwatch.metrics.get(&key);
        let mut points: Vec<(u64, f64)> = range
            .buckets(found.map(|metric| metric.data.as_slice()).unwrap_or_default())
            .into_iter()
            .map(|(at, values)| (at, statistic(&which, &values)))
            .collect();
        if newest_first {
            points.reverse();
        }
        let result = Node::map()
            .with("Id", id)
            .with("Label", query.str("Label").unwrap_or(name))
            .with("Timestamps", Node::List("member", points.iter().map(|(at, _)| Node::Time(*at)).collect()))
            .with("Values", Node::List("member", points.iter().map(|(_, value)| Node::Float(*value)).collect()))
            .with("StatusCode", "Complete");
        results.push(result);
    }
    Ok(Node::map().with("MetricDataResults", Node::List("member", results)))
}

pub fn list(world: &World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let matches = |key: &&MetricKey| {
        let is = |name: &str, value: &str| input.str(name).is_none_or(|asked| asked == value);
        key.region == region && is("Namespace", &key.namespace) && is("MetricName", &key.name)
    };
    let render = |key: &MetricKey| {
        let dimension = |(name, value): &(String, String)| Node::map().with("Name", name).with("Value", value);
        Node::map()
            .with("Namespace", &key.namespace)
            .with("MetricName", &key.name)
            .with("Dimensions", Node::List("member", key.dimensions.iter().map(dimension).collect()))
    };
    let metrics = world.cloudwatch.metrics.keys().filter(matches).map(render).collect();
    Ok(Node::map().with("Metrics", Node::List("member", metrics)))
}

struct Range {
    start_ms: u64,
    end_ms: u64,
    period_ms: u64,
}

impl Range {
    fn parse(times: &Node, stat: &Node) -> Result<Self, ApiError> {
        let missing = |name: &str| ApiError::bad("MissingParameter", format!("The parameter {name} is required."));
        let start_ms = times.time("StartTime")?.ok_or_else(|| missing("StartTime"))?;
        let end_ms = times.time("EndTime")?.ok_or_else(|| missing("EndTime"))?;
        if start_ms >= end_ms {
            let text = "The parameter StartTime must be less than the parameter EndTime.";
            return Err(ApiError::bad("InvalidParameterCombination", text));
        }
        let period = stat.int("Period")?.ok_or_else(|| missing("Period"))?;
        if !([1, 5, 10, 20, 30].contains(&period) || (period > 0 && period % 60 == 0)) {
            let text = format!("The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60, not {period}.");
            return Err(ApiError::bad("InvalidParameterValue", text));
        }
        let period_ms = u64::try_from(period).unwrap_or(60).saturating_mul(1000);
        Ok(Self { start_ms, end_ms, period_ms })
    }

    /// Data from the start (rounded down to its period) until before the end, each period's under its beginning.
    fn buckets(&self, data: &[Datum]) -> BTreeMap<u64, Vec<f64>> {
        let start = self.start_ms - self.start_ms % self.period_ms;
        let mut buckets: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for datum in data.iter().filter(|datum| datum.at_ms >= start && datum.at_ms < self.end_ms) {
            buckets.entry(datum.at_ms - datum.at_ms % self.period_ms).or_default().push(datum.value);
        }
        buckets
    }
}

fn statistic(name: &str, values: &[f64]) -> f64 {
    let count = f64::from(u32::try_from(values.len()).unwrap_or(u32::MAX));
    let sum: f64 = values.iter().sum();
    match name {
        "Average" => sum / count,
        "Maximum" => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        "Minimum" => values.iter().copied().fold(f64::INFINITY, f64::min),
        "SampleCount" => count,
        _ => sum,
    }
}

fn key(region: &str, namespace: &str, name: String, node: &Node) -> Result<MetricKey, ApiError> {
    let mut dimensions = Vec::new();
    for dimension in node.list("Dimensions") {
        dimensions.push((dimension.need("Name")?, dimension.need("Value")?));
    }
    dimensions.sort();
    Ok(MetricKey { region: region.to_owned(), namespace: namespace.to_owned(), name, dimensions })
}
