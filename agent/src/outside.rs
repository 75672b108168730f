//! The prober's questions, asked by the providers.

use std::time::Duration;

use async_trait::async_trait;
use mesh_core::ids::RegionId;
use mesh_core::manifest::PostgresInstance;
use mesh_core::time::Timestamp;
use mesh_providers::Providers;
use mesh_providers::probe::{Answer, Asks, Question};

use crate::prober::Probes;

#[async_trait]
impl Probes for Providers {
    async fn ask(&self, question: &Question, about: &RegionId, timeout: Duration) -> Answer {
        Asks::ask(self, question, about, timeout).await
    }

    async fn rds_lag(&self, instance: &str) -> Result<Option<(Duration, Timestamp)>, String> {
        Self::rds_lag(self, instance).await
    }

    async fn dynamodb_lag(&self, table: &str, receiving: &RegionId) -> Result<Option<(Duration, Timestamp)>, String> {
        Self::dynamodb_lag(self, table, receiving).await
    }

    async fn postgres_lag(&self, instance: &PostgresInstance, timeout: Duration) -> Result<Option<Duration>, String> {
        let seen = self.postgres_look(instance, timeout).await?;
        let replica = seen.replica.ok_or_else(|| "it is not in recovery".to_owned())?;
        Ok(replica.lag.filter(|_| replica.streaming))
    }
}
