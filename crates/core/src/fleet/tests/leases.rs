//! Write authority by leases: how it ends, how that is proven, and what follows. The agents' sides are [`Holder`]s.

use std::collections::BTreeMap;

use super::*;
use crate::execute::Job;
use crate::ids::AgentId;
use crate::lease::{Fence, Fencing, Holder, Ledger, Proof, Stamp, due};
use crate::manifest::LossPolicy;

const SECOND: Duration = Duration::from_secs(1);

/// A mesh whose service has leases, with its agents' sides of them.
struct Mesh {
    fleet: Fleet,
    ledger: Ledger,
    holders: BTreeMap<AgentId, Holder>,
    /// Regions whose agents hear nothing and are not heard.
    cut: Vec<&'static str>,
    /// Agents take work and say nothing about it.
    silent: bool,
    second: u64,
}

fn fences(dead_man: bool) -> Vec<Fence> {
    if dead_man { vec![Fence::LeaseEndpoint { reaction: 5 * SECOND }] } else { vec![Fence::PostgresqlReadOnly] }
}

impl Mesh {
    fn new(fences: Vec<Fence>, loss: LossPolicy) -> Self {
        let mut fleet = fleet();
        let leased = fleet.services.get_mut(&service("maip")).expect("it was applied");
        leased.manifest.fence = Fencing { fences, ..Fencing::default() };
        leased.manifest.policy.loss = loss;
        let holders = fleet.agents.keys().map(|agent| (agent.clone(), Holder::default())).collect();
        let mut mesh =
            Self { fleet, ledger: Ledger::elected(SECOND), holders, cut: Vec::new(), silent: false, second: 1 };
        mesh.play_until(20, |_| false);
        mesh
    }

    fn stamp(&self) -> Stamp {
        let now = Duration::from_secs(self.second);
        Stamp { boottime: now, monotonic: now, realtime: now }
    }

    /// One second: renewals and acknowledgements, then what is due, then the agents' work.
    fn second(&mut self) {
        self.second += 1;
        let (now, mono) = (self.stamp(), Duration::from_secs(self.second));
        let view = view(&self.fleet, at(self.second), &self.cut);
        let id = service("maip");
        for (agent, holder) in &mut self.holders {
            if !view.agents.contains_key(agent) {
                continue;
            }
            let service = &self.fleet.services[&id];
            if let Some(news) = self.ledger.news(&id, service, agent, &self.fleet.agents, mono) {
                holder.hear(&news, now, now);
            }
            self.ledger.acknowledged(&id, agent, holder.ack(now), mono);
        }
        let mut commands = engine::next(&self.fleet, &view);
        commands.extend(due::due(&self.fleet, &view, &self.ledger, mono).commands);
        for command in commands {
            let reply = self.fleet.apply(at(self.second), &command).reply;
            assert!(!matches!(reply, Reply::Refused(_)), "{command:?} was proposed and refused: {reply:?}");
        }
        if !self.silent {
            self.work(&view, now);
        }
        let unfenced = self.fleet.services[&id].manifest.fence.accepts_unfenced();
        let writers = self.regions_with_right();
        assert!(writers.len() < 2 || unfenced, "two regions have a right to write: {writers:?}");
    }

    /// The connected agents carry out what is open. What lets somebody write waits for their own right to it.
    fn work(&mut self, view: &engine::View, now: Stamp) {
        let open: Vec<(RunId, Job, AgentId)> = self
            .fleet
            .runs
            .values()
            .flat_map(|run| run.open_intents().map(move |(step, direction, intent)| (run, step, direction, intent)))
            .filter_map(|(run, step, direction, intent)| {
                let job = engine::job(&self.fleet, &run.id, &step.id, direction, at(self.second))?;
                Some((run.id.clone(), job, intent.agent.clone()))
            })
            .collect();
        for (run, job, agent) in open {
            let Some(holder) = self.holders.get(&agent).filter(|_| view.agents.contains_key(&agent)) else { continue };
            if job.action.lets_write() && holder.permits_call(job.token.generation, 5 * SECOND, now).is_err() {
                continue;
            }
            // Nobody can say that a dead region's last writes are here.
            let blind = matches!(job.action, Action::RdsAwaitCaughtUp { .. }) && self.cut.contains(&EAST);
            let result = if blind { OutcomeResult::Refused { retry: false } } else { OutcomeResult::Done };
            let (step, direction, seq) = (job.step, job.direction, job.token.intent);
            let close = Command::CloseIntent { run, step, direction, seq, outcome: outcome(result) };
            accepted(&mut self.fleet, at(self.second), &close);
        }
    }

    fn play_until(&mut self, seconds: u64, done: impl Fn(&Fleet) -> bool) -> bool {
        for _ in 0..seconds {
            if done(&self.fleet) {
                return true;
            }
            self.second();
        }
        done(&self.fleet)
    }

    fn regions_with_right(&self) -> Vec<&str> {
        let now = self.stamp();
        let has = |place: &str| {
            self.holders.iter().any(|(agent, holder)| {
                self.fleet.agents[agent].region.as_str() == place && holder.standing(now).is_some()
            })
        };
        [EAST, WEST].into_iter().filter(|place| has(place)).collect()
    }

    fn start(&mut self) {
        let command = start(&self.fleet, WEST);
        accepted(&mut self.fleet, at(self.second), &command);
    }

    fn state(&self, place: &str) -> AuthorityState {
        self.fleet.services[&service("maip")].authority[&region(place)].state.clone()
    }
}

fn has_ended(fleet: &Fleet) -> bool {
    fleet.services[&service("maip")].current_run.is_none()
}

fn is_held(fleet: &Fleet) -> bool {
    fleet.runs.values().any(|run| matches!(run.state, RunState::Held { .. }))
}

#[test]
fn agents_of_the_region_that_may_write_have_leases_and_no_others() {
    let mesh = Mesh::new(fences(true), LossPolicy::Block);
    assert_eq!(mesh.regions_with_right(), [EAST]);
}

#[test]
fn a_planned_move_grants_once_every_old_agent_gave_up_and_the_fence_was_seen() {
    let mut mesh = Mesh::new(fences(false), LossPolicy::Block);
    mesh.start();
    assert!(mesh.play_until(200, has_ended), "{:?}", run(&mesh.fleet).state);
    assert!(
        matches!(mesh.state(EAST), AuthorityState::Proven { proof: Proof::Fenced { agents }, .. } if agents.len() == 2)
    );
    assert_eq!(mesh.state(WEST), AuthorityState::Granted);
    assert_eq!(mesh.regions_with_right(), [WEST]);
}

#[test]
fn a_dead_region_is_left_without_people_once_its_lease_has_ended_if_the_loss_is_accepted() {
    let mut mesh = Mesh::new(fences(true), LossPolicy::Accept);
    mesh.cut.push(EAST);
    mesh.start();
    assert!(mesh.play_until(200, has_ended), "{:#?}", run(&mesh.fleet).timeline);
    assert_eq!(run(&mesh.fleet).state, RunState::Done);
    assert!(matches!(mesh.state(EAST), AuthorityState::Proven { proof: Proof::LeaseEnded { .. }, .. }));
}

#[test]
fn a_loss_that_nobody_accepted_holds_the_run_although_the_region_is_closed() {
    let mut mesh = Mesh::new(fences(true), LossPolicy::Block);
    mesh.cut.push(EAST);
    mesh.start();
    assert!(mesh.play_until(200, is_held));
    mesh.play_until(30, |_| false);
    assert!(matches!(mesh.state(EAST), AuthorityState::Proven { .. }));
    assert!(matches!(run(&mesh.fleet).state, RunState::Held { need: Need::Consent { .. }, .. }));
    enroll(&mut mesh.fleet);
    for key in ["k1", "k2"] {
        accepted(&mut mesh.fleet, at(mesh.second), &approve(key));
    }
    assert!(mesh.play_until(200, has_ended), "{:?}", run(&mesh.fleet).state);
}

#[test]
fn without_a_dead_man_fence_a_dead_region_waits_for_two_people() {
    let mut mesh = Mesh::new(fences(false), LossPolicy::Accept);
    mesh.cut.push(EAST);
    mesh.start();
    mesh.play_until(300, |_| false);
    assert!(matches!(run(&mesh.fleet).state, RunState::Held { need: Need::Consent { .. }, .. }));
    assert!(matches!(mesh.state(EAST), AuthorityState::Ending { .. }), "no time closes it");
}

#[test]
fn what_the_manifest_accepts_unfenced_counts_as_closed() {
    let mut mesh = Mesh::new(vec![Fence::Unfenced], LossPolicy::Accept);
    mesh.cut.push(EAST);
    mesh.start();
    assert!(mesh.play_until(200, has_ended), "{:?}", run(&mesh.fleet).state);
    assert!(matches!(mesh.state(EAST), AuthorityState::Proven { proof: Proof::Accepted, .. }));
}

#[test]
fn no_region_is_granted_while_another_is_not_proven_closed() {
    let mut mesh = Mesh::new(fences(true), LossPolicy::Accept);
    mesh.start();
    let id = run_id();
    let revoked = |fleet: &Fleet| {
        let authority = &fleet.services[&service("maip")].authority[&region(EAST)];
        matches!(authority.state, AuthorityState::Ending { .. })
    };
    assert!(mesh.play_until(50, revoked));
    let step = crate::ids::StepId::new("grant").expect("a name");
    assert_eq!(refused(&mut mesh.fleet, at(mesh.second), &Command::Grant { run: id, step }), RefusalCode::Precondition);
}

#[test]
fn an_abort_after_the_grant_gives_the_authority_back_once_the_target_is_closed() {
    let mut mesh = Mesh::new(fences(true), LossPolicy::Accept);
    mesh.start();
    let granted = |fleet: &Fleet| {
        let authority = fleet.services[&service("maip")].authority.get(&region(WEST));
        authority.is_some_and(|authority| authority.state == AuthorityState::Granted)
    };
    assert!(mesh.play_until(100, granted));
    // The promotion was given out in the same second, and nothing of it was done: its agent refuses it.
    let run = run(&mesh.fleet).clone();
    for (step, direction, intent) in run.open_intents() {
        let outcome = outcome(OutcomeResult::Refused { retry: true });
        let (run, step) = (run.id.clone(), step.id.clone());
        let close = Command::CloseIntent { run, step, direction, seq: intent.seq, outcome };
        accepted(&mut mesh.fleet, at(mesh.second), &close);
    }
    let abort = Command::Abort { run: run_id(), by: "x".to_owned(), reason: "wrong".to_owned() };
    if matches!(mesh.fleet.apply(at(mesh.second), &abort).reply, Reply::Refused(_)) {
        // It was done already: then it can only go forward.
        assert!(mesh.play_until(200, has_ended));
        return;
    }
    assert!(matches!(mesh.state(WEST), AuthorityState::Ending { wanted: Generation(2) }));
    assert_ne!(mesh.state(EAST), AuthorityState::Granted, "not before the target is closed");
    assert!(mesh.play_until(200, has_ended));
    assert_eq!(mesh.state(EAST), AuthorityState::Granted);
    assert_eq!(mesh.regions_with_right(), [EAST]);
}

#[test]
fn a_service_without_a_fence_has_no_leases() {
    let fleet = fleet();
    let due = due::due(&fleet, &view(&fleet, at(100), &[]), &Ledger::default(), 100 * SECOND);
    assert_eq!(due, due::Due::default());
}

#[test]
fn who_acts_for_a_run_that_moves_no_authority_still_gets_leases_and_gives_promises() {
    let mut mesh = Mesh::new(fences(true), LossPolicy::Block);
    let plan = crate::planner::plan_traffic_setup(&mesh.fleet.services[&service("maip")]).expect("a plan");
    let generation = plan.generation;
    let Command::StartRun { plan_hash, by, cause, safety, approvals, .. } = start(&mesh.fleet, WEST) else {
        panic!("a start")
    };
    let begin = Command::StartRun { plan: Box::new(plan), plan_hash, by, cause, safety, approvals };
    accepted(&mut mesh.fleet, at(mesh.second), &begin);
    // Any of them may carry out a step of it.
    mesh.holders.values_mut().for_each(|holder| {
        holder.end(generation);
    });
    mesh.second();
    let now = mesh.stamp();
    for (agent, holder) in &mut mesh.holders {
        if mesh.fleet.agents[agent].region == region(EAST) {
            assert!(holder.standing(now).is_some_and(|own| own.generation == generation), "{agent} may write no more");
        } else {
            let ask = crate::lease::Ask { generation, length: SECOND, round: 1 };
            assert_eq!(holder.promise(&ask, now), Ok(()), "{agent} keeps the region from a hold");
        }
    }
}

mod throttles;
