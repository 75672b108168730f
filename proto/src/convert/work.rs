use std::time::Duration;

use mesh_core::ids::{Generation, IntentSeq};
use mesh_core::run::{Direction, Intent, Outcome, OutcomeResult, StepRun, Work, WorkState};
use mesh_core::time::{Timestamp, duration_millis};

use crate::DecodeError;
use crate::bounds::{COMPOSED_BYTES_MAX, DOCUMENT_BYTES_MAX, HISTORY_LEN_MAX, TEXT_BYTES_MAX, clip};
use crate::fields::{Fields, timestamp};
use crate::v1::{self, work_state::State};

enums! {
    v1::Direction, "Direction" => Direction { Forward, Undo }
}

by_value!(Work => v1::Work, Intent => v1::Intent, Outcome => v1::Outcome);

impl From<&StepRun> for v1::StepRun {
    fn from(step: &StepRun) -> Self {
        let StepRun { forward, undo } = step;
        Self { forward: Some(forward.into()), undo: undo.as_ref().map(Into::into) }
    }
}

impl TryFrom<v1::StepRun> for StepRun {
    type Error = DecodeError;

    fn try_from(wire: v1::StepRun) -> Result<Self, DecodeError> {
        const F: Fields = Fields("StepRun");
        let v1::StepRun { forward, undo } = wire;
        Ok(Self { forward: F.message("forward", forward)?, undo: F.optional("undo", undo)? })
    }
}

impl From<&Work> for v1::Work {
    fn from(work: &Work) -> Self {
        let Work { state, started_at, ended_at, intents } = work;
        Self {
            state: Some(state.into()),
            started_at: started_at.map(Timestamp::as_millis),
            ended_at: ended_at.map(Timestamp::as_millis),
            intents: intents.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<v1::Work> for Work {
    type Error = DecodeError;

    fn try_from(wire: v1::Work) -> Result<Self, DecodeError> {
        const F: Fields = Fields("Work");
        let v1::Work { state, started_at, ended_at, intents } = wire;
        Ok(Self {
            state: F.message("state", state)?,
            started_at: started_at.map(timestamp),
            ended_at: ended_at.map(timestamp),
            intents: F.list_max("intents", intents, HISTORY_LEN_MAX)?,
        })
    }
}

impl From<&WorkState> for v1::WorkState {
    fn from(state: &WorkState) -> Self {
        let state = match state {
            WorkState::Waiting => State::Waiting(v1::Nothing {}),
            WorkState::Open => State::Open(v1::Nothing {}),
            WorkState::Backoff { until, reason } => {
                State::Backoff(v1::Backoff { until: until.as_millis(), reason: reason.clone() })
            }
            WorkState::Done => State::Done(v1::Nothing {}),
            WorkState::Skipped { reason } => State::Skipped(reason.clone()),
            WorkState::Failed { reason } => State::Failed(reason.clone()),
        };
        Self { state: Some(state) }
    }
}

impl TryFrom<v1::WorkState> for WorkState {
    type Error = DecodeError;

    fn try_from(wire: v1::WorkState) -> Result<Self, DecodeError> {
        const F: Fields = Fields("WorkState");
        let reason = |field, text| F.text_max(field, text, COMPOSED_BYTES_MAX);
        Ok(match F.required("state", wire.state)? {
            State::Waiting(v1::Nothing {}) => Self::Waiting,
            State::Open(v1::Nothing {}) => Self::Open,
            State::Backoff(v1::Backoff { until, reason: text }) => {
                Self::Backoff { until: timestamp(until), reason: reason("backoff.reason", text)? }
            }
            State::Done(v1::Nothing {}) => Self::Done,
            State::Skipped(text) => Self::Skipped { reason: reason("skipped", text)? },
            State::Failed(text) => Self::Failed { reason: reason("failed", text)? },
        })
    }
}

impl From<&Intent> for v1::Intent {
    fn from(intent: &Intent) -> Self {
        let Intent { seq, key, generation, agent, opened_at, closed_at, outcome } = intent;
        Self {
            seq: seq.0,
            key: key.clone(),
            generation: generation.0,
            agent: agent.to_string(),
            opened_at: opened_at.as_millis(),
            closed_at: closed_at.map(Timestamp::as_millis),
            outcome: outcome.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<v1::Intent> for Intent {
    type Error = DecodeError;

    fn try_from(wire: v1::Intent) -> Result<Self, DecodeError> {
        const F: Fields = Fields("Intent");
        let v1::Intent { seq, key, generation, agent, opened_at, closed_at, outcome } = wire;
        Ok(Self {
            seq: IntentSeq(seq),
            key: F.text("key", key)?,
            generation: Generation(generation),
            agent: F.name("agent", agent)?,
            opened_at: timestamp(opened_at),
            closed_at: closed_at.map(timestamp),
            outcome: F.optional("outcome", outcome)?,
        })
    }
}

/// Detail and documents above their bounds are cut here, and not refused by whoever gets them: an outcome that nobody
/// accepts would be reported for ever.
impl From<&Outcome> for v1::Outcome {
    fn from(outcome: &Outcome) -> Self {
        let Outcome { result, detail, read_back, before, calls, provider_wait } = outcome;
        let result = match result {
            OutcomeResult::Done => v1::OutcomeResult::Done,
            OutcomeResult::Refused { retry: true } => v1::OutcomeResult::RefusedRetry,
            OutcomeResult::Refused { retry: false } => v1::OutcomeResult::Refused,
            OutcomeResult::Unknown => v1::OutcomeResult::Unknown,
        };
        Self {
            result: result.into(),
            detail: clip(detail, TEXT_BYTES_MAX).to_owned(),
            read_back: document(read_back),
            before: document(before),
            calls: *calls,
            provider_wait_ms: duration_millis(*provider_wait),
        }
    }
}

fn document(json: &str) -> String {
    match json.len() {
        len if len > DOCUMENT_BYTES_MAX => format!("{{\"omitted_bytes\":{len}}}"),
        _ => json.to_owned(),
    }
}

impl TryFrom<v1::Outcome> for Outcome {
    type Error = DecodeError;

    fn try_from(wire: v1::Outcome) -> Result<Self, DecodeError> {
        const F: Fields = Fields("Outcome");
        let v1::Outcome { result, detail, read_back, before, calls, provider_wait_ms } = wire;
        Ok(Self {
            result: F.enumeration::<v1::OutcomeResult, _>("result", result)?,
            detail: F.text("detail", detail)?,
            read_back: F.text_max("read_back", read_back, DOCUMENT_BYTES_MAX)?,
            before: F.text_max("before", before, DOCUMENT_BYTES_MAX)?,
            calls,
            provider_wait: Duration::from_millis(provider_wait_ms),
        })
    }
}

impl TryFrom<v1::OutcomeResult> for OutcomeResult {
    type Error = DecodeError;

    fn try_from(wire: v1::OutcomeResult) -> Result<Self, DecodeError> {
        match wire {
            v1::OutcomeResult::Unspecified => Err(DecodeError::new("OutcomeResult", "", "is unspecified")),
            v1::OutcomeResult::Done => Ok(Self::Done),
            v1::OutcomeResult::RefusedRetry => Ok(Self::Refused { retry: true }),
            v1::OutcomeResult::Refused => Ok(Self::Refused { retry: false }),
            v1::OutcomeResult::Unknown => Ok(Self::Unknown),
        }
    }
}
