//! CloudWatch: the replication lag that RDS publishes.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::{Dimension, Statistic};
use mesh_core::time::Timestamp;

use super::date::{date_time, timestamp};
use super::error::ReadError;

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

impl CloudWatch {
    pub(crate) fn new(config: &SdkConfig, period_s: u32) -> Self {
        Self { client: Client::new(config), period_s }
    }

    /// The lag of a read replica over the last ten minutes, oldest first. Periods in which RDS reports -1, that it
    /// does not replicate, are left out.
    pub(crate) async fn replica_lag(&self, instance: &str, now: Timestamp) -> Result<Vec<LagPoint>, ReadError> {
        let operation = "cloudwatch:GetMetricStatistics";
        let from = Timestamp::from_millis(now.as_millis().saturating_sub(mesh_core::time::duration_millis(WINDOW)));
        // The period that `now` is in has not ended.
        let until = now.plus(Duration::from_secs(u64::from(self.period_s)));
        let output = self
            .client
            .get_metric_statistics()
            .namespace("AWS/RDS")
            .metric_name("ReplicaLag")
            .dimensions(Dimension::builder().name("DBInstanceIdentifier").value(instance).build())
            .statistics(Statistic::Maximum)
            .period(i32::try_from(self.period_s).unwrap_or(i32::MAX))
            .start_time(date_time(from))
            .end_time(date_time(until))
            .send()
            .await
            .map_err(|error| ReadError::of(operation, &error))?;
        let mut points: Vec<LagPoint> = output
            .datapoints()
            .iter()
            .filter_map(|point| {
                let at = point.timestamp().and_then(timestamp)?;
                let lag = Duration::try_from_secs_f64(point.maximum()?).ok()?;
                Some(LagPoint { at, lag })
            })
            .collect();
        points.sort_unstable();
        Ok(points)
    }
}
