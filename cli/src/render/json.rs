//! The shapes behind `--json`. Durations are whole milliseconds, times Unix milliseconds, hashes hex.

use mesh_core::ids::Hash32;
use mesh_core::plan::{Plan, PredictedLoss, Step};
use mesh_core::run::{Intent, OutcomeResult, Run, RunState, StepRun, Work, WorkState};
use mesh_core::time::duration_millis;
use serde_json::{Value, json};

pub fn plan(plan: &Plan, hash: &Hash32) -> Value {
    json!({
        "service": plan.service,
        "kind": plan.kind,
        "from": plan.from,
        "to": plan.to,
        "generation": plan.generation,
        "manifest_version": plan.manifest_version,
        "hash": hash,
        "loss": loss(&plan.loss),
        "warnings": plan.warnings,
        "steps": plan.steps.iter().map(step).collect::<Vec<_>>(),
    })
}

pub fn loss(loss: &PredictedLoss) -> Value {
    match loss {
        PredictedLoss::Nothing => json!({ "kind": "nothing" }),
        PredictedLoss::Lag { lag, age, observer, signal, measured_at } => json!({
            "kind": "lag", "lag_ms": duration_millis(*lag), "age_ms": duration_millis(*age), "observer": observer,
            "signal": signal, "measured_at": measured_at,
        }),
        PredictedLoss::Unknown => json!({ "kind": "unknown" }),
    }
}

fn step(step: &Step) -> Value {
    json!({
        "id": step.id,
        "title": step.title,
        "region": step.region,
        "action": step.action,
        "after": step.after,
        "precondition": step.action.precondition(),
        "read_back": step.action.read_back(),
        "timeout_ms": duration_millis(step.timeout),
        "attempts_max": step.retry.attempts_max,
        "reversibility": step.reversibility,
        "undo": step.undo,
    })
}

pub fn run(run: &Run) -> Value {
    json!({
        "run": run.id,
        "service": run.plan.service,
        "kind": run.plan.kind,
        "from": run.plan.from,
        "to": run.plan.to,
        "generation": run.generation(),
        "plan_hash": run.plan_hash,
        "requested_by": run.requested_by,
        "state": run.state.name(),
        "reason": reason(&run.state),
        "paused_by": run.paused.as_ref().map(|pause| &pause.by),
        "aborted": run.unwind.as_ref().map(|unwind| json!({ "by": unwind.by, "reason": unwind.reason, "at": unwind.at })),
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "duration_ms": run.ended_at.map(|end| duration_millis(end.since(run.started_at))),
        "predicted_loss": loss(&run.plan.loss),
        "expected_loss": loss(&run.loss),
        "measured_loss": run.measured,
        "automatic": run.cause.mode().map(|mode| mode.name()),
        "overrides": run.overrides,
        "approvals": run.approvals.iter().map(|approval| json!({
            "key": approval.key, "subject": approval.subject, "at": approval.at, "expires_at": approval.expires_at,
        })).collect::<Vec<_>>(),
        "steps": run.plan.steps.iter().map(|step| run_step(step, run.steps.get(&step.id))).collect::<Vec<_>>(),
        "timeline": run.timeline.iter().map(|entry| json!({
            "at": entry.at,
            "offset_ms": duration_millis(entry.at.since(run.started_at)),
            "step": entry.step,
            "text": entry.text,
        })).collect::<Vec<_>>(),
    })
}

pub fn reason(state: &RunState) -> Option<&str> {
    match state {
        RunState::Held { reason, .. } | RunState::Refused { reason } => Some(reason),
        RunState::Running | RunState::Unwinding | RunState::Done | RunState::Compensated => None,
    }
}

fn run_step(step: &Step, run: Option<&StepRun>) -> Value {
    json!({
        "id": step.id,
        "title": step.title,
        "region": step.region,
        "action": step.action.name(),
        "forward": run.map(|run| work(&run.forward)),
        "undo": run.and_then(|run| run.undo.as_ref()).map(work),
    })
}

fn work(work: &Work) -> Value {
    let reason = match &work.state {
        WorkState::Backoff { reason, .. } | WorkState::Skipped { reason } | WorkState::Failed { reason } => {
            Some(reason)
        }
        WorkState::Waiting | WorkState::Open | WorkState::Done => None,
    };
    let duration = work.ended_at.zip(work.started_at).map(|(end, start)| duration_millis(end.since(start)));
    json!({
        "state": work.state.name(),
        "reason": reason,
        "started_at": work.started_at,
        "ended_at": work.ended_at,
        "duration_ms": duration,
        "intents": work.intents.iter().map(intent).collect::<Vec<_>>(),
    })
}

fn intent(intent: &Intent) -> Value {
    let outcome = intent.outcome.as_ref();
    json!({
        "intent": intent.seq,
        "key": intent.key,
        "generation": intent.generation,
        "agent": intent.agent,
        "opened_at": intent.opened_at,
        "closed_at": intent.closed_at,
        "result": outcome.map(|outcome| result_name(outcome.result)),
        "detail": outcome.map(|outcome| &outcome.detail),
        "calls": outcome.map(|outcome| outcome.calls),
        "provider_wait_ms": outcome.map(|outcome| duration_millis(outcome.provider_wait)),
        "before": outcome.map(|outcome| embedded(&outcome.before)),
        "read_back": outcome.map(|outcome| embedded(&outcome.read_back)),
    })
}

pub const fn result_name(result: OutcomeResult) -> &'static str {
    match result {
        OutcomeResult::Done => "done",
        OutcomeResult::Refused { retry: true } => "refused, can be tried again",
        OutcomeResult::Refused { retry: false } => "refused",
        OutcomeResult::Unknown => "unknown",
    }
}

/// Evidence is JSON in a string; a reader wants the value.
fn embedded(text: &str) -> Value {
    if text.is_empty() {
        return Value::Null;
    }
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}
