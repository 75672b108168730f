//! Intents and what became of them.

use std::collections::BTreeMap;

use super::runs::note;
use super::{Change, Outcome, conflict, invalid, not_found, precondition};
use crate::decide::safety;
use crate::fleet::{Authority, AuthorityState, Entity, Fleet, OpenCall, Refusal, Reply};
use crate::ids::{AgentId, IntentSeq, RegionId, RunId, ServiceId, StepId};
pub use crate::plan::CALL_LIFETIME;
use crate::plan::{Action, Step};
use crate::run::{
    Direction, INTENTS_MAX, Intent, Outcome as StepOutcome, OutcomeResult, Run, RunState, Work, WorkState, effect_key,
};
use crate::time::Timestamp;

impl Fleet {
    pub(super) fn open_intent(
        &mut self,
        id: &RunId,
        step_id: &StepId,
        direction: Direction,
        agent: &AgentId,
    ) -> Outcome {
        let now = self.now;
        self.refuse_held_back(id, step_id, direction)?;
        let region = self.agents.get(agent).map(|record| record.region.clone());
        let run = self.live_run(id)?;
        let step = may_open(run, step_id, direction, now)?.clone();
        if region.as_ref() != Some(&step.region) {
            return Err(invalid(format!("agent {agent} is not of {}, where step {step_id} runs", step.region)));
        }
        let (service_id, generation) = (run.plan.service.clone(), generation_of(run, direction));
        let action = action_of(&step, direction)?;
        if *action == Action::Grant {
            return Err(invalid("a grant is the coordinators' own step, not an agent's"));
        }
        let service =
            self.services.get_mut(&service_id).ok_or_else(|| not_found(format!("no service {service_id}")))?;
        if action.lets_write() && !service.lets_write(&step.region, generation) {
            return Err(precondition(format!("{} has no write authority at generation {generation}", step.region)));
        }
        let resource = action.resource(&step.region);
        if let Some(open) = blocking_call(&service.open_calls, &resource, generation, now).filter(|_| action.mutates())
        {
            return Err(precondition(format!("a call to {resource} may still arrive until {}", open.until)));
        }
        service.intent = IntentSeq(service.intent.0.saturating_add(1));
        let seq = service.intent;
        let intent = Intent {
            seq,
            key: effect_key(id, step_id, direction),
            generation,
            agent: agent.clone(),
            opened_at: now,
            closed_at: None,
            outcome: None,
        };
        let run = self.live_run(id)?;
        let work = work_mut(run, step_id, direction)?;
        work.started_at.get_or_insert(now);
        work.state = WorkState::Open;
        work.intents.push(intent);
        note(run, now, Some(step_id.clone()), format!("intent {seq} to {agent}"));
        let text = format!("{step_id} ({}): intent {seq} to {agent}", action.name());
        let touched = vec![Entity::Service(service_id), Entity::Run(id.clone())];
        Ok(Change { reply: Reply::IntentOpened { seq }, touched, text })
    }

    fn refuse_held_back(&self, id: &RunId, step: &StepId, direction: Direction) -> Result<(), Refusal> {
        let Some(run) = self.runs.get(id) else { return Ok(()) };
        if let Some(why) = self.halted(run, self.now) {
            return Err(precondition(why));
        }
        let Some(step) = run.plan.step(step).filter(|_| direction == Direction::Forward) else { return Ok(()) };
        if let Some((rule, first)) = safety::gate(self, run, step) {
            return Err(precondition(format!(
                "safety rule {} (`{}`) holds {} back until {} is done",
                rule.name, rule.rule, step.id, first.id
            )));
        }
        if run.awaits_release(step) {
            return Err(precondition(format!("{} waits for an approval: `meshctl approve {id}`", step.id)));
        }
        Ok(())
    }

    pub(super) fn close_intent(
        &mut self,
        id: &RunId,
        step_id: &StepId,
        direction: Direction,
        seq: IntentSeq,
        outcome: &StepOutcome,
    ) -> Outcome {
        let now = self.now;
        let run = self.runs.get_mut(id).ok_or_else(|| not_found(format!("no run {id}")))?;
        let step = run.plan.step(step_id).ok_or_else(|| not_found(format!("run {id} has no step {step_id}")))?.clone();
        let terminal = run.state.is_terminal();
        let work = work_mut(run, step_id, direction)?;
        let last = work.intents.last().map(|intent| intent.seq);
        let intent = work
            .intents
            .iter_mut()
            .find(|intent| intent.seq == seq)
            .ok_or_else(|| not_found(format!("step {step_id} of {id} has no intent {seq}")))?;
        // A leader that lost the agent closed it as unknown; the agent itself knows better, if nobody acted since.
        let better = intent.outcome.as_ref().is_some_and(|old| {
            old.result == OutcomeResult::Unknown && outcome.result != OutcomeResult::Unknown && last == Some(seq)
        });
        if intent.outcome.is_some() && (!better || terminal) {
            return Ok(Change {
                reply: Reply::Ok,
                touched: Vec::new(),
                text: format!("intent {seq} of {id} was closed already"),
            });
        }
        intent.closed_at = Some(now);
        intent.outcome = Some(outcome.clone());
        let agent = intent.agent.clone();
        if !work.state.is_settled() {
            work.state = state_after(work, &step, outcome, now);
            work.ended_at = work.state.is_settled().then_some(now);
        }
        let word = match outcome.result {
            OutcomeResult::Done => "done",
            OutcomeResult::Refused { .. } => "refused",
            OutcomeResult::Unknown => "unknown",
        };
        let text = format!("{step_id}: intent {seq} by {agent} {word}: {}", outcome.detail);
        note(run, now, Some(step_id.clone()), format!("{word} by {agent}: {}", outcome.detail));
        let late = if run.unwind.is_some() { calls_left_open(run, Direction::Forward, now) } else { Vec::new() };
        let service = run.plan.service.clone();
        let mut touched = self.settle(id);
        if !late.is_empty() {
            self.keep_open_calls(&service, late);
            touched.push(Entity::Service(service));
        }
        Ok(Change { reply: Reply::Ok, touched, text })
    }

    /// Remembers calls that may still arrive, after the run that sent them.
    pub(super) fn keep_open_calls(&mut self, service: &ServiceId, calls: Vec<OpenCall>) {
        let now = self.now;
        let Some(service) = self.services.get_mut(service) else { return };
        service.open_calls.retain(|call| {
            call.until > now
                && !calls.iter().any(|new| new.resource == call.resource && new.generation == call.generation)
        });
        service.open_calls.extend(calls);
    }

    pub(super) fn fail_step(&mut self, id: &RunId, step_id: &StepId, direction: Direction, reason: &str) -> Outcome {
        let now = self.now;
        let run = self.live_run(id)?;
        require_moving(run, direction)?;
        let work = work_mut(run, step_id, direction)?;
        match work.state {
            WorkState::Waiting | WorkState::Backoff { .. } => {}
            WorkState::Open => return Err(conflict(format!("step {step_id} of {id} has an open intent"))),
            WorkState::Done | WorkState::Skipped { .. } | WorkState::Failed { .. } => {
                return Err(conflict(format!("step {step_id} of {id} is {} already", work.state.name())));
            }
        }
        work.state = WorkState::Failed { reason: reason.to_owned() };
        work.ended_at = Some(now);
        note(run, now, Some(step_id.clone()), format!("failed: {reason}"));
        let touched = self.settle(id);
        Ok(Change { reply: Reply::Ok, touched, text: format!("{step_id}: failed: {reason}") })
    }

    /// Invariant OneWriter: the target gets authority once every other region that had it is closed.
    pub(super) fn grant(&mut self, id: &RunId, step_id: &StepId) -> Outcome {
        let now = self.now;
        self.refuse_held_back(id, step_id, Direction::Forward)?;
        let run = self.live_run(id)?;
        if may_open(run, step_id, Direction::Forward, now)?.action != Action::Grant {
            return Err(invalid(format!("step {step_id} of {id} is no grant")));
        }
        let (service_id, from, to, generation) =
            (run.plan.service.clone(), run.plan.from.clone(), run.plan.to.clone(), run.plan.generation);
        let service = self.services.get(&service_id).ok_or_else(|| not_found(format!("no service {service_id}")))?;
        let leased = service.manifest.fence.is_leased();
        let run = self.runs.get(id).ok_or_else(|| not_found(format!("no run {id}")))?;
        let closed = closing_proof(run, service.authority.get(&from).filter(|_| leased), now)?;
        let closes = leased || run.plan.steps.iter().any(|step| super::runs::closes_old_region(&run.plan, step));
        let service =
            self.services.get_mut(&service_id).ok_or_else(|| not_found(format!("no service {service_id}")))?;
        if !closes && from != to && service.authority.get(&from).is_some_and(|old| old.state == AuthorityState::Granted)
        {
            return Err(precondition(format!("{from} has write authority and the plan has no step that closes it")));
        }
        for (region, authority) in &service.authority {
            if authority.state.may_write() && *region != to && *region != from {
                return Err(precondition(format!("{region} has write authority and no step closed it")));
            }
        }
        if let Some(authority) = service.authority.get_mut(&from) {
            authority.state = closed;
        }
        service.authority.insert(to.clone(), Authority { generation, state: AuthorityState::Granted });
        service.leases_begin_anew();
        let run = self.live_run(id)?;
        let work = work_mut(run, step_id, Direction::Forward)?;
        work.state = WorkState::Done;
        work.started_at.get_or_insert(now);
        work.ended_at = Some(now);
        note(run, now, Some(step_id.clone()), format!("{to} has write authority at generation {generation}"));
        let mut touched = self.settle(id);
        touched.push(Entity::Service(service_id));
        Ok(Change { reply: Reply::Ok, touched, text: format!("{to} has write authority at generation {generation}") })
    }
}

/// All fence steps done, or skipped by two people who still stand to it. Of a region with leases: proven closed by this
/// run, or accepted by two people.
fn closing_proof(run: &Run, leased: Option<&Authority>, now: Timestamp) -> Result<AuthorityState, Refusal> {
    let mut by_consent = leased.is_some_and(|old| old.state.may_write());
    for step in run.plan.steps.iter().filter(|step| super::runs::closes_old_region(&run.plan, step)) {
        match run.steps.get(&step.id).map(|work| &work.forward.state) {
            Some(WorkState::Done) => {}
            Some(WorkState::Skipped { .. }) => by_consent = true,
            Some(WorkState::Waiting | WorkState::Open | WorkState::Backoff { .. } | WorkState::Failed { .. })
            | None => {
                return Err(precondition(format!("{} is not closed: step {} is not done", run.plan.from, step.id)));
            }
        }
    }
    if let Some(proven @ AuthorityState::Proven { run: by, .. }) = leased.map(|old| &old.state)
        && *by == run.id
    {
        return Ok(proven.clone());
    }
    if by_consent {
        let keys = super::runs::consenting_keys(run, now);
        if keys.len() < crate::access::APPROVALS_NEEDED {
            return Err(precondition(format!(
                "{} was closed by consent that has expired or was withdrawn since: two people approve {} again",
                run.plan.from, run.id
            )));
        }
        return Ok(AuthorityState::ClosedByConsent { run: run.id.clone(), keys });
    }
    Ok(AuthorityState::Closed { run: run.id.clone() })
}

/// Does a person's approval that is still wanted, or a safety rule, hold the step back?
pub(crate) fn is_held_back(fleet: &Fleet, run: &Run, step: &Step, direction: Direction) -> bool {
    direction == Direction::Forward && (run.awaits_release(step) || safety::gate(fleet, run, step).is_some())
}

/// May an intent for this direction of this step be opened now? Order rules are enforced here, not by convention.
fn may_open<'r>(run: &'r Run, step_id: &StepId, direction: Direction, now: Timestamp) -> Result<&'r Step, Refusal> {
    require_moving(run, direction)?;
    if let Some(pause) = &run.paused {
        return Err(precondition(format!("run {} is paused by {}", run.id, pause.by)));
    }
    let (step, _) = run.step(step_id).ok_or_else(|| not_found(format!("run {} has no step {step_id}", run.id)))?;
    let work = run
        .work(step_id, direction)
        .ok_or_else(|| invalid(format!("step {step_id} of {} has nothing to undo", run.id)))?;
    match &work.state {
        WorkState::Waiting => {}
        WorkState::Backoff { until, .. } if *until <= now => {}
        WorkState::Backoff { until, .. } => {
            return Err(precondition(format!("step {step_id} of {} waits until {until}", run.id)));
        }
        state @ (WorkState::Open | WorkState::Done | WorkState::Skipped { .. } | WorkState::Failed { .. }) => {
            return Err(conflict(format!("step {step_id} of {} is {} already", run.id, state.name())));
        }
    }
    if work.intents.len() >= INTENTS_MAX {
        return Err(precondition(format!("step {step_id} of {} has used its {INTENTS_MAX} intents", run.id)));
    }
    if !predecessors_settled(run, step, direction) {
        return Err(precondition(format!("step {step_id} of {} waits for another step", run.id)));
    }
    Ok(step)
}

/// Forward: all that it waits for is done. Undo: no forward intent is open, and all that stood behind it is undone.
pub(crate) fn predecessors_settled(run: &Run, step: &Step, direction: Direction) -> bool {
    let finished = |state: &WorkState| matches!(state, WorkState::Done | WorkState::Skipped { .. });
    match direction {
        Direction::Forward => {
            step.after.iter().all(|id| run.steps.get(id).is_some_and(|work| finished(&work.forward.state)))
        }
        Direction::Undo => {
            let later = successors(run, &step.id);
            run.steps.get(&step.id).is_some_and(|work| work.forward.open_intent().is_none())
                && later.iter().all(|id| {
                    run.steps.get(id).is_some_and(|work| {
                        work.forward.open_intent().is_none()
                            && work.undo.as_ref().is_none_or(|undo| finished(&undo.state))
                    })
                })
        }
    }
}

/// All steps that wait for `id`, directly or not.
fn successors(run: &Run, id: &StepId) -> Vec<StepId> {
    let mut found = vec![id.clone()];
    for step in &run.plan.steps {
        if step.after.iter().any(|before| found.contains(before)) {
            found.push(step.id.clone());
        }
    }
    found.remove(0);
    found
}

fn require_moving(run: &Run, direction: Direction) -> Result<(), Refusal> {
    let fits = match (&run.state, direction) {
        (RunState::Running, Direction::Forward) | (RunState::Unwinding, Direction::Undo) => true,
        (RunState::Running | RunState::Unwinding, _)
        | (RunState::Held { .. } | RunState::Done | RunState::Compensated | RunState::Refused { .. }, _) => false,
    };
    if fits { Ok(()) } else { Err(precondition(format!("run {} is {}", run.id, run.state.name()))) }
}

fn state_after(work: &Work, step: &Step, outcome: &StepOutcome, now: Timestamp) -> WorkState {
    let backoff = |reason: &str| {
        let times = u32::try_from(work.intents.len().saturating_sub(1)).unwrap_or(u32::MAX).min(16);
        let pause = step.retry.backoff_min.saturating_mul(1 << times).min(step.retry.backoff_max);
        WorkState::Backoff { until: now.plus(pause), reason: reason.to_owned() }
    };
    match outcome.result {
        OutcomeResult::Done => WorkState::Done,
        OutcomeResult::Refused { retry: false } => WorkState::Failed { reason: outcome.detail.clone() },
        OutcomeResult::Refused { retry: true } | OutcomeResult::Unknown if work.intents.len() >= INTENTS_MAX => {
            WorkState::Failed { reason: format!("{INTENTS_MAX} intents without success: {}", outcome.detail) }
        }
        OutcomeResult::Refused { retry: true } | OutcomeResult::Unknown => backoff(&outcome.detail),
    }
}

/// A call of an older generation that may still arrive, where the provider would not refuse it.
pub(crate) fn blocking_call<'c>(
    calls: &'c [OpenCall],
    resource: &str,
    generation: crate::ids::Generation,
    now: Timestamp,
) -> Option<&'c OpenCall> {
    calls.iter().find(|call| call.bars(resource, generation) && call.until > now)
}

/// Calls of the run's forward direction that may still arrive after it is over, for providers that cannot refuse them.
pub(super) fn calls_left_open(run: &Run, direction: Direction, now: Timestamp) -> Vec<OpenCall> {
    let mut open: BTreeMap<String, OpenCall> = BTreeMap::new();
    for step in &run.plan.steps {
        let Some(work) = run.work(&step.id, direction) else { continue };
        let Ok(action) = action_of(step, direction) else { continue };
        if !action.mutates() || action.provider_checked() {
            continue;
        }
        // A repeated call leaves its first sending in doubt even when the step is done.
        let doubtful = work.intents.iter().filter(|intent| {
            intent.outcome.as_ref().is_none_or(|outcome| outcome.result == OutcomeResult::Unknown || outcome.calls > 1)
        });
        for intent in doubtful {
            let until = intent.closed_at.unwrap_or(now).plus(action.call_lifetime());
            let resource = action.resource(&step.region);
            let call = OpenCall { resource: resource.clone(), generation: intent.generation, until };
            let kept = open.entry(resource).or_insert_with(|| call.clone());
            kept.until = kept.until.max(until);
        }
    }
    open.into_values().filter(|call| call.until > now).collect()
}

pub(crate) fn action_of(step: &Step, direction: Direction) -> Result<&Action, Refusal> {
    match direction {
        Direction::Forward => Ok(&step.action),
        Direction::Undo => step.undo.as_ref().ok_or_else(|| invalid(format!("step {} has nothing to undo", step.id))),
    }
}

fn generation_of(run: &Run, direction: Direction) -> crate::ids::Generation {
    match direction {
        Direction::Forward => run.plan.generation,
        Direction::Undo => run.generation(),
    }
}

fn work_mut<'r>(run: &'r mut Run, step: &StepId, direction: Direction) -> Result<&'r mut Work, Refusal> {
    let id = run.id.clone();
    let missing = || not_found(format!("run {id} has no step {step} to carry out that way"));
    let steps = run.steps.get_mut(step).ok_or_else(missing)?;
    match direction {
        Direction::Forward => Ok(&mut steps.forward),
        Direction::Undo => steps.undo.as_mut().ok_or_else(missing),
    }
}

/// The regions that may write now, for checks of invariant OneWriter.
pub fn writers(authority: &BTreeMap<RegionId, Authority>) -> Vec<&RegionId> {
    authority
        .iter()
        .filter(|(_, authority)| authority.state == AuthorityState::Granted)
        .map(|(region, _)| region)
        .collect()
}
