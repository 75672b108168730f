//! How a run starts, and how it is seen to have ended.

use std::collections::{BTreeMap, BTreeSet};

use super::release::Approved;
use super::steps::calls_left_open;
use super::{Change, ENDED_RUNS_KEPT, Outcome, conflict, invalid, not_found, precondition};
use crate::access;
use crate::decide::RuleRecord;
use crate::fleet::{Entity, Fleet, Refusal, Reply};
use crate::ids::{Generation, Hash32, RunId, ServiceId, StepId};
use crate::plan::{Plan, PlanKind};
use crate::run::{Approval, Cause, Direction, Need, Run, RunState, StepRun, TIMELINE_MAX, TimelineEntry, WorkState};
use crate::time::Timestamp;

impl Fleet {
    pub(super) fn start_run(
        &mut self,
        plan: &Plan,
        plan_hash: Hash32,
        by: &str,
        cause: &Cause,
        safety: &[RuleRecord],
        approvals: &[Approval],
    ) -> Outcome {
        plan.check().map_err(invalid)?;
        let id = &plan.service;
        let service =
            self.services.get(id).ok_or_else(|| not_found(format!("no service {id}: see `meshctl status`")))?;
        if let Some(current) = service.current_run.as_ref().and_then(|run| self.runs.get(run)) {
            if current.plan.kind == plan.kind && current.plan.to == plan.to {
                let run = current.id.clone();
                let text = format!("run {run} does this already");
                return Ok(Change { reply: Reply::RunStarted { run, existing: true }, touched: Vec::new(), text });
            }
            return Err(conflict(format!(
                "run {} ({} of {id} to {}) has not ended: `meshctl watch {}`, or abort it first",
                current.id, current.plan.kind, current.plan.to, current.id
            )));
        }
        if !service.armed {
            return Err(precondition(format!(
                "{id} is only observed so far: look at `meshctl doctor {id}`, then `meshctl arm {id}`"
            )));
        }
        if plan.kind == PlanKind::Failover && plan.to == service.active {
            return Err(precondition(format!("{id} is active in {} already: nothing to do", plan.to)));
        }
        if !service.manifest.regions.contains_key(&plan.to) {
            return Err(invalid(format!("{id} has no region {}", plan.to)));
        }
        if plan.manifest_version != service.version
            || plan.generation != service.generation.next()
            || plan.from != service.active
        {
            return Err(conflict(format!(
                "the plan is stale: it was made for version {} and generation {} of {id}, which is now at version {} \
                 and would be generation {}: make the plan again",
                plan.manifest_version,
                plan.generation,
                service.version,
                service.generation.next()
            )));
        }
        self.check_start(service, plan, cause)?;
        let overrides = self.check_safety(service, plan, plan_hash, safety, approvals)?;
        let run = run_id(id, plan.generation).map_err(|error| invalid(error.to_string()))?;
        self.insert_run(run.clone(), plan, plan_hash, by, cause);
        if matches!(cause, Cause::Automatic { .. }) {
            self.note_began(&run, plan);
        }
        for rule in overrides {
            self.note_override(&run, &rule);
        }
        let mut text = format!("{} of {id} from {} to {}, plan {}", plan.kind, plan.from, plan.to, plan_hash.short());
        if let Cause::DespiteFreeze { reason } = cause {
            text.push_str(&format!(", despite the freeze: {reason}"));
        }
        let touched = vec![Entity::Service(id.clone()), Entity::Run(run.clone())];
        Ok(Change { reply: Reply::RunStarted { run, existing: false }, touched, text })
    }

    fn note_override(&mut self, id: &RunId, rule: &str) {
        let now = self.now;
        if let Some(run) = self.runs.get_mut(id) {
            run.overrides.insert(rule.to_owned());
            note(run, now, None, format!("safety rule {rule} is set aside by two people"));
        }
    }

    fn insert_run(&mut self, id: RunId, plan: &Plan, plan_hash: Hash32, by: &str, cause: &Cause) {
        let automatic = matches!(cause, Cause::Automatic { .. });
        if let Some(service) = self.services.get_mut(&plan.service) {
            service.generation = plan.generation;
            service.current_run = Some(id.clone());
            if plan.kind != PlanKind::Failover {
                service.write_on_at(plan.generation);
            }
            if automatic {
                service.automatic_at = Some(self.now);
            }
        }
        let steps: BTreeMap<StepId, StepRun> =
            plan.steps.iter().map(|step| (step.id.clone(), StepRun::default())).collect();
        let mut run = Run {
            id: id.clone(),
            plan: plan.clone(),
            plan_hash,
            requested_by: by.to_owned(),
            started_at: self.now,
            state: RunState::Running,
            paused: None,
            unwind: None,
            approvals: Vec::new(),
            steps,
            timeline: Vec::new(),
            ended_at: None,
            cause: cause.clone(),
            loss: plan.loss.clone(),
            measured: None,
            released: None,
            overrides: BTreeSet::new(),
        };
        let begun = match cause {
            Cause::Asked => format!("asked for by {by}"),
            Cause::DespiteFreeze { reason } => format!("asked for by {by} despite the freeze: {reason}"),
            Cause::Automatic { .. } => "begun by the mesh itself".to_owned(),
        };
        note(&mut run, self.now, None, begun);
        self.runs.insert(id, run);
    }

    /// Takes the oldest ended runs of the service of `started` out of the state.
    pub(super) fn retire_runs(&mut self, started: &RunId) -> Vec<Run> {
        let Some(service) = self.runs.get(started).map(|run| run.plan.service.clone()) else { return Vec::new() };
        let of_service = |run: &&Run| run.plan.service == service && run.state.is_terminal();
        let mut ended: Vec<_> = self
            .runs
            .values()
            .filter(of_service)
            .map(|run| (run.ended_at, run.plan.generation, run.id.clone()))
            .collect();
        ended.sort();
        let leaving = ended.len().saturating_sub(ENDED_RUNS_KEPT);
        ended.into_iter().take(leaving).filter_map(|(_, _, id)| self.runs.remove(&id)).collect()
    }

    /// Moves the run on to the state that its steps imply, and the service with it when it has ended.
    pub(super) fn settle(&mut self, id: &RunId) -> Vec<Entity> {
        let now = self.now;
        let mut touched = vec![Entity::Run(id.clone())];
        let Some(run) = self.runs.get_mut(id) else { return touched };
        let service = self.services.get(&run.plan.service);
        let unproven = service.and_then(crate::fleet::Service::ending).is_some();
        super::measured::measure(run, service, now);
        let ended = match run.state {
            RunState::Running => {
                let ended = settle_forward(run, unproven, now);
                super::release::stop(run, service, now);
                ended
            }
            // The old region gets its authority back with the proof that the other has none.
            RunState::Unwinding => !unproven && settle_undo(run, now),
            RunState::Held { .. } | RunState::Done | RunState::Compensated | RunState::Refused { .. } => false,
        };
        if ended {
            run.ended_at = Some(now);
            let (service, kind, to, state) =
                (run.plan.service.clone(), run.plan.kind, run.plan.to.clone(), run.state.clone());
            let mut open = calls_left_open(run, Direction::Forward, now);
            open.extend(calls_left_open(run, Direction::Undo, now));
            touched.push(Entity::Service(service.clone()));
            self.keep_open_calls(&service, open);
            if let Some(service) = self.services.get_mut(&service) {
                service.current_run = None;
                if kind == PlanKind::Failover && state == RunState::Done {
                    service.active = to;
                }
            }
        }
        touched
    }

    pub(super) fn live_run(&mut self, id: &RunId) -> Result<&mut Run, Refusal> {
        let run = self.runs.get_mut(id).ok_or_else(|| not_found(format!("no run {id}: see `meshctl history`")))?;
        if run.state.is_terminal() {
            return Err(precondition(format!("run {id} has ended: {}", run.state.name())));
        }
        Ok(run)
    }
}

/// `<service>-g<generation>`; fails only for a service name that the manifest check would have refused.
pub fn run_id(service: &ServiceId, generation: Generation) -> Result<RunId, crate::ids::NameError> {
    RunId::new(format!("{service}-g{generation}"))
}

fn settle_forward(run: &mut Run, unproven: bool, now: Timestamp) -> bool {
    let failed = run.plan.steps.iter().find_map(|step| match &run.steps.get(&step.id)?.forward.state {
        WorkState::Failed { reason } => Some((step.id.clone(), reason.clone())),
        WorkState::Waiting
        | WorkState::Open
        | WorkState::Backoff { .. }
        | WorkState::Done
        | WorkState::Skipped { .. } => None,
    });
    if let Some((step, reason)) = failed {
        hold(run, &step, &reason, unproven, now);
        return false;
    }
    // A step that consent has skipped may still be out with an agent: the run's end would let its call come at any time.
    let all_done = run.steps.values().all(|step| {
        matches!(step.forward.state, WorkState::Done | WorkState::Skipped { .. })
            && step.forward.open_intent().is_none()
    });
    if all_done {
        run.state = RunState::Done;
        note(run, now, None, "done".to_owned());
    }
    all_done
}

fn settle_undo(run: &mut Run, now: Timestamp) -> bool {
    let failed = run.plan.steps.iter().find_map(|step| match &run.steps.get(&step.id)?.undo.as_ref()?.state {
        WorkState::Failed { reason } => Some((step.id.clone(), reason.clone())),
        WorkState::Waiting
        | WorkState::Open
        | WorkState::Backoff { .. }
        | WorkState::Done
        | WorkState::Skipped { .. } => None,
    });
    if let Some((step, reason)) = failed {
        run.state = RunState::Held { reason: reason.clone(), need: Need::Decision { step: step.clone() } };
        note(run, now, Some(step), format!("held: {reason}"));
        return false;
    }
    let quiet = run.steps.values().all(|step| {
        step.forward.open_intent().is_none()
            && step.undo.as_ref().is_none_or(|undo| matches!(undo.state, WorkState::Done | WorkState::Skipped { .. }))
    });
    if quiet {
        run.state = RunState::Compensated;
        note(run, now, None, "compensated: everything reversible is as it was".to_owned());
    }
    quiet
}

/// Holds a running run on a failed step, unless two people have consented to go on without it already.
pub(super) fn hold(run: &mut Run, step: &StepId, reason: &str, unproven: bool, now: Timestamp) {
    let is_grant = |step: &crate::plan::Step| unproven && step.action == crate::plan::Action::Grant;
    let closes = run.plan.step(step).is_some_and(|step| closes_old_region(&run.plan, step) || is_grant(step));
    if closes && consenting_keys(run, now).len() >= access::APPROVALS_NEEDED {
        skip_by_consent(run, now);
        return;
    }
    let need =
        if closes { Need::Consent { region: run.plan.from.clone() } } else { Need::Decision { step: step.clone() } };
    run.state = RunState::Held { reason: reason.to_owned(), need };
    note(run, now, Some(step.clone()), format!("held: {reason}"));
}

/// Is the step part of the proof that the old region writes no more?
pub(super) fn closes_old_region(plan: &Plan, step: &crate::plan::Step) -> bool {
    use crate::plan::{Action, SecurityGroupPurpose};
    plan.kind == PlanKind::Failover
        && matches!(
            step.action,
            Action::RdsSetSecurityGroups { purpose: SecurityGroupPurpose::Fence, .. }
                | Action::RdsReboot { .. }
                | Action::RdsAwaitCaughtUp { .. }
                | Action::PostgresFence { .. }
                | Action::HookFence { .. }
                | Action::PostgresAwaitCaughtUp { .. }
        )
}

/// Is it carried out to close the old region, whether or not that is a proof? With the region it is given up.
pub(super) fn leaves_old_region(plan: &Plan, step: &crate::plan::Step) -> bool {
    closes_old_region(plan, step) || stops_requests(plan, step)
}

/// A throttle is kept as well as API Gateway can, so it proves nothing.
pub(super) fn stops_requests(plan: &Plan, step: &crate::plan::Step) -> bool {
    plan.kind == PlanKind::Failover && matches!(step.action, crate::plan::Action::ApiGatewayClose { .. })
}

/// Keys of valid consents, one for each owner. `Approve` has replaced expired ones and checked the owners.
pub(super) fn consenting_keys(run: &Run, now: Timestamp) -> Vec<crate::ids::KeyId> {
    super::release::keys(run, now, |what| matches!(what, Approved::Loss { bound } if run.covers(*bound)))
}

/// Two people accept what the fence could not prove: its unfinished steps are skipped and the run goes on.
pub(super) fn skip_by_consent(run: &mut Run, now: Timestamp) {
    let keys: Vec<String> = consenting_keys(run, now).iter().map(ToString::to_string).collect();
    let reason = format!("closed by consent of {}", keys.join(" and "));
    let closing: Vec<StepId> =
        run.plan.steps.iter().filter(|step| leaves_old_region(&run.plan, step)).map(|step| step.id.clone()).collect();
    for id in closing {
        let Some(work) = run.steps.get_mut(&id).map(|step| &mut step.forward) else { continue };
        if work.state != WorkState::Done {
            work.state = WorkState::Skipped { reason: reason.clone() };
            work.ended_at = Some(now);
        }
    }
    super::leases::retry_grant(run);
    run.state = RunState::Running;
    note(run, now, None, reason);
}

pub(super) fn note(run: &mut Run, at: Timestamp, step: Option<StepId>, text: String) {
    if run.timeline.len() < TIMELINE_MAX {
        run.timeline.push(TimelineEntry { at, step, text });
    }
}
