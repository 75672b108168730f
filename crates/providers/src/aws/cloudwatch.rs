//! CloudWatch: the replication lag that RDS and DynamoDB publish, and whatever metric or alarm a check names.

use std::time::Duration;

use aws_config::{Region, SdkConfig};
use aws_sdk_cloudwatch::operation::get_metric_statistics::GetMetricStatisticsOutput;
use aws_sdk_cloudwatch::types::{Datapoint, Dimension, Statistic};
use aws_sdk_cloudwatch::{Client, config};
use mesh_core::ids::RegionId;
use mesh_core::time::Timestamp;

use super::config::timeouts_elsewhere;
use super::date::{date_time, timestamp};
use super::error::{ReadError, is_unreachable};

mod metrics;

pub(crate) use metrics::{Point, Series};

const OPERATION: &str = "cloudwatch:GetMetricStatistics";
/// Older datapoints say nothing about a replica now.
const WINDOW: Duration = Duration::from_secs(600);

#[derive(Clone, Debug)]
pub(crate) struct CloudWatch {
    client: Client,
    period_s: u32,
}

/// The greatest lag that was measured in the period which begins at `at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LagPoint {
    pub at: Timestamp,
    pub lag: Duration,
}

/// What CloudWatch of a region that may be dead said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Latency {
    /// Oldest first.
    Measured(Vec<LagPoint>),
    /// It could not be reached, or was not well itself.
    Unreachable(String),
}

type Failure =
    aws_sdk_cloudwatch::error::SdkError<aws_sdk_cloudwatch::operation::get_metric_statistics::GetMetricStatisticsError>;

impl CloudWatch {
    pub(crate) fn new(config: &SdkConfig, period_s: u32) -> Self {
        Self { client: Client::new(config), period_s }
    }

    /// CloudWatch of another region, which may be dead.
    pub(crate) fn elsewhere(config: &SdkConfig, region: &RegionId, period_s: u32, call_timeout: Duration) -> Self {
        let config = config::Builder::from(config)
            .region(Region::new(region.to_string()))
            .timeout_config(timeouts_elsewhere(call_timeout))
            .build();
        Self { client: Client::from_conf(config), period_s }
    }

    /// The lag of a read replica over the last ten minutes, oldest first. Periods in which RDS reports -1, that it
    /// does not replicate, are left out.
    pub(crate) async fn replica_lag(&self, instance: &str, now: Timestamp) -> Result<Vec<LagPoint>, ReadError> {
        let dimensions = [dimension("DBInstanceIdentifier", instance)];
        let output = self.statistics("AWS/RDS", "ReplicaLag", dimensions, now).await;
        let output = output.map_err(|error| ReadError::of(OPERATION, &error))?;
        Ok(points(output.datapoints(), Duration::try_from_secs_f64))
    }

    /// What DynamoDB of this client's region published of the last ten minutes about its replication to `receiving`.
    pub(crate) async fn replication_latency(
        &self,
        table: &str,
        receiving: &RegionId,
        now: Timestamp,
    ) -> Result<Latency, ReadError> {
        let dimensions = [dimension("TableName", table), dimension("ReceivingRegion", receiving.as_str())];
        match self.statistics("AWS/DynamoDB", "ReplicationLatency", dimensions, now).await {
            Ok(output) => {
                let milliseconds = |value: f64| Duration::try_from_secs_f64(value / 1000.0);
                Ok(Latency::Measured(points(output.datapoints(), milliseconds)))
            }
            Err(error) => match (is_unreachable(&error), ReadError::of(OPERATION, &error)) {
                (true, error) => Ok(Latency::Unreachable(error.reason())),
                (false, error) => Err(error),
            },
        }
    }

    async fn statistics<const N: usize>(
        &self,
        namespace: &str,
        metric: &str,
        dimensions: [Dimension; N],
        now: Timestamp,
    ) -> Result<GetMetricStatisticsOutput, Failure> {
        let from = Timestamp::from_millis(now.as_millis().saturating_sub(mesh_core::time::duration_millis(WINDOW)));
        // The period that `now` is in has not ended.
        let until = now.plus(Duration::from_secs(u64::from(self.period_s)));
        self.client
            .get_metric_statistics()
            .namespace(namespace)
            .metric_name(metric)
            .set_dimensions(Some(dimensions.into()))
            .statistics(Statistic::Maximum)
            .period(i32::try_from(self.period_s).unwrap_or(i32::MAX))
            .start_time(date_time(from))
            .end_time(date_time(until))
            .send()
            .await
    }
}

fn dimension(name: &str, value: &str) -> Dimension {
    Dimension::builder().name(name).value(value).build()
}

fn points<E>(datapoints: &[Datapoint], lag: impl Fn(f64) -> Result<Duration, E>) -> Vec<LagPoint> {
    let mut points: Vec<LagPoint> = datapoints
        .iter()
        .filter_map(|point| {
            let at = point.timestamp().and_then(timestamp)?;
            Some(LagPoint { at, lag: lag(point.maximum()?).ok()? })
        })
        .collect();
    points.sort_unstable();
    points
}
