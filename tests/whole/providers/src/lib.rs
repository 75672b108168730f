//! What the agent's code sees of `crates/providers`: the traits, as they are there, and nobody behind them. Whoever runs an
//! agent here gives it a cloud of its own.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mesh_core::execute::{CallResult, Job, Observation};
use mesh_core::ids::RegionId;
use mesh_core::manifest::PostgresInstance;
use mesh_core::survey;
use mesh_core::time::Timestamp;

#[path = "../../../../crates/providers/src/config.rs"]
mod config;
#[allow(dead_code)]
#[path = "../../../../crates/providers/src/hook.rs"]
pub mod hook;
#[path = "../../../../crates/providers/src/permit.rs"]
pub mod permit;
mod postgres;
pub mod probe;

pub use config::{AwsConfig, ProvidersConfig, SetupError};
pub use postgres::PostgresConfig;

use probe::{Answer, Asks, Question};

#[async_trait]
pub trait Provider: Send + Sync {
    async fn observe(&self, job: &Job, accepted: Option<&str>) -> Observation;

    async fn call(&self, job: &Job, before: &str) -> CallResult;
}

#[async_trait]
pub trait Surveys: Send + Sync {
    async fn survey(&self, question: &survey::Question) -> Result<survey::Answer, String>;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Count {
    Table { table: String, from: RegionId },
    Rows { table: String, there: Box<PostgresInstance>, here: Box<PostgresInstance> },
}

/// There are none.
pub enum Providers {}

impl Providers {
    pub async fn new(config: ProvidersConfig) -> Result<Arc<Self>, SetupError> {
        config.aws.check()?;
        Err(SetupError::Period(0))
    }

    pub async fn rds_lag(&self, _: &str) -> Result<Option<(Duration, Timestamp)>, String> {
        match *self {}
    }

    pub async fn dynamodb_lag(&self, _: &str, _: &RegionId) -> Result<Option<(Duration, Timestamp)>, String> {
        match *self {}
    }

    pub async fn postgres_lag(
        &self,
        _: &PostgresInstance,
        _: Option<&PostgresInstance>,
        _: Duration,
    ) -> Result<Option<Duration>, String> {
        match *self {}
    }

    pub async fn count(&self, _: &Count) -> Result<(u64, u64), String> {
        match *self {}
    }
}

#[async_trait]
impl Provider for Providers {
    async fn observe(&self, _: &Job, _: Option<&str>) -> Observation {
        match *self {}
    }

    async fn call(&self, _: &Job, _: &str) -> CallResult {
        match *self {}
    }
}

#[async_trait]
impl Asks for Providers {
    async fn ask(&self, _: &Question, _: &RegionId, _: Duration) -> Answer {
        match *self {}
    }
}

/// There is none either.
pub struct Surveyor;

impl Surveyor {
    pub fn new(_: String, _: ProvidersConfig, _: Arc<dyn Asks>, _: Arc<dyn Provider>) -> Self {
        Self
    }
}

#[async_trait]
impl Surveys for Surveyor {
    async fn survey(&self, _: &survey::Question) -> Result<survey::Answer, String> {
        Err("nobody surveys here".to_owned())
    }
}
