//! What goes wrong, from when until when.

use crate::event::{Event, Who};
use crate::net::Direction;
use crate::world::World;
use crate::{MILLI, Micros, SECOND};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    Cut(Vec<Direction>),
    Slow(Vec<Direction>, Micros),
    /// Of a thousand packets, so many are lost.
    Lossy(Vec<Direction>, u64),
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
    /// The wall clock jumps, in milliseconds.
    Step(Who, i64),
    NoNames(usize),
    SlowDisk(Who, Micros),
    RepliesLost(u64),
    CallsLate(u64),
}

impl Fault {
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Cut(_) => "cut",
            Self::Slow(..) => "slow-link",
            Self::Lossy(..) => "lossy-link",
            Self::Flap(..) => "flap",
            Self::Down(_) => "workload-down",
            Self::Sick(..) => "probe-failures",
            Self::Late(..) => "late-answers",
            Self::Pause(_) => "pause",
            Self::Suspend(_) => "suspend",
            Self::Freeze(_) => "freeze",
            Self::Crash(_) => "crash",
            Self::Step(..) => "clock-step",
            Self::NoNames(_) => "no-name-server",
            Self::SlowDisk(..) => "slow-disk",
            Self::RepliesLost(_) => "replies-lost",
            Self::CallsLate(_) => "calls-late",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    pub fault: Fault,
    pub from: Micros,
    pub until: Micros,
}

impl World {
    pub fn plan(&mut self, planned: Planned) {
        let nth = self.faults.len();
        self.at(planned.from, Event::Fault { nth, begins: true });
        self.at(planned.until, Event::Fault { nth, begins: false });
        self.faults.push(planned);
        self.met_before.push(0);
    }

    pub fn fault(&mut self, nth: usize, begins: bool) {
        let Planned { fault, until, .. } = self.faults[nth].clone();
        if begins {
            self.met_before[nth] = self.net.met;
            *self.counts.faults.entry(fault.kind()).or_default() += 1;
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
            Fault::Flap(directions, half) => {
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
            Fault::Crash(who) => self.crash(*who, begins),
            Fault::Step(who, by) => self.step_clock(*who, if begins { *by } else { -*by }),
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
        }
        self.look_at_quorum();
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
        let clocks = match who {
            Who::Agent(agent) => &mut self.agents[agent].clocks,
            Who::Node(node) => &mut self.nodes[node].clocks,
        };
        match fault {
            Fault::Suspend(_) => clocks.suspended += stood,
            Fault::Freeze(_) => clocks.frozen += stood,
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

    fn crash(&mut self, who: Who, begins: bool) {
        match (who, begins) {
            (Who::Agent(agent), true) if self.agents[agent].alive => self.crash_agent(agent),
            (Who::Agent(agent), false) if !self.agents[agent].alive => self.start_agent(agent),
            (Who::Node(node), true) if self.nodes[node].alive => self.crash_node(node),
            (Who::Node(node), false) if !self.nodes[node].alive => self.start_node(node),
            _ => {}
        }
    }

    fn step_clock(&mut self, who: Who, by_ms: i64) {
        let clocks = match who {
            Who::Agent(agent) => &mut self.agents[agent].clocks,
            Who::Node(node) => &mut self.nodes[node].clocks,
        };
        clocks.wall_off += by_ms * i64::try_from(MILLI).unwrap_or(1);
    }

    /// Did every fault of the network meet something?
    pub fn unmet(&self) -> usize {
        if self.net.met == 0 && self.faults.iter().any(|planned| matches!(planned.fault, Fault::Cut(_))) {
            1
        } else {
            0
        }
    }
}

/// Long enough for everybody to be back: sessions, an election, a run.
pub const HEALING: Micros = 150 * SECOND;
