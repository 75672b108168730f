//! A thing outside with one state: before its call and after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use mesh_agent::agent::Outside;
use mesh_agent::prober::Probes;
use mesh_core::execute::{CallResult, Job, Observation};
use mesh_core::ids::RegionId;
use mesh_core::manifest::PostgresInstance;
use mesh_core::survey::{Answer, Finding, Question};
use mesh_core::time::Timestamp;
use mesh_providers::{Provider, Surveys, probe};

#[derive(Default)]
pub struct Thing {
    pub calls: AtomicU32,
}

impl Thing {
    pub fn outside(self: &Arc<Self>) -> Outside {
        Outside {
            provider: Arc::clone(self) as Arc<dyn Provider>,
            probes: Arc::clone(self) as Arc<dyn Probes>,
            surveys: Arc::clone(self) as Arc<dyn Surveys>,
        }
    }

    pub fn calls(&self) -> u32 {
        self.calls.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Provider for Thing {
    async fn observe(&self, _: &Job, _: Option<&str>) -> Observation {
        match self.calls() {
            0 => Observation::Ready { before: "{}".to_owned() },
            _ => Observation::Satisfied { read_back: "{}".to_owned() },
        }
    }

    async fn call(&self, _: &Job, _: &str) -> CallResult {
        self.calls.fetch_add(1, Ordering::SeqCst);
        CallResult::Accepted { reference: "C1".to_owned() }
    }
}

/// Every URL with `up` in it passes.
#[async_trait]
impl Probes for Thing {
    async fn ask(&self, question: &probe::Question, _: &RegionId, _: Duration) -> probe::Answer {
        match question {
            probe::Question::Http(http) if http.url.contains("up") => {
                probe::Answer::Passed { latency: Duration::from_millis(3) }
            }
            _ => probe::Answer::Failed { reason: "connection refused".to_owned() },
        }
    }

    async fn rds_lag(&self, _: &str) -> Result<Option<(Duration, Timestamp)>, String> {
        Ok(Some((Duration::from_secs(2), Timestamp::from_millis(7))))
    }

    async fn dynamodb_lag(&self, _: &str, _: &RegionId) -> Result<Option<(Duration, Timestamp)>, String> {
        Ok(Some((Duration::from_secs(1), Timestamp::from_millis(7))))
    }

    async fn postgres_lag(
        &self,
        _: &PostgresInstance,
        _: Option<&PostgresInstance>,
        _: Duration,
    ) -> Result<Option<Duration>, String> {
        Ok(Some(Duration::from_secs(1)))
    }
}

#[async_trait]
impl Surveys for Thing {
    async fn survey(&self, _: &Question) -> Result<Answer, String> {
        Ok(Answer::Findings(vec![Finding::ok("us-east-1 agent a", "is there")]))
    }
}
