//! Write authority that is held by leases: how it ends, how its end is proven, whom its holders ask for promises.

use std::collections::BTreeSet;

use super::runs::{closes_old_region, leaves_old_region, note, stops_requests};
use super::{Change, Outcome, invalid, not_found, precondition};
use crate::fleet::{Authority, AuthorityState, Entity, Fleet, Refusal, Reply, Service};
use crate::ids::{AgentId, Generation, RegionId, RunId, ServiceId, StepId};
use crate::lease::{ASK_LISTS_MAX, ASK_MEMBERS_MAX, AskList, Proof};
use crate::manifest::LossPolicy;
use crate::plan::{Action, Plan, PlanKind, PredictedLoss, Step};
use crate::run::{Direction, Need, Run, RunState, WorkState};

/// Longest address of an agent: a DNS name and a port.
const ADDRESS_MAX: usize = 262;

impl Fleet {
    /// "g ends, h wanted": from here on no lease of the old region is renewed.
    pub(super) fn revoke(&mut self, id: &RunId) -> Outcome {
        let now = self.now;
        if let Some(why) = self.runs.get(id).and_then(|run| self.halted(run, now)) {
            return Err(precondition(why));
        }
        let run = self.live_run(id)?;
        if run.state != RunState::Running || !looks_done(run) {
            return Err(precondition(format!("run {id} has not looked at everything yet, or does not go forward")));
        }
        let (service_id, from, to, wanted) =
            (run.plan.service.clone(), run.plan.from.clone(), run.plan.to.clone(), run.plan.generation);
        let service = self.leased(&service_id)?;
        let authority = service.authority.get_mut(&from).filter(|authority| authority.state.may_write() && from != to);
        let Some(authority) = authority.filter(|old| old.state != AuthorityState::Ending { wanted }) else {
            return Err(precondition(format!("{from} has no write authority that run {id} could end")));
        };
        authority.state = AuthorityState::Ending { wanted };
        let text = format!("the write authority of {from} ends, generation {wanted} is wanted");
        let run = self.live_run(id)?;
        note(run, now, None, text.clone());
        Ok(Change { reply: Reply::Ok, touched: vec![Entity::Run(id.clone()), Entity::Service(service_id)], text })
    }

    /// With the region closed, the run's target may be granted; or, unwinding, its old region has the authority again.
    pub(super) fn prove_closed(&mut self, id: &RunId, region: &RegionId, proof: &Proof) -> Outcome {
        let now = self.now;
        let run = self.live_run(id)?;
        let (service_id, plan, wanted) = (run.plan.service.clone(), run.plan.clone(), run.generation());
        let unwinding = run.unwind.is_some();
        if *region != *(if unwinding { &plan.to } else { &plan.from }) {
            return Err(invalid(format!("it is not {region} that run {id} closes")));
        }
        if !unwinding && matches!(proof, Proof::Fenced { .. }) && !fence_seen(run) {
            return Err(precondition(format!("the fence of {region} was not seen closed")));
        }
        let service = self.leased(&service_id)?;
        if *proof == Proof::Accepted && !service.manifest.fence.accepts_unfenced() {
            return Err(precondition(format!("the manifest does not accept that {region} is not fenced")));
        }
        let authority = service.authority.get_mut(region);
        let Some(authority) = authority.filter(|old| old.state == AuthorityState::Ending { wanted }) else {
            return Err(precondition(format!("the write authority of {region} does not end for generation {wanted}")));
        };
        authority.state = AuthorityState::Proven { run: id.clone(), proof: proof.clone() };
        if unwinding {
            let regained = Authority { generation: wanted, state: AuthorityState::Granted };
            service.authority.insert(plan.from.clone(), regained);
            service.leases_begin_anew();
        }
        let objective = service.manifest.objectives.rpo;
        let accepts_loss = service.manifest.policy.loss == LossPolicy::Accept;
        let text = format!("{region} is closed: {proof}");
        let run = self.live_run(id)?;
        note(run, now, None, text.clone());
        if unwinding {
            note(run, now, None, format!("{} has write authority again at generation {wanted}", plan.from));
        } else {
            let bearable = accepts_loss || is_within(&run.loss, objective);
            go_on_without_fence(run, matches!(proof, Proof::Fenced { .. }), bearable, &text, now);
        }
        let mut touched = self.settle(id);
        touched.push(Entity::Service(service_id));
        Ok(Change { reply: Reply::Ok, touched, text })
    }

    pub(super) fn set_ask_list(&mut self, id: &ServiceId, members: &BTreeSet<AgentId>) -> Outcome {
        if members.len() > ASK_MEMBERS_MAX {
            return Err(invalid(format!("an ask list has at most {ASK_MEMBERS_MAX} agents")));
        }
        if let Some(unknown) = members.iter().find(|agent| !self.agents.contains_key(*agent)) {
            return Err(not_found(format!("no agent {unknown}")));
        }
        let service = self.leased(id)?;
        if service.asks.last().is_some_and(|list| list.members == *members) {
            let text = format!("{id}: these are asked already");
            return Ok(Change { reply: Reply::Ok, touched: Vec::new(), text });
        }
        if service.asks.len() >= ASK_LISTS_MAX {
            return Err(precondition(format!(
                "{ASK_LISTS_MAX} ask lists of {id} may be in use: no more before a grant"
            )));
        }
        let version = service.asks.last().map_or(1, |list| list.version.saturating_add(1));
        service.asks.push(AskList { version, members: members.clone() });
        let text = format!("{id}: ask list {version} has {} agents", members.len());
        Ok(Change { reply: Reply::Ok, touched: vec![Entity::Service(id.clone())], text })
    }

    pub(super) fn retire_ask_lists(&mut self, id: &ServiceId, version: u64) -> Outcome {
        let service = self.leased(id)?;
        let newest = service.asks.last().map(|list| list.version);
        service.asks.retain(|list| list.version >= version || Some(list.version) == newest);
        let text = format!("{id}: no ask list before {version} is in use");
        Ok(Change { reply: Reply::Ok, touched: vec![Entity::Service(id.clone())], text })
    }

    pub(super) fn note_address(&mut self, id: &AgentId, address: Option<&str>) -> Outcome {
        if address.is_some_and(|address| address.len() > ADDRESS_MAX) {
            return Err(invalid(format!("an address has at most {ADDRESS_MAX} characters")));
        }
        let agent = self.agents.get_mut(id).ok_or_else(|| not_found(format!("no agent {id}")))?;
        agent.address = address.map(str::to_owned);
        let text = format!("agent {id} is asked for promises at {}", address.unwrap_or("no address"));
        Ok(Change { reply: Reply::Ok, touched: vec![Entity::Agent(id.clone())], text })
    }

    fn leased(&mut self, id: &ServiceId) -> Result<&mut Service, Refusal> {
        let service = self.services.get_mut(id).ok_or_else(|| not_found(format!("no service {id}")))?;
        if !service.manifest.fence.is_leased() {
            return Err(precondition(format!("{id} has no leases: its manifest declares no fence")));
        }
        Ok(service)
    }
}

impl Service {
    /// All older regions are closed: who writes from here on uses the newest ask list and the present terms.
    pub(super) fn leases_begin_anew(&mut self) {
        let older = self.asks.len().saturating_sub(1);
        self.asks.drain(..older);
        self.lease_longest = self.manifest.fence.length;
    }

    /// A run that moves no authority: whoever acts for it takes nothing older any more, neither a lease nor a wish for a
    /// promise. So the region that may write goes on at its generation.
    pub(super) fn write_on_at(&mut self, generation: Generation) {
        if self.manifest.fence.is_leased()
            && let Some(authority) = self.authority.get_mut(&self.active)
            && authority.state == AuthorityState::Granted
        {
            authority.generation = generation;
        }
    }

    /// Where there are leases: may a step that lets `region` write be opened at this generation?
    pub(crate) fn lets_write(&self, region: &RegionId, generation: Generation) -> bool {
        !self.manifest.fence.is_leased()
            || self.authority.get(region).is_some_and(|authority| {
                authority.state == AuthorityState::Granted && authority.generation == generation
            })
    }

    /// A region whose right to write has been ended and is not proven to have ended.
    pub(crate) fn ending(&self) -> Option<&RegionId> {
        let mut ending =
            self.authority.iter().filter(|(_, authority)| matches!(authority.state, AuthorityState::Ending { .. }));
        ending.next().map(|(region, _)| region)
    }
}

impl AuthorityState {
    /// Is the region not closed?
    pub const fn may_write(&self) -> bool {
        match self {
            Self::Granted | Self::Ending { .. } => true,
            Self::Closed { .. } | Self::ClosedByConsent { .. } | Self::Proven { .. } => false,
        }
    }
}

/// Are all steps done that stand before the fence and the grant? Nobody's right is ended for a target that cannot serve.
pub(crate) fn looks_done(run: &Run) -> bool {
    let Some(grant) = run.plan.steps.iter().find(|step| step.action == Action::Grant) else { return false };
    let mut before: BTreeSet<&StepId> = grant.after.iter().collect();
    for step in run.plan.steps.iter().rev() {
        if before.contains(&step.id) {
            before.extend(&step.after);
        }
    }
    let looks = run.plan.steps.iter().filter(|step| before.contains(&step.id) && !leaves_old_region(&run.plan, step));
    looks.into_iter().all(|step| is_finished(run, &step.id))
}

/// Is every step that closes the old region there done, and read back? Without such steps nothing was seen.
pub(crate) fn fence_seen(run: &Run) -> bool {
    closing_steps(&run.plan)
        .all(|(id, _)| run.work(&id, Direction::Forward).is_some_and(|work| work.state == WorkState::Done))
}

/// The steps that close the old region, carried out there.
pub(crate) fn closing_steps(plan: &Plan) -> impl Iterator<Item = (StepId, RegionId)> + '_ {
    plan.steps
        .iter()
        .filter(|step| plan.kind == PlanKind::Failover && closes_old_region(plan, step) && step.region == plan.from)
        .map(|step| (step.id.clone(), step.region.clone()))
}

fn is_finished(run: &Run, id: &StepId) -> bool {
    let state = run.work(id, Direction::Forward).map(|work| &work.state);
    matches!(state, Some(WorkState::Done | WorkState::Skipped { .. }))
}

/// What the proof makes needless is skipped: the rest of the fence and, where what may be lost is bearable, the wait for
/// its last writes. Otherwise that wait fails, and two people decide about the loss.
fn go_on_without_fence(run: &mut Run, fenced: bool, bearable: bool, reason: &str, now: crate::time::Timestamp) {
    // Whoever closed the region can stop its requests, too.
    let stopped = fenced || !skip(run, reason, now, stops_requests);
    if fence_seen(run) && stopped {
        return;
    }
    if !fence_seen(run) {
        skip(run, reason, now, |plan, step| closes_old_region(plan, step) && (bearable || step.region == plan.from));
    }
    retry_grant(run);
    let still_failed = run.steps.values().any(|step| matches!(step.forward.state, WorkState::Failed { .. }));
    let is_throttle = |id| run.plan.step(id).is_some_and(|step| stops_requests(&run.plan, step));
    let waits = match &run.state {
        RunState::Held { need: Need::Consent { .. }, .. } => true,
        RunState::Held { need: Need::Decision { step }, .. } => is_throttle(step),
        _ => false,
    };
    if waits && !still_failed {
        run.state = RunState::Running;
    }
}

/// All that is not done of these steps. Is there any?
fn skip(run: &mut Run, reason: &str, now: crate::time::Timestamp, which: impl Fn(&Plan, &Step) -> bool) -> bool {
    let mut any = false;
    let skipped = run.plan.steps.iter().filter(|step| which(&run.plan, step)).map(|step| step.id.clone());
    for id in skipped.collect::<Vec<StepId>>() {
        let Some(work) = run.steps.get_mut(&id).map(|step| &mut step.forward) else { continue };
        if work.state != WorkState::Done {
            work.state = WorkState::Skipped { reason: reason.to_owned() };
            work.ended_at = Some(now);
            any = true;
        }
    }
    any
}

/// Have two people accepted that the old region is not proven closed?
pub(crate) fn consented(run: &Run, now: crate::time::Timestamp) -> bool {
    super::runs::consenting_keys(run, now).len() >= crate::access::APPROVALS_NEEDED
}

/// A grant that failed for want of a proof is due again.
pub(super) fn retry_grant(run: &mut Run) {
    let grants: Vec<StepId> =
        run.plan.steps.iter().filter(|step| step.action == Action::Grant).map(|step| step.id.clone()).collect();
    for id in grants {
        let Some(work) = run.steps.get_mut(&id).map(|step| &mut step.forward) else { continue };
        if matches!(work.state, WorkState::Failed { .. }) {
            work.state = WorkState::Waiting;
            work.started_at = None;
            work.ended_at = None;
        }
    }
}

fn is_within(loss: &PredictedLoss, objective: std::time::Duration) -> bool {
    match loss {
        PredictedLoss::Nothing => true,
        PredictedLoss::Lag { lag, age, .. } => lag.saturating_add(*age) <= objective,
        PredictedLoss::Unknown => false,
    }
}
