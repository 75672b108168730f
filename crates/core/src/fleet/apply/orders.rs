//! What people tell a run: pause, resume, abort, retry, approve.

use std::time::Duration;

use super::release::{Approved, approved};
use super::runs::{closes_old_region, consenting_keys, note, skip_by_consent};
use super::steps::{CALL_LIFETIME, calls_left_open, predecessors_settled};
use super::{Change, Outcome, not_found, precondition, refuse};
use crate::access;
use crate::fleet::{Authority, AuthorityState, Entity, Fleet, RefusalCode, Reply};
use crate::ids::{RegionId, RunId, StepId};
use crate::plan::{Action, PlanKind, Reversibility};
use crate::run::{
    Approval, Direction, Intent, Need, Outcome as StepOutcome, OutcomeResult, Pause, Run, RunState, Unwind, Work,
    WorkState,
};
use crate::time::Timestamp;

/// Attempts of a step that a retry keeps: enough to see what happened last.
const INTENTS_KEPT: usize = 8;

impl Fleet {
    pub(super) fn pause(&mut self, id: &RunId, by: &str) -> Outcome {
        let now = self.now;
        let run = self.live_run(id)?;
        if run.paused.is_none() {
            run.paused = Some(Pause { by: by.to_owned(), at: now });
            note(run, now, None, format!("paused by {by}"));
        }
        Ok(changed(id, format!("run {id} paused")))
    }

    pub(super) fn resume(&mut self, id: &RunId, by: &str) -> Outcome {
        let now = self.now;
        let run = self.live_run(id)?;
        if run.paused.take().is_none() {
            return Err(precondition(format!("run {id} is not paused")));
        }
        begin_windows(run, now);
        note(run, now, None, format!("resumed by {by}"));
        Ok(changed(id, format!("run {id} resumed")))
    }

    /// Unwinds what is reversible at a generation of its own. After a promotion there is nothing to go back to.
    pub(super) fn abort(&mut self, id: &RunId, by: &str, reason: &str) -> Outcome {
        let now = self.now;
        let run = self.live_run(id)?;
        if run.unwind.is_some() {
            return self.give_up_unwinding(id, by, reason);
        }
        if let Some(step) = one_way_step_taken(run) {
            return self.abandon(id, by, reason, &step);
        }
        let open_calls = calls_left_open(run, Direction::Forward, now);
        let (service_id, from, to, kind) =
            (run.plan.service.clone(), run.plan.from.clone(), run.plan.to.clone(), run.plan.kind);
        let service =
            self.services.get_mut(&service_id).ok_or_else(|| not_found(format!("no service {service_id}")))?;
        service.generation = service.generation.next();
        let generation = service.generation;
        let leased = service.manifest.fence.is_leased();
        if kind != PlanKind::Failover {
            service.write_on_at(generation);
        }
        if kind == PlanKind::Failover && service.authority.contains_key(&from) {
            let granted = service.authority.get_mut(&to).filter(|to| to.state == AuthorityState::Granted);
            match granted.filter(|_| leased) {
                // Its agents may hold leases: the old region gets its authority back once they are proven to have ended.
                Some(authority) => authority.state = AuthorityState::Ending { wanted: generation },
                // Never promoted, so still a replica: closed. The old region gets its authority back at the new
                // generation.
                None => {
                    if let Some(authority) = service.authority.get_mut(&to) {
                        authority.state = AuthorityState::Closed { run: id.clone() };
                    }
                    service.authority.insert(from, Authority { generation, state: AuthorityState::Granted });
                }
            }
        }
        self.keep_open_calls(&service_id, open_calls);
        let run = self.live_run(id)?;
        run.unwind = Some(Unwind { generation, by: by.to_owned(), reason: reason.to_owned(), at: now });
        run.state = RunState::Unwinding;
        run.paused = None;
        note(run, now, None, format!("aborted by {by}: {reason}"));
        prepare_undo(run, now);
        let mut touched = self.settle(id);
        touched.push(Entity::Service(service_id));
        let text = format!("run {id} aborted, unwinding at generation {generation}: {reason}");
        Ok(Change { reply: Reply::Ok, touched, text })
    }

    /// After the promotion and the move of traffic, only checks and notices are left to give up.
    fn abandon(&mut self, id: &RunId, by: &str, reason: &str, one_way: &str) -> Outcome {
        let run = self.live_run(id)?;
        let essential_left = run.plan.steps.iter().any(|step| {
            let essential =
                step.action.is_promotion() || matches!(step.action, Action::Route53Replace { .. } | Action::Grant);
            let state = run.steps.get(&step.id).map(|work| &work.forward.state);
            essential && !matches!(state, Some(WorkState::Done | WorkState::Skipped { .. }))
        });
        if essential_left {
            return Err(precondition(format!(
                "step {one_way} of {id} cannot be undone, so the run can only go forward: mend the cause and \
                 `meshctl retry {id}`"
            )));
        }
        if run.open_intents().next().is_some() {
            return Err(precondition(format!("a step of {id} is being carried out: `meshctl pause {id}`, then abort")));
        }
        let left: Vec<String> = run
            .plan
            .steps
            .iter()
            .filter(|step| run.steps.get(&step.id).is_some_and(|work| work.forward.state != WorkState::Done))
            .map(|step| step.id.to_string())
            .collect();
        let reason = format!("aborted by {by} after {one_way}: {reason}; not done: {}", left.join(", "));
        let to = run.plan.to.clone();
        self.end_refused(id, Some(to), reason)
    }

    /// What cannot be undone (its thing is gone, say) must not hold the service for ever: a person may leave it so. The
    /// old region has its authority back since the abort, and the new one never got a writer.
    fn give_up_unwinding(&mut self, id: &RunId, by: &str, reason: &str) -> Outcome {
        let run = self.live_run(id)?;
        if !matches!(run.state, RunState::Held { .. }) || run.open_intents().next().is_some() {
            return Err(precondition(format!("run {id} is being unwound already")));
        }
        let service = run.plan.service.clone();
        if let Some(region) = self.services.get(&service).and_then(crate::fleet::Service::ending) {
            return Err(precondition(format!("{region} is not proven closed yet, and until then nobody may write")));
        }
        let run = self.live_run(id)?;
        let left: Vec<String> = run
            .plan
            .steps
            .iter()
            .filter(|step| {
                let undo = run.work(&step.id, Direction::Undo);
                undo.is_some_and(|undo| !matches!(undo.state, WorkState::Done | WorkState::Skipped { .. }))
            })
            .map(|step| step.id.to_string())
            .collect();
        let reason = format!("unwinding given up by {by}: {reason}; not undone: {}", left.join(", "));
        self.end_refused(id, None, reason)
    }

    fn end_refused(&mut self, id: &RunId, active: Option<RegionId>, reason: String) -> Outcome {
        let now = self.now;
        let run = self.live_run(id)?;
        run.state = RunState::Refused { reason: reason.clone() };
        run.ended_at = Some(now);
        note(run, now, None, reason.clone());
        let mut open = calls_left_open(run, Direction::Forward, now);
        open.extend(calls_left_open(run, Direction::Undo, now));
        let service_id = run.plan.service.clone();
        self.keep_open_calls(&service_id, open);
        if let Some(service) = self.services.get_mut(&service_id) {
            service.current_run = None;
            service.active = active.unwrap_or_else(|| service.active.clone());
        }
        let touched = vec![Entity::Run(id.clone()), Entity::Service(service_id)];
        Ok(Change { reply: Reply::Ok, touched, text: reason })
    }

    pub(super) fn retry(&mut self, id: &RunId, by: &str) -> Outcome {
        let now = self.now;
        let run = self.live_run(id)?;
        if !matches!(run.state, RunState::Held { .. }) {
            return Err(precondition(format!("run {id} is {}, not held: there is nothing to retry", run.state.name())));
        }
        let unwinding = run.unwind.is_some();
        for step in run.steps.values_mut() {
            let work = if unwinding { step.undo.as_mut() } else { Some(&mut step.forward) };
            if let Some(work) = work.filter(|work| matches!(work.state, WorkState::Failed { .. })) {
                work.state = WorkState::Waiting;
                work.ended_at = None;
                make_room(work, now);
            }
        }
        run.state = if unwinding { RunState::Unwinding } else { RunState::Running };
        begin_windows(run, now);
        note(run, now, None, format!("retried by {by}"));
        let touched = self.settle(id);
        Ok(Change { reply: Reply::Ok, touched, text: format!("run {id} retried") })
    }

    pub(super) fn approve(&mut self, id: &RunId, approval: &Approval, by: &str) -> Outcome {
        let now = self.now;
        let run = self.runs.get(id).ok_or_else(|| not_found(format!("no run {id}")))?;
        let Some(what) = approved(run, &approval.subject) else {
            return Err(super::invalid(format!(
                "the approval is for {:?}, not for this run and plan",
                approval.subject
            )));
        };
        let bound = match &what {
            Approved::Loss { bound } => Some(*bound),
            Approved::Proceed { bound } => Some(Some(*bound)),
            Approved::Skip { .. } => None,
        };
        if bound.is_some_and(|bound| !run.covers(bound)) {
            return Err(precondition(format!(
                "more is expected to be lost now than the approval accepts: {}. Look again, and approve that",
                run.loss.in_words()
            )));
        }
        let skipped = match &what {
            Approved::Skip { step } => Some(step.clone()),
            Approved::Loss { .. } | Approved::Proceed { .. } => None,
        };
        if let Some(step) = skipped.as_ref().filter(|step| !can_be_skipped(run, step)) {
            return Err(precondition(format!(
                "{id} cannot go on without {step}: no second writer, and no other service, may come of a skipped step"
            )));
        }
        let owner = self.check_approval(approval)?;
        let keys = self.keys.clone();
        let run = self.live_run(id)?;
        let of_same = |run: &Run, old: &Approval| approved(run, &old.subject).is_some_and(|old| old.is_as(&what));
        let replaced =
            |run: &Run, old: &Approval| of_same(run, old) && keys.get(&old.key).is_none_or(|key| key.owner == owner);
        let kept: Vec<Approval> = run
            .approvals
            .iter()
            .filter(|old| old.expires_at > now && keys.contains_key(&old.key) && !replaced(run, old))
            .cloned()
            .collect();
        run.approvals = kept;
        run.approvals.push(Approval { at: now, ..approval.clone() });
        note(run, now, None, format!("approved by {owner} with key {}", approval.key));
        let waits_for_consent = matches!(&run.state, RunState::Held { need: Need::Consent { .. }, .. });
        if waits_for_consent && consenting_keys(run, now).len() >= access::APPROVALS_NEEDED {
            skip_by_consent(run, now);
        }
        if let Some(step) = &skipped {
            skip_step(run, step, now);
        }
        let service = run.plan.service.clone();
        if let Some(run) = self.runs.get_mut(id) {
            super::release::proceed(run, self.services.get(&service), now);
        }
        let touched = self.settle(id);
        let what = match what {
            Approved::Loss { .. } => "loss accepted".to_owned(),
            Approved::Proceed { .. } => "going on accepted".to_owned(),
            Approved::Skip { step } => format!("going on without {step} accepted"),
        };
        Ok(Change { reply: Reply::Ok, touched, text: format!("run {id}: {what} by {owner} ({by})") })
    }

    /// The owner of an approval that still holds.
    pub(super) fn check_approval(&self, approval: &Approval) -> Result<String, crate::fleet::Refusal> {
        let key = self.keys.get(&approval.key).ok_or_else(|| {
            refuse(RefusalCode::NeedsApproval, format!("key {} is not enrolled: `meshctl keys list`", approval.key))
        })?;
        if approval.expires_at <= self.now {
            return Err(refuse(RefusalCode::NeedsApproval, format!("the approval by {} has expired", approval.key)));
        }
        Ok(key.owner.clone())
    }
}

/// Can two people decide that the run goes on without it? Not without what keeps one writer: the look at the replica,
/// the fence (that has a consent of its own), the grant, the promotion.
fn can_be_skipped(run: &Run, id: &StepId) -> bool {
    let needed = |step: &crate::plan::Step| {
        closes_old_region(&run.plan, step)
            || step.action.is_promotion()
            || matches!(
                step.action,
                Action::RdsCheckReplica { .. } | Action::PostgresCheckReplica { .. } | Action::Grant
            )
    };
    run.plan.step(id).is_some_and(|step| !needed(step))
}

/// Two people leave a failed step as it is, and the run that it held goes on.
fn skip_step(run: &mut Run, id: &StepId, now: Timestamp) {
    let held = matches!(&run.state, RunState::Held { need: Need::Decision { step }, .. } if step == id);
    let subject = access::skip_subject(&run.id, id, &run.plan_hash);
    let keys: Vec<&str> = run
        .approvals
        .iter()
        .filter(|approval| approval.subject == subject && approval.expires_at > now)
        .map(|approval| approval.key.as_str())
        .collect();
    if !held || run.unwind.is_some() || keys.len() < access::APPROVALS_NEEDED {
        return;
    }
    let reason = format!("left as it is by consent of {}", keys.join(" and "));
    let Some(work) = run.steps.get_mut(id).map(|step| &mut step.forward) else { return };
    if work.open_intent().is_some() {
        return;
    }
    work.state = WorkState::Skipped { reason: reason.clone() };
    work.ended_at = Some(now);
    run.state = RunState::Running;
    note(run, now, Some(id.clone()), reason);
    begin_windows(run, now);
}

/// A new time window, counted from now, for every step whose turn it is: the time that people took is not the step's.
pub(super) fn begin_windows(run: &mut Run, now: Timestamp) {
    let direction = if run.unwind.is_some() { Direction::Undo } else { Direction::Forward };
    let due: Vec<StepId> = run
        .plan
        .steps
        .iter()
        .filter(|step| {
            run.work(&step.id, direction).is_some_and(|work| !work.state.is_settled())
                && predecessors_settled(run, step, direction)
        })
        .map(|step| step.id.clone())
        .collect();
    for id in due {
        let Some(step) = run.steps.get_mut(&id) else { continue };
        let work = match direction {
            Direction::Forward => Some(&mut step.forward),
            Direction::Undo => step.undo.as_mut(),
        };
        if let Some(work) = work {
            work.started_at = Some(now);
        }
    }
}

/// Forgets attempts that decide nothing any more, so that a person's retry can always try: kept are the last ones, the
/// first doubtful one, which says since when a call may have been sent, and all whose calls may still arrive.
fn make_room(work: &mut Work, now: Timestamp) {
    let doubtful =
        |intent: &Intent| intent.outcome.as_ref().is_none_or(|outcome| outcome.result == OutcomeResult::Unknown);
    let first_doubtful = work.intents.iter().find(|intent| doubtful(intent)).map(|intent| intent.seq);
    let newest = work.intents.len().saturating_sub(INTENTS_KEPT);
    let mut position = 0;
    work.intents.retain(|intent| {
        position += 1;
        let settled = intent.closed_at.is_some_and(|at| at.plus(CALL_LIFETIME) <= now);
        position > newest || !settled || Some(intent.seq) == first_doubtful
    });
}

fn changed(id: &RunId, text: String) -> Change {
    Change { reply: Reply::Ok, touched: vec![Entity::Run(id.clone())], text }
}

/// A one-way step that is done or may have been sent.
fn one_way_step_taken(run: &Run) -> Option<String> {
    run.plan.steps.iter().find_map(|step| {
        if step.reversibility != Reversibility::OneWay || !step.action.is_promotion() {
            return None;
        }
        let work = &run.steps.get(&step.id)?.forward;
        let taken = work.intents.iter().any(|intent| {
            intent.outcome.as_ref().is_none_or(|outcome| match outcome.result {
                OutcomeResult::Done | OutcomeResult::Unknown => true,
                OutcomeResult::Refused { .. } => false,
            })
        });
        taken.then(|| step.id.to_string())
    })
}

/// Gives every reversible step that may have had an effect something to undo, and drops the rest. A look that is still
/// out changes nothing, so nothing waits for it.
fn prepare_undo(run: &mut Run, now: Timestamp) {
    for step in &run.plan.steps {
        let Some(work) = run.steps.get_mut(&step.id) else { continue };
        if !step.action.mutates() {
            give_up_looking(&mut work.forward, now);
        }
        let touched = work.forward.intents.iter().any(|intent| {
            !matches!(intent.outcome.as_ref().map(|outcome| outcome.result), Some(OutcomeResult::Refused { .. }))
        });
        if touched && step.undo.is_some() {
            work.undo = Some(Work::default());
        }
        if !work.forward.state.is_settled() && work.forward.open_intent().is_none() {
            work.forward.state = WorkState::Skipped { reason: "aborted".to_owned() };
        }
    }
}

fn give_up_looking(work: &mut Work, now: Timestamp) {
    let Some(intent) = work.intents.last_mut().filter(|intent| intent.outcome.is_none()) else { return };
    intent.closed_at = Some(now);
    intent.outcome = Some(StepOutcome {
        result: OutcomeResult::Refused { retry: false },
        detail: "the run was aborted".to_owned(),
        read_back: String::new(),
        before: String::new(),
        calls: 0,
        provider_wait: Duration::ZERO,
    });
}
