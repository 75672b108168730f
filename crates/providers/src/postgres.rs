//! PostgreSQL servers: what is observed of one, for each action on it, and the calls.
//!
//! Whatever changes a server runs in a session named after its intent, which first ends the sessions of older intents
//! and then proves by the server's own notes (`mesh.fence`) or timeline that nothing newer was there. A statement whose
//! client is gone is lost with its session, so nothing older is carried out after something newer.

use std::path::PathBuf;

use mesh_core::execute::{CallResult, Job, Observation};
use mesh_core::ids::StepId;
use mesh_core::manifest::PostgresInstance;
use mesh_core::plan::Action;
use serde::Deserialize;

use crate::dns::Resolver;

mod behind;
mod call;
mod caught_up;
mod check_replica;
mod connect;
mod count;
mod fence;
mod notes;
mod positions;
pub mod probe;
mod promote;
mod rejoin;
pub(crate) mod state;
#[cfg(test)]
mod tests;
mod tls;
mod unfence;

use connect::{ConnectError, Sessions};
use state::State;

/// The agent's `[postgresql]` table.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresConfig {
    /// Where pg_rewind, pg_basebackup and pg_ctl are. With `data_directories` it turns rejoining on.
    pub bin_dir: Option<PathBuf>,
    /// What may be rebuilt: a manifest's `data-directory` that is not among these is refused.
    pub data_directories: Vec<PathBuf>,
}

pub(crate) struct Servers {
    sessions: Sessions,
    positions: positions::Positions,
    rejoins: rejoin::Rejoins,
}

impl Servers {
    pub(crate) fn new(credentials_dir: Option<PathBuf>, config: &PostgresConfig, resolver: Resolver) -> Self {
        Self {
            sessions: Sessions::new(credentials_dir, resolver),
            positions: positions::Positions::default(),
            rejoins: rejoin::Rejoins::new(config),
        }
    }

    pub(crate) async fn observe(&self, job: &Job, accepted: Option<&str>) -> Observation {
        self.look(job, accepted.is_some())
            .await
            .unwrap_or_else(|error| Observation::Unreadable { reason: error.text() })
    }

    async fn look(&self, job: &Job, accepted: bool) -> Result<Observation, ConnectError> {
        match &job.action {
            Action::PostgresCheckReplica { instance, promoted_ok } => {
                Ok(check_replica::observe(&self.state(instance).await?, *promoted_ok))
            }
            Action::PostgresFence { instance } => {
                let session = self.sessions.open(instance).await?;
                Ok(fence::observe(&fence::look(&session).await?, job.token))
            }
            Action::PostgresUnfence { instance } => {
                let session = self.sessions.open(instance).await?;
                let state = State::read(&session).await?;
                let notes = notes::read(&session, &state).await?;
                Ok(unfence::observe(&state, &notes, job.token))
            }
            Action::PostgresAwaitCaughtUp { instance } => {
                let session = self.sessions.open(instance).await?;
                let state = State::read(&session).await?;
                let left = state::left_timeline_at(&session, &state).await?;
                Ok(caught_up::observe(&state, left, evidence(job, "postgres-fence").as_ref()))
            }
            Action::PostgresPromote { instance } => {
                let session = self.sessions.open(instance).await?;
                let state = State::read(&session).await?;
                let seen = promote::Seen {
                    notes: notes::read(&session, &state).await?,
                    left: state::left_timeline_at(&session, &state).await?,
                    looked: evidence(job, "postgres-check-replica"),
                    fenced: evidence(job, "postgres-fence"),
                    positions: self.positions.of(instance),
                    state,
                };
                Ok(promote::observe(&seen, job.token, accepted))
            }
            Action::PostgresRejoin { instance, source } => {
                let (here, source) = (self.state(instance).await, self.state(source).await?);
                Ok(self.rejoins.observe(instance, here, &source))
            }
            other => Ok(Observation::Blocked { reason: format!("{} is no action on PostgreSQL", other.name()) }),
        }
    }

    pub(crate) async fn call(&self, job: &Job) -> CallResult {
        match &job.action {
            Action::PostgresFence { instance } => fence::call(&self.sessions, instance, job).await,
            Action::PostgresUnfence { instance } => unfence::call(&self.sessions, instance, job).await,
            Action::PostgresPromote { instance } => {
                let Some(looked) = evidence(job, "postgres-check-replica") else {
                    return CallResult::Rejected { reason: "the look at the replica left no record".to_owned() };
                };
                promote::call(&self.sessions, instance, job, &looked).await
            }
            Action::PostgresRejoin { instance, source } => {
                self.rejoins.call(&self.sessions, instance, source, job.token).await
            }
            other => CallResult::Rejected { reason: format!("{} sends nothing to PostgreSQL", other.name()) },
        }
    }

    async fn state(&self, instance: &PostgresInstance) -> Result<State, ConnectError> {
        State::read(&*self.sessions.open(instance).await?).await
    }
}

/// What the look at the replica says to the promotion.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Looked {
    in_recovery: bool,
    timeline: u32,
    system_identifier: String,
}

/// What the fence's read-back says to those who wait for its last WAL.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Fenced {
    timeline: u32,
    system_identifier: String,
    last_lsn: u64,
}

/// The read-back of the step that did `action` to the same resource: step ids are `<action>-<resource>`.
fn evidence<T: for<'a> Deserialize<'a>>(job: &Job, action: &str) -> Option<T> {
    let resource = job.step.as_str().strip_prefix(job.action.name())?;
    let step = StepId::new(format!("{action}{resource}")).ok()?;
    serde_json::from_str(job.evidence.get(&step)?).ok()
}

/// As PostgreSQL writes it: `16/B374D848`.
fn lsn(position: u64) -> String {
    format!("{:X}/{:X}", position >> 32, position & 0xFFFF_FFFF)
}
