//! What an agent sees of its region when it is asked. Every call here reads; nothing is kept between two surveys, so an
//! agent that is never asked holds no clients for it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use mesh_core::ids::RegionId;
use mesh_core::survey::{Answer, FINDINGS_MAX, Finding, Question};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::aws::error::ReadError;
use crate::config::ProvidersConfig;
use crate::probe::Asks;
use crate::{Provider, aws};

mod agent_itself;
mod databases;
mod discover;
mod examine;
pub(crate) mod looks;
mod names;
mod probes;
mod topics;

/// Each part of a survey: what takes longer is reported as not looked at, and the rest is still answered.
const PART_MAX: Duration = Duration::from_secs(30);
/// A survey is hundreds of reads; a second one waits its turn.
const AT_ONCE: usize = 1;
const TURN_MAX: Duration = Duration::from_secs(35);

/// Whoever answers surveys: the providers in production, a script in tests.
#[async_trait]
pub trait Surveys: Send + Sync {
    /// `Err`: why there is no answer at all.
    async fn survey(&self, question: &Question) -> Result<Answer, String>;
}

pub struct Surveyor {
    agent: String,
    config: ProvidersConfig,
    asks: Arc<dyn Asks>,
    /// Looks at a resource as a step of a failover would.
    provider: Arc<dyn Provider>,
    turn: Semaphore,
}

/// One survey's clients and place.
struct Scene<'a> {
    agent: &'a str,
    region: &'a RegionId,
    aws: SdkConfig,
    config: &'a ProvidersConfig,
    asks: &'a dyn Asks,
    provider: &'a dyn Provider,
}

impl Surveyor {
    pub fn new(agent: String, config: ProvidersConfig, asks: Arc<dyn Asks>, provider: Arc<dyn Provider>) -> Self {
        Self { agent, config, asks, provider, turn: Semaphore::new(AT_ONCE) }
    }
}

#[async_trait]
impl Surveys for Surveyor {
    async fn survey(&self, question: &Question) -> Result<Answer, String> {
        let _turn = timeout(TURN_MAX, self.turn.acquire())
            .await
            .map_err(|_| "another survey is under way: ask again".to_owned())?
            .map_err(|_| "this agent stops".to_owned())?;
        let scene = Scene {
            agent: &self.agent,
            region: &self.config.region,
            aws: aws::config::load(&self.config.region, &self.config.aws).await,
            config: &self.config,
            asks: self.asks.as_ref(),
            provider: self.provider.as_ref(),
        };
        Ok(match question {
            Question::Discover { names } => Answer::Inventory(Box::new(discover::discover(&scene, *names).await)),
            Question::Examine(examination) => {
                let mut findings = examine::examine(&scene, examination).await;
                findings.truncate(FINDINGS_MAX);
                Answer::Findings(findings)
            }
        })
    }
}

/// A part with its own bound: a region that hangs costs this part and no other.
async fn bounded<T>(what: &str, part: impl Future<Output = T>) -> Result<T, Finding> {
    timeout(PART_MAX, part).await.map_err(|_| {
        let text = format!("no answer within {} s", PART_MAX.as_secs());
        Finding::unknown(what, text, "look whether AWS is well in this region, then ask again")
    })
}

/// What a failed read means to the one who set this up.
fn failed(subject: &str, error: ReadError) -> Finding {
    match error {
        ReadError::NotFound(reason) => {
            Finding::problem(subject, reason, "correct the manifest, or create what it names")
        }
        ReadError::Denied(reason) => {
            let mend = match reason.split_once(": ") {
                Some((operation, _)) => format!("allow {operation} to the agents' role (deploy/ has the policy)"),
                None => "allow this operation to the agents' role (deploy/ has the policy)".to_owned(),
            };
            Finding::problem(subject, reason, mend)
        }
        ReadError::Unreadable(reason) => {
            Finding::unknown(subject, reason, "look whether AWS is well in this region, then ask again")
        }
    }
}

#[cfg(test)]
mod tests {
    use mesh_core::survey::Level;

    use super::*;

    #[test]
    fn a_missing_permission_names_the_operation_to_allow() {
        let denied = ReadError::Denied("rds:DescribeDBInstances: AccessDenied: not authorized".to_owned());
        let finding = failed("us-west-2 rds x", denied);
        assert_eq!(finding.level, Level::Problem);
        assert!(finding.mend.contains("allow rds:DescribeDBInstances"), "{}", finding.mend);
    }

    #[test]
    fn what_did_not_answer_is_not_called_missing() {
        let finding = failed("us-west-2 rds x", ReadError::Unreadable("rds: timed out".to_owned()));
        assert_eq!(finding.level, Level::Unknown);
    }
}
