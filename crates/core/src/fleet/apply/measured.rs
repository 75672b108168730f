//! What was lost, as far as the promotions show it: nothing where the target had caught up with a fenced primary; what a
//! promotion counted; or the moment up to which the target certainly has everything. A lag that was read after the
//! primary may have died counts here as little as in the prediction (invariant RpoGate).

use std::time::Duration;

use super::leases::consented;
use super::runs::closes_old_region;
use crate::decide::loss;
use crate::fleet::Service;
use crate::plan::{Action, PredictedLoss, Step};
use crate::run::{Cause, MeasuredLoss, OutcomeResult, Run, WorkState};
use crate::time::Timestamp;

/// Once every promotion is done.
pub(super) fn measure(run: &mut Run, service: Option<&Service>, now: Timestamp) {
    let promotions: Vec<&Step> = run.plan.steps.iter().filter(|step| step.action.is_promotion()).collect();
    if run.measured.is_some() || promotions.is_empty() || !promotions.iter().all(|step| is_done(run, step)) {
        return;
    }
    let counted = promotions.iter().filter_map(|step| counted_by(run, step)).max_by_key(|(size, _)| *size);
    let measured = match (had_caught_up(run), counted) {
        (true, _) => MeasuredLoss::Nothing {
            because: "the target had every write of the fenced primary before it was promoted".to_owned(),
        },
        (false, Some((_, loss))) => loss,
        (false, None) => after(run, &promotions, service, now),
    };
    run.measured = Some(measured);
}

fn is_done(run: &Run, step: &Step) -> bool {
    run.steps.get(&step.id).is_some_and(|work| work.forward.state == WorkState::Done)
}

fn had_caught_up(run: &Run) -> bool {
    let waits =
        |step: &&Step| matches!(step.action, Action::RdsAwaitCaughtUp { .. } | Action::PostgresAwaitCaughtUp { .. });
    let mut waits = run.plan.steps.iter().filter(waits).peekable();
    waits.peek().is_some() && waits.all(|step| is_done(run, step))
}

fn counted_by(run: &Run, step: &Step) -> Option<(u64, MeasuredLoss)> {
    let read_back = read_back(run, step)?;
    let source = step.id.to_string();
    if let Some(ms) = number(read_back, "measured_loss_ms") {
        return Some((ms, MeasuredLoss::Time { lost: Duration::from_millis(ms), source }));
    }
    let lost = number(read_back, "measured_loss_bytes")?;
    Some((lost, MeasuredLoss::Bytes { lost, source }))
}

fn after(run: &Run, promotions: &[&Step], service: Option<&Service>, now: Timestamp) -> MeasuredLoss {
    let outage = outage(run);
    let lived =
        outage.unwrap_or(run.started_at).minus(service.map(|it| loss::unseen(&it.manifest)).unwrap_or_default());
    // The expectation is that of the database which is farthest behind, so it holds for each of them.
    let expected = run.loss.through().map(|through| (through, expected_by(&run.loss)));
    let reached = promotions.iter().map(|step| shown_by(run, step, lived).into_iter().chain(expected.clone()).max());
    let Some((through, source)) = reached.min().flatten() else {
        return MeasuredLoss::Unknown {
            reason: "not measurable: lag was never measured while both ends lived, and the old primary could not be \
                     compared with the target when that was promoted; what it has beyond the target shows once it is back"
                .to_owned(),
        };
    };
    let bytes = promotions.iter().filter_map(|step| number(read_back(run, step)?, "lost_bytes_at_least"));
    let bytes_at_least = bytes.reduce(u64::saturating_add).filter(|bytes| *bytes > 0);
    MeasuredLoss::After { through, outage, closed: closed(run, service, now), bytes_at_least, source }
}

/// When the outage was first seen; of a run that a person asked for, when the plan was made.
fn outage(run: &Run) -> Option<Timestamp> {
    let judged = match &run.cause {
        Cause::Asked | Cause::DespiteFreeze { .. } => None,
        Cause::Automatic { judgement } => judgement.regions.get(&run.plan.from).and_then(|verdict| verdict.since),
    };
    judged.or_else(|| run.loss.counted_to())
}

fn expected_by(loss: &PredictedLoss) -> String {
    match loss {
        PredictedLoss::Lag { signal, observer, .. } => format!("{signal}, measured by {observer} before the outage"),
        PredictedLoss::Nothing | PredictedLoss::Unknown => "what was expected".to_owned(),
    }
}

/// Up to when the promoted database has everything, as its promotion shows.
fn shown_by(run: &Run, step: &Step, lived: Timestamp) -> Option<(Timestamp, String)> {
    let read_back = read_back(run, step)?;
    if let Some(ms) = number(read_back, "replicated_through_ms") {
        let source =
            format!("{}: the old primary's WAL positions as last read, and where the target left them", step.id);
        return Some((Timestamp::from_millis(ms), source));
    }
    let points = text(read_back, "replica_lag")?.split_whitespace().filter_map(|point| {
        let (at, lag) = point.split_once(':')?;
        Some((Timestamp::from_millis(at.parse().ok()?), Duration::from_millis(lag.parse().ok()?)))
    });
    let (at, lag) = points.filter(|(at, _)| *at <= lived).max()?;
    Some((at.minus(lag), format!("{}: the last ReplicaLag published from before the outage", step.id)))
}

/// Since when the old region certainly accepts nothing.
fn closed(run: &Run, service: Option<&Service>, now: Timestamp) -> Option<Timestamp> {
    let fences =
        || run.plan.steps.iter().filter(|step| closes_old_region(&run.plan, step) && step.region == run.plan.from);
    if fences().next().is_some() && fences().all(|step| is_done(run, step)) {
        return fences().filter_map(|step| run.steps.get(&step.id)?.forward.ended_at).max();
    }
    let fencing = &service?.manifest.fence;
    if consented(run, now) || !fencing.is_leased() || fencing.accepts_unfenced() {
        return None;
    }
    let grant = run.plan.steps.iter().find(|step| step.action == Action::Grant)?;
    run.steps.get(&grant.id)?.forward.ended_at
}

fn read_back<'r>(run: &'r Run, step: &Step) -> Option<&'r str> {
    let intents = &run.steps.get(&step.id)?.forward.intents;
    intents.iter().rev().find_map(|intent| {
        let outcome = intent.outcome.as_ref().filter(|outcome| outcome.result == OutcomeResult::Done);
        outcome.map(|outcome| outcome.read_back.as_str())
    })
}

/// A whole number of a flat JSON document.
fn number(json: &str, key: &str) -> Option<u64> {
    let rest = value(json, key)?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

/// A text without escapes of a flat JSON document.
fn text<'j>(json: &'j str, key: &str) -> Option<&'j str> {
    value(json, key)?.strip_prefix('"')?.split('"').next()
}

fn value<'j>(json: &'j str, key: &str) -> Option<&'j str> {
    let (_, rest) = json.split_once(&format!("\"{key}\""))?;
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}
