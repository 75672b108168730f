//! DynamoDB global tables: is the replica here, and how far behind is it?

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_config::SdkConfig;
use mesh_core::execute::{Job, Observation};
use mesh_core::ids::RegionId;
use mesh_core::plan::Action;
use mesh_core::time::Timestamp;

use crate::aws::cloudwatch::{CloudWatch, Latency};
use crate::aws::dynamodb::Dynamodb;
use crate::aws::error::ReadError;

mod lag;
mod replica;
#[cfg(test)]
mod tests;

/// Regions whose CloudWatch is asked from here.
const REGIONS_MAX: usize = 16;
/// One lost packet is no dead region.
const TRIES: u32 = 2;

pub(crate) struct Tables {
    pub dynamodb: Dynamodb,
    config: SdkConfig,
    region: RegionId,
    period_s: u32,
    call_timeout: Duration,
    elsewhere: Mutex<BTreeMap<RegionId, CloudWatch>>,
}

impl Tables {
    pub(crate) fn new(config: &SdkConfig, region: &RegionId, period_s: u32, call_timeout: Duration) -> Self {
        Self {
            dynamodb: Dynamodb::new(config),
            config: config.clone(),
            region: region.clone(),
            period_s,
            call_timeout,
            elsewhere: Mutex::default(),
        }
    }

    pub(crate) async fn observe(&self, job: &Job, now: Timestamp) -> Observation {
        self.look(job, now).await.unwrap_or_else(Observation::from)
    }

    async fn look(&self, job: &Job, now: Timestamp) -> Result<Observation, ReadError> {
        match &job.action {
            Action::DynamodbCheckReplica { table, from } => {
                Ok(replica::observe(&self.dynamodb.table(table).await?, table, &self.region, from))
            }
            Action::DynamodbAwaitLag { table, from, lag_max } => {
                Ok(lag::observe(&self.latency(table, from, now).await?, from, *lag_max))
            }
            other => Ok(Observation::Blocked { reason: format!("{} is no table action", other.name()) }),
        }
    }

    /// Items there and here, in this order: what is written meanwhile is missing nowhere.
    pub(crate) async fn count(&self, table: &str, from: &RegionId) -> Result<(u64, u64), ReadError> {
        let there = Dynamodb::elsewhere(&self.config, from, self.call_timeout).count(table).await?;
        Ok((there, self.dynamodb.count(table).await?))
    }

    /// Only the sending region publishes it.
    async fn latency(&self, table: &str, from: &RegionId, now: Timestamp) -> Result<Latency, ReadError> {
        let cloudwatch = self.cloudwatch_of(from);
        let mut latency = cloudwatch.replication_latency(table, &self.region, now).await?;
        for _ in 1..TRIES {
            if let Latency::Measured(_) = latency {
                break;
            }
            latency = cloudwatch.replication_latency(table, &self.region, now).await?;
        }
        Ok(latency)
    }

    fn cloudwatch_of(&self, region: &RegionId) -> CloudWatch {
        let mut elsewhere = self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner);
        if elsewhere.len() >= REGIONS_MAX && !elsewhere.contains_key(region) {
            elsewhere.clear();
        }
        elsewhere
            .entry(region.clone())
            .or_insert_with(|| CloudWatch::elsewhere(&self.config, region, self.period_s, self.call_timeout))
            .clone()
    }
}
