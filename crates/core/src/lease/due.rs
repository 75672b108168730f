//! What the leader proposes about leases: the end of a right, the proof that it has ended, whom to ask for promises.
//! As with the engine, every command is checked again when it is applied.

use std::collections::BTreeSet;
use std::time::Duration;

use super::ledger::{Ledger, Mono, elsewhere};
use super::{ASK_LISTS_MAX, ASK_MEMBERS_MAX, Case, Closing, Proof, Terms, closing};
use crate::engine::View;
use crate::fleet::apply::leases::{closing_steps, fence_seen, looks_done};
use crate::fleet::{AuthorityState, Command, Fleet, Service};
use crate::ids::{AgentId, Generation, RegionId, ServiceId};
use crate::lease::closing::FenceSeen;
use crate::plan::{Action, PlanKind, Step};
use crate::run::{Direction, Need, Run, RunState, Work, WorkState};

/// An agent that has been silent for so long leaves the ask lists, so that the others can hold without it. It gets no
/// lease until it is back on them.
pub const ASK_SILENCE: Duration = Duration::from_secs(60);

/// What is due, and after how long there may be more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    pub commands: Vec<Command>,
    pub again_in: Option<Duration>,
    /// What the proof of a closed region still lacks, for people.
    pub missing: Vec<(ServiceId, RegionId, String)>,
}

pub fn due(fleet: &Fleet, view: &View, ledger: &Ledger, now: Mono) -> Due {
    let mut due = Due::default();
    for (id, service) in &fleet.services {
        if !service.manifest.fence.is_leased() {
            continue;
        }
        due.ask_list(fleet, view, ledger, id, service, now);
        let run = service.current_run.as_ref().and_then(|run| fleet.runs.get(run));
        let moves = |run: &&Run| run.plan.kind == PlanKind::Failover && fleet.halted(run, view.now).is_none();
        let Some(run) = run.filter(moves) else { continue };
        due.transition(fleet, view, ledger, id, service, run, now);
    }
    due
}

impl Due {
    #[expect(clippy::too_many_arguments, reason = "each is looked at")]
    fn transition(
        &mut self,
        fleet: &Fleet,
        view: &View,
        ledger: &Ledger,
        id: &ServiceId,
        service: &Service,
        run: &Run,
        now: Mono,
    ) {
        let region = if run.unwind.is_some() { &run.plan.to } else { &run.plan.from };
        let wanted = run.generation();
        match service.authority.get(region).map(|authority| &authority.state) {
            Some(AuthorityState::Ending { wanted: ending }) if *ending == wanted => {}
            Some(AuthorityState::Granted | AuthorityState::Ending { .. }) if run.unwind.is_none() => {
                if run.state == RunState::Running && run.plan.from != run.plan.to && looks_done(run) {
                    self.commands.push(Command::Revoke { run: run.id.clone() });
                }
                return;
            }
            _ => return,
        }
        let case = case(fleet, id, service, run, region, wanted);
        let stuck = !can_be_fenced(run, region, view);
        match closing(&case, ledger, now) {
            // While its agents carry out the fence, nothing is skipped.
            Closing::Proven(Proof::LeaseEnded { .. }) if case.fence == FenceSeen::Open && !stuck => {}
            Closing::Proven(proof) => self.prove(run, region, proof),
            Closing::Waiting { .. } if stuck && service.manifest.fence.accepts_unfenced() => {
                self.prove(run, region, Proof::Accepted);
            }
            Closing::Waiting { until, missing } => {
                self.again(until, now);
                self.missing.push((id.clone(), region.clone(), missing));
            }
        }
        if !stuck {
            self.again_in = Some(self.again_in.map_or(view.agent_silence, |again| again.min(view.agent_silence)));
        }
    }

    fn prove(&mut self, run: &Run, region: &RegionId, proof: Proof) {
        self.commands.push(Command::ProveClosed { run: run.id.clone(), region: region.clone(), proof });
    }

    fn ask_list(&mut self, fleet: &Fleet, view: &View, ledger: &Ledger, id: &ServiceId, service: &Service, now: Mono) {
        let wanted = members(fleet, view, service);
        let newest = service.asks.last();
        if newest.is_none_or(|list| list.members != wanted) {
            if service.asks.len() < ASK_LISTS_MAX && !wanted.is_empty() {
                self.commands.push(Command::SetAskList { service: id.clone(), members: wanted });
            }
            return;
        }
        let Some(version) = newest.map(|list| list.version).filter(|_| service.asks.len() > 1) else { return };
        let writers = service.authority.iter().filter(|(_, authority)| authority.state.may_write());
        let knows = |agent: &AgentId| ledger.acked(id, agent).is_some_and(|acked| acked.ack.asks >= version);
        let all_know = writers.flat_map(|(region, _)| holders(fleet, service, region)).all(|agent| knows(&agent));
        if all_know {
            self.commands.push(Command::RetireAskLists { service: id.clone(), version });
        }
        self.again(Some(now.saturating_add(ASK_SILENCE)), now);
    }

    fn again(&mut self, until: Option<Mono>, now: Mono) {
        let Some(until) = until else { return };
        let rest = until.saturating_sub(now).max(Duration::from_millis(1));
        self.again_in = Some(self.again_in.map_or(rest, |again| again.min(rest)));
    }
}

/// The region that the run has to close, as the leader knows it.
pub fn case<'a>(
    fleet: &Fleet,
    id: &'a ServiceId,
    service: &Service,
    run: &Run,
    region: &'a RegionId,
    wanted: Generation,
) -> Case<'a> {
    let fencing = &service.manifest.fence;
    let forward = run.unwind.is_none();
    let fence = match closing_steps(&run.plan).next() {
        // What was never promoted is a replica still, and an abort is refused once a promotion may have been sent.
        _ if !forward && has_promotion(run) => FenceSeen::Closed,
        _ if !forward => seen_closed_again(run),
        None => FenceSeen::NoSteps,
        Some(_) if fence_seen(run) => FenceSeen::Closed,
        Some(_) => FenceSeen::Open,
    };
    let never_opened = !forward && has_promotion(run);
    let dead_man = if never_opened { Some(Duration::ZERO) } else { fencing.dead_man() };
    Case {
        service: id,
        region,
        wanted,
        holders: holders(fleet, service, region),
        lists: service.asks.iter().map(|list| elsewhere(list, region, &fleet.agents)).collect(),
        terms: Terms { length: fencing.length.max(service.lease_longest), margin: fencing.margin },
        dead_man,
        fence,
    }
}

/// Of a target that a run opened and has to close again.
fn seen_closed_again(run: &Run) -> FenceSeen {
    let opened = |step: &&Step| matches!(step.action, Action::HookUnfence { .. }) && step.region == run.plan.to;
    let mut steps = run.plan.steps.iter().filter(opened).peekable();
    if steps.peek().is_none() {
        return FenceSeen::NoSteps;
    }
    let is_closed = |step: &Step| {
        let done = |work: &Work| matches!(work.state, WorkState::Done);
        let untouched = run.work(&step.id, Direction::Forward).is_some_and(|work| work.intents.is_empty());
        untouched || run.work(&step.id, Direction::Undo).is_some_and(done)
    };
    if steps.all(is_closed) { FenceSeen::Closed } else { FenceSeen::Open }
}

/// The agents of the region that may have had a lease since it was granted: all that were on a list.
fn holders(fleet: &Fleet, service: &Service, region: &RegionId) -> BTreeSet<AgentId> {
    let listed = service.asks.iter().flat_map(|list| &list.members);
    listed.filter(|agent| fleet.agents.get(*agent).is_some_and(|record| record.region == *region)).cloned().collect()
}

/// Can the steps that close the region still be carried out there, or are they done?
fn can_be_fenced(run: &Run, region: &RegionId, view: &View) -> bool {
    if matches!(&run.state, RunState::Held { need: Need::Consent { .. }, .. }) {
        return false;
    }
    let heard = |last| view.now.since(last) < view.agent_silence;
    let mut agents = view.agents.values().filter(|agent| agent.region == *region);
    agents.any(|agent| heard(agent.last_heard)) || view.now.since(view.led_since) < view.agent_silence
}

fn has_promotion(run: &Run) -> bool {
    run.plan.steps.iter().any(|step| step.action.is_promotion())
}

/// All agents but those that have been silent for long. The first list has all that are registered.
fn members(fleet: &Fleet, view: &View, service: &Service) -> BTreeSet<AgentId> {
    let Some(newest) = service.asks.last() else {
        return fleet.agents.keys().take(ASK_MEMBERS_MAX).cloned().collect();
    };
    let led_long = view.now.since(view.led_since) >= ASK_SILENCE;
    let silent = |agent: &AgentId| {
        view.agents.get(agent).map_or(led_long, |seen| led_long && view.now.since(seen.last_heard) >= ASK_SILENCE)
    };
    let heard = |agent: &&AgentId| {
        view.agents.get(*agent).is_some_and(|seen| view.now.since(seen.last_heard) < view.agent_silence)
    };
    let staying = newest.members.iter().filter(|agent| !silent(agent));
    let coming = fleet.agents.keys().filter(|agent| !newest.members.contains(*agent)).filter(heard);
    staying.chain(coming).take(ASK_MEMBERS_MAX).cloned().collect()
}
