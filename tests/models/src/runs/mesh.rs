//! The mesh around one run, in steps of a clock that jumps to the next moment at which something is due.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_core::engine::{self, AgentPresence, View};
use mesh_core::execute::{self, CallResult, Job, Next};
use mesh_core::fleet::{Command, Fleet, Reply};
use mesh_core::ids::{AgentId, Generation, Hash32, IntentSeq, RegionId, RunId, StepId, Token};
use mesh_core::plan::Action;
use mesh_core::planner::{self, Evidence};
use mesh_core::run::{Cause, Direction, Outcome, OutcomeResult, Run, RunState};
use mesh_core::time::Timestamp;

use super::agent::{Agent, Work};
use super::cloud::{Cloud, SECOND};
use super::fault::{Armed, Call, Fault, Point, Who};

/// A model run that needs more turns goes round in a circle.
const TURNS_MAX: usize = 200_000;
const BEGIN: u64 = 1_000_000 * SECOND;
const ELECTION: u64 = 1_500;
const RESTART: u64 = SECOND;
/// Longer than an agent's permission and than a leader's patience with it.
const STANDSTILL: u64 = 30 * SECOND;
const SILENCE: Duration = Duration::from_secs(6);
const CALL_DEADLINE: u64 = 5 * SECOND;
/// After the standstill, before a call's ten minutes are over.
const LATE: u64 = 500 * SECOND;
/// A notice, sent by an agent whose clock is right: its signature lives for five minutes.
const LATE_NOTICE: u64 = 290 * SECOND;
const HEARTBEAT: u64 = SECOND;

/// When a person ends the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Abort {
    /// Once this step is done.
    After(StepId),
    /// Once the first fault has struck.
    AfterFault,
}

#[derive(Clone, Debug)]
struct Arrival {
    at: u64,
    job: Job,
    before: String,
    signed: u64,
}

#[derive(Clone, Debug)]
pub struct Mesh {
    pub now: u64,
    pub fleet: Fleet,
    pub run: RunId,
    pub agents: Vec<Agent>,
    pub cloud: Cloud,
    pub turns: usize,
    /// The turn in which a fault could have struck at a step first.
    pub reached: BTreeMap<StepId, usize>,
    pub faults: Vec<Armed>,
    pub abort: Option<Abort>,
    led_since: u64,
    last_heard: BTreeMap<AgentId, u64>,
    /// Commands of a leader that stood still, and when it goes on.
    late_commands: Vec<(u64, Command)>,
    arrivals: Vec<Arrival>,
}

/// The run of a manifest's failover, just begun: its first region is left for its second.
///
/// # Panics
/// When the manifest has no such plan: it is the tests' own.
pub fn runbook(yaml: &str) -> Mesh {
    let manifest = Box::new(mesh_manifest::parse(yaml, "runbook.yaml").expect("the tests' manifest is valid"));
    let service = manifest.service.clone();
    let regions: Vec<RegionId> = manifest.regions.keys().cloned().collect();
    let mut mesh = Mesh {
        now: BEGIN,
        fleet: Fleet::default(),
        run: RunId::new("none").expect("a name"),
        agents: Vec::new(),
        cloud: Cloud::default(),
        turns: 0,
        reached: BTreeMap::new(),
        faults: Vec::new(),
        abort: None,
        led_since: BEGIN,
        last_heard: BTreeMap::new(),
        late_commands: Vec::new(),
        arrivals: Vec::new(),
    };
    mesh.apply(&Command::NameMesh { mesh: "model".to_owned() });
    let (source, by) = (yaml.to_owned(), "admin".to_owned());
    mesh.apply(&Command::ApplyManifest { manifest, source, by: by.clone(), expected_version: 0 });
    mesh.apply(&Command::SetArmed { service: service.clone(), armed: true, by });
    for region in &regions {
        for letter in ["a", "b"] {
            let id = AgentId::new(format!("{region}-{letter}")).expect("a name");
            mesh.apply(&Command::RegisterAgent { agent: id.clone(), region: region.clone() });
            mesh.agents.push(Agent::new(id, region.clone()));
        }
    }
    mesh.adopt_traffic(&service);
    let service = &mesh.fleet.services[&service];
    let to = regions.iter().find(|region| **region != service.active).expect("a second region");
    let plan = Box::new(planner::plan_failover(service, to, &Evidence::default()).expect("a plan"));
    let start = Command::StartRun {
        plan,
        plan_hash: Hash32([7; 32]),
        by: "operator".to_owned(),
        cause: Cause::Asked,
        safety: Vec::new(),
        approvals: Vec::new(),
    };
    match mesh.apply(&start) {
        Reply::RunStarted { run, .. } => mesh.run = run,
        other => panic!("the run does not start: {other:?}"),
    }
    mesh
}

impl Mesh {
    fn adopt_traffic(&mut self, service: &mesh_core::ids::ServiceId) {
        let service = &self.fleet.services[service];
        let active = service.active.clone();
        for record in &service.manifest.traffic {
            let (zone_id, name) = (record.zone_id.clone(), record.record.clone());
            let sets = record.active[&active].clone();
            let action = Action::Route53Replace { zone_id, record: name, sets: sets.clone() };
            let thing = self.cloud.things.entry(action.resource(&active)).or_default();
            thing.values.insert("sets", format!("{sets:?}"));
            thing.token = Some(Token { generation: Generation(0), intent: IntentSeq(1) });
        }
        for resource in &service.manifest.resources {
            if let mesh_core::manifest::ResourceKind::Rds { instances, .. } = &resource.kind {
                for (region, instance) in instances {
                    let name = format!("rds/{region}/{}", instance.instance);
                    let groups = super::cloud::joined(&instance.security_groups);
                    self.cloud.things.entry(name).or_default().values.insert("groups", groups);
                }
            }
        }
    }

    pub fn with(&self, faults: impl IntoIterator<Item = Fault>, abort: Option<Abort>) -> Self {
        let faults = faults.into_iter().map(Armed::new).collect();
        Self { faults, abort, ..self.clone() }
    }

    pub fn the_run(&self) -> &Run {
        &self.fleet.runs[&self.run]
    }

    fn apply(&mut self, command: &Command) -> Reply {
        self.fleet.apply(Timestamp::from_millis(self.now), command).reply
    }

    /// Plays until the run has ended or waits for a person, and every call that is on its way has arrived.
    ///
    /// # Errors
    /// A run that never comes to that.
    pub fn play(&mut self) -> Result<(), String> {
        self.play_noting(&mut |_| ())
    }

    /// As [`Mesh::play`], for whoever wants to see how it stood before each turn.
    ///
    /// # Errors
    /// As there.
    pub fn play_noting(&mut self, before: &mut dyn FnMut(&Self)) -> Result<(), String> {
        for _ in 0..TURNS_MAX {
            before(self);
            self.turn();
            self.turns += 1;
            let run = self.the_run();
            let rests = run.state.is_terminal() || matches!(run.state, RunState::Held { .. });
            let asleep = self.agents.iter().any(|agent| !agent.runs(self.now));
            let at_work = self.agents.iter().any(|agent| !agent.works.is_empty());
            let quiet = rests && !asleep && !at_work && self.late_commands.is_empty();
            let arrives = self.arrivals.iter().map(|arrival| arrival.at).min();
            self.now = match (quiet, arrives) {
                (true, None) => return Ok(()),
                (true, Some(arrives)) => arrives,
                (false, _) => self.next_moment(),
            };
        }
        Err(format!("no end after {TURNS_MAX} turns, at {} s: {:?}", self.seconds(), self.the_run().state))
    }

    pub const fn seconds(&self) -> u64 {
        (self.now - BEGIN) / SECOND
    }

    fn turn(&mut self) {
        self.arrive();
        self.late();
        self.lead();
        for at in 0..self.agents.len() {
            self.attend(at);
            let due: Vec<IntentSeq> =
                self.agents[at].works.iter().filter(|(_, work)| work.due <= self.now).map(|(seq, _)| *seq).collect();
            for seq in due {
                if self.agents[at].runs(self.now) {
                    self.work(at, seq);
                }
            }
        }
        self.end_it();
    }

    fn next_moment(&self) -> u64 {
        let works = self.agents.iter().flat_map(|agent| {
            let wakes = agent.up_at.max(agent.wakes_at);
            agent.works.values().map(move |work| work.due.max(wakes)).chain([wakes, agent.connected_at])
        });
        let arrivals = self.arrivals.iter().map(|arrival| arrival.at);
        let late = self.late_commands.iter().map(|(at, _)| *at);
        let heartbeat = self.now - self.now % HEARTBEAT + HEARTBEAT;
        let all = works.chain(arrivals).chain(late).chain([self.led_since, heartbeat]);
        all.filter(|at| *at > self.now).min().unwrap_or(heartbeat)
    }

    // The leader.

    fn view(&self) -> View {
        let agents = self.agents.iter().filter_map(|agent| {
            let last_heard = Timestamp::from_millis(*self.last_heard.get(&agent.id)?);
            let load = u32::try_from(agent.works.len()).unwrap_or(u32::MAX);
            Some((agent.id.clone(), AgentPresence { region: agent.region.clone(), last_heard, load }))
        });
        View {
            now: Timestamp::from_millis(self.now),
            agents: agents.collect(),
            agent_silence: SILENCE,
            led_since: Timestamp::from_millis(self.led_since),
        }
    }

    fn leads(&self) -> bool {
        self.now >= self.led_since
    }

    fn lead(&mut self) {
        if !self.leads() {
            return;
        }
        for agent in self.agents.iter().filter(|agent| agent.is_connected(self.now)) {
            self.last_heard.insert(agent.id.clone(), self.now);
        }
        for command in engine::next(&self.fleet, &self.view()) {
            if let Command::OpenIntent { step, direction, agent, .. } = &command {
                match self.strikes(step, *direction, Point::BeforeIntent) {
                    None => {}
                    Some(Who::SameLeader) => continue,
                    Some(Who::NewLeader) => return self.elect(),
                    Some(Who::StaleExecutor) => {
                        self.late_commands.push((self.now + STANDSTILL, command));
                        return self.elect();
                    }
                }
                let (step, direction, agent) = (step.clone(), *direction, agent.clone());
                let opened = matches!(self.apply(&command), Reply::IntentOpened { .. });
                if let Some(who) = opened.then(|| self.strikes(&step, direction, Point::AfterIntent)).flatten() {
                    let at = self.agents.iter().position(|it| it.id == agent).expect("the engine's agents are these");
                    if who == Who::StaleExecutor {
                        self.attend(at);
                    }
                    self.strike(at, who);
                }
                continue;
            }
            self.apply(&command);
        }
    }

    fn elect(&mut self) {
        self.led_since = self.now + ELECTION;
        self.last_heard.clear();
        for agent in &mut self.agents {
            agent.connected_at = agent.connected_at.max(self.led_since + 100);
            agent.lose_session();
        }
    }

    fn late(&mut self) {
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.late_commands).into_iter().partition(|(at, _)| *at <= self.now);
        self.late_commands = later;
        for (_, command) in due {
            self.apply(&command);
        }
    }

    fn end_it(&mut self) {
        let due = match &self.abort {
            None => false,
            Some(Abort::AfterFault) => self.faults.iter().any(|armed| armed.struck && armed.called),
            Some(Abort::After(step)) => {
                let work = self.the_run().work(step, Direction::Forward);
                work.is_some_and(|work| work.state == mesh_core::run::WorkState::Done)
            }
        };
        if due && self.leads() {
            self.abort = None;
            let (run, by, reason) = (self.run.clone(), "operator".to_owned(), "as the test has it".to_owned());
            self.apply(&Command::Abort { run, by, reason });
        }
    }

    // Faults.

    fn strikes(&mut self, step: &StepId, direction: Direction, point: Point) -> Option<Who> {
        if direction == Direction::Forward && !self.reached.contains_key(step) {
            self.reached.insert(step.clone(), self.turns);
        }
        let armed = self
            .faults
            .iter_mut()
            .find(|armed| !armed.struck && armed.fault.point == point && armed.is_at(step, direction))?;
        armed.struck = true;
        Some(armed.fault.who)
    }

    fn strike(&mut self, at: usize, who: Who) {
        match who {
            Who::SameLeader => self.agents[at].crash(self.now + RESTART),
            Who::NewLeader => {
                self.agents[at].crash(self.now + RESTART);
                self.elect();
            }
            Who::StaleExecutor => {
                self.agents[at].wakes_at = self.now + STANDSTILL;
                self.agents[at].connected_at = self.now + STANDSTILL + 100;
            }
        }
    }

    fn fate(&mut self, job: &Job) -> Call {
        let armed = self.faults.iter_mut().find(|armed| !armed.called && armed.is_at(&job.step, job.direction));
        armed.map_or(Call::Accepted, |armed| {
            armed.called = true;
            armed.fault.call
        })
    }

    // The agents.

    /// The session: offers come, outcomes go.
    fn attend(&mut self, at: usize) {
        if !self.agents[at].is_connected(self.now) || !self.leads() {
            return;
        }
        self.agents[at].heard = Some(self.now);
        let id = self.agents[at].id.clone();
        let mine: Vec<(StepId, Direction)> = {
            let open = self.the_run().open_intents().filter(|(_, _, intent)| intent.agent == id);
            open.map(|(step, direction, _)| (step.id.clone(), direction)).collect()
        };
        for (step, direction) in mine {
            let open = self.the_run().work(&step, direction).and_then(mesh_core::run::Work::open_intent);
            if let Some(seq) = open.map(|intent| intent.seq).filter(|seq| self.agents[at].journal.contains_key(seq)) {
                self.agents[at].offered.insert(seq);
                continue;
            }
            let job = engine::job(&self.fleet, &self.run, &step, direction, Timestamp::from_millis(self.now));
            if let Some(job) = job {
                self.agents[at].accept(job, self.now);
            }
        }
        self.report(at);
    }

    fn report(&mut self, at: usize) {
        let ended: Vec<(IntentSeq, Job, Outcome)> = {
            let entries = self.agents[at].journal.iter();
            let outcomes = entries.filter_map(|(seq, entry)| Some((seq, &entry.job, entry.outcome.as_ref()?)));
            outcomes.map(|(seq, job, outcome)| (*seq, job.clone(), outcome.clone())).collect()
        };
        for (seq, job, outcome) in ended {
            let (run, step, direction) = (self.run.clone(), job.step, job.direction);
            self.apply(&Command::CloseIntent { run, step, direction, seq, outcome });
            self.agents[at].journal.remove(&seq);
            self.agents[at].settled.insert(seq);
        }
    }

    fn work(&mut self, at: usize, seq: IntentSeq) {
        let now = self.now;
        let (Some(entry), Some(progress)) =
            (self.agents[at].journal.get(&seq).cloned(), self.agents[at].progress(seq, now))
        else {
            self.agents[at].works.remove(&seq);
            return;
        };
        if self.agents[at].works.get(&seq).is_some_and(|work| work.unanswered.is_some()) {
            return self.call_ended(at, seq, CallResult::Unknown { reason: "no answer in time".to_owned() });
        }
        let job = entry.job;
        let accepted = progress.accepted.is_some();
        let observation = if let Action::SnsNotify { .. } = job.action {
            let doubtful_since = entry.doubtful_since.map(Timestamp::from_millis);
            let seen = job.for_provider(doubtful_since, Some(Timestamp::from_millis(now)));
            self.cloud.observe(&seen, accepted, now)
        } else {
            self.cloud.observe(&job, accepted, now)
        };
        let permitted = self.agents[at].permits(seq, now);
        let stale = self.agents[at].is_stale(&job);
        match execute::next(&job, &progress, &observation, permitted) {
            Next::Finish(outcome) => self.finish(at, seq, outcome),
            Next::Wait(_) | Next::Call { .. } if stale => {
                let outcome = execute::give_up(&job, &progress, "a newer one is at work");
                self.finish(at, seq, outcome);
            }
            Next::Wait(pause) => {
                let pause = u64::try_from(pause.as_millis()).unwrap_or(SECOND).max(1);
                self.set_due(at, seq, now + pause);
            }
            Next::Call { before } => self.call(at, seq, &job, before),
        }
    }

    fn set_due(&mut self, at: usize, seq: IntentSeq, due: u64) {
        if let Some(work) = self.agents[at].works.get_mut(&seq) {
            work.due = due;
        }
    }

    fn call(&mut self, at: usize, seq: IntentSeq, job: &Job, before: String) {
        let now = self.now;
        if let Some(entry) = self.agents[at].journal.get_mut(&seq) {
            entry.progress.record_call_started(&before);
            entry.doubtful_since.get_or_insert(now);
        }
        match self.strikes(&job.step, job.direction, Point::AfterJournal) {
            None => {}
            Some(Who::StaleExecutor) => {
                // It stood still between its last look at the permission and the sending: the call leaves when it wakes.
                let fate = self.fate(job);
                let wakes = now + STANDSTILL;
                self.send(job, before, fate, wakes);
                self.unanswered(at, seq, wakes + CALL_DEADLINE);
                return self.strike(at, Who::StaleExecutor);
            }
            Some(who) => return self.strike(at, who),
        }
        let fate = self.fate(job);
        let answer = self.send(job, before, fate, now);
        if let Some(who) = self.strikes(&job.step, job.direction, Point::AfterCall) {
            self.unanswered(at, seq, now + CALL_DEADLINE);
            return self.strike(at, who);
        }
        match answer {
            Some(result) => self.call_ended(at, seq, result),
            None => self.unanswered(at, seq, now + CALL_DEADLINE),
        }
    }

    fn unanswered(&mut self, at: usize, seq: IntentSeq, until: u64) {
        let now = self.now;
        if let Some(work) = self.agents[at].works.get_mut(&seq) {
            *work = Work { last_call: Some(now), due: until, unanswered: Some(until), ..work.clone() };
        }
    }

    /// The answer, if one comes.
    fn send(&mut self, job: &Job, before: String, fate: Call, at: u64) -> Option<CallResult> {
        let signed = self.now;
        let mut on_its_way = |at| {
            self.arrivals.push(Arrival { at, job: job.clone(), before: before.clone(), signed });
            None
        };
        match fate {
            Call::Error => Some(CallResult::NotApplied { reason: "throttled".to_owned() }),
            Call::TimeoutNotApplied => None,
            Call::TimeoutAppliedLate => on_its_way(signed + lateness(job)),
            Call::Accepted | Call::TimeoutApplied if at > signed => on_its_way(at),
            Call::Accepted => Some(self.cloud.carry_out(job, &before, signed, signed)),
            Call::TimeoutApplied => {
                self.cloud.carry_out(job, &before, signed, signed);
                None
            }
        }
    }

    fn call_ended(&mut self, at: usize, seq: IntentSeq, result: CallResult) {
        let now = self.now;
        let agent = &mut self.agents[at];
        if let Some(entry) = agent.journal.get_mut(&seq) {
            entry.progress.record_call_ended(result);
            entry.doubtful_since = entry.doubtful_since.filter(|_| entry.progress.in_doubt);
        }
        if let Some(work) = agent.works.get_mut(&seq) {
            *work = Work { last_call: Some(now), due: now + 1, unanswered: None, ..work.clone() };
        }
    }

    fn finish(&mut self, at: usize, seq: IntentSeq, outcome: Outcome) {
        let agent = &mut self.agents[at];
        agent.works.remove(&seq);
        let Some(entry) = agent.journal.get_mut(&seq) else { return };
        let (step, direction) = (entry.job.step.clone(), entry.job.direction);
        let done = outcome.result == OutcomeResult::Done;
        entry.outcome = Some(outcome);
        let struck = if done { self.strikes(&step, direction, Point::AfterOutcome) } else { None };
        match struck {
            Some(who) => self.strike(at, who),
            None => self.attend(at),
        }
    }

    fn arrive(&mut self) {
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.arrivals).into_iter().partition(|arrival| arrival.at <= self.now);
        self.arrivals = later;
        for Arrival { job, before, signed, .. } in due {
            self.cloud.carry_out(&job, &before, signed, self.now);
        }
    }
}

const fn lateness(job: &Job) -> u64 {
    if matches!(job.action, mesh_core::plan::Action::SnsNotify { .. }) { LATE_NOTICE } else { LATE }
}
