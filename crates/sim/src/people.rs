//! People: they look at a coordinator's state, ask for something by the RPC that is for it, and wait for the answer.
//! What a coordinator does with it is modelled after `coordinator/src/operator`: the role is asked for, a node that does not
//! lead passes it on once, the leader asks a quorum before it answers, and a pause is answered once nobody calls any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesh_core::access::{self, Role};
use mesh_core::decide::safety;
use mesh_core::detect;
use mesh_core::fleet::{Applied, Command, Fleet, Reply};
use mesh_core::ids::{KeyId, RegionId, RunId, ServiceId};
use mesh_core::planner;
use mesh_core::run::{Approval, Cause, Run};
use mesh_core::time::Timestamp;

use crate::consensus::{Role as Office, coordinator};
use crate::coordinator::running;
use crate::event::{Event, Heard};
use crate::plant::Bug;
use crate::world::World;
use crate::{MILLI, Micros, SECOND};

pub mod deeds;

/// A pause waits so long for the agents' word.
const HALT_WITHIN: Micros = 3 * SECOND;
/// An agent may call for so long after a pong.
const PERMIT_FOR: Duration = Duration::from_secs(5);
/// Who got no answer in so long asks no more.
const PATIENCE: Micros = 30 * SECOND;
/// From a person to any coordinator, one way.
const FAR: Micros = 40 * MILLI;

/// One who asks, what their certificate says, and whose keys they hold.
#[derive(Clone, Copy, Debug)]
pub struct Person {
    pub name: &'static str,
    pub role: Role,
    pub keys: &'static [&'static str],
}

pub const PEOPLE: [Person; 5] = [
    Person { name: "ann", role: Role::Admin, keys: &["ann-1", "ann-2"] },
    Person { name: "bob", role: Role::Admin, keys: &["bob-1"] },
    Person { name: "cyd", role: Role::Approver, keys: &["cyd-1"] },
    Person { name: "vic", role: Role::Viewer, keys: &[] },
    // Has a certificate, and signs in others' names.
    Person { name: "mal", role: Role::Approver, keys: &["mal-1"] },
];

#[derive(Clone, Debug)]
pub enum Deed {
    Commit(Box<Command>),
    Move { service: ServiceId, to: RegionId, rejoin: bool, approvals: Vec<Approval>, despite: bool },
    Read { stale: bool },
    Abuse,
}

#[derive(Clone, Debug)]
pub struct Asking {
    pub id: u64,
    pub person: usize,
    pub path: &'static str,
    pub deed: Deed,
    passed_on: bool,
}

/// What one who reads is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Entries that the answer reflects.
    pub index: usize,
    pub digest: u64,
    pub stale: bool,
}

#[derive(Clone, Debug)]
pub enum Step {
    Act,
    Arrive { node: usize, epoch: u32, asking: Asking },
    Confirmed { node: usize, epoch: u32, term: u64, asking: Asking },
    HaltOver { node: usize, epoch: u32, id: u64 },
    Told { id: u64, sight: Option<Sight> },
}

impl Step {
    pub const fn of(&self) -> Option<usize> {
        match self {
            Self::Arrive { node, .. } | Self::Confirmed { node, .. } | Self::HaltOver { node, .. } => Some(*node),
            Self::Act | Self::Told { .. } => None,
        }
    }

    /// Who moves a service looks at what the agents have told; all else is between people and coordinators.
    pub fn relies_on_agents(&self) -> bool {
        match self {
            Self::Confirmed { asking, .. } => !matches!(asking.deed, Deed::Read { .. } | Deed::Abuse),
            Self::Act | Self::Arrive { .. } | Self::HaltOver { .. } | Self::Told { .. } => false,
        }
    }

    pub const fn code(&self) -> u64 {
        match self {
            Self::Act => 0,
            Self::Arrive { node, asking, .. } => 0x10_0000 + asking.id * 8 + *node as u64,
            Self::Confirmed { node, asking, .. } => 0x20_0000 + asking.id * 8 + *node as u64,
            Self::HaltOver { id, .. } => 0x30_0000 + *id,
            Self::Told { id, .. } => 0x40_0000 + *id,
        }
    }
}

/// A pause or a freeze that is committed, and who may still call.
struct Halting {
    node: usize,
    runs: Vec<RunId>,
    /// Until when, by the leader's steady clock.
    missing: BTreeMap<(usize, RunId), Duration>,
    asking: Asking,
    index: usize,
}

#[derive(Default)]
pub struct People {
    asked: u64,
    /// Since when, and the newest entry that anyone had been told of before.
    waiting: BTreeMap<u64, (Micros, usize)>,
    halting: BTreeMap<u64, Halting>,
    /// The newest entry that anyone was told of.
    told: usize,
    /// How many of those that were asked for were answered.
    pub answered: u64,
}

impl World {
    pub fn gather_people(&mut self) {
        if let Some(every) = self.set.mix.people {
            let first = 10 * SECOND + self.rng.below(every);
            self.after(first, Event::People(Box::new(Step::Act)));
        }
    }

    pub fn people_step(&mut self, step: Step) {
        match step {
            Step::Act => self.act(),
            Step::Arrive { node, epoch, asking } => self.hear_person(node, epoch, asking),
            Step::Confirmed { node, epoch, term, asking } => self.serve_person(node, epoch, term, asking),
            Step::HaltOver { node, epoch, id } => {
                if self.nodes[node].epoch == epoch {
                    self.answer_halt(id);
                }
            }
            Step::Told { id, sight } => self.tell_person(id, sight),
        }
    }

    fn act(&mut self) {
        let Some(every) = self.set.mix.people else { return };
        // While it heals, people look after what they have stopped.
        let every = if self.heals() { every.min(8 * SECOND) } else { every };
        let pause = every / 4 + self.rng.below(every * 3 / 2);
        self.after(pause, Event::People(Box::new(Step::Act)));
        let now = self.now;
        self.people.waiting.retain(|_, (since, _)| now - *since < PATIENCE);
        if self.now > self.left_alone_from() {
            return;
        }
        let alive: Vec<usize> = (0..self.nodes.len()).filter(|node| self.nodes[*node].runs()).collect();
        if alive.is_empty() {
            return;
        }
        let node = alive[self.rng.index(alive.len())];
        if let Some((person, path, deed)) = self.some_deed(node) {
            self.ask(person, path, deed, node);
        }
    }

    pub fn ask(&mut self, person: usize, path: &'static str, deed: Deed, node: usize) {
        self.people.asked += 1;
        let id = self.people.asked;
        let (now, told) = (self.now, self.people.told);
        self.people.waiting.insert(id, (now, told));
        let epoch = self.nodes[node].epoch;
        let asking = Asking { id, person, path, deed, passed_on: false };
        self.after(FAR, Event::People(Box::new(Step::Arrive { node, epoch, asking })));
    }

    fn hear_person(&mut self, node: usize, epoch: u32, asking: Asking) {
        if !self.nodes[node].alive || self.nodes[node].epoch != epoch {
            return;
        }
        let role = PEOPLE[asking.person].role;
        let allowed = access::is_allowed(role, asking.path) || self.bug(Bug::NobodyAsksForRoles);
        self.judge_request(&asking, allowed);
        if !allowed {
            return self.answer_person(asking.id, None);
        }
        if let Deed::Read { stale: true } = asking.deed {
            let sight = self.sight(node, !self.bug(Bug::StaleReadSaysNothing));
            return self.answer_person(asking.id, Some(sight));
        }
        if self.nodes[node].role != Office::Leader {
            self.pass_on(node, asking);
            return;
        }
        let mut rng = self.rng.split();
        if let Some(took) = self.read_index(node, &mut rng) {
            let (epoch, term) = (self.nodes[node].epoch, self.nodes[node].term);
            self.after(took, Event::People(Box::new(Step::Confirmed { node, epoch, term, asking })));
        }
    }

    fn pass_on(&mut self, node: usize, asking: Asking) {
        if let Deed::Read { stale: false } = asking.deed
            && self.bug(Bug::FollowerReads)
        {
            let sight = self.sight(node, false);
            return self.answer_person(asking.id, Some(sight));
        }
        let leader = self.nodes[node].leader.filter(|leader| *leader != node && !asking.passed_on);
        let Some(leader) = leader else { return };
        if !self.net.joined(coordinator(node), coordinator(leader)) {
            return;
        }
        let delay = self.net.delay(coordinator(node), coordinator(leader), &mut self.rng);
        let epoch = self.nodes[leader].epoch;
        let asking = Asking { passed_on: true, ..asking };
        self.after(delay, Event::People(Box::new(Step::Arrive { node: leader, epoch, asking })));
    }

    /// A quorum has answered that this node leads.
    fn serve_person(&mut self, node: usize, epoch: u32, term: u64, asking: Asking) {
        let it = &self.nodes[node];
        if it.epoch != epoch || it.term != term || it.role != Office::Leader {
            return;
        }
        let command = match asking.deed.clone() {
            Deed::Read { .. } => {
                let sight = self.sight(node, false);
                return self.answer_person(asking.id, Some(sight));
            }
            Deed::Abuse => return self.answer_person(asking.id, None),
            Deed::Commit(command) => Some(*command),
            Deed::Move { service, to, rejoin, approvals, despite } => {
                self.planned(node, asking.person, &service, &to, rejoin, approvals, despite)
            }
        };
        let Some(mut command) = command.filter(|command| self.signatures_hold(node, command)) else {
            return self.answer_person(asking.id, None);
        };
        if let (Command::Approve { run, approval, .. }, true) = (&mut command, self.bug(Bug::AnyPlanApproved))
            && let Some(run) = self.nodes[node].fleet.runs.get(run)
        {
            let other = mesh_core::ids::Hash32([9; 32]).to_string();
            approval.subject = approval.subject.replace(&other, &run.plan_hash.to_string());
        }
        let index = self.propose(node, Some(command));
        self.strike_leader_of_person(node);
        if self.bug(Bug::AnsweredBeforeCommit) {
            let sight = Sight { index, digest: 0, stale: false };
            self.answer_person(asking.id, Some(sight));
        }
        self.nodes[node].office.asked.insert(index, asking);
    }

    /// What `meshctl failover` and `meshctl rejoin` start: a plan that the leader makes of its state and evidence.
    #[expect(clippy::too_many_arguments, reason = "a request's fields")]
    fn planned(
        &self,
        node: usize,
        person: usize,
        service: &ServiceId,
        to: &RegionId,
        rejoin: bool,
        approvals: Vec<Approval>,
        despite: bool,
    ) -> Option<Command> {
        let led_since = self.nodes[node].office.led_since?;
        let fleet = &self.nodes[node].fleet;
        let known = &fleet.services[service];
        let evidence = self.evidence(node, fleet.now.max(led_since), led_since);
        let seen = planner::Evidence::of(known, &evidence);
        let plan = match rejoin {
            true => planner::plan_rejoin(known, to),
            false => planner::plan_failover(known, to, &seen),
        };
        let plan = plan.ok()?;
        let verdicts = detect::assess(known, &evidence);
        let safety =
            if rejoin { Vec::new() } else { safety::evaluate(fleet, known, to, seen.onset, &verdicts, &evidence) };
        let plan_hash = mesh_proto::plan_hash(&plan);
        // Whoever overrides a rule has seen this plan.
        let signed = |approval: Approval| {
            let subject = access::override_subject("fresh", service, &plan_hash);
            deeds::signed(approval.key.as_str(), subject, approval.expires_at, deeds::signer(&approval))
        };
        let approvals = approvals.into_iter().map(signed).collect();
        let cause = match despite {
            true => Cause::DespiteFreeze { reason: "it cannot wait".to_owned() },
            false => Cause::Asked,
        };
        let by = PEOPLE[person].name.to_owned();
        Some(Command::StartRun { plan: Box::new(plan), plan_hash, by, cause, safety, approvals })
    }

    /// As `coordinator/src/operator/approvals.rs` verifies each of them.
    fn signatures_hold(&self, node: usize, command: &Command) -> bool {
        if self.bug(Bug::SignaturesUnchecked) {
            return true;
        }
        let keys = &self.nodes[node].fleet.keys;
        let holds = |approval: &Approval| {
            let by = PEOPLE.get(deeds::signer(approval));
            let theirs = by.is_some_and(|person| person.keys.contains(&approval.key.as_str()));
            theirs && keys.contains_key(&approval.key) && deeds::covers(approval)
        };
        match command {
            Command::Approve { approval, .. } => holds(approval),
            Command::StartRun { approvals, .. }
            | Command::EnrollKey { approvals, .. }
            | Command::RevokeKey { approvals, .. }
            | Command::NoteMembership { approvals, .. } => approvals.iter().all(holds),
            _ => true,
        }
    }

    /// The entry was applied here, by the leader that proposed it.
    pub fn committed(&mut self, node: usize, index: usize, asking: Asking, applied: Option<Applied>) {
        let refused = applied.is_none_or(|applied| matches!(applied.reply, Reply::Refused(_)));
        let sight = Sight { index, digest: self.digest(node), stale: false };
        let runs = if refused { Vec::new() } else { halts(&self.nodes[node].fleet, &asking.deed) };
        if runs.is_empty() {
            return self.answer_person(asking.id, Some(sight));
        }
        self.halt(node, runs, asking, index);
    }

    /// As `coordinator/src/operator/control.rs` has it.
    fn halt(&mut self, node: usize, runs: Vec<RunId>, asking: Asking, index: usize) {
        let (id, committed) = (asking.id, self.steady(node));
        let fleet = &self.nodes[node].fleet;
        let mut executors = BTreeSet::new();
        for run in runs.iter().filter_map(|run| fleet.runs.get(run)) {
            let agents = run.open_intents().filter_map(|(_, _, intent)| self.names.agent(&intent.agent));
            executors.extend(agents.map(|agent| (agent, run.id.clone())));
        }
        let mut missing = BTreeMap::new();
        let mut told = Vec::new();
        for (agent, run) in executors {
            let session = self.nodes[node].office.sessions[agent].as_ref();
            let ponged = session.and_then(|session| session.ponged).unwrap_or(committed).min(committed);
            if let Some(session) = session {
                told.push((session.conn, run.clone()));
            }
            missing.insert((agent, run), ponged + PERMIT_FOR);
        }
        for (conn, run) in told {
            self.say_to_agent(conn, Heard::Halt { asking: id, run });
        }
        let over = missing.is_empty() || self.bug(Bug::PauseAnsweredAtOnce);
        if over {
            missing.clear();
        }
        self.people.halting.insert(id, Halting { node, runs, missing, asking, index });
        if over {
            return self.answer_halt(id);
        }
        let epoch = self.nodes[node].epoch;
        self.after(HALT_WITHIN, Event::People(Box::new(Step::HaltOver { node, epoch, id })));
    }

    pub fn hear_halted(&mut self, node: usize, agent: usize, asking: u64, run: &RunId) {
        let Some(halting) = self.people.halting.get_mut(&asking).filter(|halting| halting.node == node) else { return };
        halting.missing.remove(&(agent, run.clone()));
        if halting.missing.is_empty() {
            self.answer_halt(asking);
        }
    }

    fn answer_halt(&mut self, id: u64) {
        let Some(halting) = self.people.halting.remove(&id) else { return };
        let now = self.steady(halting.node);
        let silent = halting.missing.values().map(|until| until.saturating_sub(now)).max().unwrap_or_default();
        self.judge_halted(&halting.runs, &halting.asking.deed, silent, halting.index);
        let sight = Sight { index: halting.index, digest: 0, stale: false };
        self.answer_person(id, Some(sight));
    }

    fn answer_person(&mut self, id: u64, sight: Option<Sight>) {
        self.after(FAR, Event::People(Box::new(Step::Told { id, sight })));
    }

    fn tell_person(&mut self, id: u64, sight: Option<Sight>) {
        let Some((_, before)) = self.people.waiting.remove(&id) else { return };
        self.people.answered += 1;
        let Some(sight) = sight else { return };
        self.judge_sight(before, sight);
        if !sight.stale {
            self.people.told = self.people.told.max(sight.index);
        }
    }

    pub fn sight(&self, node: usize, stale: bool) -> Sight {
        Sight { index: self.nodes[node].applied, digest: self.digest(node), stale }
    }

    pub fn digest(&self, node: usize) -> u64 {
        digest_of(&self.nodes[node].fleet)
    }
}

/// Enough of the state that two states that differ in what people ask for differ here.
pub fn digest_of(fleet: &Fleet) -> u64 {
    let mut digest = fleet.now.as_millis();
    for service in fleet.services.values() {
        let frozen = service.freeze.as_ref().map_or(0, |freeze| freeze.until.as_millis());
        for value in [service.generation.0, service.intent.0, frozen, u64::from(service.armed)] {
            digest = digest.rotate_left(7) ^ value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }
    digest ^ (fleet.keys.len() as u64) << 56
}

/// The runs that a pause or a freeze stops.
fn halts(fleet: &Fleet, deed: &Deed) -> Vec<RunId> {
    let Deed::Commit(command) = deed else { return Vec::new() };
    match command.as_ref() {
        Command::Pause { run, .. } => vec![run.clone()],
        Command::Freeze { service, .. } => {
            let meant = |run: &&Run| service.as_ref().is_none_or(|service| run.plan.service == *service);
            running(fleet).filter(meant).map(|run| run.id.clone()).collect()
        }
        _ => Vec::new(),
    }
}

pub fn key(name: &str) -> KeyId {
    KeyId::new(name).expect("a name")
}

/// A moment that a person names, from what they see.
pub fn later(fleet: &Fleet, seconds: u64) -> Timestamp {
    fleet.now.plus(Duration::from_secs(seconds))
}
