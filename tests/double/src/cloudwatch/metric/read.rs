use std::collections::{BTreeMap, BTreeSet};

use super::{HOUR_MS, by_period, key, missing, wrong};
use crate::cloudwatch::{Datum, allow, page};
use crate::error::ApiError;
use crate::wire::Node;
use crate::world::World;

const STATISTICS: [&str; 5] = ["Average", "Maximum", "Minimum", "SampleCount", "Sum"];
const DATAPOINTS_MAX: u64 = 1440;
const QUERIES_MAX: usize = 500;
const POINTS_PER_ANSWER_MAX: i64 = 100_800;
/// From which age on data are kept by the minute, by five and by the hour only.
const MINUTES_AFTER_MS: u64 = 3 * HOUR_MS;
const FIVE_MINUTES_AFTER_MS: u64 = 15 * 24 * HOUR_MS;
const HOURS_AFTER_MS: u64 = 63 * 24 * HOUR_MS;

pub fn statistics(world: &World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let known = ["Namespace", "MetricName", "Dimensions", "StartTime", "EndTime", "Period", "Statistics", "Unit"];
    allow(input, &[&known[..], &["ExtendedStatistics"]].concat())?;
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
    allow(input, &["MetricDataQueries", "StartTime", "EndTime", "ScanBy", "MaxDatapoints", "NextToken"])?;
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

/// `p0.0` to `p100`, with up to ten digits behind the point.
fn percentile(statistic: &str) -> Result<Option<f64>, ApiError> {
    let Some(rank) = statistic.strip_prefix('p') else {
        return Ok(None);
    };
    let plain = rank.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && rank.len() <= 14;
    match rank.parse::<f64>() {
        Ok(rank) if plain && (0.0..=100.0).contains(&rank) => Ok(Some(rank)),
        _ => Err(wrong(format!("The value {statistic} for parameter Stat is invalid."))),
    }
}

struct Series {
    id: String,
    label: String,
    returned: bool,
    points: Vec<(u64, f64)>,
}

impl Series {
    fn read(world: &World, region: &str, input: &Node, query: &Node, newest_first: bool) -> Result<Self, ApiError> {
        allow(query, &["Id", "MetricStat", "Label", "ReturnData", "Expression"])?;
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
        let rank = percentile(&which)?;
        if rank.is_none() && !STATISTICS.contains(&which.as_str()) {
            return Err(ApiError::unsupported(format!("the statistic {which}")));
        }
        let range = Range::parse(input, stat, world.now_ms)?;
        let found = world.cloudwatch.metrics.get(&key);
        let found = found.filter(|metric| stat.str("Unit").is_none_or(|unit| unit == metric.unit));
        let buckets = range.buckets(found.map(|metric| metric.data.as_slice()).unwrap_or_default());
        let value = |sum: &Datum| rank.map_or_else(|| Some(sum.statistic(&which)), |rank| sum.percentile(rank));
        let mut points: Vec<(u64, f64)> = buckets.iter().filter_map(|(at, sum)| Some((*at, value(sum)?))).collect();
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
