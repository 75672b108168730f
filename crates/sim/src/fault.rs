//! What goes wrong, from when until when; and whether it did.

use crate::consensus::HEARTBEAT;
use crate::event::{Event, Who};
use crate::net::Direction;
use crate::setting::AGENTS_PER_REGION;
use crate::world::World;
use crate::{MILLI, Micros, SECOND};

/// A fault that met nothing is tried again after so long.
const AGAIN: Micros = 7 * SECOND;
/// A run that somebody begins has called something within so long.
const RUN_WITHIN: Micros = 40 * SECOND;
/// In less there is nothing to meet.
const LEAST: Micros = 3 * SECOND;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    Cut(Vec<Direction>),
    Slow(Vec<Direction>, Micros),
    /// Of a thousand packets, so many are lost.
    Lossy(Vec<Direction>, u64),
    /// Of a thousand messages that no connection keeps in order, so many come twice, and so many are overtaken.
    Doubled(Vec<Direction>, u64),
    /// Cut for so long, whole for so long, and so on.
    Flap(Vec<Direction>, Micros),
    /// A workload that is dead.
    Down(usize),
    /// A workload that fails so many of a thousand questions.
    Sick(usize, u64),
    /// A workload that answers late by up to this.
    Late(usize, Micros),
    /// A process that stands still while all clocks go on.
    Pause(Who),
    /// A machine that is suspended: its monotonic clock stands.
    Suspend(Who),
    /// A machine of which every clock stands.
    Freeze(Who),
    Crash(Who),
    /// An agent dies at this point of its work, and is back after so long.
    CrashAt(Point, Micros),
    /// A coordinator that comes back without its disk.
    DiskLost(usize),
    /// The wall clock jumps, in milliseconds.
    Step(Who, i64),
    /// All clocks of a machine run faster by so many parts in a million.
    Drift(Who, i64),
    NoNames(usize),
    SlowDisk(Who, Micros),
    RepliesLost(u64),
    CallsLate(u64),
    ProviderErrors(u64),
}

/// Between two of the things that an executor does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The intent is in the journal, nothing was looked at.
    Accepted,
    /// The call is in the journal, and was not sent.
    Journalled,
    /// It was sent; nobody knows what becomes of it.
    Sent,
    /// The provider has carried it out; its answer is on the way.
    Applied,
    /// The call's end is in the journal.
    Ended,
    /// The outcome is in the journal, and was not told.
    Finished,
}

pub const POINTS: [Point; 6] =
    [Point::Accepted, Point::Journalled, Point::Sent, Point::Applied, Point::Ended, Point::Finished];

impl Fault {
    /// It strikes when something is called or written.
    const fn waits_for_runs(&self) -> bool {
        matches!(
            self,
            Self::Doubled(..)
                | Self::CrashAt(..)
                | Self::SlowDisk(..)
                | Self::RepliesLost(_)
                | Self::CallsLate(_)
                | Self::ProviderErrors(_)
        )
    }

    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Cut(_) => "cut",
            Self::Slow(..) => "slow-link",
            Self::Lossy(..) => "lossy-link",
            Self::Doubled(..) => "duplicates-and-reordering",
            Self::Flap(..) => "flap",
            Self::Down(_) => "workload-down",
            Self::Sick(..) => "probe-failures",
            Self::Late(..) => "late-answers",
            Self::Pause(_) => "pause",
            Self::Suspend(_) => "suspend",
            Self::Freeze(_) => "freeze",
            Self::Crash(_) => "crash",
            Self::CrashAt(Point::Accepted, _) => "crash-after-intent",
            Self::CrashAt(Point::Journalled, _) => "crash-between-journal-and-call",
            Self::CrashAt(Point::Sent, _) => "crash-after-call",
            Self::CrashAt(Point::Applied, _) => "crash-before-answer",
            Self::CrashAt(Point::Ended, _) => "crash-after-answer",
            Self::CrashAt(Point::Finished, _) => "crash-after-outcome",
            Self::DiskLost(_) => "disk-lost",
            Self::Step(..) => "clock-step",
            Self::Drift(..) => "clock-rate",
            Self::NoNames(_) => "no-name-server",
            Self::SlowDisk(..) => "slow-disk",
            Self::RepliesLost(_) => "replies-lost",
            Self::CallsLate(_) => "calls-late",
            Self::ProviderErrors(_) => "provider-errors",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    pub fault: Fault,
    pub from: Micros,
    pub until: Micros,
}

/// Links that are named of many.
const NAMED: usize = 3;

impl Planned {
    /// For people: of many links the first.
    pub fn brief(&self) -> String {
        let mut fault = self.fault.clone();
        let mut more = 0;
        if let Fault::Cut(links)
        | Fault::Slow(links, _)
        | Fault::Lossy(links, _)
        | Fault::Doubled(links, _)
        | Fault::Flap(links, _) = &mut fault
        {
            more = links.len().saturating_sub(NAMED);
            links.truncate(NAMED);
        }
        let others = if more > 0 { format!(" and {more} links more") } else { String::new() };
        format!("{:>9} to {:>9} ms  {fault:?}{others}", self.from / MILLI, self.until / MILLI)
    }
}

impl World {
    pub fn plan(&mut self, planned: Planned) {
        let nth = self.faults.len();
        self.at(planned.from, Event::Fault { nth, begins: true });
        self.at(planned.until, Event::Fault { nth, begins: false });
        self.faults.push(planned);
        self.met_before.push(0);
        self.fired.push(false);
    }

    /// What met nothing is tried again, as long as there is time: a fault of the plan is to strike.
    fn again(&mut self, nth: usize) -> bool {
        let Planned { fault, from, until } = self.faults[nth].clone();
        if self.fired[nth] || self.heals_at == Micros::MAX || matches!(fault, Fault::Flap(..)) {
            return false;
        }
        let for_runs = fault.waits_for_runs();
        let begins = self.now + if for_runs { 1 } else { AGAIN };
        let lasts = if for_runs { RUN_WITHIN } else { (until - from).max(AGAIN) };
        let ends = (begins + lasts).min(self.heals_at);
        if ends < begins + LEAST {
            return false;
        }
        if for_runs {
            self.people_see_to_it();
        }
        if let (Fault::SlowDisk(Who::Agent(_), by), Some(leader)) = (fault, self.leader()) {
            // Whoever leads writes whenever anything is decided.
            self.faults[nth].fault = Fault::SlowDisk(Who::Node(leader), by);
        }
        (self.faults[nth].from, self.faults[nth].until) = (begins, ends);
        self.at(begins, Event::Fault { nth, begins: true });
        self.at(ends, Event::Fault { nth, begins: false });
        true
    }

    /// A process that is dead or stands still already does not stand still or die once more.
    fn finds_nobody(&self, fault: &Fault) -> bool {
        match fault {
            Fault::Pause(who) | Fault::Suspend(who) | Fault::Freeze(who) => match who {
                Who::Agent(agent) => !self.agents[*agent].alive || self.agents[*agent].paused,
                Who::Node(node) => !self.nodes[*node].runs(),
            },
            Fault::Crash(Who::Agent(agent)) => !self.agents[*agent].alive,
            Fault::Crash(Who::Node(node)) => !self.nodes[*node].alive,
            _ => false,
        }
    }

    /// It did what it was planned for.
    pub fn fire(&mut self, nth: usize) {
        if !std::mem::replace(&mut self.fired[nth], true) {
            *self.counts.faults.entry(self.faults[nth].fault.kind()).or_default() += 1;
        }
    }

    pub fn fault(&mut self, nth: usize, begins: bool) {
        let Planned { fault, from, until } = self.faults[nth].clone();
        // It was put off.
        if self.now != if begins { from } else { until } || begins && self.finds_nobody(&fault) && self.again(nth) {
            return;
        }
        if begins {
            self.met_before[nth] = self.met(&fault);
            // A coordinator misses the heartbeats, which are no events.
            if let Fault::Pause(Who::Node(_)) | Fault::Suspend(Who::Node(_)) | Fault::Freeze(Who::Node(_)) = fault
                && until - from >= HEARTBEAT
            {
                self.fire(nth);
            }
        } else if self.met(&fault) > self.met_before[nth] {
            self.fire(nth);
        }
        match &fault {
            Fault::Cut(directions) => self.cut(directions, begins),
            Fault::Slow(directions, by) => {
                let by = i64::try_from(*by).unwrap_or(i64::MAX);
                directions.iter().for_each(|direction| self.net.slow(*direction, if begins { by } else { -by }));
            }
            Fault::Lossy(directions, share) => {
                let share = i64::try_from(*share).unwrap_or(i64::MAX);
                directions.iter().for_each(|direction| self.net.lose(*direction, if begins { share } else { -share }));
            }
            Fault::Doubled(directions, share) => {
                let share = i64::try_from(*share).unwrap_or(i64::MAX);
                directions
                    .iter()
                    .for_each(|direction| self.net.double(*direction, if begins { share } else { -share }));
            }
            Fault::Flap(directions, half) => {
                self.count(begins, |world| &mut world.flapping);
                if begins {
                    self.cut(directions, true);
                    self.flapped.insert(nth);
                    self.after(*half, Event::Flip { nth, cut: false });
                } else if self.flapped.remove(&nth) {
                    self.cut(directions, false);
                }
            }
            Fault::Down(region) => self.count(begins, |world| &mut world.cloud.servers[*region].down),
            Fault::Sick(region, share) => self.cloud.servers[*region].sick = if begins { *share } else { 0 },
            Fault::Late(region, late) => self.cloud.servers[*region].late = if begins { *late } else { 0 },
            Fault::Pause(who) | Fault::Suspend(who) | Fault::Freeze(who) => {
                if begins {
                    self.stand_still(*who, until);
                } else {
                    self.go_on(*who, &fault);
                }
            }
            Fault::Crash(who) => self.crash(nth, *who, begins),
            Fault::DiskLost(node) => self.disk(nth, *node, begins),
            Fault::Step(who, by) => {
                self.clocks(*who).wall_off += if begins { *by } else { -*by } * i64::try_from(MILLI).unwrap_or(1);
                self.fire(nth);
            }
            Fault::Drift(who, by) => {
                let now = self.now;
                self.clocks(*who).drift(now, if begins { *by } else { -*by });
                self.fire(nth);
            }
            Fault::NoNames(region) => {
                for agent in self.agents_in(*region) {
                    self.count(begins, |world| &mut world.agents[agent].names_fail);
                }
            }
            Fault::SlowDisk(who, by) => {
                let fsync = if begins { *by } else { self.set.fsync };
                match who {
                    Who::Agent(agent) => self.agents[*agent].fsync = fsync,
                    Who::Node(node) => self.nodes[*node].fsync = fsync,
                }
            }
            Fault::RepliesLost(share) => self.cloud.replies_lost = if begins { *share } else { 0 },
            Fault::CallsLate(share) => self.cloud.calls_late = if begins { *share } else { 0 },
            Fault::ProviderErrors(share) => self.cloud.errors = if begins { *share } else { 0 },
            Fault::CrashAt(..) if begins => self.armed.push(nth),
            Fault::CrashAt(..) => self.armed.retain(|other| *other != nth),
        }
        self.look_at_quorum();
        if !begins {
            self.again(nth);
        }
    }

    /// What the fault has met so far, where that can be counted.
    fn met(&self, fault: &Fault) -> u64 {
        match fault {
            Fault::Cut(links)
            | Fault::Slow(links, _)
            | Fault::Lossy(links, _)
            | Fault::Doubled(links, _)
            | Fault::Flap(links, _) => self.net.met_on(links),
            Fault::Down(region) | Fault::Sick(region, _) | Fault::Late(region, _) => self.cloud.servers[*region].met,
            Fault::Pause(who) | Fault::Suspend(who) | Fault::Freeze(who) => self.put_off[self.place(*who)],
            Fault::NoNames(region) => {
                let of_region = region * AGENTS_PER_REGION..(region + 1) * AGENTS_PER_REGION;
                self.agents[of_region].iter().map(|agent| agent.unnamed).sum()
            }
            Fault::SlowDisk(Who::Agent(agent), _) => self.agents[*agent].writes,
            Fault::SlowDisk(Who::Node(node), _) => self.nodes[*node].syncs,
            Fault::RepliesLost(_) => self.counts.replies_lost,
            Fault::CallsLate(_) => self.counts.calls_late,
            Fault::ProviderErrors(_) => self.counts.provider_errors,
            Fault::Crash(_) | Fault::CrashAt(..) | Fault::DiskLost(_) | Fault::Step(..) | Fault::Drift(..) => 0,
        }
    }

    fn count(&mut self, begins: bool, of: impl Fn(&mut Self) -> &mut u32) {
        let count = of(self);
        *count = if begins { *count + 1 } else { count.saturating_sub(1) };
    }

    fn cut(&mut self, directions: &[Direction], cut: bool) {
        for direction in directions {
            if cut { self.net.cut(*direction) } else { self.net.mend(*direction) }
        }
    }

    pub fn flip(&mut self, nth: usize, cut: bool) {
        let Planned { fault: Fault::Flap(directions, half), until, .. } = self.faults[nth].clone() else { return };
        if self.now >= until {
            return;
        }
        let changes = if cut { self.flapped.insert(nth) } else { self.flapped.remove(&nth) };
        if changes {
            self.cut(&directions, cut);
        }
        self.after(half, Event::Flip { nth, cut: !cut });
        self.look_at_quorum();
    }

    fn stand_still(&mut self, who: Who, until: Micros) {
        match who {
            Who::Agent(agent) => {
                self.agents[agent].paused = true;
                self.agents[agent].resumes = self.agents[agent].resumes.max(until);
            }
            Who::Node(node) => {
                self.nodes[node].paused = true;
                self.nodes[node].resumes = self.nodes[node].resumes.max(until);
            }
        }
    }

    fn go_on(&mut self, who: Who, fault: &Fault) {
        let stood = self
            .faults
            .iter()
            .find(|planned| planned.fault == *fault && planned.until == self.now)
            .map_or(0, |planned| planned.until - planned.from);
        let (resumes, now) = match who {
            Who::Agent(agent) => (self.agents[agent].resumes, self.now),
            Who::Node(node) => (self.nodes[node].resumes, self.now),
        };
        match fault {
            Fault::Suspend(_) => self.clocks(who).suspended += stood,
            Fault::Freeze(_) => self.clocks(who).frozen += stood,
            _ => {}
        }
        if let (Who::Agent(agent), Fault::Pause(_) | Fault::Suspend(_)) = (who, fault) {
            self.judge_stood(agent, now - stood);
        }
        if resumes > now {
            return;
        }
        match who {
            Who::Agent(agent) => self.agents[agent].paused = false,
            Who::Node(node) => self.nodes[node].paused = false,
        }
    }

    fn crash(&mut self, nth: usize, who: Who, begins: bool) {
        match (who, begins) {
            (Who::Agent(agent), true) if self.agents[agent].alive => self.crash_agent(agent),
            // Whoever was dead before is not brought back by this.
            (_, false) if !self.fired[nth] => return,
            (Who::Agent(agent), false) if !self.agents[agent].alive => self.start_agent(agent),
            (Who::Node(node), true) if self.nodes[node].alive => self.crash_node(node),
            (Who::Node(node), false) if !self.nodes[node].alive => self.start_node(node),
            _ => return,
        }
        self.fire(nth);
    }

    fn disk(&mut self, nth: usize, node: usize, begins: bool) {
        if !begins {
            if self.fired[nth] {
                self.start_node(node);
            }
        } else if self.nodes[node].alive && self.nodes.iter().all(|node| node.voter) {
            self.lose_disk(node);
            self.fire(nth);
        }
    }

    /// Does an armed fault strike here?
    pub fn crashes_here(&mut self, agent: usize, at: Point) -> bool {
        let strikes = |nth: &&usize| matches!(self.faults[**nth].fault, Fault::CrashAt(point, _) if point == at);
        let Some(nth) = self.armed.iter().find(strikes).copied().filter(|_| self.agents[agent].alive) else {
            return false;
        };
        let Fault::CrashAt(_, back_after) = self.faults[nth].fault else { return false };
        self.armed.retain(|other| *other != nth);
        self.fire(nth);
        self.crash_agent(agent);
        let epoch = self.agents[agent].epoch;
        self.after(back_after, Event::Restart { agent, epoch });
        true
    }

    pub fn restart(&mut self, agent: usize, epoch: u32) {
        if !self.agents[agent].alive && self.agents[agent].epoch == epoch {
            self.start_agent(agent);
        }
    }

    fn clocks(&mut self, who: Who) -> &mut crate::clock::Clocks {
        match who {
            Who::Agent(agent) => &mut self.agents[agent].clocks,
            Who::Node(node) => &mut self.nodes[node].clocks,
        }
    }

    /// Kinds of planned faults that never did anything.
    pub fn unfired(&self) -> impl Iterator<Item = &'static str> {
        let planned = self.faults.iter().zip(&self.fired);
        planned
            .filter(|(planned, fired)| !**fired && planned.until <= self.now)
            .map(|(planned, _)| planned.fault.kind())
    }
}

/// Long enough for everybody to be back: sessions, an election, a run.
pub const HEALING: Micros = 150 * SECOND;
