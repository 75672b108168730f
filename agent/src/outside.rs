//! The prober's questions, asked by the providers.

use std::time::Duration;

use async_trait::async_trait;
use mesh_core::ids::RegionId;
use mesh_core::time::Timestamp;
use mesh_providers::{Providers, probe};

use crate::prober::Probes;

#[async_trait]
impl Probes for Providers {
    async fn http(&self, url: &str, status: u16, body: Option<&str>, timeout: Duration) -> Result<Duration, String> {
        probe::http(url, status, body, timeout, self.resolver()).await
    }

    async fn tcp(&self, address: &str, timeout: Duration) -> Result<Duration, String> {
        probe::tcp(address, timeout, self.resolver()).await
    }

    async fn rds_lag(&self, instance: &str) -> Result<Option<(Duration, Timestamp)>, String> {
        Self::rds_lag(self, instance).await
    }

    async fn dynamodb_lag(&self, table: &str, receiving: &RegionId) -> Result<Option<(Duration, Timestamp)>, String> {
        Self::dynamodb_lag(self, table, receiving).await
    }
}
