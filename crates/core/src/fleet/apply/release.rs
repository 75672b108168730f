//! Approvals that say how far a run may go, and for what loss: consent to what the fence did not prove, the release of
//! a run of mode `fence`, a step that is left out.

use super::orders::begin_windows;
use super::policy::people_to_proceed;
use super::runs::note;
use crate::access;
use crate::fleet::Service;
use crate::ids::{KeyId, StepId};
use crate::run::{Need, Release, Run, RunState, WorkState};
use crate::time::Timestamp;

use super::steps::predecessors_settled;
use crate::run::Direction;

/// What a subject approves of this run and plan. The bound is the loss that it accepts; older subjects name none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Approved<'s> {
    Loss { bound: Option<&'s str> },
    Proceed { bound: &'s str },
    Skip { step: StepId },
}

impl Approved<'_> {
    /// Of two approvals of one person for the same thing the newer counts, whatever its bound.
    pub fn is_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Loss { .. }, Self::Loss { .. }) | (Self::Proceed { .. }, Self::Proceed { .. }) => true,
            (Self::Skip { step }, Self::Skip { step: other }) => step == other,
            (Self::Loss { .. } | Self::Proceed { .. } | Self::Skip { .. }, _) => false,
        }
    }
}

/// None: it is for another run, another plan, or for nothing that can be approved.
pub(super) fn approved<'s>(run: &Run, subject: &'s str) -> Option<Approved<'s>> {
    let named = |step: &&crate::plan::Step| access::skip_subject(&run.id, &step.id, &run.plan_hash) == subject;
    if let Some(step) = run.plan.steps.iter().find(named) {
        return Some(Approved::Skip { step: step.id.clone() });
    }
    let of = |word: &str| subject.strip_prefix(&format!("{word} {} {}", run.id, run.plan_hash));
    match (of("accept-loss"), of("proceed")) {
        (Some(""), _) => Some(Approved::Loss { bound: None }),
        (Some(bound), _) => Some(Approved::Loss { bound: Some(bound.strip_prefix(' ')?) }),
        (None, Some(bound)) => Some(Approved::Proceed { bound: bound.strip_prefix(' ')? }),
        (None, None) => None,
    }
}

/// Keys of approvals that hold now, one for each owner: `Approve` has replaced older ones and checked the owners.
pub(super) fn keys(run: &Run, now: Timestamp, counts: impl Fn(&Approved<'_>) -> bool) -> Vec<KeyId> {
    run.approvals
        .iter()
        .filter(|approval| {
            approval.expires_at > now && approved(run, &approval.subject).is_some_and(|what| counts(&what))
        })
        .map(|approval| approval.key.clone())
        .collect()
}

/// Keys that let a run of mode `fence` go on, if they are enough. Two people who accepted the loss have released it too.
fn releasing(run: &Run, people: usize, now: Timestamp) -> Option<Vec<KeyId>> {
    let proceed = keys(run, now, |what| matches!(what, Approved::Proceed { bound } if run.covers(Some(bound))));
    let consent = super::runs::consenting_keys(run, now);
    [(proceed, people), (consent, access::APPROVALS_NEEDED)]
        .into_iter()
        .find(|(keys, needed)| keys.len() >= *needed)
        .map(|(keys, _)| keys)
}

/// Holds a running run of mode `fence` before its first one-way step, once nothing else is left to do beside it.
pub(super) fn stop(run: &mut Run, service: Option<&Service>, now: Timestamp) {
    let Some((service, step)) = service.zip(awaiting(run)).filter(|_| run.state == RunState::Running) else { return };
    let people = people_to_proceed(service, &run.loss);
    if let Some(keys) = releasing(run, people, now) {
        release(run, keys, now);
        return;
    }
    let reason = format!(
        "`policy.automatic: fence`: {step} cannot be undone, and waits for the approval of {people}; expected to be lost: {}",
        run.loss.in_words()
    );
    let people = u32::try_from(people).unwrap_or(u32::MAX);
    run.state = RunState::Held { reason: reason.clone(), need: Need::Approval { step: step.clone(), people } };
    note(run, now, Some(step), format!("held: {reason}"));
}

/// After an approval: a run that was held for it goes on.
pub(super) fn proceed(run: &mut Run, service: Option<&Service>, now: Timestamp) {
    let held = matches!(&run.state, RunState::Held { need: Need::Approval { .. }, .. });
    let Some(service) = service.filter(|_| held) else { return };
    if let Some(keys) = releasing(run, people_to_proceed(service, &run.loss), now) {
        release(run, keys, now);
        run.state = RunState::Running;
        begin_windows(run, now);
    }
}

fn release(run: &mut Run, keys: Vec<KeyId>, now: Timestamp) {
    let names: Vec<&str> = keys.iter().map(KeyId::as_str).collect();
    note(run, now, None, format!("approved to go on by {}", names.join(" and ")));
    run.released = Some(Release { keys, at: now });
}

/// The step that waits for an approval, if all that can be done without it is done.
fn awaiting(run: &Run) -> Option<StepId> {
    let ready = |step: &&crate::plan::Step| predecessors_settled(run, step, Direction::Forward);
    let waiting = |step: &&crate::plan::Step| {
        run.steps.get(&step.id).is_some_and(|work| work.forward.state == WorkState::Waiting)
    };
    let first = run.plan.steps.iter().filter(waiting).filter(ready).find(|step| run.awaits_release(step))?;
    let busy =
        run.plan.steps.iter().filter(ready).any(|step| match run.steps.get(&step.id).map(|w| &w.forward.state) {
            Some(WorkState::Open | WorkState::Backoff { .. }) => true,
            Some(WorkState::Waiting) => !run.awaits_release(step),
            Some(WorkState::Done | WorkState::Skipped { .. } | WorkState::Failed { .. }) | None => false,
        });
    (!busy).then(|| first.id.clone())
}
