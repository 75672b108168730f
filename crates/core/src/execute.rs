//! What an agent does next with one intent: call, wait, or finish. Pure; the agent's executor is its shell.
//!
//! The loop is always the same: observe, decide, perhaps journal and call, observe again. Nothing is concluded from a
//! call's answer alone; only an observation makes a step done, and an unknown call is looked up before it is repeated.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{RegionId, RunId, ServiceId, StepId, Token};
use crate::plan::{Action, Retry};
use crate::run::{Direction, Outcome, OutcomeResult};
use crate::time::Timestamp;

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
    /// `read_back` of every step that is done in this run: what `RdsReboot` and `RdsAwaitCaughtUp` compare with.
    pub evidence: BTreeMap<StepId, String>,
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
    /// Observations without an answer, in a row.
    pub unreadable: u32,
    /// First `before` that was seen.
    pub before: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Journal, then make the call with this `before`.
    Call { before: String },
    /// Observe again after this long.
    Wait(Duration),
    Finish(Outcome),
}

/// First pause between observations; it doubles to [`POLL_MAX`].
pub const POLL_MIN: Duration = Duration::from_millis(50);
/// RDS and Route 53 state changes take seconds to minutes: looking more often would only use up API quota.
pub const POLL_MAX: Duration = Duration::from_secs(5);
/// After an accepted or unknown call the provider's reads may lag its writes: a repeat waits at least this long.
pub const SETTLE: Duration = Duration::from_secs(10);

/// Decides after an observation. `permitted`: mutating calls are allowed at this moment (not paused, leader heard).
pub fn next(job: &Job, progress: &Progress, observation: &Observation, permitted: bool) -> Next {
    let sent = progress.calls > 0 || job.maybe_sent_since.is_some();
    let outcome = |result, detail: &str, read_back: &str| {
        Next::Finish(Outcome {
            result,
            detail: detail.to_owned(),
            read_back: read_back.to_owned(),
            before: progress.before.clone().unwrap_or_default(),
            calls: progress.calls,
            provider_wait: Duration::ZERO,
        })
    };
    let not_done = |reason: &str, retry: bool| {
        let result = if sent { OutcomeResult::Unknown } else { OutcomeResult::Refused { retry } };
        outcome(result, reason, "")
    };
    let out_of_time = progress.elapsed >= job.time_left;
    match observation {
        Observation::Satisfied { read_back } => {
            let detail = if progress.calls == 0 { "already as wanted" } else { "done" };
            outcome(OutcomeResult::Done, detail, read_back)
        }
        Observation::Blocked { reason } => {
            if call_is_unresolved(progress, job) && !out_of_time {
                return Next::Wait(backoff(progress.unreadable, job.retry));
            }
            if call_is_unresolved(progress, job) {
                return outcome(OutcomeResult::Unknown, reason, "");
            }
            outcome(OutcomeResult::Refused { retry: false }, reason, "")
        }
        Observation::Superseded { found } => {
            outcome(OutcomeResult::Refused { retry: false }, &format!("a newer mutation is there: {found}"), "")
        }
        Observation::Ambiguous { reason } => outcome(OutcomeResult::Unknown, reason, ""),
        Observation::Pending { note } if out_of_time => not_done(&format!("out of time: {note}"), false),
        Observation::Pending { .. } => Next::Wait(poll(progress)),
        Observation::Unreadable { reason } if out_of_time => not_done(&format!("out of time: {reason}"), true),
        Observation::Unreadable { .. } => Next::Wait(backoff(progress.unreadable, job.retry)),
        Observation::Ready { .. } if out_of_time => not_done("out of time before the call succeeded", true),
        Observation::Ready { before } => after_ready(job, progress, before, permitted, &not_done),
    }
}

fn after_ready(
    job: &Job,
    progress: &Progress,
    before: &str,
    permitted: bool,
    not_done: &dyn Fn(&str, bool) -> Next,
) -> Next {
    if let Some(CallResult::Rejected { reason }) = &progress.last_call {
        // Read back once after the refusal (this observation): nothing came of it, so nothing will.
        return Next::Finish(Outcome {
            result: OutcomeResult::Refused { retry: false },
            detail: format!("the provider refused: {reason}"),
            read_back: String::new(),
            before: before.to_owned(),
            calls: progress.calls,
            provider_wait: Duration::ZERO,
        });
    }
    if progress.calls >= job.retry.attempts_max {
        return not_done(&format!("{} calls without success", progress.calls), true);
    }
    let wait = match (&progress.last_call, progress.calls) {
        (_, 0) => Duration::ZERO,
        (Some(CallResult::NotApplied { .. }), calls) => backoff(calls, job.retry),
        (Some(CallResult::Accepted { .. } | CallResult::Unknown { .. } | CallResult::Rejected { .. }) | None, _) => {
            SETTLE
        }
    };
    if let Some(rest) = wait.checked_sub(progress.since_call).filter(|rest| !rest.is_zero()) {
        return Next::Wait(rest.min(poll(progress)));
    }
    if !permitted {
        return Next::Wait(POLL_MIN.max(poll(progress)).min(Duration::from_secs(1)));
    }
    Next::Call { before: before.to_owned() }
}

/// Was a call sent whose fate no observation has settled?
fn call_is_unresolved(progress: &Progress, job: &Job) -> bool {
    match &progress.last_call {
        Some(CallResult::Unknown { .. } | CallResult::Accepted { .. }) => true,
        Some(CallResult::NotApplied { .. } | CallResult::Rejected { .. }) => false,
        None => progress.calls > 0 || job.maybe_sent_since.is_some(),
    }
}

/// Grows with the time already spent, so that a ten-minute promotion is not asked for twenty times a second.
fn poll(progress: &Progress) -> Duration {
    (progress.elapsed / 10).clamp(POLL_MIN, POLL_MAX)
}

fn backoff(times: u32, retry: Retry) -> Duration {
    let factor = 1u32 << times.min(16);
    retry.backoff_min.saturating_mul(factor).clamp(retry.backoff_min, retry.backoff_max.max(retry.backoff_min))
}
