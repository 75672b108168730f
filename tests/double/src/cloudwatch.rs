//! CloudWatch metrics and alarms. RDS publishes `ReplicaLag` and DynamoDB `ReplicationLatency` here by themselves;
//! clients publish under their own namespaces.

pub mod alarm;
pub mod metric;
pub mod page;

use std::collections::BTreeMap;

use crate::error::ApiError;
use crate::rds::{publication, replication};
use crate::wire::request::Call;
use crate::wire::{Node, clock};
use crate::world::World;
use crate::world::timers::Timer;
use alarm::Alarm;

/// Beyond this many the oldest data of a metric are forgotten.
const DATA_MAX: usize = 20_000;
const METRICS_MAX: usize = 2_000;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetricKey {
    pub region: String,
    pub namespace: String,
    pub name: String,
    /// Sorted by name.
    pub dimensions: Vec<(String, String)>,
}

/// So many values of one moment or period, summed up.
#[derive(Clone, Debug, PartialEq)]
pub struct Datum {
    pub at_ms: u64,
    pub count: f64,
    pub sum: f64,
    pub min: f64,
    pub max: f64,
    /// The values themselves and how often each came, where they are known: percentiles are of these.
    pub values: Option<Vec<(f64, f64)>>,
}

impl Datum {
    pub fn one(at_ms: u64, value: f64) -> Self {
        Self { at_ms, count: 1.0, sum: value, min: value, max: value, values: Some(vec![(value, 1.0)]) }
    }

    fn with(&self, other: &Self) -> Self {
        Self {
            at_ms: self.at_ms,
            count: self.count + other.count,
            sum: self.sum + other.sum,
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            values: self.values.as_ref().zip(other.values.as_ref()).map(|(own, others)| [&own[..], others].concat()),
        }
    }

    /// The least value that so many of a hundred values do not exceed. CloudWatch interpolates; nobody may depend on it.
    fn percentile(&self, rank: f64) -> Option<f64> {
        let mut values = self.values.clone()?;
        values.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let wanted = self.count * rank / 100.0;
        let mut passed = 0.0;
        for (value, count) in values {
            passed += count;
            if passed >= wanted {
                return Some(value);
            }
        }
        Some(self.max)
    }

    fn statistic(&self, name: &str) -> f64 {
        match name {
            "Average" => self.sum / self.count,
            "Maximum" => self.max,
            "Minimum" => self.min,
            "SampleCount" => self.count,
            _ => self.sum,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Metric {
    pub unit: String,
    pub data: Vec<Datum>,
}

#[derive(Debug, Default)]
pub struct CloudWatch {
    pub metrics: BTreeMap<MetricKey, Metric>,
    pub alarms: BTreeMap<(String, String), Alarm>,
}

impl CloudWatch {
    pub fn record(&mut self, key: MetricKey, unit: &str, datum: Datum) -> Result<(), ApiError> {
        if self.metrics.len() >= METRICS_MAX && !self.metrics.contains_key(&key) {
            return Err(ApiError::bad("LimitExceeded", "the double keeps no more metrics"));
        }
        let metric = self.metrics.entry(key).or_default();
        unit.clone_into(&mut metric.unit);
        if metric.data.len() >= DATA_MAX {
            metric.data.drain(..DATA_MAX / 10);
        }
        metric.data.push(datum);
        Ok(())
    }
}

/// Publishes what the instances of living regions measure of themselves, once a period.
pub fn sample(world: &mut World) {
    let now_ms = world.now_ms;
    let lags: Vec<(MetricKey, f64)> = world
        .rds
        .instances
        .values()
        .filter(|instance| instance.serving && world.is_alive(&instance.key.region))
        .filter_map(|instance| {
            let key = MetricKey {
                region: instance.key.region.clone(),
                namespace: "AWS/RDS".to_owned(),
                name: "ReplicaLag".to_owned(),
                dimensions: vec![("DBInstanceIdentifier".to_owned(), instance.key.id.clone())],
            };
            Some((key, clock::to_seconds(replication::lag_ms(instance, now_ms)?)))
        })
        .collect();
    for (key, value) in lags {
        // Only a world of more instances than METRICS_MAX can fail here.
        let _ = world.cloudwatch.record(key, "Seconds", Datum::one(now_ms, value));
    }
    publication::published(world);
    for (key, datum) in crate::dynamodb::replication::latencies(world) {
        let _ = world.cloudwatch.record(key, "Milliseconds", datum);
    }
    alarm::evaluate(world);
    let period = world.settings.metric_period_ms.max(1);
    world.timers.set(now_ms - now_ms % period + period, Timer::SampleMetrics);
}

pub fn call(world: &mut World, call: &Call) -> Result<Node, ApiError> {
    let (region, input) = (call.region.as_str(), &call.input);
    match call.operation.as_str() {
        "PutMetricData" => metric::put::put(world, region, input),
        "GetMetricStatistics" => metric::read::statistics(world, region, input),
        "GetMetricData" => metric::read::data(world, region, input),
        "ListMetrics" => metric::list(world, region, input),
        "PutMetricAlarm" => alarm::put(world, region, input),
        "DescribeAlarms" => alarm::describe(world, region, input),
        "SetAlarmState" => alarm::set_state(world, region, input),
        "DeleteAlarms" => alarm::delete(world, region, input),
        other => Err(ApiError::unsupported(format!("cloudwatch {other}"))),
    }
}

/// A parameter that is not modelled must not be taken as done.
fn allow(input: &Node, known: &[&str]) -> Result<(), ApiError> {
    match input.keys().into_iter().find(|name| !["Action", "Version"].contains(name) && !known.contains(name)) {
        Some(name) => Err(ApiError::unsupported(format!("the parameter {name}"))),
        None => Ok(()),
    }
}
