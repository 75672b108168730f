//! What an alarm looks at, and the state that follows from what it sees.

use super::invalid;
use crate::cloudwatch::{MetricKey, metric};
use crate::error::ApiError;
use crate::wire::Node;
use crate::world::World;

const STATISTICS: [&str; 5] = ["SampleCount", "Average", "Sum", "Minimum", "Maximum"];
const COMPARISONS: [&str; 4] =
    ["GreaterThanThreshold", "GreaterThanOrEqualToThreshold", "LessThanThreshold", "LessThanOrEqualToThreshold"];
const TREATMENTS: [&str; 4] = ["missing", "breaching", "notBreaching", "ignore"];
const SPAN_SECONDS_MAX: i64 = 7 * 24 * 3600;
/// CloudWatch looks at some periods more than asked for, in case that data are late.
const PERIODS_BEYOND: u64 = 2;

#[derive(Clone, Debug)]
pub struct Rule {
    pub description: Option<String>,
    pub actions_enabled: bool,
    pub metric: MetricKey,
    pub unit: Option<String>,
    pub statistic: String,
    pub comparison: String,
    pub threshold: f64,
    pub period: i64,
    pub evaluation_periods: i64,
    pub datapoints: Option<i64>,
    pub missing: String,
}

impl Rule {
    pub fn read(region: &str, input: &Node) -> Result<Self, ApiError> {
        let missing = |name: &str| ApiError::bad("MissingParameter", format!("{name} is missing"));
        let one_of = |name: &str, known: &[&str]| {
            let value = input.need(name)?;
            if known.contains(&value.as_str()) { Ok(value) } else { Err(invalid(format!("{value} is no {name}"))) }
        };
        let treatment = if input.get("TreatMissingData").is_some() {
            one_of("TreatMissingData", &TREATMENTS)?
        } else {
            "missing".to_owned()
        };
        let rule = Self {
            description: input.str("AlarmDescription"),
            actions_enabled: input.bool("ActionsEnabled")?.unwrap_or(true),
            metric: metric::key(region, &input.need("Namespace")?, input.need("MetricName")?, input)?,
            unit: input.str("Unit"),
            statistic: one_of("Statistic", &STATISTICS)?,
            comparison: one_of("ComparisonOperator", &COMPARISONS)?,
            threshold: input.float("Threshold")?.ok_or_else(|| missing("Threshold"))?,
            period: input.int("Period")?.ok_or_else(|| missing("Period"))?,
            evaluation_periods: input.int("EvaluationPeriods")?.ok_or_else(|| missing("EvaluationPeriods"))?,
            datapoints: input.int("DatapointsToAlarm")?,
            missing: treatment,
        };
        rule.check()?;
        Ok(rule)
    }

    fn check(&self) -> Result<(), ApiError> {
        if !([10, 20, 30].contains(&self.period) || (self.period > 0 && self.period % 60 == 0)) {
            return Err(invalid("Period must be 10, 20, 30 or a multiple of 60"));
        }
        if self.evaluation_periods < 1 || self.evaluation_periods.saturating_mul(self.period) > SPAN_SECONDS_MAX {
            return Err(invalid("Metrics cannot be checked across more than seven days, nor less than one period"));
        }
        if self.datapoints.is_some_and(|count| !(1..=self.evaluation_periods).contains(&count)) {
            return Err(invalid("DatapointsToAlarm must be between 1 and EvaluationPeriods"));
        }
        Ok(())
    }

    fn is_beyond(&self, value: f64) -> bool {
        match self.comparison.as_str() {
            "GreaterThanThreshold" => value > self.threshold,
            "GreaterThanOrEqualToThreshold" => value >= self.threshold,
            "LessThanThreshold" => value < self.threshold,
            _ => value <= self.threshold,
        }
    }

    /// The newest whole periods' values, oldest first: as many as the rule looks at, or fewer where data are missing.
    pub fn seen(&self, world: &World) -> Vec<f64> {
        let period_ms = u64::try_from(self.period).unwrap_or(60).saturating_mul(1000);
        let periods = u64::try_from(self.evaluation_periods).unwrap_or(1);
        let end_ms = world.now_ms - world.now_ms % period_ms;
        let start_ms = end_ms.saturating_sub((periods + PERIODS_BEYOND).saturating_mul(period_ms));
        let found = world.cloudwatch.metrics.get(&self.metric);
        let found = found.filter(|metric| self.unit.as_ref().is_none_or(|unit| *unit == metric.unit));
        let data = found.map(|metric| metric.data.as_slice()).unwrap_or_default();
        let values = metric::by_period(data, start_ms, end_ms, period_ms).into_values();
        let mut values: Vec<f64> = values.map(|sum| sum.statistic(&self.statistic)).collect();
        let most = usize::try_from(periods).unwrap_or(usize::MAX);
        values.drain(..values.len().saturating_sub(most));
        values
    }

    /// The state that these values mean; None keeps the one before.
    pub fn judge(&self, values: &[f64]) -> Option<&'static str> {
        let count = |values: usize| i64::try_from(values).unwrap_or(i64::MAX);
        let beyond = count(values.iter().filter(|value| self.is_beyond(**value)).count());
        let absent = self.evaluation_periods - count(values.len());
        let needed = self.datapoints.unwrap_or(self.evaluation_periods);
        let alarm_if = |holds: bool| Some(if holds { "ALARM" } else { "OK" });
        match self.missing.as_str() {
            _ if absent <= 0 => alarm_if(beyond >= needed),
            "breaching" => alarm_if(beyond + absent >= needed),
            "notBreaching" => alarm_if(beyond >= needed),
            "ignore" if beyond >= needed => Some("ALARM"),
            "ignore" if beyond + absent < needed => Some("OK"),
            "ignore" => None,
            _ if values.is_empty() => Some("INSUFFICIENT_DATA"),
            _ => alarm_if(beyond >= needed.min(count(values.len()))),
        }
    }
}
