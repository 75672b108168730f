//! What a coordinator keeps in memory, and what it does while it leads: `coordinator/src/{driver,sessions}` in small.
//! What is due is said by the core.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use mesh_core::detect::SelfReport;
use mesh_core::engine::{self, AgentPresence, View};
use mesh_core::fleet::{Applied, Authority, AuthorityState, Command, Fleet, OpenCall, Reply};
use mesh_core::ids::{AgentId, Generation, IntentSeq, RunId, ServiceId};
use mesh_core::lease::due;
use mesh_core::lease::{Ack, Ledger, News};
use mesh_core::run::{Direction, Run, RunState};
use mesh_core::time::{Timestamp, duration_millis};

use crate::consensus::Role;
use crate::desk::{Held, HeldLag, Told, ToldLag};
use crate::event::{Entry, Event, Heard, Report, Say};
use crate::people::Asking;
use crate::plant::Bug;
use crate::plant::spoil::{hide, show};
use crate::setting::{AGENTS_PER_REGION, REGIONS_MAX};
use crate::world::World;
use crate::{MILLI, Micros, SECOND};

mod judging;

pub const AGENT_SILENCE: Duration = Duration::from_secs(6);
const LOOK_EVERY: Micros = SECOND;
const PAUSE_MIN: Micros = 100 * MILLI;
const PAUSE_MAX: Micros = 5 * SECOND;
/// Measurements of a lag that are kept of one observer.
pub const LAGS_MAX: usize = 64;
/// How late a call may be seen by the leader's own count.
const LATE_LOOK: Duration = Duration::from_millis(200);
/// Of the looks that could come to nothing, one in so many is taken all the same.
const LOOK_ANYWAY: u64 = 251;

/// An agent's session, as the leader has it. Times are of its steady clock.
pub struct Live {
    pub conn: usize,
    heard: Duration,
    /// The last answer to a ping that this leader gave.
    pub ponged: Option<Duration>,
    offered: BTreeSet<IntentSeq>,
    told: BTreeSet<Generation>,
}

#[derive(Default)]
pub struct Office {
    pub term: u64,
    pub ledger: Ledger,
    /// Since a quorum confirmed the term.
    pub led_since: Option<Timestamp>,
    /// By agent.
    pub sessions: Vec<Option<Live>>,
    /// By agent: when one without a session was heard last.
    gone: Vec<Option<Duration>>,
    /// By agent and region.
    desk: Vec<Option<Held>>,
    lags: Vec<VecDeque<HeldLag>>,
    reports: Vec<Option<SelfReport>>,
    /// Up to which index of the log the state was looked at, and whether it asks for nothing by itself.
    calm: (usize, bool),
    flying: BTreeMap<String, usize>,
    rests: BTreeMap<String, (Micros, Micros)>,
    lost: BTreeMap<(RunId, IntentSeq), Command>,
    settling: BTreeMap<usize, (usize, IntentSeq)>,
    /// What people wait for, by the index at which it will be applied.
    pub asked: BTreeMap<usize, Asking>,
    late: BTreeMap<(String, Generation), (Duration, Timestamp)>,
    next_round: Micros,
    looks: u64,
}

impl Office {
    pub fn new(agents: usize) -> Self {
        let places = agents * REGIONS_MAX;
        Self {
            sessions: (0..agents).map(|_| None).collect(),
            gone: vec![None; agents],
            desk: vec![None; places],
            lags: vec![VecDeque::new(); places],
            reports: vec![None; agents],
            ..Self::default()
        }
    }

    fn live(&self, agent: usize) -> Option<&Live> {
        self.sessions[agent].as_ref()
    }

    /// The state that it has applied asks for nothing by itself, and it leads.
    pub fn is_calm(&self, applied: usize) -> bool {
        self.calm == (applied, true) && self.led_since.is_some()
    }

    /// Did anybody tell last that the region fails?
    pub fn sees_fail(&self, region: usize) -> bool {
        self.desk.iter().skip(region).step_by(REGIONS_MAX).flatten().any(Held::fails)
    }

    pub fn was_heard(&mut self, agent: usize, now: Duration) {
        if let Some(live) = &mut self.sessions[agent] {
            live.heard = now;
        }
    }

    /// What an agent said. True if something fails, or does no longer.
    pub fn hold(&mut self, agent: usize, signals: Vec<Told>, lags: &[ToldLag], now: Duration) -> bool {
        lags.iter().for_each(|told| self.hold_lag(agent, told, now));
        let mut changed = false;
        for told in signals {
            let held = &mut self.desk[agent * REGIONS_MAX + told.region];
            match held {
                Some(known) => {
                    let failed = known.fails();
                    known.renew(told, now);
                    changed |= failed != known.fails() || failed;
                }
                None => {
                    changed = true;
                    *held = Some(Held::new(told, now));
                }
            }
        }
        changed
    }

    fn hold_lag(&mut self, agent: usize, told: &ToldLag, now: Duration) {
        let held = &mut self.lags[agent * REGIONS_MAX + told.region];
        let is_new = held.back().is_none_or(|last| last.at < told.at) || held.iter().all(|known| known.at != told.at);
        if is_new {
            held.push_back(HeldLag::new(told, now));
        }
        while held.len() > LAGS_MAX {
            held.pop_front();
        }
    }

    pub fn begin(&mut self, term: u64, steady: Duration) {
        self.term = term;
        self.ledger = Ledger::elected(steady);
        self.led_since = None;
        self.flying.clear();
        self.rests.clear();
        self.lost.clear();
        self.settling.clear();
        self.asked.clear();
        self.next_round = 0;
        self.calm = (0, false);
    }
}

impl World {
    pub fn end_office(&mut self, node: usize) {
        self.nodes[node].office.led_since = None;
        for agent in 0..self.agents.len() {
            let Some(live) = self.nodes[node].office.sessions[agent].take() else { continue };
            self.nodes[node].office.gone[agent] = Some(live.heard);
            if self.nodes[node].alive {
                let leader = self.nodes[node].leader;
                self.say_to_agent(live.conn, Heard::NotLeader { leader });
            }
        }
    }

    pub fn steady(&self, node: usize) -> Duration {
        self.nodes[node].clocks.stamp(self.now).monotonic
    }

    pub fn leads(&self, node: usize) -> bool {
        self.nodes[node].alive && self.nodes[node].role == Role::Leader
    }

    pub fn wake(&mut self, node: usize, delay: Micros) {
        let (at, now) = (self.now + delay, self.now);
        let it = &mut self.nodes[node];
        if it.office.next_round > now && it.office.next_round <= at {
            return;
        }
        it.office.next_round = at;
        let epoch = it.epoch;
        self.after(delay, Event::Round { node, epoch });
    }

    /// An entry was applied here.
    pub fn note_applied(&mut self, node: usize, index: usize, entry: &Rc<Entry>, applied: Option<Applied>) {
        if !self.leads(node) {
            return;
        }
        if entry.term == self.nodes[node].term && self.nodes[node].office.led_since.is_none() {
            let now = self.nodes[node].mesh_time(self.now);
            self.nodes[node].office.led_since = Some(now);
        }
        let now = self.now;
        let office = &mut self.nodes[node].office;
        let subject = office.flying.iter().find(|(_, at)| **at == index).map(|(subject, _)| subject.clone());
        if let Some(subject) = subject {
            office.flying.remove(&subject);
            let rest = office.rests.remove(&subject);
            if let Some(Applied { reply: Reply::Refused(_), .. }) = &applied {
                let pause = rest.map_or(PAUSE_MIN, |(_, pause)| (pause * 2).min(PAUSE_MAX));
                office.rests.insert(subject, (now + pause, pause));
            }
        }
        let (settling, asked) = (office.settling.remove(&index), office.asked.remove(&index));
        if let Some((conn, seq)) = settling {
            self.say_to_agent(conn, Heard::OutcomeAck(seq));
        }
        if let Some(asking) = asked {
            self.committed(node, index, asking, applied);
        }
        self.wake(node, 1);
    }

    // What agents say.

    pub fn hear_say(&mut self, conn: usize, say: Say) {
        let (agent, node) = (self.conns[conn].agent, self.conns[conn].node);
        if !self.nodes[node].alive || self.conns[conn].epoch != self.nodes[node].epoch {
            return;
        }
        if let Say::Hello = say {
            self.hear_hello(conn, node);
            return;
        }
        let now = self.steady(node);
        let office = &mut self.nodes[node].office;
        let Some(live) = office.sessions[agent].as_mut().filter(|live| live.conn == conn) else { return };
        if now.saturating_sub(live.heard) >= AGENT_SILENCE {
            self.end_session(node, agent);
            return;
        }
        live.heard = now;
        match say {
            Say::Hello => {}
            Say::Ping { nonce, report, ack } => {
                office.reports[agent] = Some(report);
                self.hear_ack(node, agent, ack);
                if let Some(took) = self.read_index_for(conn, node) {
                    let (epoch, term) = (self.nodes[node].epoch, self.nodes[node].term);
                    self.after(took, Event::ReadIndexed { node, epoch, term, conn, nonce: Some(nonce) });
                }
            }
            Say::Standings(ack) => self.hear_ack(node, agent, ack),
            Say::Halted { asking, run } => self.hear_halted(node, agent, asking, &run),
            Say::Signals(signals, lags) => self.hear_signals(node, agent, signals, &lags, now),
            Say::Outcome(report) => self.hear_outcome(node, conn, *report),
        }
    }

    fn read_index_for(&mut self, conn: usize, node: usize) -> Option<Micros> {
        let mut rng = self.conns[conn].rng.clone();
        let took = self.read_index(node, &mut rng);
        self.conns[conn].rng = rng;
        took
    }

    fn hear_hello(&mut self, conn: usize, node: usize) {
        if self.nodes[node].role != Role::Leader {
            let leader = self.nodes[node].leader;
            self.say_to_agent(conn, Heard::NotLeader { leader });
            return;
        }
        if let Some(took) = self.read_index_for(conn, node) {
            let (epoch, term) = (self.nodes[node].epoch, self.nodes[node].term);
            self.after(took, Event::ReadIndexed { node, epoch, term, conn, nonce: None });
        }
    }

    pub fn read_indexed(&mut self, node: usize, epoch: u32, term: u64, conn: usize, nonce: Option<u64>) {
        let it = &self.nodes[node];
        if it.epoch != epoch || it.term != term || it.role != Role::Leader {
            return;
        }
        let (agent, now) = (self.conns[conn].agent, self.steady(node));
        let Some(nonce) = nonce else {
            let live = Live { conn, heard: now, ponged: None, offered: BTreeSet::new(), told: BTreeSet::new() };
            let office = &mut self.nodes[node].office;
            office.gone[agent] = None;
            office.sessions[agent] = Some(live);
            self.say_to_agent(conn, Heard::Welcome { term });
            self.wake(node, 1);
            return;
        };
        if let Some((paused, news)) = self.pong(node, conn, self.now) {
            self.say_to_agent(conn, Heard::Pong { nonce, paused, news });
        }
    }

    /// What a leader answers to a ping at `at`: which runs stand still, and what it says of the right to write.
    pub fn pong(&mut self, node: usize, conn: usize, at: Micros) -> Option<(BTreeSet<RunId>, Option<News>)> {
        let agent = self.conns[conn].agent;
        let it = &mut self.nodes[node];
        let (mesh_now, now) = (it.mesh_time(at), it.clocks.stamp(at).monotonic);
        let live = it.office.sessions[agent].as_mut().filter(|live| live.conn == conn)?;
        live.ponged = Some(now);
        let id = &self.names.service;
        let service = &it.fleet.services[id];
        let news = it.office.ledger.news(id, service, &self.names.agents[agent], &it.fleet.agents, now);
        let halted = running(&it.fleet).filter(|run| it.fleet.halted(run, mesh_now).is_some());
        let mut paused: BTreeSet<RunId> = halted.map(|run| run.id.clone()).collect();
        if self.plant == Some(Bug::PauseUntold) {
            paused.clear();
        }
        Some((paused, news))
    }

    fn hear_ack(&mut self, node: usize, agent: usize, ack: Ack) {
        let now = self.steady(node);
        let (service, id) = (&self.names.service, &self.names.agents[agent]);
        let ledger = &mut self.nodes[node].office.ledger;
        let known = ledger.acked(service, id).map(|known| (known.ack.floor, known.ack.writes));
        let changed = known != Some((ack.floor, ack.writes));
        ledger.acknowledged(service, id, ack, now);
        if changed {
            self.wake(node, 1);
        }
    }

    fn hear_signals(&mut self, node: usize, agent: usize, signals: Vec<Told>, lags: &[ToldLag], now: Duration) {
        if self.nodes[node].office.hold(agent, signals, lags, now) {
            self.wake(node, self.set.rest);
        }
    }

    fn hear_outcome(&mut self, node: usize, conn: usize, report: Report) {
        let Report { run, step, direction, seq, mut outcome } = report;
        if self.bug(Bug::UnknownIsFailed) && outcome.result == mesh_core::run::OutcomeResult::Unknown {
            outcome.result = mesh_core::run::OutcomeResult::Refused { retry: false };
        }
        if self.bug(Bug::UnknownIsDone) && outcome.result == mesh_core::run::OutcomeResult::Unknown {
            outcome.result = mesh_core::run::OutcomeResult::Done;
        }
        let index = self.propose(node, Some(Command::CloseIntent { run, step, direction, seq, outcome }));
        self.nodes[node].office.settling.insert(index, (conn, seq));
    }

    fn end_session(&mut self, node: usize, agent: usize) {
        let office = &mut self.nodes[node].office;
        if let Some(live) = office.sessions[agent].take() {
            office.gone[agent] = Some(live.heard);
            self.conns[live.conn].ended = true;
        }
    }

    // What it does of itself.

    pub fn round(&mut self, node: usize, epoch: u32) {
        let it = &self.nodes[node];
        if it.epoch != epoch || !self.leads(node) || it.office.next_round != self.now {
            return;
        }
        self.nodes[node].office.next_round = 0;
        self.wake(node, LOOK_EVERY);
        let Some(led_since) = self.nodes[node].office.led_since else { return };
        self.take_up_all(node);
        if self.resting > 0 && self.will_judge(node) {
            self.tell_by_now();
        }
        let now = self.nodes[node].mesh_time(self.now);
        if self.asks_for_nothing(node, now) {
            self.automatic(node, now, led_since);
            return;
        }
        let (all, connected) = self.views(node, now, led_since);
        let busy = running(&self.nodes[node].fleet).next().is_some();
        if busy {
            self.engine(node, &all, &connected);
            self.offer(node, now);
        }
        self.leases(node, &all);
        if self.bug(Bug::NoWaves) {
            let hidden = hide(&mut self.nodes[node].fleet);
            self.automatic(node, now, led_since);
            show(&mut self.nodes[node].fleet, hidden);
        } else {
            self.automatic(node, now, led_since);
        }
        if busy && let Some(at) = engine::next_wakeup(&self.nodes[node].fleet, &all) {
            self.wake(node, duration_millis(at.since(now)).max(1) * MILLI);
        }
    }

    /// Who rests was heard a moment ago by its leader.
    fn heard(&self, node: usize, agent: usize, live: &Live, steady: Duration) -> Duration {
        let rests = self.agents[agent].rests() && self.conns[live.conn].node == node && !self.conns[live.conn].ended;
        if rests { steady } else { live.heard }
    }

    fn all_heard(&self, node: usize, steady: Duration) -> bool {
        (0..).zip(&self.nodes[node].office.sessions).all(|(agent, live)| {
            live.as_ref()
                .is_some_and(|live| steady.saturating_sub(self.heard(node, agent, live, steady)) < AGENT_SILENCE)
        })
    }

    /// No run, one ask list that has everybody, everybody was heard: engine and leases have nothing to do. One look of many
    /// is taken all the same.
    fn asks_for_nothing(&mut self, node: usize, now: Timestamp) -> bool {
        let steady = self.steady(node);
        let it = &mut self.nodes[node];
        if it.office.calm.0 != it.applied {
            it.office.calm = (it.applied, is_calm(&it.fleet, &self.names.service));
        }
        if !it.office.calm.1 || !self.all_heard(node, steady) {
            return false;
        }
        if (self.nodes[node].office.looks + 1).is_multiple_of(LOOK_ANYWAY) && self.plant.is_none() {
            let led_since = self.nodes[node].office.led_since.unwrap_or_default();
            let (all, connected) = self.views(node, now, led_since);
            let it = &self.nodes[node];
            let due = due::due(&it.fleet, &all, &it.office.ledger, steady);
            assert!(due.commands.is_empty() && engine::next(&it.fleet, &connected).is_empty(), "nothing was due");
        }
        true
    }

    fn views(&self, node: usize, now: Timestamp, led_since: Timestamp) -> (View, View) {
        let steady = self.steady(node);
        let office = &self.nodes[node].office;
        let mut loads = vec![0; self.agents.len()];
        for (_, _, intent) in running(&self.nodes[node].fleet).flat_map(Run::open_intents) {
            if let Some(agent) = self.names.agent(&intent.agent) {
                loads[agent] += 1;
            }
        }
        let presence = |agent: usize, heard: Duration| {
            let region = self.names.regions[agent / AGENTS_PER_REGION].clone();
            let last_heard = now.minus(steady.saturating_sub(heard));
            (self.names.agents[agent].clone(), AgentPresence { region, last_heard, load: loads[agent] })
        };
        let live: BTreeMap<AgentId, AgentPresence> = (0..)
            .zip(&office.sessions)
            .filter_map(|(agent, live)| Some(presence(agent, self.heard(node, agent, live.as_ref()?, steady))))
            .collect();
        let mut agents: BTreeMap<AgentId, AgentPresence> =
            (0..).zip(&office.gone).filter_map(|(agent, heard)| Some(presence(agent, (*heard)?))).collect();
        agents.extend(live.clone());
        let view = |agents| View { now, agents, agent_silence: AGENT_SILENCE, led_since };
        (view(agents), view(live))
    }

    fn engine(&mut self, node: usize, all: &View, connected: &View) {
        self.note_late_calls(node);
        let fleet = &self.nodes[node].fleet;
        let opens = |command: &Command| matches!(command, Command::OpenIntent { .. });
        let mut due: Vec<Command> = engine::next(fleet, all).into_iter().filter(|command| !opens(command)).collect();
        due.extend(engine::next(fleet, connected).into_iter().filter(opens));
        due.retain(|command| !self.bars_late(node, command));
        for command in self.take_up_lost(node, due) {
            self.propose_once(node, command);
        }
    }

    /// Intents of agents that were silent for too long: their sessions end first.
    fn take_up_lost(&mut self, node: usize, due: Vec<Command>) -> Vec<Command> {
        let (mut others, now) = (Vec::new(), self.steady(node));
        for command in due {
            if self.bug(Bug::LostIntentsKept) && matches!(command, Command::CloseIntent { .. }) {
                continue;
            }
            let Command::CloseIntent { run, seq, .. } = &command else {
                others.push(command);
                continue;
            };
            let key = (run.clone(), *seq);
            let Some(agent) = agent_of(&self.nodes[node].fleet, &key).and_then(|id| self.names.agent(&id)) else {
                continue;
            };
            let live = self.nodes[node].office.live(agent);
            if live.is_none_or(|live| now.saturating_sub(live.heard) >= AGENT_SILENCE) {
                self.end_session(node, agent);
                self.nodes[node].office.lost.insert(key, command);
            }
        }
        let it = &mut self.nodes[node];
        let fleet = &it.fleet;
        it.office.lost.retain(|key, _| agent_of(fleet, key).is_some());
        it.office.lost.values().cloned().chain(others).collect()
    }

    fn propose_once(&mut self, node: usize, command: Command) {
        let subject = subject(&command);
        let now = self.now;
        let office = &self.nodes[node].office;
        if office.rests.get(&subject).is_some_and(|(until, _)| *until > now) || office.flying.contains_key(&subject) {
            return;
        }
        self.judge_proposal(node, &command);
        let index = self.propose(node, Some(command));
        self.nodes[node].office.flying.insert(subject, index);
    }

    fn offer(&mut self, node: usize, now: Timestamp) {
        let fleet = &self.nodes[node].fleet;
        let mut offers = Vec::new();
        for run in running(fleet).filter(|run| run.paused.is_none()) {
            for (step, direction, intent) in run.open_intents() {
                if self.nodes[node].office.lost.contains_key(&(run.id.clone(), intent.seq)) {
                    continue;
                }
                let Some(mut agent) = self.names.agent(&intent.agent) else { continue };
                if self.bug(Bug::OffersToAnyone) {
                    agent ^= 1;
                }
                let Some(live) = self.nodes[node].office.live(agent) else { continue };
                if live.offered.contains(&intent.seq) {
                    continue;
                }
                let job = engine::job(fleet, &run.id, &step.id, direction, now);
                if let Some(job) = job.filter(|job| job.token.intent == intent.seq) {
                    offers.push((agent, live.conn, job));
                }
            }
        }
        for (agent, conn, job) in offers {
            if let Some(live) = &mut self.nodes[node].office.sessions[agent] {
                live.offered.insert(job.token.intent);
            }
            self.say_to_agent(conn, Heard::Offer(Box::new(job)));
        }
    }

    fn leases(&mut self, node: usize, view: &View) {
        self.tell_ended(node);
        let now = self.steady(node);
        let it = &self.nodes[node];
        let due = due::due(&it.fleet, view, &it.office.ledger, now);
        for command in due.commands {
            self.propose_once(node, command);
        }
        if self.bug(Bug::NoLeaseWait) {
            self.prove_at_once(node);
        }
        if let Some(again) = due.again_in {
            self.wake(node, u64::try_from(again.as_micros()).unwrap_or(SECOND).max(MILLI));
        }
    }

    fn tell_ended(&mut self, node: usize) {
        let service = &self.nodes[node].fleet.services[&self.names.service];
        let wanted = service.authority.values().filter_map(|authority| match authority.state {
            AuthorityState::Ending { wanted } => Some(wanted),
            AuthorityState::Granted
            | AuthorityState::Closed { .. }
            | AuthorityState::ClosedByConsent { .. }
            | AuthorityState::Proven { .. } => None,
        });
        let Some(wanted) = wanted.max() else { return };
        let mut told = Vec::new();
        for live in self.nodes[node].office.sessions.iter_mut().flatten() {
            if live.told.insert(wanted) {
                told.push(live.conn);
            }
        }
        for conn in told {
            self.say_to_agent(conn, Heard::Revoked(wanted));
        }
    }

    fn prove_at_once(&mut self, node: usize) {
        let fleet = &self.nodes[node].fleet;
        let service = &fleet.services[&self.names.service];
        let Some(run) = service.current_run.as_ref().and_then(|run| fleet.runs.get(run)) else { return };
        let ending = service.authority.get(&run.plan.from).map(|authority| &authority.state);
        if matches!(ending, Some(AuthorityState::Ending { .. })) {
            let proof = mesh_core::lease::Proof::LeaseEnded { waited: Duration::ZERO, promises: BTreeSet::new() };
            let (run, region) = (run.id.clone(), run.plan.from.clone());
            self.propose_once(node, Command::ProveClosed { run, region, proof });
        }
    }

    // Calls that may still arrive, by this node's own count: `coordinator/src/driver/late_calls.rs`.

    fn note_late_calls(&mut self, node: usize) {
        let now = self.steady(node);
        let it = &mut self.nodes[node];
        let open: Vec<&OpenCall> = it.fleet.services.values().flat_map(|service| &service.open_calls).collect();
        it.office.late.retain(|(resource, generation), (end, _)| {
            *end > now || open.iter().any(|call| call.resource == *resource && call.generation == *generation)
        });
        for call in open {
            let end = now + call.until.since(it.fleet.now) + LATE_LOOK;
            let known = it.office.late.entry((call.resource.clone(), call.generation)).or_insert((end, call.until));
            if known.1 < call.until {
                *known = (end, call.until);
            }
        }
    }

    fn bars_late(&self, node: usize, command: &Command) -> bool {
        let Command::OpenIntent { run, step, direction, .. } = command else { return false };
        let it = &self.nodes[node];
        let Some(run) = it.fleet.runs.get(run) else { return false };
        let Some(step) = run.plan.step(step) else { return false };
        let (action, generation) = match direction {
            Direction::Forward => (Some(&step.action), run.plan.generation),
            Direction::Undo => (step.undo.as_ref(), run.generation()),
        };
        let Some(action) = action.filter(|action| action.mutates()) else { return false };
        let (resource, now) = (action.resource(&step.region), self.steady(node));
        it.office.late.iter().any(|((called, at), (end, _))| *called == resource && *at < generation && *end > now)
    }
}

/// Runs that have not ended.
pub fn running(fleet: &Fleet) -> impl Iterator<Item = &Run> {
    fleet.services.values().filter_map(|service| fleet.runs.get(service.current_run.as_ref()?))
}

/// Nothing is under way that a leader would have to see to.
fn is_calm(fleet: &Fleet, service: &ServiceId) -> bool {
    let leased = &fleet.services[service];
    let has_all = |members: &BTreeSet<AgentId>| fleet.agents.keys().all(|agent| members.contains(agent));
    let ending = |authority: &Authority| matches!(authority.state, AuthorityState::Ending { .. });
    let waits = |run: &Run| matches!(run.state, RunState::Held { .. }) && run.open_intents().next().is_none();
    // What waits may wait for an older call; nothing else does.
    let none_is_out = || fleet.services.values().all(|service| service.open_calls.is_empty());
    (running(fleet).next().is_none() || running(fleet).all(waits) && none_is_out())
        && matches!(leased.asks.as_slice(), [list] if has_all(&list.members))
        && !leased.authority.values().any(ending)
}

fn agent_of(fleet: &Fleet, (run, seq): &(RunId, IntentSeq)) -> Option<AgentId> {
    let mut open = fleet.runs.get(run)?.open_intents();
    open.find(|(_, _, intent)| intent.seq == *seq).map(|(_, _, intent)| intent.agent.clone())
}

/// What a command is about: of those about one thing only one is on its way at a time.
fn subject(command: &Command) -> String {
    match command {
        Command::OpenIntent { run, step, direction, .. }
        | Command::CloseIntent { run, step, direction, .. }
        | Command::FailStep { run, step, direction, .. } => format!("{run}/{step}/{direction:?}"),
        Command::Grant { run, step } => format!("{run}/{step}/{:?}", Direction::Forward),
        Command::StartRun { plan, .. } => format!("{}/start", plan.service),
        Command::Revoke { run } => format!("{run}/revoke"),
        Command::ProveClosed { run, .. } => format!("{run}/closed"),
        Command::NoteLoss { run, .. } => format!("{run}/loss"),
        Command::SetAskList { .. } | Command::RetireAskLists { .. } => "asks".to_owned(),
        other => format!("{other:?}").chars().take(16).collect(),
    }
}
