use mesh_core::ids::Generation;
use mesh_core::plan::Plan;
use mesh_core::run::{Need, Pause, Run, RunState, TimelineEntry, Unwind};
use mesh_core::time::Timestamp;

use crate::DecodeError;
use crate::bounds::{COMPOSED_BYTES_MAX, HISTORY_LEN_MAX};
use crate::convert::{approval, policy};
use crate::fields::{Fields, by_name, strings, timestamp};
use crate::v1::{self, run_state::State};

by_value!(Run => v1::Run, RunState => v1::RunState);

impl From<&Run> for v1::Run {
    fn from(run: &Run) -> Self {
        let Run {
            id,
            plan,
            plan_hash,
            requested_by,
            started_at,
            state,
            paused,
            unwind,
            approvals,
            steps,
            timeline,
            ended_at,
            cause,
            loss,
            measured,
            released,
            overrides,
        } = run;
        Self {
            id: id.to_string(),
            plan: Some(plan.into()),
            plan_hash: plan_hash.0.to_vec(),
            requested_by: requested_by.clone(),
            started_at: started_at.as_millis(),
            state: Some(state.into()),
            paused: paused.as_ref().map(Into::into),
            unwind: unwind.as_ref().map(Into::into),
            approvals: approval::encode_all(approvals),
            steps: by_name(steps, Into::into),
            timeline: timeline.iter().map(Into::into).collect(),
            ended_at: ended_at.map(Timestamp::as_millis),
            cause: policy::cause(cause),
            despite_freeze: policy::despite_freeze(cause),
            loss: Some(loss.into()),
            measured: measured.as_ref().map(Into::into),
            released: released.as_ref().map(Into::into),
            overrides: strings(overrides),
        }
    }
}

impl TryFrom<v1::Run> for Run {
    type Error = DecodeError;

    fn try_from(wire: v1::Run) -> Result<Self, DecodeError> {
        const F: Fields = Fields("Run");
        let v1::Run {
            id,
            plan,
            plan_hash,
            requested_by,
            started_at,
            state,
            paused,
            unwind,
            approvals,
            steps,
            timeline,
            ended_at,
            cause,
            loss,
            measured,
            released,
            overrides,
            despite_freeze,
        } = wire;
        let plan: Plan = F.message("plan", plan)?;
        Ok(Self {
            // Older runs expect what their plans say.
            loss: F.optional("loss", loss)?.unwrap_or_else(|| plan.loss.clone()),
            id: F.name("id", id)?,
            plan,
            plan_hash: F.hash("plan_hash", &plan_hash)?,
            requested_by: F.text("requested_by", requested_by)?,
            started_at: timestamp(started_at),
            state: F.message("state", state)?,
            paused: F.optional("paused", paused)?,
            unwind: F.optional("unwind", unwind)?,
            approvals: F.list_max("approvals", approvals, HISTORY_LEN_MAX)?,
            steps: F.map("steps", steps, |path, step| F.nested(path, step))?,
            timeline: F.list_max("timeline", timeline, HISTORY_LEN_MAX)?,
            ended_at: ended_at.map(timestamp),
            cause: policy::read_cause(F, cause, despite_freeze)?,
            measured: F.optional("measured", measured)?,
            released: F.optional("released", released)?,
            overrides: F.text_set("overrides", overrides)?,
        })
    }
}

impl From<&RunState> for v1::RunState {
    fn from(state: &RunState) -> Self {
        let state = match state {
            RunState::Running => State::Running(v1::Nothing {}),
            RunState::Unwinding => State::Unwinding(v1::Nothing {}),
            RunState::Held { reason, need } => {
                let need = match need {
                    Need::Consent { region } => v1::held::Need::Consent(region.to_string()),
                    Need::Decision { step } => v1::held::Need::Decision(step.to_string()),
                    Need::Approval { step, people } => {
                        v1::held::Need::Approval(v1::ApprovalNeed { step: step.to_string(), people: *people })
                    }
                };
                State::Held(v1::Held { reason: reason.clone(), need: Some(need) })
            }
            RunState::Done => State::Done(v1::Nothing {}),
            RunState::Compensated => State::Compensated(v1::Nothing {}),
            RunState::Refused { reason } => State::Refused(reason.clone()),
        };
        Self { state: Some(state) }
    }
}

impl TryFrom<v1::RunState> for RunState {
    type Error = DecodeError;

    fn try_from(wire: v1::RunState) -> Result<Self, DecodeError> {
        const F: Fields = Fields("RunState");
        Ok(match F.required("state", wire.state)? {
            State::Running(v1::Nothing {}) => Self::Running,
            State::Unwinding(v1::Nothing {}) => Self::Unwinding,
            State::Held(held) => decode_held(held).map_err(|e| e.within("RunState", "held"))?,
            State::Done(v1::Nothing {}) => Self::Done,
            State::Compensated(v1::Nothing {}) => Self::Compensated,
            State::Refused(reason) => Self::Refused { reason: F.text_max("refused", reason, COMPOSED_BYTES_MAX)? },
        })
    }
}

fn decode_held(wire: v1::Held) -> Result<RunState, DecodeError> {
    const F: Fields = Fields("Held");
    let need = match F.required("need", wire.need)? {
        v1::held::Need::Consent(region) => Need::Consent { region: F.name("consent", region)? },
        v1::held::Need::Decision(step) => Need::Decision { step: F.name("decision", step)? },
        v1::held::Need::Approval(v1::ApprovalNeed { step, people }) => {
            Need::Approval { step: F.name("approval.step", step)?, people }
        }
    };
    Ok(RunState::Held { reason: F.text_max("reason", wire.reason, COMPOSED_BYTES_MAX)?, need })
}

impl From<&Pause> for v1::Pause {
    fn from(pause: &Pause) -> Self {
        let Pause { by, at } = pause;
        Self { by: by.clone(), at: at.as_millis() }
    }
}

impl TryFrom<v1::Pause> for Pause {
    type Error = DecodeError;

    fn try_from(wire: v1::Pause) -> Result<Self, DecodeError> {
        let v1::Pause { by, at } = wire;
        Ok(Self { by: Fields("Pause").text("by", by)?, at: timestamp(at) })
    }
}

impl From<&Unwind> for v1::Unwind {
    fn from(unwind: &Unwind) -> Self {
        let Unwind { generation, by, reason, at } = unwind;
        Self { generation: generation.0, by: by.clone(), reason: reason.clone(), at: at.as_millis() }
    }
}

impl TryFrom<v1::Unwind> for Unwind {
    type Error = DecodeError;

    fn try_from(wire: v1::Unwind) -> Result<Self, DecodeError> {
        const F: Fields = Fields("Unwind");
        let v1::Unwind { generation, by, reason, at } = wire;
        Ok(Self {
            generation: Generation(generation),
            by: F.text("by", by)?,
            reason: F.text_max("reason", reason, COMPOSED_BYTES_MAX)?,
            at: timestamp(at),
        })
    }
}

impl From<&TimelineEntry> for v1::TimelineEntry {
    fn from(entry: &TimelineEntry) -> Self {
        let TimelineEntry { at, step, text } = entry;
        Self { at: at.as_millis(), step: step.as_ref().map(ToString::to_string), text: text.clone() }
    }
}

impl TryFrom<v1::TimelineEntry> for TimelineEntry {
    type Error = DecodeError;

    fn try_from(wire: v1::TimelineEntry) -> Result<Self, DecodeError> {
        const F: Fields = Fields("TimelineEntry");
        let v1::TimelineEntry { at, step, text } = wire;
        Ok(Self {
            at: timestamp(at),
            step: F.name_optional("step", step)?,
            text: F.text_max("text", text, COMPOSED_BYTES_MAX)?,
        })
    }
}
