//! A replicated log: elections with pre-vote, quorum commit, an isolated old leader that still believes, ReadIndex.
//!
//! Heartbeats are not events: a follower hears its leader as long as both run and a connection is possible between them,
//! so that only a change of that begins a silence. Everything that a commit needs is a message.

use std::rc::Rc;

use mesh_core::fleet::{Applied, Command, Fleet};
use mesh_core::time::{Timestamp, duration_millis};

use crate::audit::Audit;
use crate::clock::Clocks;
use crate::coordinator::Office;
use crate::event::{Entry, Event, Log};
use crate::net::{Part, Place};
use crate::plant::Bug;
use crate::plant::spoil::spoil_founding;
use crate::rng::Rng;
use crate::setting::{AGENTS_PER_REGION, REGIONS_MAX, spread_intents};
use crate::world::World;
use crate::{MILLI, Micros};

/// Of what was committed before the world begins.
pub const FOUNDING_TERM: u64 = 1;
pub const HEARTBEAT: Micros = 300 * MILLI;
const ELECTION_MIN: Micros = 1_000 * MILLI;
const ELECTION_MAX: Micros = 1_500 * MILLI;
/// A ReadIndex that takes longer is given up.
const READ_MAX: Micros = 3_000 * MILLI;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Follower,
    Leader,
}

pub struct Node {
    pub alive: bool,
    pub paused: bool,
    pub resumes: Micros,
    pub epoch: u32,
    pub clocks: Clocks,
    pub term: u64,
    pub role: Role,
    /// False from the loss of its disk until a quorum has taken it up again, with a new name: it neither votes nor counts.
    pub voter: bool,
    /// Writes that it made.
    pub syncs: u64,
    pub leader: Option<usize>,
    pub log: Log,
    /// Entries that are on its disk.
    pub synced: usize,
    pub commit: usize,
    pub fleet: Fleet,
    pub applied: usize,
    /// Of a leader: what each node has on disk.
    matched: Vec<usize>,
    told_commit: Vec<usize>,
    resending: bool,
    silent_since: Option<Micros>,
    silence: u32,
    /// Its time is what its wall clock says.
    pub in_time: bool,
    /// The last stamp and the steady clock then.
    stamped: Option<(u64, Micros)>,
    pub fsync: Micros,
    pub audit: Audit,
    /// Commands that its audit has seen.
    pub audited_commands: usize,
    pub office: Office,
}

impl Node {
    pub fn new(clocks: Clocks, log: Log, fleet: Fleet, fsync: Micros, nodes: usize) -> Self {
        let len = log.len();
        Self {
            alive: true,
            paused: false,
            resumes: 0,
            epoch: 0,
            clocks,
            term: 1,
            role: Role::Follower,
            voter: true,
            syncs: 0,
            leader: None,
            log,
            synced: len,
            commit: len,
            fleet,
            applied: len,
            matched: vec![0; nodes],
            told_commit: vec![0; nodes],
            resending: false,
            silent_since: None,
            silence: 0,
            in_time: false,
            stamped: None,
            fsync,
            audit: Audit::default(),
            audited_commands: 0,
            office: Office::new(nodes * AGENTS_PER_REGION),
        }
    }

    pub fn runs(&self) -> bool {
        self.alive && !self.paused
    }

    fn last(&self) -> (u64, usize) {
        (self.log.last().map_or(0, |entry| entry.term), self.log.len())
    }

    /// The mesh's time, as `coordinator/src/clock.rs` tells it.
    pub fn mesh_time(&mut self, now: Micros) -> Timestamp {
        let stamp = self.clocks.stamp(now);
        let wall = duration_micros(stamp.realtime);
        let steady = duration_micros(stamp.monotonic);
        let believed = match self.stamped {
            None => wall,
            // Of a turn that is played late.
            Some((before, at)) if steady < at => return Timestamp::from_millis(before / 1_000),
            Some((before, at)) => {
                let passed = steady.saturating_sub(at);
                wall.clamp(before + passed / 2, before + passed + passed / 8)
            }
        };
        let believed = believed.max(self.fleet.now.as_millis() * 1_000);
        self.in_time = believed == wall;
        self.stamped = Some((believed, steady));
        Timestamp::from_millis(believed / 1_000)
    }

    /// The latest that its mesh time can be.
    pub fn latest_time(&self, now: Micros) -> Timestamp {
        let stamp = self.clocks.stamp(now);
        let (wall, steady) = (duration_micros(stamp.realtime), duration_micros(stamp.monotonic));
        let stamped = self.stamped.map_or(0, |(before, at)| before + steady.saturating_sub(at) * 9 / 8);
        Timestamp::from_millis(wall.max(stamped) / 1_000).max(self.fleet.now)
    }

    pub fn forget_time(&mut self) {
        self.stamped = None;
    }
}

fn duration_micros(duration: std::time::Duration) -> Micros {
    u64::try_from(duration.as_micros()).unwrap_or_else(|_| duration_millis(duration) * 1_000)
}

pub const fn coordinator(region: usize) -> Place {
    Place { region, part: Part::Coordinator }
}

impl World {
    pub fn quorum(&self) -> usize {
        self.nodes.len() / 2 + 1
    }

    fn linked(&self, one: usize, other: usize) -> bool {
        self.net.is_joined(coordinator(one), coordinator(other))
    }

    fn hears(&self, node: usize) -> bool {
        let Some(leader) = self.nodes[node].leader else { return false };
        if leader == node {
            return self.nodes[node].role == Role::Leader;
        }
        let of = &self.nodes[leader];
        of.runs() && of.role == Role::Leader && of.term >= self.nodes[node].term && self.linked(node, leader)
    }

    /// Links or processes have changed: who hears its leader no more, which old leader hears of a newer one?
    pub fn look_at_quorum(&mut self) {
        self.judge_quorum();
        for node in 0..self.nodes.len() {
            if !self.nodes[node].alive || self.nodes[node].role == Role::Leader {
                continue;
            }
            if self.hears(node) {
                self.nodes[node].silent_since = None;
            } else if self.nodes[node].silent_since.is_none() {
                if let Some(leader) = self.nodes[node].leader {
                    // What the cut kept from it were heartbeats.
                    self.net.joined(coordinator(leader), coordinator(node));
                }
                self.nodes[node].silent_since = Some(self.now);
                self.nodes[node].silence += 1;
                self.await_silence(node);
            }
        }
        for old in 0..self.nodes.len() {
            let term = self.nodes[old].term;
            if !self.nodes[old].runs() || self.nodes[old].role != Role::Leader {
                continue;
            }
            let newer = (0..self.nodes.len()).filter(|other| {
                self.nodes[*other].runs() && self.nodes[*other].term > term && self.linked(old, *other)
            });
            if let Some(newer) = newer.map(|other| self.nodes[other].term).max() {
                let delay = self.rng.below(HEARTBEAT) + self.set.far * 2;
                self.after(delay, Event::StepDown { node: old, term, newer });
            }
        }
    }

    fn await_silence(&mut self, node: usize) {
        let delay = self.rng.between(ELECTION_MIN, ELECTION_MAX);
        let (epoch, silence) = (self.nodes[node].epoch, self.nodes[node].silence);
        self.after(delay, Event::Silence { node, epoch, silence });
    }

    pub fn silence(&mut self, node: usize, epoch: u32, silence: u32) {
        let it = &self.nodes[node];
        if !it.alive
            || !it.voter
            || it.epoch != epoch
            || it.silence != silence
            || it.role == Role::Leader
            || self.hears(node)
        {
            return;
        }
        self.await_silence(node);
        let votes = self.votes_for(node);
        if votes.len() < self.quorum() {
            return;
        }
        let term = votes.iter().map(|voter| self.nodes[*voter].term).max().unwrap_or_default() + 1;
        for voter in votes {
            self.nodes[voter].term = term;
            if self.nodes[voter].role == Role::Leader {
                self.resign(voter);
            }
        }
        let delay = self.set.far * 2 + self.nodes[node].fsync;
        let epoch = self.nodes[node].epoch;
        self.after(delay, Event::Elected { node, epoch, term });
    }

    fn votes_for(&self, node: usize) -> Vec<usize> {
        (0..self.nodes.len()).filter(|voter| self.would_vote(*voter, node)).collect()
    }

    /// Will this silence end in an election?
    pub fn may_be_elected(&self, node: usize, epoch: u32, silence: u32) -> bool {
        let it = &self.nodes[node];
        it.alive && it.epoch == epoch && it.silence == silence && self.votes_for(node).len() >= self.quorum()
    }

    /// Pre-vote: whoever hears a leader refuses.
    fn would_vote(&self, voter: usize, node: usize) -> bool {
        if voter == node {
            return true;
        }
        let it = &self.nodes[voter];
        let waited = it.silent_since.is_some_and(|since| self.now - since >= ELECTION_MIN);
        it.runs()
            && it.voter
            && self.linked(voter, node)
            && it.role != Role::Leader
            && waited
            && !self.hears(voter)
            && (self.nodes[node].last() >= it.last() || self.bug(Bug::ShorterLogWins))
    }

    pub fn elected(&mut self, node: usize, epoch: u32, term: u64) {
        if self.nodes[node].epoch != epoch || self.nodes[node].term != term || self.nodes[node].role == Role::Leader {
            return;
        }
        self.lead(node, term);
    }

    pub fn lead(&mut self, node: usize, term: u64) {
        let nodes = self.nodes.len();
        self.counts.elections += 1;
        let now = self.now;
        let steady = self.nodes[node].clocks.stamp(now).monotonic;
        let it = &mut self.nodes[node];
        it.role = Role::Leader;
        it.term = term;
        it.leader = Some(node);
        it.silent_since = None;
        it.matched = vec![0; nodes];
        it.told_commit = vec![0; nodes];
        let elected = if self.plant == Some(Bug::ElectedForgets) { Default::default() } else { steady };
        it.office.begin(term, elected);
        for other in 0..nodes {
            let of = &mut self.nodes[other];
            if other != node && of.term == term {
                of.leader = Some(node);
            }
        }
        self.propose(node, None);
        self.look_at_quorum();
        self.judge.led_since = now;
        self.ask_the_heir(node);
    }

    fn resign(&mut self, node: usize) {
        self.nodes[node].role = Role::Follower;
        self.nodes[node].leader = None;
        self.end_office(node);
    }

    pub fn step_down(&mut self, node: usize, term: u64, newer: u64) {
        if self.nodes[node].role != Role::Leader || self.nodes[node].term != term {
            return;
        }
        self.nodes[node].term = newer;
        self.resign(node);
        let leader = (0..self.nodes.len())
            .find(|other| self.nodes[*other].role == Role::Leader && self.nodes[*other].term == newer);
        self.nodes[node].leader = leader;
        self.look_at_quorum();
    }

    /// Appends to the leader's log. The index at which the command will be applied, if it ever is.
    pub fn propose(&mut self, node: usize, command: Option<Command>) -> usize {
        let now = self.now;
        let it = &mut self.nodes[node];
        let at = it.mesh_time(now);
        let last = it.log.last().map_or(at, |entry| entry.at);
        let entry = Rc::new(Entry { term: it.term, at: at.max(last), command });
        Rc::make_mut(&mut it.log).push(entry);
        let len = it.log.len();
        self.sync(node, len, None);
        self.replicate(node);
        len
    }

    fn sync(&mut self, node: usize, len: usize, reply: Option<(usize, u64)>) {
        let fsync = self.nodes[node].fsync;
        let delay = fsync / 2 + self.rng.below(fsync + 1);
        let epoch = self.nodes[node].epoch;
        self.nodes[node].syncs += 1;
        self.after(delay, Event::Synced { node, epoch, len, reply });
    }

    fn replicate(&mut self, node: usize) {
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            self.send_log(node, other);
        }
        if !self.nodes[node].resending {
            self.nodes[node].resending = true;
            let term = self.nodes[node].term;
            self.after(HEARTBEAT, Event::Resend { node, term });
        }
    }

    fn send_log(&mut self, node: usize, other: usize) {
        if !self.net.joined(coordinator(node), coordinator(other)) {
            return;
        }
        let (a, b) = (coordinator(node), coordinator(other));
        let delay = self.net.delay(a, b, &mut self.rng) + self.net.overtaken(a, b, &mut self.rng);
        let it = &self.nodes[node];
        let (term, log, commit) = (it.term, Rc::clone(&it.log), it.commit);
        if let Some(later) = self.net.twin(a, b, &mut self.rng) {
            self.after(delay + later, Event::Append { to: other, from: node, term, log: Rc::clone(&log), commit });
        }
        self.after(delay, Event::Append { to: other, from: node, term, log, commit });
    }

    pub fn resend(&mut self, node: usize, term: u64) {
        self.nodes[node].resending = false;
        if self.bug(Bug::NoResend) {
            return;
        }
        let it = &self.nodes[node];
        if !it.alive || it.role != Role::Leader || it.term != term {
            return;
        }
        let behind: Vec<usize> = (0..self.nodes.len())
            .filter(|other| *other != node)
            .filter(|other| it.matched[*other] < it.log.len() || it.told_commit[*other] < it.commit)
            .collect();
        if behind.is_empty() {
            return;
        }
        for other in behind {
            self.send_log(node, other);
        }
        self.nodes[node].resending = true;
        self.after(HEARTBEAT, Event::Resend { node, term });
    }

    pub fn append(&mut self, to: usize, from: usize, term: u64, log: Log, commit: usize) {
        if !self.nodes[to].alive || term < self.nodes[to].term {
            return;
        }
        if self.nodes[to].role == Role::Leader {
            if term == self.nodes[to].term {
                return;
            }
            self.resign(to);
        }
        let it = &mut self.nodes[to];
        it.term = term;
        if it.leader != Some(from) {
            it.leader = Some(from);
            it.silent_since = None;
            self.look_at_quorum();
        }
        let it = &mut self.nodes[to];
        let has = log.last().is_none_or(|last| it.log.get(log.len() - 1).is_some_and(|own| Rc::ptr_eq(own, last)));
        let len = log.len();
        if !has {
            let agreed = log.iter().zip(it.log.iter()).take_while(|(a, b)| Rc::ptr_eq(a, b)).count();
            it.synced = it.synced.min(agreed);
            it.log = log;
        }
        let commit = commit.min(len);
        let told = commit.max(it.commit);
        let unsynced = it.synced < len;
        if unsynced && self.plant == Some(Bug::AckBeforeFsync) {
            self.acknowledge(to, from, term, len, told);
            self.sync(to, len, Some((from, term)));
        } else if unsynced {
            self.sync(to, len, Some((from, term)));
        } else {
            self.acknowledge(to, from, term, len, told);
        }
        self.commit(to, commit);
    }

    /// A follower that hears from its leader what its leader knows.
    pub fn follows(&self, node: usize, leader: usize, term: u64) -> bool {
        let it = &self.nodes[node];
        it.role == Role::Follower && it.term == term && it.leader == Some(leader)
    }

    /// Can something be committed by this word of a follower, or is it taken up by it?
    pub fn may_commit(&self, leader: usize, follower: usize) -> bool {
        let it = &self.nodes[leader];
        it.role == Role::Leader && (it.commit < it.log.len() || !self.nodes[follower].voter)
    }

    pub fn synced(&mut self, node: usize, epoch: u32, len: usize, reply: Option<(usize, u64)>) {
        let it = &mut self.nodes[node];
        if it.epoch != epoch || it.log.len() < len {
            return;
        }
        it.synced = it.synced.max(len);
        match reply {
            Some((leader, term)) if it.term == term => {
                let told = it.commit;
                self.acknowledge(node, leader, term, len, told);
            }
            Some(_) => {}
            None => {
                let (term, told) = (it.term, it.commit);
                self.appended(node, node, term, len, told);
            }
        }
    }

    /// `told`: what it knows to be committed.
    fn acknowledge(&mut self, node: usize, leader: usize, term: u64, len: usize, told: usize) {
        if !self.net.joined(coordinator(node), coordinator(leader)) {
            return;
        }
        let (a, b) = (coordinator(node), coordinator(leader));
        let delay = self.net.delay(a, b, &mut self.rng) + self.net.overtaken(a, b, &mut self.rng);
        if let Some(later) = self.net.twin(a, b, &mut self.rng) {
            self.after(delay + later, Event::Appended { to: leader, from: node, term, len, told });
        }
        self.after(delay, Event::Appended { to: leader, from: node, term, len, told });
    }

    pub fn appended(&mut self, to: usize, from: usize, term: u64, len: usize, told: usize) {
        let it = &mut self.nodes[to];
        if !it.alive || it.role != Role::Leader || it.term != term {
            return;
        }
        it.matched[from] = it.matched[from].max(len);
        self.take_up(to, from);
        let it = &mut self.nodes[to];
        it.told_commit[from] = it.told_commit[from].max(told);
        let counts = |node: usize, len: usize| if self.nodes[node].voter { len } else { 0 };
        let mut matched: Vec<usize> =
            (0..).zip(&self.nodes[to].matched).map(|(node, len)| counts(node, *len)).collect();
        matched.sort_unstable_by(|a, b| b.cmp(a));
        let quorum = if self.bug(Bug::CommitByOne) { 0 } else { self.quorum() - 1 };
        let commit = matched[quorum];
        if commit > self.nodes[to].commit && self.nodes[to].log[commit - 1].term == term {
            self.commit(to, commit);
            self.replicate(to);
        }
    }

    fn commit(&mut self, node: usize, commit: usize) {
        let it = &mut self.nodes[node];
        // What was cut off is committed no more by this node; the judge sees that it never was.
        it.commit = it.commit.max(commit.min(it.log.len()));
        while self.nodes[node].applied < self.nodes[node].commit {
            self.apply_next(node);
        }
    }

    fn apply_next(&mut self, node: usize) {
        let index = self.nodes[node].applied;
        let entry = Rc::clone(&self.nodes[node].log[index]);
        self.nodes[node].applied += 1;
        self.judge_commit(node, index, &entry);
        let mut fleet = std::mem::take(&mut self.nodes[node].fleet);
        let at = if self.bug(Bug::OwnClock) { self.nodes[node].latest_time(self.now) } else { entry.at };
        let applied = self.applied(&mut fleet, &entry, at);
        self.nodes[node].fleet = fleet;
        self.judge_applied(node, index, applied.as_ref());
        if let Some(applied) = &applied {
            self.audit_applied(node, index, &entry, applied);
        }
        self.note_applied(node, index + 1, &entry, applied);
    }

    /// What an entry does to a replica.
    pub fn applied(&self, fleet: &mut Fleet, entry: &Entry, at: Timestamp) -> Option<Applied> {
        let Some(command) = &entry.command else {
            self.spoil_term(fleet);
            return None;
        };
        Some(self.spoil_apply(fleet, command, at))
    }

    /// The time until a quorum has answered a question that leaves now, if it does.
    pub fn read_index(&mut self, node: usize, rng: &mut Rng) -> Option<Micros> {
        let term = self.nodes[node].term;
        // A leader that has committed nothing of its term does not know what was.
        let knows = self.nodes[node].log.get(self.nodes[node].commit.checked_sub(1)?)?.term == term;
        if self.nodes[node].role != Role::Leader || !(knows || self.bug(Bug::NewLeaderKnows)) {
            return None;
        }
        if self.bug(Bug::LeaseRead) {
            return Some(1);
        }
        let mut answers = [Micros::MAX; REGIONS_MAX];
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            let of = &self.nodes[other];
            if !of.runs() || !of.voter || of.term > term || !self.net.joined(coordinator(node), coordinator(other)) {
                continue;
            }
            let there = self.net.delay(coordinator(node), coordinator(other), rng);
            answers[other] = there + self.net.delay(coordinator(other), coordinator(node), rng);
        }
        answers.sort_unstable();
        let needed = if self.bug(Bug::FewAnswer) { 0 } else { self.quorum() - 2 };
        Some(answers[needed]).filter(|took| *took <= READ_MAX)
    }

    pub fn crash_node(&mut self, node: usize) {
        let now = self.now;
        let it = &mut self.nodes[node];
        it.alive = false;
        it.epoch += 1;
        it.role = Role::Follower;
        it.leader = None;
        it.silent_since = None;
        let synced = it.synced;
        Rc::make_mut(&mut it.log).truncate(synced);
        // Applied state is rebuilt from the log; what was applied had been committed, and so was on disk here or comes again.
        let kept = it.commit.min(synced);
        if kept < it.applied {
            self.rebuild(node, kept);
        }
        let again = self.bug(Bug::AppliedTwice) && self.nodes[node].applied == kept && kept > 30;
        let it = &mut self.nodes[node];
        it.applied -= usize::from(again);
        it.commit = kept;
        it.forget_time();
        it.office = Office::new(it.matched.len() * AGENTS_PER_REGION);
        it.resending = false;
        let _ = now;
        self.end_office(node);
        self.look_at_quorum();
    }

    /// The state that the first `kept` entries make, and their audit.
    fn rebuild(&mut self, node: usize, kept: usize) {
        let log = Rc::clone(&self.nodes[node].log);
        let (mut fleet, mut audit, mut commands) = (Fleet::default(), Audit::default(), 0);
        let founding = log.iter().take_while(|entry| entry.term == FOUNDING_TERM).count();
        for (index, entry) in log[..kept].iter().enumerate() {
            if index == founding {
                spread_intents(&mut fleet, &self.names);
                spoil_founding(self.plant, &mut fleet);
            }
            let Some(applied) = self.applied(&mut fleet, entry, entry.at) else { continue };
            if index < founding {
                continue;
            }
            commands += 1;
            if let Some(command) = entry.command.as_ref().filter(|_| self.audited(&applied)) {
                let known = self.judge.chain.canon.records.get(audit.records.len());
                audit.append(index + 1, entry.at, command, &applied, known);
            }
        }
        if kept <= founding {
            spread_intents(&mut fleet, &self.names);
            spoil_founding(self.plant, &mut fleet);
        }
        let it = &mut self.nodes[node];
        (it.fleet, it.audit, it.audited_commands, it.applied) = (fleet, audit, commands, kept);
    }

    /// A node without a disk comes back with nothing, and has to be taken up again.
    pub fn lose_disk(&mut self, node: usize) {
        self.crash_node(node);
        let it = &mut self.nodes[node];
        it.voter = false;
        let founding = it.log.iter().take_while(|entry| entry.term == FOUNDING_TERM).count();
        it.log = Rc::new(it.log[..founding].to_vec());
        (it.synced, it.commit, it.term) = (founding, founding, FOUNDING_TERM);
        self.rebuild(node, founding);
        for leader in &mut self.nodes {
            leader.matched[node] = 0;
            leader.told_commit[node] = 0;
        }
        self.reached("a disk was lost");
    }

    /// Whoever could not be taken up when it had everything is tried again.
    pub fn take_up_all(&mut self, leader: usize) {
        for node in (0..self.nodes.len()).filter(|node| *node != leader) {
            self.take_up(leader, node);
        }
    }

    /// By the leader, once it has everything and a quorum without it still follows.
    fn take_up(&mut self, leader: usize, node: usize) {
        let it = &self.nodes[leader];
        let has_all = self.nodes[node].synced >= it.log.len() && it.matched[node] >= it.log.len();
        if self.nodes[node].voter || !has_all || it.commit < it.log.len() {
            return;
        }
        let mut rng = self.rng.split();
        if self.read_index(leader, &mut rng).is_some() {
            self.nodes[node].voter = true;
            self.nodes[node].term = self.nodes[leader].term;
            self.reached("a node without a disk was taken up again");
        }
    }

    pub fn start_node(&mut self, node: usize) {
        self.nodes[node].alive = true;
        self.nodes[node].paused = false;
        self.look_at_quorum();
        if let Some(leader) = self.leader().filter(|_| !self.nodes[node].voter) {
            self.replicate(leader);
        }
    }
}
