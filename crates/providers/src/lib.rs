//! What is asked of the outside, each thing behind [`Provider`]. Nothing here decides: it looks and it calls.
//!
//! `aws/` speaks to AWS, one service and one SDK a file, and hands out plain values. Beside it, one module for each
//! kind of resource turns those values into an [`Observation`] and a job into one call.

use async_trait::async_trait;
use mesh_core::execute::{CallResult, Job, Observation};

mod aws;
mod config;
mod count;
pub mod dns;
mod dynamodb;
mod ecs;
mod eks;
mod gateway;
pub mod hook;
mod kubernetes;
mod msk;
pub mod permit;
mod postgres;
pub mod probe;
mod providers;
mod rds;
#[doc(hidden)]
pub mod readers;
mod route53;
mod sns;
mod survey;
#[cfg(test)]
mod test_jobs;
mod verify;

pub use aws::sts::Caller;
pub use config::{AwsConfig, ProvidersConfig, SetupError};
pub use count::Count;
pub use dns::Resolver;
pub use postgres::PostgresConfig;
pub use postgres::probe::{ReplicaSeen, ServerSeen};
pub use providers::Providers;
pub use survey::{Surveyor, Surveys};

/// Carries out some kinds of action for an agent.
///
/// `observe` never changes anything. `call` sends exactly one mutating request, without retries of its own, and
/// classifies how it ended; a timeout or a connection lost after sending is [`CallResult::Unknown`].
#[async_trait]
pub trait Provider: Send + Sync {
    /// Looks at the thing that `job` acts on. `accepted` is the reference of this intent's own accepted call, if it
    /// is known (a change id, a message id).
    async fn observe(&self, job: &Job, accepted: Option<&str>) -> Observation;

    /// Sends the call. `before` is what [`Observation::Ready`] held.
    async fn call(&self, job: &Job, before: &str) -> CallResult;
}
