//! The prober's questions, asked by the providers.

use std::time::Duration;

use async_trait::async_trait;
use mesh_core::ids::RegionId;
use mesh_core::manifest::PostgresInstance;
use mesh_core::time::Timestamp;
use mesh_providers::probe::{Answer, Asks, Question};
use mesh_providers::{Count, Providers};

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

    async fn postgres_lag(
        &self,
        instance: &PostgresInstance,
        primary: Option<&PostgresInstance>,
        timeout: Duration,
    ) -> Result<Option<Duration>, String> {
        Self::postgres_lag(self, instance, primary, timeout).await
    }

    async fn items(&self, count: &Count) -> Result<(u64, u64), String> {
        Self::count(self, count).await
    }
}
