//! What an agent does next with one intent: call, wait, or finish. Pure; the agent's executor is its shell.
//!
//! The loop is always the same: observe, decide, perhaps journal and call, observe again. Nothing is concluded from a
//! call's answer alone; only an observation makes a step done, and an unknown call is looked up before it is repeated.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub mod repeat;

use crate::ids::{RegionId, RunId, ServiceId, StepId, Token};
use crate::plan::{Action, Retry};
use crate::run::{Direction, Outcome, OutcomeResult};
use crate::time::Timestamp;

/// Under this name the evidence of a notice says in words what is expected to be lost, and what was measured.
pub const NOTICE_LOSS: &str = "loss";

/// All that an executor is told about one intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub service: ServiceId,
    pub run: RunId,
    pub step: StepId,
    pub direction: Direction,
    /// Generation and number of the intent: what a guarded record will carry.
    pub token: Token,
    /// The idempotency key, shared by all attempts at this effect.
    pub key: String,
    pub region: RegionId,
    pub action: Action,
    /// Time left for the whole step when the offer was sent.
    pub time_left: Duration,
    pub retry: Retry,
    /// An earlier attempt at the same effect may have sent its call at this time (leader's clock).
    pub maybe_sent_since: Option<Timestamp>,
    /// The mesh's time: when the job was offered, and, for a provider, now, if it was told since the process began.
    pub mesh_time: Option<Timestamp>,
    /// An earlier attempt was refused for good, and a person looked and told the run to try again: a fencing token that
    /// is missing may be created.
    pub retried_by_person: bool,
    /// `read_back` of every step that is done in this run: what `RdsReboot` and `RdsAwaitCaughtUp` compare with.
    pub evidence: BTreeMap<StepId, String>,
}

impl Job {
    /// For a provider: with the mesh's time as it is now, and with this intent's own doubtful call, of which nobody else
    /// knows. That was dated by a wall clock; the offer that it followed was not.
    pub fn for_provider(&self, doubtful_since: Option<Timestamp>, mesh_now: Option<Timestamp>) -> Self {
        let own = doubtful_since.map(|at| self.mesh_time.map_or(at, |offered| offered.min(at)));
        Self { maybe_sent_since: self.maybe_sent_since.or(own), mesh_time: mesh_now, ..self.clone() }
    }
}

/// What the provider shows of the thing a job acts on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// As wanted, terminal, read back. `read_back` is JSON.
    Satisfied { read_back: String },
    /// The call can be made now. `before` is JSON of what it would replace; the call gets it back.
    Ready { before: String },
    /// On its way, ours or another's: look again.
    Pending { note: String },
    /// The precondition does not hold, and waiting will not mend it.
    Blocked { reason: String },
    /// A newer mutation is there already.
    Superseded { found: String },
    /// An earlier call may or may not have been applied, the provider cannot tell, and repeating is not safe.
    Ambiguous { reason: String },
    /// The provider did not answer.
    Unreadable { reason: String },
}

/// How a mutating call ended. It answers two questions: may I try again, and did it happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallResult {
    /// The provider accepted it; `reference` is its change id, message id or the like.
    Accepted { reference: String },
    /// Certainly not applied; the same call may succeed later.
    NotApplied { reason: String },
    /// Certainly not applied, and the same call will be refused again.
    Rejected { reason: String },
    /// A timeout or a lost connection after sending: it may have been applied, now or later.
    Unknown { reason: String },
}

/// What the executor has done so far with this intent, from its journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Mutating calls journalled as started.
    pub calls: u32,
    /// Result of the last one; `None` with `calls > 0` after a crash between call and journal.
    pub last_call: Option<CallResult>,
    /// Time since the last call ended.
    pub since_call: Duration,
    /// Time since the intent was offered to this agent.
    pub elapsed: Duration,
    /// How long the last observation took.
    pub look_took: Duration,
    /// Observations without an answer, in a row.
    pub unreadable: u32,
    /// What was there before the first call that can have been applied.
    pub before: Option<String>,
    /// Reference of the newest accepted call.
    pub accepted: Option<String>,
    /// A call of this intent was accepted, or may have been applied: a later refusal proves nothing about that one.
    pub in_doubt: bool,
}

impl Progress {
    /// A call is about to be sent. From here on, until its end is recorded, it may have been applied.
    pub fn record_call_started(&mut self, before: &str) {
        self.in_doubt |= self.lost_a_call();
        self.calls = self.calls.saturating_add(1);
        self.last_call = None;
        // While no earlier call can have been applied, this is what the next one replaces.
        if !self.in_doubt {
            self.before = Some(before.to_owned());
        }
    }

    pub fn record_call_ended(&mut self, result: CallResult) {
        match &result {
            CallResult::Accepted { reference } => {
                self.accepted = Some(reference.clone());
                self.in_doubt = true;
            }
            CallResult::Unknown { .. } => self.in_doubt = true,
            CallResult::NotApplied { .. } | CallResult::Rejected { .. } => {}
        }
        self.last_call = Some(result);
    }

    /// Did a call start whose end nobody saw?
    pub fn lost_a_call(&self) -> bool {
        self.calls > 0 && self.last_call.is_none()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Journal, then make the call with this `before`.
    Call {
        before: String,
    },
    /// Observe again after this long.
    Wait(Duration),
    Finish(Outcome),
}

/// Shortest pause between observations; it grows with the time spent, to [`POLL_MAX`].
pub const POLL_MIN: Duration = Duration::from_millis(10);
/// A pause is this share of the time already spent: what is over is seen at most a hundredth of its own time late.
const POLL_SHARE: u32 = 100;
/// A pause is at least so many times as long as the look before it: a provider, or a machine, that answers slowly is
/// asked less often. AWS answers in 50 to 200 ms, so that it is never asked more than a few times a second.
const POLL_LOOKS: u32 = 2;
/// One slow answer postpones the next look by this at most.
const POLL_LOOKS_MAX: Duration = Duration::from_secs(1);
/// RDS and Route 53 state changes take seconds to minutes: looking more often would only use up API quota.
pub const POLL_MAX: Duration = Duration::from_secs(5);
/// After an accepted or unknown call the provider's reads may lag its writes: a repeat waits at least this long.
pub const SETTLE: Duration = Duration::from_secs(10);
/// The same, where reads never lag writes: a statement that was sent may need a moment to be carried out.
const SETTLE_POSTGRES: Duration = Duration::from_millis(250);
/// A job that only waits for permission looks again at least this often.
const UNPERMITTED_POLL_MAX: Duration = Duration::from_secs(1);

/// Decides after an observation. `permitted`: mutating calls are allowed at this moment (not paused, leader heard).
pub fn next(job: &Job, progress: &Progress, observation: &Observation, permitted: bool) -> Next {
    let out_of_time = progress.elapsed >= job.time_left;
    match observation {
        Observation::Satisfied { read_back } => {
            let detail = if progress.calls == 0 { "already as wanted" } else { "done" };
            finish(progress, OutcomeResult::Done, detail, read_back)
        }
        Observation::Blocked { .. } if in_doubt(job, progress) && !out_of_time => Next::Wait(poll(progress)),
        Observation::Blocked { reason } => not_done(job, progress, reason, false),
        // Of a call that is several requests at the provider, some may have been applied before the newer one came.
        Observation::Superseded { found } if in_doubt(job, progress) && !job.action.provider_checked() => {
            not_done(job, progress, &format!("a newer mutation is there: {found}"), false)
        }
        Observation::Superseded { found } => {
            let detail = format!("a newer mutation is there: {found}");
            finish(progress, OutcomeResult::Refused { retry: false }, &detail, "")
        }
        Observation::Ambiguous { reason } => finish(progress, OutcomeResult::Unknown, reason, ""),
        Observation::Pending { note } if out_of_time => not_done(job, progress, &format!("out of time: {note}"), false),
        Observation::Pending { .. } => Next::Wait(poll(progress)),
        Observation::Unreadable { reason } if out_of_time => {
            not_done(job, progress, &format!("out of time: {reason}"), true)
        }
        Observation::Unreadable { .. } => Next::Wait(backoff(progress.unreadable, job.retry)),
        Observation::Ready { .. } if out_of_time => {
            not_done(job, progress, "out of time before the call succeeded", true)
        }
        Observation::Ready { before } => after_ready(job, progress, before, permitted),
    }
}

/// Gives a job up without observing further: `Refused` if nothing can have been changed by it, else `Unknown`.
pub fn give_up(job: &Job, progress: &Progress, reason: &str) -> Outcome {
    outcome_not_done(job, progress, reason, false)
}

fn after_ready(job: &Job, progress: &Progress, before: &str, permitted: bool) -> Next {
    let settle_rest = |since: Duration, wait: Duration| wait.checked_sub(since).filter(|rest| !rest.is_zero());
    if let Some(CallResult::Rejected { reason }) = &progress.last_call {
        // What refused this call may be an earlier one that was applied and is not readable yet.
        if let Some(rest) = settle_rest(progress.since_call, settle(job)).filter(|_| in_doubt(job, progress)) {
            return Next::Wait(rest.min(poll(progress)));
        }
        return not_done(job, progress, &format!("the provider refused: {reason}"), false);
    }
    if progress.calls >= job.retry.attempts_max {
        return not_done(job, progress, &format!("{} calls without success", progress.calls), true);
    }
    let rest = match (&progress.last_call, progress.calls) {
        // Another agent may have sent the same call a moment ago.
        (_, 0) if job.maybe_sent_since.is_some() => settle_rest(progress.elapsed, settle(job)),
        (_, 0) => None,
        (Some(CallResult::NotApplied { .. }), calls) => {
            settle_rest(progress.since_call, backoff(calls.saturating_sub(1), job.retry))
        }
        (Some(CallResult::Accepted { .. } | CallResult::Unknown { .. } | CallResult::Rejected { .. }) | None, _) => {
            settle_rest(progress.since_call, settle(job))
        }
    };
    if let Some(rest) = rest {
        return Next::Wait(rest.min(poll(progress)));
    }
    if !permitted {
        return Next::Wait(poll(progress).min(UNPERMITTED_POLL_MAX));
    }
    Next::Call { before: before.to_owned() }
}

/// A PostgreSQL server shows what it has done at once, and refuses what it has done already.
fn settle(job: &Job) -> Duration {
    if job.action.is_postgres() { SETTLE_POSTGRES } else { SETTLE }
}

fn not_done(job: &Job, progress: &Progress, reason: &str, retry: bool) -> Next {
    Next::Finish(outcome_not_done(job, progress, reason, retry))
}

fn outcome_not_done(job: &Job, progress: &Progress, reason: &str, retry: bool) -> Outcome {
    let result = if in_doubt(job, progress) { OutcomeResult::Unknown } else { OutcomeResult::Refused { retry } };
    outcome(progress, result, reason, "")
}

fn finish(progress: &Progress, result: OutcomeResult, detail: &str, read_back: &str) -> Next {
    Next::Finish(outcome(progress, result, detail, read_back))
}

fn outcome(progress: &Progress, result: OutcomeResult, detail: &str, read_back: &str) -> Outcome {
    Outcome {
        result,
        detail: detail.to_owned(),
        read_back: read_back.to_owned(),
        before: progress.before.clone().unwrap_or_default(),
        calls: progress.calls,
        provider_wait: Duration::ZERO,
    }
}

/// May a call for this effect, of this intent or of an earlier one, have been applied, now or later?
fn in_doubt(job: &Job, progress: &Progress) -> bool {
    progress.in_doubt || progress.lost_a_call() || job.maybe_sent_since.is_some()
}

/// Grows with the time already spent, so that a ten-minute promotion is not asked for twenty times a second.
fn poll(progress: &Progress) -> Duration {
    let looks = progress.look_took.saturating_mul(POLL_LOOKS).min(POLL_LOOKS_MAX);
    (progress.elapsed / POLL_SHARE).max(looks).clamp(POLL_MIN, POLL_MAX)
}

fn backoff(times: u32, retry: Retry) -> Duration {
    let factor = 1u32 << times.min(16);
    retry.backoff_min.saturating_mul(factor).clamp(retry.backoff_min, retry.backoff_max.max(retry.backoff_min))
}

#[cfg(test)]
mod tests;
