//! The leader's own proposals: a bounded number at a time, never two about the same thing, and none in a hot loop.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use mesh_core::fleet::{Command, Reply};
use mesh_core::run::Direction;
use tokio::time::Instant;
use tracing::{info, warn};

use super::ahead;
use crate::consensus::ConsensusError;
use crate::node::Node;
use crate::replicated::Replicated;

/// Proposals that are being committed at a time; consensus batches them.
const FLYING_MAX: usize = 32;
/// Pauses after a proposal that failed or was refused, doubling.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Things whose last proposal failed: more than one for each live step of a hundred runs.
const PAUSED_MAX: usize = 4096;

type Proposed = Result<Reply, ConsensusError>;
type Done = (String, Command, Proposed);

#[derive(Default)]
pub struct Proposals {
    flying: FuturesUnordered<BoxFuture<'static, Done>>,
    subjects: BTreeSet<String>,
    paused: BTreeMap<String, Paused>,
}

#[derive(Clone, Copy)]
struct Paused {
    until: Instant,
    pause: Duration,
}

impl Proposals {
    /// Begins to propose, unless the same thing is being proposed or failed a moment ago.
    pub fn propose(&mut self, replica: &Arc<dyn Replicated>, command: Command) {
        let replica = Arc::clone(replica);
        self.begin(command, |command| async move { replica.propose(command).await }.boxed());
    }

    /// As [`Proposals::propose`], with what becomes due by the command.
    pub fn propose_ahead(&mut self, node: &Arc<Node>, command: Command) {
        let node = Arc::clone(node);
        self.begin(command, |command| async move { ahead::commit(&node, command).await }.boxed());
    }

    fn begin(&mut self, command: Command, propose: impl FnOnce(Command) -> BoxFuture<'static, Proposed>) {
        let subject = subject(&command);
        let paused = self.paused.get(&subject).is_some_and(|paused| paused.until > Instant::now());
        if paused || self.flying.len() >= FLYING_MAX || !self.subjects.insert(subject.clone()) {
            return;
        }
        let proposed = propose(command.clone());
        self.flying.push(proposed.map(|result| (subject, command, result)).boxed());
    }

    /// Resolves when a proposal has ended; never while there is none.
    pub async fn next_done(&mut self) {
        match self.flying.next().await {
            Some(done) => self.note(done),
            None => pending().await,
        }
    }

    /// Time until the next pause ends, if one goes on.
    pub fn until_retry(&self) -> Option<Duration> {
        let now = Instant::now();
        let left = self.paused.values().map(|paused| paused.until.saturating_duration_since(now));
        left.filter(|left| !left.is_zero()).min()
    }

    fn note(&mut self, (subject, command, result): Done) {
        self.subjects.remove(&subject);
        let trouble = match result {
            Ok(Reply::Refused(refusal)) => {
                warn!(?command, reason = %refusal, "the state refused what the engine proposed");
                true
            }
            Ok(_) => {
                info!(%subject, kind = kind(&command), "committed");
                false
            }
            Err(error) => {
                info!(%subject, kind = kind(&command), %error, "not committed, or not known to be");
                true
            }
        };
        let before = self.paused.remove(&subject);
        if trouble {
            if self.paused.len() >= PAUSED_MAX {
                self.paused.clear();
            }
            let pause = before.map_or(PAUSE_MIN, |before| before.pause.saturating_mul(2).min(PAUSE_MAX));
            self.paused.insert(subject, Paused { until: Instant::now() + pause, pause });
        }
    }
}

/// What a command is about: of the commands about one step only one is on its way at a time.
pub(super) fn subject(command: &Command) -> String {
    let step = |run: &dyn std::fmt::Display, step: &dyn std::fmt::Display, direction: Direction| match direction {
        Direction::Forward => format!("{run}/{step}"),
        Direction::Undo => format!("{run}/{step}/undo"),
    };
    match command {
        Command::OpenIntent { run, step: id, direction, .. }
        | Command::CloseIntent { run, step: id, direction, .. }
        | Command::FailStep { run, step: id, direction, .. } => step(run, id, *direction),
        Command::Grant { run, step: id } => step(run, id, Direction::Forward),
        Command::StartRun { plan, .. } => format!("{}/start", plan.service),
        Command::NoteAutomatic { service, .. } => format!("{service}/note"),
        Command::AskNotice { service, step, .. } | Command::CloseNotice { service, step, .. } => {
            format!("{service}/{step}/told")
        }
        Command::NoteLoss { run, .. } => format!("{run}/loss"),
        Command::Revoke { run } => format!("{run}/revoke"),
        Command::ProveClosed { run, .. } => format!("{run}/closed"),
        Command::SetAskList { service, .. } | Command::RetireAskLists { service, .. } => format!("{service}/asks"),
        other => kind(other).to_owned(),
    }
}

pub(super) fn kind(command: &Command) -> &'static str {
    match command {
        Command::OpenIntent { .. } => "open-intent",
        Command::CloseIntent { .. } => "close-intent",
        Command::FailStep { .. } => "fail-step",
        Command::Grant { .. } => "grant",
        Command::StartRun { .. } => "start-run",
        Command::NoteAutomatic { .. } => "note-automatic",
        Command::AskNotice { .. } => "ask-notice",
        Command::CloseNotice { .. } => "close-notice",
        Command::NoteLoss { .. } => "note-loss",
        Command::Revoke { .. } => "revoke",
        Command::ProveClosed { .. } => "prove-closed",
        Command::SetAskList { .. } => "set-ask-list",
        Command::RetireAskLists { .. } => "retire-ask-lists",
        Command::NameMesh { .. }
        | Command::ApplyManifest { .. }
        | Command::SetArmed { .. }
        | Command::Restored { .. }
        | Command::RegisterAgent { .. }
        | Command::NoteAddress { .. }
        | Command::Pause { .. }
        | Command::Resume { .. }
        | Command::Abort { .. }
        | Command::Retry { .. }
        | Command::Approve { .. }
        | Command::EnrollKey { .. }
        | Command::RevokeKey { .. }
        | Command::NoteMembership { .. }
        | Command::Freeze { .. }
        | Command::Unfreeze { .. }
        | Command::Acknowledge { .. } => "not the engine's",
    }
}
