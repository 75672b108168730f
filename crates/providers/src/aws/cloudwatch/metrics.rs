//! Any metric and any alarm, as probes ask for them.

use std::time::Duration;

use aws_sdk_cloudwatch::types::{
    AlarmType, Dimension, Metric, MetricDataQuery, MetricStat, ScanBy, StateValue, StatusCode,
};
use mesh_core::time::Timestamp;

use super::CloudWatch;
use crate::aws::date::{date_time, timestamp};
use crate::aws::error::ReadError;

/// Pages of one answer: ten points never fill one.
const PAGES_MAX: usize = 4;

/// One metric, and what is wanted of it.
#[derive(Clone, Debug)]
pub(crate) struct Series<'a> {
    pub namespace: &'a str,
    pub metric: &'a str,
    pub dimensions: Vec<(&'a str, &'a str)>,
    pub statistic: &'a str,
    pub period: Duration,
}

/// One period's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    /// The period's beginning.
    pub at: Timestamp,
    pub value: f64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AlarmState {
    /// `OK`, `ALARM` or `INSUFFICIENT_DATA`.
    pub state: String,
    pub reason: String,
}

impl CloudWatch {
    /// For each series its points from `from` until `until`, newest first.
    pub(crate) async fn points(
        &self,
        series: &[Series<'_>],
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Vec<Point>>, ReadError> {
        let operation = "cloudwatch:GetMetricData";
        let queries: Vec<MetricDataQuery> = series.iter().enumerate().map(|(i, one)| query(i, one)).collect();
        let mut found: Vec<Vec<Point>> = vec![Vec::new(); series.len()];
        let mut next = None;
        for _ in 0..PAGES_MAX {
            let output = self
                .client
                .get_metric_data()
                .set_metric_data_queries(Some(queries.clone()))
                .start_time(date_time(from))
                .end_time(date_time(until))
                .scan_by(ScanBy::TimestampDescending)
                .set_next_token(next)
                .send()
                .await
                .map_err(|error| ReadError::of(operation, &error))?;
            for result in output.metric_data_results() {
                if matches!(result.status_code(), Some(StatusCode::InternalError | StatusCode::Forbidden)) {
                    let why =
                        result.messages().first().and_then(|message| message.value()).unwrap_or("no reason given");
                    return Err(ReadError::Unreadable(format!("{operation}: {why}")));
                }
                let place = result.id().and_then(|id| id.strip_prefix('m')).and_then(|id| id.parse::<usize>().ok());
                let Some(points) = place.and_then(|place| found.get_mut(place)) else { continue };
                let pairs = result.timestamps().iter().zip(result.values());
                points.extend(pairs.filter_map(|(at, value)| Some(Point { at: timestamp(at)?, value: *value })));
            }
            next = output.next_token().filter(|token| !token.is_empty()).map(str::to_owned);
            if next.is_none() {
                break;
            }
        }
        for points in &mut found {
            points.sort_by_key(|point| std::cmp::Reverse(point.at));
        }
        Ok(found)
    }

    /// A metric alarm or a composite one.
    pub(crate) async fn alarm(&self, name: &str) -> Result<AlarmState, ReadError> {
        let operation = "cloudwatch:DescribeAlarms";
        let output = self
            .client
            .describe_alarms()
            .alarm_names(name)
            .alarm_types(AlarmType::MetricAlarm)
            .alarm_types(AlarmType::CompositeAlarm)
            .send()
            .await
            .map_err(|error| ReadError::of(operation, &error))?;
        let state = |state: Option<&StateValue>, reason: Option<&str>| AlarmState {
            state: state.map(|state| state.as_str().to_owned()).unwrap_or_default(),
            reason: reason.unwrap_or_default().to_owned(),
        };
        let metric = output.metric_alarms().iter().find(|alarm| alarm.alarm_name() == Some(name));
        let composite = output.composite_alarms().iter().find(|alarm| alarm.alarm_name() == Some(name));
        match (metric, composite) {
            (Some(alarm), _) => Ok(state(alarm.state_value(), alarm.state_reason())),
            (None, Some(alarm)) => Ok(state(alarm.state_value(), alarm.state_reason())),
            (None, None) => Err(ReadError::NotFound(format!("{operation}: there is no alarm {name}"))),
        }
    }
}

fn query(place: usize, series: &Series<'_>) -> MetricDataQuery {
    let dimension = |(name, value): &(&str, &str)| Dimension::builder().name(*name).value(*value).build();
    let metric = Metric::builder()
        .namespace(series.namespace)
        .metric_name(series.metric)
        .set_dimensions(Some(series.dimensions.iter().map(dimension).collect()))
        .build();
    let stat = MetricStat::builder()
        .metric(metric)
        .period(i32::try_from(series.period.as_secs()).unwrap_or(i32::MAX))
        .stat(series.statistic)
        .build();
    MetricDataQuery::builder().id(format!("m{place}")).metric_stat(stat).return_data(true).build()
}
