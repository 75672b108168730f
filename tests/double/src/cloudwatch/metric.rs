//! What is put in and read out of metrics. A datum is one value or a set of statistics; both are summed up by period.

use std::collections::{BTreeMap, BTreeSet};

use super::{Datum, MetricKey, page};
use crate::error::ApiError;
use crate::wire::Node;
use crate::world::World;

const STATISTICS: [&str; 5] = ["Average", "Maximum", "Minimum", "SampleCount", "Sum"];
const DATAPOINTS_MAX: u64 = 1440;
const DATA_PER_CALL_MAX: usize = 1000;
const VALUES_PER_DATUM_MAX: usize = 150;
const DIMENSIONS_MAX: usize = 30;
const NAME_LENGTH_MAX: usize = 255;
const DIMENSION_VALUE_LENGTH_MAX: usize = 1024;
const QUERIES_MAX: usize = 500;
const POINTS_PER_ANSWER_MAX: i64 = 100_800;
const METRICS_PER_PAGE: usize = 500;
const HOUR_MS: u64 = 3600 * 1000;
const AGE_MAX_MS: u64 = 14 * 24 * HOUR_MS;
const AHEAD_MAX_MS: u64 = 2 * HOUR_MS;
/// From which age on data are kept by the minute, by five and by the hour only.
const MINUTES_AFTER_MS: u64 = 3 * HOUR_MS;
const FIVE_MINUTES_AFTER_MS: u64 = 15 * 24 * HOUR_MS;
const HOURS_AFTER_MS: u64 = 63 * 24 * HOUR_MS;
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
    super::allow(input, &["Namespace", "MetricData"])?;
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
        super::allow(entry, &[&known[..], &["StorageResolution"]].concat())?;
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
        return Ok(Datum { at_ms, count, sum, min, max });
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

pub fn statistics(world: &World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let known = ["Namespace", "MetricName", "Dimensions", "StartTime", "EndTime", "Period", "Statistics", "Unit"];
    super::allow(input, &[&known[..], &["ExtendedStatistics"]].concat())?;
    let name = input.need("MetricName")?;
    let key = key(region, &input.need("Namespace")?, name.clone(), input)?;
    let range = Range::parse(input, input, world.now_ms)?;
    let wanted = input.str_list("Statistics");
    if let Some(other) = wanted.iter().find(|name| !STATISTICS.contains(&name.as_str())) {
        return Err(wrong(format!("The statistic {other} is not valid")));
    }
    if !input.list("ExtendedStatistics").is_empty() {
        return Err(ApiError::unsupported("extended statistics"));
    }
    if wanted.is_empty() {
        return Err(ApiError::bad("MissingParameter", "At least one of Statistics and ExtendedStatistics is needed"));
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
    let points = buckets.into_iter().map(|(at, sum)| {
        let point = Node::map().with("Timestamp", Node::Time(at));
        let point = wanted.iter().fold(point, |point, name| point.with(name, sum.statistic(name)));
        point.with("Unit", &unit)
    });
    Ok(Node::map().with("Label", name).with("Datapoints", Node::List("member", points.collect())))
}

pub fn data(world: &World, region: &str, input: &Node) -> Result<Node, ApiError> {
    super::allow(input, &["MetricDataQueries", "StartTime", "EndTime", "ScanBy", "MaxDatapoints", "NextToken"])?;
    let queries = input.list("MetricDataQueries");
    if queries.is_empty() || queries.len() > QUERIES_MAX {
        return Err(wrong("MetricDataQueries must hold 1 to 500 queries"));
    }
    let newest_first = match input.str("ScanBy").as_deref() {
        None | Some("TimestampDescending") => true,
        Some("TimestampAscending") => false,
        Some(other) => return Err(wrong(format!("The value {other} for parameter ScanBy is invalid."))),
    };
    let most = input.int("MaxDatapoints")?.unwrap_or(POINTS_PER_ANSWER_MAX);
    if !(1..=POINTS_PER_ANSWER_MAX).contains(&most) {
        return Err(wrong("MaxDatapoints must be between 1 and 100,800"));
    }
    let mut ids = BTreeSet::new();
    let mut series = Vec::new();
    for query in queries {
        let found = Series::read(world, region, input, query, newest_first)?;
        if !ids.insert(found.id.clone()) {
            return Err(ApiError::bad("ValidationError", format!("The id {} is used more than once", found.id)));
        }
        series.push(found);
    }
    let (mut skip, mut room) = (page::start(input)?, usize::try_from(most).unwrap_or(usize::MAX));
    let (total, start) = (series.iter().map(|one| one.points.len()).sum::<usize>(), skip);
    let mut results = Vec::new();
    for one in series.iter().filter(|one| one.returned) {
        let shown: Vec<&(u64, f64)> = one.points.iter().skip(skip).take(room).collect();
        let all = skip + shown.len() >= one.points.len();
        skip = skip.saturating_sub(one.points.len());
        room -= shown.len();
        results.push(
            Node::map()
                .with("Id", &one.id)
                .with("Label", &one.label)
                .with("Timestamps", Node::List("member", shown.iter().map(|(at, _)| Node::Time(*at)).collect()))
                .with("Values", Node::List("member", shown.iter().map(|(_, value)| Node::Float(*value)).collect()))
                .with("StatusCode", if all { "Complete" } else { "PartialData" }),
        );
    }
    let end = start.saturating_add(usize::try_from(most).unwrap_or(usize::MAX));
    let next = (end < total).then(|| end.to_string());
    Ok(Node::map().with("MetricDataResults", Node::List("member", results)).with_some("NextToken", next))
}

struct Series {
    id: String,
    label: String,
    returned: bool,
    points: Vec<(u64, f64)>,
}

impl Series {
    fn read(world: &World, region: &str, input: &Node, query: &Node, newest_first: bool) -> Result<Self, ApiError> {
        super::allow(query, &["Id", "MetricStat", "Label", "ReturnData", "Expression"])?;
        let id = query.need("Id")?;
        let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        if !id.starts_with(|letter: char| letter.is_ascii_lowercase()) || !id.chars().all(fits) {
            return Err(ApiError::bad("ValidationError", format!("The value {id} for parameter Id is invalid.")));
        }
        let stat = query.get("MetricStat").ok_or_else(|| ApiError::unsupported("metric math"))?;
        let metric = stat.get("Metric").ok_or_else(|| missing("Metric"))?;
        let name = metric.need("MetricName")?;
        let key = key(region, &metric.need("Namespace")?, name.clone(), metric)?;
        let which = stat.need("Stat")?;
        if !STATISTICS.contains(&which.as_str()) {
            return Err(ApiError::unsupported(format!("the statistic {which}")));
        }
        let range = Range::parse(input, stat, world.now_ms)?;
        let found = world.cloudwatch.metrics.get(&key);
        let found = found.filter(|metric| stat.str("Unit").is_none_or(|unit| unit == metric.unit));
        let buckets = range.buckets(found.map(|metric| metric.data.as_slice()).unwrap_or_default());
        let mut points: Vec<(u64, f64)> = buckets.into_iter().map(|(at, sum)| (at, sum.statistic(&which))).collect();
        if newest_first {
            points.reverse();
        }
        let returned = query.bool("ReturnData")?.unwrap_or(true);
        if !returned {
            points.clear();
        }
        Ok(Self { id, label: query.str("Label").unwrap_or(name), returned, points })
    }
}

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
        let sum = buckets.get(&at_ms).map_or(Datum { at_ms, ..*datum }, |before| before.with(datum));
        buckets.insert(at_ms, sum);
    }
    buckets
}

struct Range {
    start_ms: u64,
    end_ms: u64,
    period_ms: u64,
}

impl Range {
    fn parse(times: &Node, stat: &Node, now_ms: u64) -> Result<Self, ApiError> {
        let start_ms = times.time("StartTime")?.ok_or_else(|| missing("StartTime"))?;
        let end_ms = times.time("EndTime")?.ok_or_else(|| missing("EndTime"))?;
        if start_ms >= end_ms {
            let text = "The parameter StartTime must be less than the parameter EndTime.";
            return Err(ApiError::bad("InvalidParameterCombination", text));
        }
        let period = stat.int("Period")?.ok_or_else(|| missing("Period"))?;
        if !([1, 5, 10, 20, 30].contains(&period) || (period > 0 && period % 60 == 0)) {
            let text = format!("The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60, not {period}.");
            return Err(wrong(text));
        }
        let age_ms = now_ms.saturating_sub(start_ms);
        let kept = [(HOURS_AFTER_MS, 3600), (FIVE_MINUTES_AFTER_MS, 300), (MINUTES_AFTER_MS, 60)];
        if let Some((_, step)) = kept.iter().find(|(after, _)| age_ms > *after).filter(|(_, step)| period % step != 0) {
            return Err(wrong(format!("The parameter Period must be a multiple of {step} for data of that age.")));
        }
        let period_ms = u64::try_from(period).unwrap_or(60).saturating_mul(1000);
        Ok(Self { start_ms, end_ms, period_ms })
    }

    fn buckets(&self, data: &[Datum]) -> BTreeMap<u64, Datum> {
        by_period(data, self.start_ms, self.end_ms, self.period_ms)
    }
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
