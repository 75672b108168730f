//! An agent: its probes, its session, its right to let its region write. The core's hysteresis and lease holder decide.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_core::detect::{Isolation, SelfReport};
use mesh_core::ids::{Generation, RunId};
use mesh_core::lease::holder::{Promise, Record};
use mesh_core::lease::{Ack, Holder, News, Stamp};
use mesh_core::time::Timestamp;

use crate::clock::Clocks;
use crate::event::{Event, Heard, Peer, Say, Written};
use crate::net::{Part, Place};
use crate::plant::Bug;
use crate::setting::AGENTS_PER_REGION;
use crate::world::World;
use crate::{MILLI, Micros, SECOND};

pub mod executor;
pub mod gate;
pub mod lane;
pub mod rest;

use executor::{Entry, Work};
use gate::Gate;
use lane::Lane;
use rest::Rest;

const TICK: Micros = SECOND;
const WELCOME_WITHIN: Micros = 3 * SECOND;
/// Without a pong for so long another coordinator is tried.
const SILENCE_MAX: Duration = Duration::from_secs(3);
const LOOK_EVERY: Micros = 250 * MILLI;
const PROMISE_WITHIN: Micros = SECOND;
/// A slip is told of for so long.
const SLIP_SLOTS: usize = 10;
/// Redirections that are followed at once.
const HINTS_MAX: u32 = 3;

/// What survives a crash.
#[derive(Default)]
pub struct Disk {
    pub floor: Generation,
    pub promise: Option<Promise>,
    pub entries: BTreeMap<mesh_core::ids::IntentSeq, Entry>,
    pub settled: std::collections::BTreeSet<mesh_core::ids::IntentSeq>,
}

pub struct Conn {
    pub conn: usize,
    pub welcomed: bool,
    last_pong: Stamp,
    sent: u64,
}

pub struct Agent {
    pub region: usize,
    pub alive: bool,
    pub paused: bool,
    pub resumes: Micros,
    pub epoch: u32,
    pub clocks: Clocks,
    pub names_fail: u32,
    /// Questions for which it found no name server.
    pub unnamed: u64,
    /// Writes to its journal.
    pub writes: u64,
    pub subjects: Vec<Lane>,
    published: u64,
    isolation: Isolation,
    slips: [(u64, Duration); SLIP_SLOTS],
    pub conn: Option<Conn>,
    turn: usize,
    hints: u32,
    highest_term: u64,
    pub gate: Gate,
    pub holder: Holder,
    looking: bool,
    /// Of its last turn that changed nothing: its session, and how far its leader had applied the log.
    calm: Option<(usize, usize)>,
    rest: Option<Rest>,
    pub disk: Disk,
    pub works: BTreeMap<mesh_core::ids::IntentSeq, Work>,
    pub fsync: Micros,
    /// Notices that were sent, by their keys, since the process began.
    pub published_at: BTreeMap<String, Stamp>,
    /// The mesh's time, as the last offer of this process said it.
    pub mesh_time: Option<(Timestamp, Stamp)>,
    /// What a leader said last of its right to write.
    last_news: Option<News>,
}

impl World {
    pub fn new_agent(&mut self, agent: usize) -> Agent {
        let region = agent / AGENTS_PER_REGION;
        let clocks = self.some_clocks();
        let workloads = self.set.workloads;
        let mut subjects: Vec<Lane> = (0..workloads).map(|about| self.lane(agent, about, false, 0)).collect();
        if region < workloads {
            subjects.push(self.lane(agent, region, true, 0));
        }
        Agent {
            region,
            alive: true,
            paused: false,
            resumes: 0,
            epoch: 0,
            slips: Default::default(),
            holder: Holder::restarted(Record::default(), clocks.stamp(0)),
            clocks,
            names_fail: 0,
            unnamed: 0,
            writes: 0,
            subjects,
            published: 0,
            isolation: Isolation::default(),
            conn: None,
            turn: region,
            hints: 0,
            highest_term: 0,
            gate: Gate::default(),
            looking: false,
            calm: None,
            rest: None,
            disk: Disk::default(),
            works: BTreeMap::new(),
            fsync: self.set.fsync,
            published_at: BTreeMap::new(),
            mesh_time: None,
            last_news: None,
        }
    }

    /// Begins as a process does.
    pub fn start_agent(&mut self, agent: usize) {
        let now = self.now;
        let epoch = self.agents[agent].epoch;
        self.judge_began(agent);
        for subject in 0..self.agents[agent].subjects.len() {
            self.start_lane(agent, subject);
        }
        let tick = self.rng.below(TICK / 4) + 1;
        self.after(tick, Event::Tick { agent, epoch });
        let it = &mut self.agents[agent];
        it.alive = true;
        let stamp = it.clocks.stamp(now);
        it.slips = Default::default();
        let promise = it.disk.promise.clone();
        let record = Record { floor: it.disk.floor, promise, open_call: it.open_call_on_disk() };
        self.agents[agent].holder = Holder::restarted(record, stamp);
        if self.bug(Bug::LeaseSurvivesRestart)
            && let Some(news) = self.agents[agent].last_news.clone()
        {
            self.agents[agent].holder.hear(&news, stamp, stamp);
            self.judge_right(agent);
        }
        let unfinished: Vec<_> =
            self.agents[agent].disk.entries.values().filter(|entry| entry.outcome.is_none()).cloned().collect();
        for entry in unfinished {
            self.resume_work(agent, entry);
        }
        self.seek(agent);
    }

    pub fn crash_agent(&mut self, agent: usize) {
        self.reckon_lanes(agent);
        let (old, epoch) = (&self.agents[agent].subjects, self.agents[agent].epoch + 1);
        let fresh: Vec<Lane> = old.iter().map(|lane| self.lane(agent, lane.region, lane.is_lag, epoch)).collect();
        let it = &mut self.agents[agent];
        it.alive = false;
        it.epoch += 1;
        it.subjects = fresh;
        it.published = 0;
        it.isolation = Isolation::default();
        it.gate = Gate::default();
        it.works.clear();
        it.published_at.clear();
        it.mesh_time = None;
        it.looking = false;
        let conn = it.conn.take();
        if let Some(conn) = conn {
            self.conns[conn.conn].ended = true;
        }
    }

    pub const fn agents_of(region: usize) -> Place {
        Place { region, part: Part::Agents }
    }

    pub fn stamp(&self, agent: usize) -> Stamp {
        self.stamp_at(agent, self.now)
    }

    pub fn stamp_at(&self, agent: usize, at: Micros) -> Stamp {
        seen(self.agents[agent].clocks.stamp(at), self.plant)
    }

    // What it says of itself.

    /// As `agent/src/prober/slip.rs`: the greatest lateness of each of the last seconds.
    pub fn note_slip(&mut self, agent: usize, late: Duration) {
        if self.bug(Bug::SlipUnseen) {
            return;
        }
        let second = self.stamp(agent).monotonic.as_secs();
        let slots = &mut self.agents[agent].slips;
        let slot = &mut slots[usize::try_from(second).unwrap_or_default() % SLIP_SLOTS];
        let before = if slot.0 == second { slot.1 } else { Duration::ZERO };
        *slot = (second, before.max(late));
    }

    fn report(&self, agent: usize) -> SelfReport {
        let (it, stamp) = (&self.agents[agent], self.stamp(agent));
        let second = stamp.monotonic.as_secs();
        let recent = it.slips.iter().filter(|(of, _)| second.saturating_sub(*of) < SLIP_SLOTS as u64);
        let timer_slip = recent.map(|(_, late)| *late).max().unwrap_or_default();
        let (mut peers, mut peers_dead) = (0, 0);
        for of in it.subjects.iter().filter(|of| !of.is_lag) {
            peers += usize::from(of.fails() || of.passes());
            peers_dead += usize::from(of.fails());
        }
        SelfReport { timer_slip, peers, peers_dead }
    }

    // The session.

    pub fn tick(&mut self, agent: usize, epoch: u32, late: Micros) {
        if self.agents[agent].epoch != epoch {
            return;
        }
        self.note_slip(agent, Duration::from_micros(late));
        self.reseed(agent);
        let stamp = self.stamp(agent);
        let it = &self.agents[agent];
        let silent =
            it.conn.as_ref().is_some_and(|conn| conn.welcomed && stamp.since_steady(conn.last_pong) >= SILENCE_MAX);
        if silent {
            self.lose_session(agent);
            self.seek(agent);
        } else if let Some(conn) = it.conn.as_ref().filter(|conn| conn.welcomed).map(|conn| conn.conn) {
            self.ping(agent, conn);
            self.tell_signals(agent);
            self.report_outcomes(agent, true);
        }
        self.look_after_right(agent);
        self.next_turn(agent);
    }

    pub fn ping(&mut self, agent: usize, conn: usize) {
        let stamp = self.stamp(agent);
        let nonce = self.agents[agent].gate.ping(stamp);
        let (report, ack) = (self.report(agent), self.standing(agent));
        self.say_to_node(conn, Say::Ping { nonce, report, ack });
    }

    /// No floor that is not on disk.
    fn standing(&self, agent: usize) -> Ack {
        let it = &self.agents[agent];
        let mut ack = it.holder.ack(self.stamp(agent));
        if !self.bug(Bug::FloorToldEarly) {
            ack.floor = ack.floor.min(it.disk.floor);
        }
        ack
    }

    fn reseed(&mut self, agent: usize) {
        let rng = self.rng_of_turn(agent, self.now);
        if let Some(conn) = &self.agents[agent].conn {
            self.conns[conn.conn].rng = rng;
        }
    }

    fn lose_session(&mut self, agent: usize) {
        if let Some(conn) = self.agents[agent].conn.take() {
            self.conns[conn.conn].ended = true;
            self.counts.sessions_lost += 1;
        }
        self.agents[agent].turn += 1;
        self.agents[agent].hints = 0;
    }

    fn seek(&mut self, agent: usize) {
        self.judge_seek(agent);
        let node = self.agents[agent].turn % self.nodes.len();
        let conn = self.connect(agent, node);
        let last_pong = self.stamp(agent);
        self.agents[agent].conn = Some(Conn { conn, welcomed: false, last_pong, sent: 0 });
        self.after(WELCOME_WITHIN, Event::Unanswered { agent, conn });
        self.say_to_node(conn, Say::Hello);
    }

    /// No Welcome in time: the next one.
    pub fn unanswered(&mut self, agent: usize, conn: usize) {
        let waits = self.agents[agent].conn.as_ref().is_some_and(|own| own.conn == conn && !own.welcomed);
        if waits && self.agents[agent].alive {
            self.lose_session(agent);
            self.seek(agent);
        }
    }

    pub fn hear(&mut self, conn: usize, heard: Heard) {
        let agent = self.conns[conn].agent;
        if !self.agents[agent].alive || self.agents[agent].conn.as_ref().is_none_or(|own| own.conn != conn) {
            return;
        }
        match heard {
            Heard::Welcome { term } => self.hear_welcome(agent, conn, term),
            Heard::NotLeader { leader } => self.redirect(agent, leader),
            Heard::Pong { nonce, paused, news } => self.hear_pong(agent, nonce, paused, news),
            Heard::Offer(job) => self.hear_offer(agent, *job),
            Heard::Revoked(wanted) => {
                self.agents[agent].holder.end(wanted);
                self.write(agent, Written::Floor { generation: wanted, tell: true });
            }
            Heard::OutcomeAck(seq) => self.hear_outcome_ack(agent, seq),
            Heard::Halt { asking, run } => self.hear_halt(agent, asking, run),
        }
    }

    fn hear_welcome(&mut self, agent: usize, conn: usize, term: u64) {
        let stamp = self.stamp(agent);
        let it = &mut self.agents[agent];
        if term < it.highest_term {
            self.lose_session(agent);
            self.seek(agent);
            return;
        }
        it.highest_term = term;
        it.gate.session_started();
        it.conn = Some(Conn { conn, welcomed: true, last_pong: stamp, sent: 0 });
        it.hints = 0;
        self.counts.sessions += 1;
        self.ping(agent, conn);
        self.tell_signals(agent);
        self.report_outcomes(agent, true);
    }

    fn redirect(&mut self, agent: usize, leader: Option<usize>) {
        if let Some(conn) = self.agents[agent].conn.take() {
            self.conns[conn.conn].ended = true;
        }
        let it = &mut self.agents[agent];
        match leader.filter(|_| it.hints < HINTS_MAX) {
            Some(leader) => {
                it.turn = leader;
                it.hints += 1;
                self.seek(agent);
            }
            None => {
                it.turn += 1;
                it.hints = 0;
                let rest = if self.bug(Bug::NoRest) { 1 } else { self.rng.between(100, 1_000) * MILLI };
                let epoch = self.agents[agent].epoch;
                self.after(rest, Event::Unanswered { agent, conn: usize::MAX });
                let _ = epoch;
            }
        }
    }

    /// The pause between two attempts is over.
    pub fn seek_again(&mut self, agent: usize) {
        if self.agents[agent].alive && self.agents[agent].conn.is_none() {
            self.seek(agent);
        }
    }

    fn hear_pong(&mut self, agent: usize, nonce: u64, paused: std::collections::BTreeSet<RunId>, news: Option<News>) {
        let stamp = self.stamp(agent);
        let early = self.bug(Bug::LeaseFromReply);
        let it = &mut self.agents[agent];
        if let (Some(sent), Some(news)) = (it.gate.sent(nonce), news) {
            let sent = if early { stamp } else { sent };
            if self.plant == Some(Bug::LeaseSurvivesRestart) {
                it.last_news = Some(news.clone());
            }
            let raised = it.holder.hear(&news, sent, stamp);
            self.judge_right(agent);
            if raised {
                self.write(agent, Written::Floor { generation: news.floor, tell: false });
            }
        }
        let it = &mut self.agents[agent];
        if it.gate.pong(nonce, paused)
            && let Some(conn) = &mut it.conn
        {
            conn.last_pong = stamp;
        }
        self.wake_works(agent);
    }

    // The right to write.

    fn look_after_right(&mut self, agent: usize) {
        if self.agents[agent].looking || !self.wants_promises(agent) {
            return;
        }
        self.agents[agent].looking = true;
        let epoch = self.agents[agent].epoch;
        self.after(LOOK_EVERY, Event::Look { agent, epoch });
    }

    fn wants_promises(&self, agent: usize) -> bool {
        let it = &self.agents[agent];
        let plenty = Duration::from_secs(self.set.lease_s) / 2;
        it.alive
            && it.holder.may_ask()
            && it.holder.standing(self.stamp(agent)).is_none_or(|own| own.left <= plenty)
            && self.set.promises
    }

    pub fn look(&mut self, agent: usize, epoch: u32) {
        if self.agents[agent].epoch != epoch {
            return;
        }
        self.agents[agent].looking = false;
        if !self.wants_promises(agent) {
            return;
        }
        self.look_after_right(agent);
        let stamp = self.stamp(agent);
        let Some((ask, givers)) = self.agents[agent].holder.ask(stamp) else { return };
        for giver in givers {
            let Some(to) = self.names.agent(&giver) else { continue };
            self.say_to_peer(agent, to, Peer::Ask(ask.clone()), PROMISE_WITHIN);
        }
    }

    pub fn hear_peer(&mut self, from: usize, to: usize, peer: Peer) {
        if !self.agents[to].alive {
            return;
        }
        let stamp = self.stamp(to);
        match peer {
            Peer::Ask(ask) => {
                if self.agents[to].holder.promise(&ask, stamp).is_ok() {
                    self.counts.promises += 1;
                    self.write(to, Written::Promise { ask, to: from });
                }
            }
            Peer::Promised { round } => {
                let giver = self.names.agents[from].clone();
                if self.agents[to].holder.promised(&giver, round, stamp) {
                    self.counts.holds += 1;
                    self.judge_right(to);
                }
            }
        }
    }

    // The journal.

    pub fn write(&mut self, agent: usize, written: Written) {
        let it = &self.agents[agent];
        let (epoch, fsync) = (it.epoch, it.fsync);
        let delay = fsync / 2 + self.rng.below(fsync + 1);
        self.agents[agent].writes += 1;
        self.after(delay, Event::Disk { agent, epoch, written: Box::new(written) });
    }

    pub fn written(&mut self, agent: usize, epoch: u32, written: Written) {
        if self.agents[agent].epoch != epoch {
            return;
        }
        match written {
            Written::Floor { generation, tell } => {
                let disk = &mut self.agents[agent].disk;
                disk.floor = disk.floor.max(generation);
                if tell && let Some(conn) = self.agents[agent].conn.as_ref().map(|conn| conn.conn) {
                    let ack = self.standing(agent);
                    self.say_to_node(conn, Say::Standings(ack));
                }
            }
            Written::Promise { ask, to } => {
                let forgets = self.bug(Bug::PromiseNotPersisted);
                let disk = &mut self.agents[agent].disk;
                if !forgets {
                    disk.floor = disk.floor.max(ask.generation);
                    disk.promise = Some(Promise { generation: ask.generation, length: ask.length });
                }
                self.say_to_peer(agent, to, Peer::Promised { round: ask.round }, PROMISE_WITHIN);
            }
            other => self.written_work(agent, other),
        }
    }
}

/// As the wire has it.
pub fn whole_millis(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// What a process makes of its clocks.
fn seen(stamp: Stamp, plant: Option<Bug>) -> Stamp {
    match plant {
        Some(Bug::SuspendUnseen) => Stamp { boottime: stamp.monotonic, realtime: stamp.monotonic, ..stamp },
        _ => stamp,
    }
}

/// Time by the clock that a process waits with.
pub trait Steady {
    fn since_steady(self, earlier: Self) -> Duration;
}

impl Steady for Stamp {
    fn since_steady(self, earlier: Self) -> Duration {
        self.monotonic.saturating_sub(earlier.monotonic)
    }
}
