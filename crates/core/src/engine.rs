//! What the leader should propose next, and what an agent is offered. Pure: the driver in the coordinator is its shell.
//!
//! `next` starts from the full replicated state each time, so a new leader goes on where the old one stopped and a lost
//! trigger costs nothing. Every command that it returns is checked again when it is applied: proposing one twice, or
//! one that has become wrong, changes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::execute::{Job, NOTICE_LOSS};
use crate::fleet::apply::{is_held_back, predecessors_settled};
use crate::fleet::{Authority, AuthorityState, Command, Fleet, OpenCall, Service};
use crate::ids::{AgentId, Generation, RegionId, RunId, StepId, Token};
use crate::plan::{Action, Step};
use crate::run::{
    Direction, INTENTS_MAX, Intent, MeasuredLoss, Outcome, OutcomeResult, Run, RunState, Work, WorkState,
};
use crate::time::Timestamp;

pub mod ahead;

/// The leader's soft state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    pub now: Timestamp,
    /// Agents with a session on this leader.
    pub agents: BTreeMap<AgentId, AgentPresence>,
    /// After so long without a word an agent's permission to call has ended, and its open intents are unknown.
    pub agent_silence: Duration,
    /// Since when this leader leads: it has not been listening for longer.
    pub led_since: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentPresence {
    pub region: RegionId,
    pub last_heard: Timestamp,
    /// Open intents it has.
    pub load: u32,
}

impl View {
    /// When the agent of an open intent may last have had permission to call. What a leader remembers of an earlier term
    /// of its own says nothing of the permissions that another leader gave since.
    fn heard(&self, intent: &Intent) -> Timestamp {
        let heard = self.agents.get(&intent.agent).map(|agent| agent.last_heard);
        let heard = heard.filter(|heard| *heard >= self.led_since);
        heard.unwrap_or(self.led_since.max(intent.opened_at))
    }
}

/// All commands that are due now, at most one for each step.
pub fn next(fleet: &Fleet, view: &View) -> Vec<Command> {
    let mut commands = Vec::new();
    for (service, run) in live_runs(fleet) {
        commands.extend(lost_intents(run, view));
        let moving = matches!(run.state, RunState::Running | RunState::Unwinding);
        if moving && fleet.halted(run, view.now).is_none() {
            commands.extend(due_steps(fleet, service, run, view));
        }
    }
    commands
}

/// When `next` should be asked again although nothing has happened.
pub fn next_wakeup(fleet: &Fleet, view: &View) -> Option<Timestamp> {
    let mut times = Vec::new();
    for (service, run) in live_runs(fleet) {
        times.extend(run.open_intents().map(|(_, _, intent)| view.heard(intent).plus(view.agent_silence)));
        if run.paused.is_some() {
            continue;
        }
        let thawed = fleet.thawed_at(run);
        times.extend(thawed);
        for (step, direction, work) in candidates(fleet, run) {
            let ready = ready_at(run, step, direction, work).max(thawed.unwrap_or_default());
            times.push(ready.plus(step.timeout));
            times.push(ready.max(view.led_since).plus(view.agent_silence));
            if let WorkState::Backoff { until, .. } = &work.state {
                times.push(*until);
            }
        }
        times.extend(service.open_calls.iter().map(|call| call.until));
    }
    // A moment that has passed already was looked at by `next`; the one after it is what counts.
    times.into_iter().filter(|time| *time > view.now).min()
}

/// What the agent of an open intent is told, or `None` if the intent is no longer open.
pub fn job(fleet: &Fleet, run: &RunId, step: &StepId, direction: Direction, now: Timestamp) -> Option<Job> {
    let run = fleet.runs.get(run)?;
    let work = run.work(step, direction)?;
    let intent = work.open_intent()?;
    let step = run.plan.step(step)?;
    let action = match direction {
        Direction::Forward => step.action.clone(),
        Direction::Undo => step.undo.clone()?,
    };
    let thawed = fleet.thawed_at(run).unwrap_or_default();
    let service = fleet.services.get(&run.plan.service)?;
    let waited = waited_out(service, &action, &step.region, intent.generation).unwrap_or_default();
    let spent = now.since(work.started_at.unwrap_or(intent.opened_at).max(thawed).max(waited));
    Some(Job {
        service: run.plan.service.clone(),
        run: run.id.clone(),
        step: step.id.clone(),
        direction,
        token: Token { generation: intent.generation, intent: intent.seq },
        key: intent.key.clone(),
        region: step.region.clone(),
        action,
        time_left: step.timeout.saturating_sub(spent),
        retry: step.retry,
        maybe_sent_since: work.maybe_sent_since(),
        mesh_time: Some(now),
        retried_by_person: work.retried_by_person(),
        evidence: evidence(run, step),
    })
}

fn live_runs(fleet: &Fleet) -> impl Iterator<Item = (&Service, &Run)> {
    fleet.services.values().filter_map(|service| {
        let run = fleet.runs.get(service.current_run.as_ref()?)?;
        (!run.state.is_terminal()).then_some((service, run))
    })
}

/// Intents whose agent has been silent for so long that it can no longer start a call.
fn lost_intents(run: &Run, view: &View) -> Vec<Command> {
    let mut lost = Vec::new();
    for (step, direction, intent) in run.open_intents() {
        let silent = view.now.since(view.heard(intent));
        if silent < view.agent_silence {
            continue;
        }
        let outcome = Outcome {
            result: OutcomeResult::Unknown,
            detail: format!("{} has not been heard of for {} s", intent.agent, silent.as_secs()),
            read_back: String::new(),
            before: String::new(),
            calls: 0,
            provider_wait: Duration::ZERO,
        };
        lost.push(Command::CloseIntent {
            run: run.id.clone(),
            step: step.id.clone(),
            direction,
            seq: intent.seq,
            outcome,
        });
    }
    lost
}

/// Steps of the run's present direction that wait and whose turn it is.
fn candidates<'f>(fleet: &Fleet, run: &'f Run) -> Vec<(&'f Step, Direction, &'f Work)> {
    let direction = match run.state {
        RunState::Running => Direction::Forward,
        RunState::Unwinding => Direction::Undo,
        RunState::Held { .. } | RunState::Done | RunState::Compensated | RunState::Refused { .. } => return Vec::new(),
    };
    run.plan
        .steps
        .iter()
        .filter_map(|step| Some((step, direction, run.work(&step.id, direction)?)))
        .filter(|(step, direction, work)| {
            matches!(work.state, WorkState::Waiting | WorkState::Backoff { .. })
                && predecessors_settled(run, step, *direction)
                && !is_held_back(fleet, run, step, *direction)
        })
        .collect()
}

fn due_steps(fleet: &Fleet, service: &Service, run: &Run, view: &View) -> Vec<Command> {
    let thawed = fleet.thawed_at(run).unwrap_or_default();
    candidates(fleet, run)
        .into_iter()
        .filter_map(|(step, direction, work)| due_step(service, run, step, direction, work, thawed, view))
        .collect()
}

fn due_step(
    service: &Service,
    run: &Run,
    step: &Step,
    direction: Direction,
    work: &Work,
    thawed: Timestamp,
    view: &View,
) -> Option<Command> {
    let generation = match direction {
        Direction::Forward => run.plan.generation,
        Direction::Undo => run.generation(),
    };
    let action = match direction {
        Direction::Forward => &step.action,
        Direction::Undo => step.undo.as_ref()?,
    };
    // Nor is waiting until the region may write.
    if action.lets_write() && !service.lets_write(&step.region, generation) {
        return None;
    }
    // Waiting for calls of an older generation to run out is not the step's own time.
    let waited_out = waited_out(service, action, &step.region, generation);
    if waited_out.is_some_and(|until| until > view.now) {
        return None;
    }
    // Nor is the time in which everything was frozen.
    let ready = ready_at(run, step, direction, work).max(waited_out.unwrap_or_default()).max(thawed);
    let fail =
        |reason: String| Some(Command::FailStep { run: run.id.clone(), step: step.id.clone(), direction, reason });
    if view.now.since(ready) >= step.timeout {
        let last = match &work.state {
            WorkState::Backoff { reason, .. } => format!(": {reason}"),
            WorkState::Waiting
            | WorkState::Open
            | WorkState::Done
            | WorkState::Skipped { .. }
            | WorkState::Failed { .. } => String::new(),
        };
        return fail(format!("not done within {} s{last}", step.timeout.as_secs()));
    }
    if matches!(&work.state, WorkState::Backoff { until, .. } if *until > view.now) {
        return None;
    }
    if work.intents.len() >= INTENTS_MAX {
        return fail(format!("{INTENTS_MAX} intents without success"));
    }
    let unproven = |old: &Authority| old.state.may_write();
    if step.action == Action::Grant
        && service.manifest.fence.is_leased()
        && service.authority.get(&run.plan.from).is_some_and(unproven)
        && !crate::fleet::apply::leases::consented(run, view.now)
    {
        return None;
    }
    if step.action == Action::Grant {
        return Some(Command::Grant { run: run.id.clone(), step: step.id.clone() });
    }
    match choose_agent(step, work, view) {
        Some(agent) => Some(Command::OpenIntent { run: run.id.clone(), step: step.id.clone(), direction, agent }),
        None if is_moot_without_agents(run, step, direction)
            && !closes_by_itself(service, run)
            && view.now.since(ready.max(view.led_since)) >= view.agent_silence =>
        {
            fail(format!("no agent of {} is connected", step.region))
        }
        None => None,
    }
}

/// Until when calls of an older generation can arrive at what it acts on.
fn waited_out(service: &Service, action: &Action, region: &RegionId, generation: Generation) -> Option<Timestamp> {
    let resource = action.resource(region);
    let bars = |call: &&OpenCall| action.mutates() && call.bars(&resource, generation);
    service.open_calls.iter().filter(bars).map(|call| call.until).max()
}

/// Its right to write ends, and a fence that needs nobody closes it: time will prove it.
fn closes_by_itself(service: &Service, run: &Run) -> bool {
    let authority = service.authority.get(&run.plan.from);
    let ending = authority.is_some_and(|old| matches!(old.state, AuthorityState::Ending { .. }));
    ending && service.manifest.fence.dead_man().is_some()
}

/// The region that is being left may be dead: waiting out its fence's whole timeout would only prolong the outage,
/// since without its agents nothing but consent can close it.
fn is_moot_without_agents(run: &Run, step: &Step, direction: Direction) -> bool {
    direction == Direction::Forward && step.region == run.plan.from && run.plan.from != run.plan.to
}

/// The least loaded agent of the region that was heard of lately; after an unknown outcome another one, if there is.
fn choose_agent(step: &Step, work: &Work, view: &View) -> Option<AgentId> {
    let avoid = work
        .intents
        .last()
        .filter(|intent| intent.outcome.as_ref().is_some_and(|outcome| outcome.result == OutcomeResult::Unknown))
        .map(|intent| &intent.agent);
    view.agents
        .iter()
        .filter(|(_, agent)| agent.region == step.region)
        .filter(|(_, agent)| view.now.since(agent.last_heard) < view.agent_silence)
        .min_by_key(|(id, agent)| (Some(*id) == avoid, agent.load, *id))
        .map(|(id, _)| id.clone())
}

/// Since when the work's time runs.
fn ready_at(run: &Run, step: &Step, direction: Direction, work: &Work) -> Timestamp {
    if let Some(started) = work.started_at {
        return started;
    }
    let begun = match (direction, &run.unwind) {
        (Direction::Undo, Some(unwind)) => unwind.at,
        (Direction::Undo | Direction::Forward, _) => run.started_at,
    };
    let ends = run.plan.steps.iter().filter_map(|other| {
        let counts = match direction {
            Direction::Forward => step.after.contains(&other.id),
            Direction::Undo => true,
        };
        run.work(&other.id, direction).filter(|_| counts)?.ended_at
    });
    ends.fold(begun, Timestamp::max)
}

fn evidence(run: &Run, of: &Step) -> BTreeMap<StepId, String> {
    let mut evidence = BTreeMap::new();
    for (id, step) in &run.steps {
        let done = step.forward.intents.iter().rev().find_map(|intent| {
            let outcome = intent.outcome.as_ref()?;
            (outcome.result == OutcomeResult::Done).then(|| outcome.read_back.clone())
        });
        if let Some(read_back) = done {
            evidence.insert(id.clone(), read_back);
        }
    }
    // People who are told read what is lost, too.
    if let (Action::SnsNotify { .. }, Ok(key)) = (&of.action, StepId::new(NOTICE_LOSS)) {
        evidence.insert(key, loss_in_words(run));
    }
    evidence
}

fn loss_in_words(run: &Run) -> String {
    let measured = run.measured.as_ref().map_or_else(|| "not yet".to_owned(), MeasuredLoss::in_words);
    format!("Expected to be lost: {}.\nMeasured: {measured}.", run.loss.in_words())
}
