//! What a seed's mix brings about: a region that is lost, a replica that is behind, a cold start, a last loss after
//! everything has healed; and faults that meet the moments that matter.

use mesh_core::fleet::Command;
use mesh_core::ids::RunId;

use crate::consensus::coordinator;
use crate::event::{Event, Who};
use crate::fault::{Fault, Planned};
use crate::net::{Direction, Part, Place, around, around_part, both_ways};
use crate::people::{self, Deed};
use crate::rng::Rng;
use crate::setting::AGENTS_PER_REGION;
use crate::world::World;
use crate::zone;
use crate::{MILLI, Micros, SECOND};

/// After a cold start everything is whole again within this.
const COLD: Micros = 180 * SECOND;
/// After the last fault, before the power fails.
const QUIET: Micros = 40 * SECOND;
/// A leader and sessions of everybody are there so long after the last process is back.
const COLD_LOOK: Micros = 25 * SECOND;
const FINALE: Micros = 240 * SECOND;
/// Of the time to heal, so much is people's.
const LEFT_ALONE: Micros = 75 * SECOND;
const ANN: usize = 0;

pub mod strike;

#[derive(Clone, Debug)]
pub enum Step {
    /// The first process that lost its power is back; the last follows by `last`.
    ColdBack {
        last: Micros,
    },
    ColdLook,
    ColdOver,
    LostAgain {
        until: Micros,
    },
    Finale,
    FinaleOver,
}

impl Step {
    pub const fn code(&self) -> u64 {
        match self {
            Self::ColdBack { .. } => 0,
            Self::ColdLook => 1,
            Self::ColdOver => 2,
            Self::Finale => 3,
            Self::FinaleOver => 4,
            Self::LostAgain { .. } => 5,
        }
    }
}

/// Who is at work at a moment that matters.
#[derive(Clone, Copy, Debug)]
pub enum Moment {
    Started,
    Opened { agent: usize },
    Granted,
    Called { agent: usize },
}

impl World {
    /// After the faults of the seed are planned, which end at `last`.
    pub fn mix_in(&mut self, rng: &mut Rng, last: Micros) {
        self.heals_at = last;
        let mix = self.set.mix.clone();
        if mix.lost {
            self.lose_a_region(rng, last, mix.behind);
        }
        if mix.people.is_some() {
            // From here on somebody looks after what people have stopped.
            self.at(last + 1, Event::People(Box::new(people::Step::Act)));
        }
        if mix.flaps {
            let from = rng.between(60, 300) * SECOND;
            let until = (from + rng.between(120, 400) * SECOND).min(last);
            self.plan(Planned { fault: Fault::Flap(around(0, self.set.regions), SECOND), from, until });
        }
        if mix.isolated {
            self.isolate(rng, last);
        }
        if mix.heard_late {
            self.hear_late(rng, last);
        }
        if mix.late {
            self.plan(Planned { fault: Fault::CallsLate(700), from: 20 * SECOND, until: last });
        }
        if mix.meddled {
            for _ in 0..rng.between(1, 4) {
                let at = rng.between(20 * SECOND, last);
                self.at(at, Event::Zone(zone::Step::Meddle));
            }
        }
        if mix.cold {
            let at = last + QUIET;
            self.power_fails(rng, at);
            self.set.lasts += COLD;
        }
        if mix.finale {
            let at = self.set.lasts;
            self.at(at, Event::Mix(Step::Finale));
            self.set.lasts += FINALE;
        }
    }

    /// People leave it alone from then on, so that what is under way ends.
    pub const fn left_alone_from(&self) -> Micros {
        self.heals_at.saturating_add(LEFT_ALONE)
    }

    pub const fn healing_from(&self) -> Micros {
        self.heals_at
    }

    fn lose_a_region(&mut self, rng: &mut Rng, last: Micros, behind: bool) {
        let lasts = rng.between(60, 200) * SECOND + self.set.sustained_s * SECOND;
        let latest = last.saturating_sub(lasts);
        if latest < 120 * SECOND {
            return;
        }
        let from = rng.between(90 * SECOND, latest);
        if behind {
            let workload = |region| Place { region, part: Part::Workload };
            let ways: Vec<Direction> = (1..self.set.workloads)
                .flat_map(|to| [(workload(0), workload(to)), (workload(to), workload(0))])
                .collect();
            let stalled = rng.between(5, 60) * SECOND;
            self.plan(Planned { fault: Fault::Cut(ways), from: from - stalled, until: from + lasts });
        }
        if self.set.mix.stood {
            // Each time for too short to miss, and all through what makes the region look down.
            let mut at = from;
            while at + 8 * SECOND < from + lasts {
                for agent in AGENTS_PER_REGION..self.agents.len() {
                    let begins = at + rng.below(SECOND);
                    let until = begins + rng.between(2_200, 3_500) * MILLI;
                    self.plan(Planned { fault: Fault::Pause(Who::Agent(agent)), from: begins, until });
                }
                at += 7 * SECOND;
            }
        }
        if self.set.mix.again {
            let second = from + lasts + rng.between(10, 60) * SECOND;
            if second + 90 * SECOND < last {
                self.plan(Planned { fault: Fault::Crash(Who::Node(1)), from: second - 8 * SECOND, until: second });
                self.at(second, Event::Mix(Step::LostAgain { until: second + 80 * SECOND }));
            }
        }
        if self.set.mix.leases {
            self.strand(rng, from, from + lasts);
            return;
        }
        for fault in self.loss_of(0, rng.below(3)) {
            self.plan(Planned { fault, from, until: from + lasts });
        }
    }

    /// Observers outside lose everybody but the primary's region, one region after the other, and the leader's region too.
    fn isolate(&mut self, rng: &mut Rng, last: Micros) {
        let mut at = 60 * SECOND;
        while at + 60 * SECOND < last {
            let region = 1 + rng.index(self.set.regions - 1);
            let lasts = rng.between(8, 25) * SECOND;
            let until = at + lasts;
            let fault = match rng.below(if self.set.mix.blind { 4 } else { 3 }) {
                3 => Fault::Cut(self.workloads_unseen()),
                0 => Fault::Cut(around(region, self.set.regions)),
                1 => Fault::Cut(around_part(region, Part::Agents, self.set.regions)),
                _ => Fault::Crash(Who::Node(rng.index(self.nodes.len()))),
            };
            self.plan(Planned { fault, from: at, until });
            at += rng.between(5, 30) * SECOND;
        }
    }

    /// Agents of every region but the first reach no workload, and everything else.
    fn workloads_unseen(&self) -> Vec<Direction> {
        let from = (1..self.set.regions).map(|region| Place { region, part: Part::Agents });
        let to = |from| (0..self.set.workloads).map(move |region| (from, Place { region, part: Part::Workload }));
        from.flat_map(to).flat_map(|(from, to)| [(from, to), (to, from)]).collect()
    }

    /// The first region looks down, and its agents hear no leader, but each other and the agents of other regions; those
    /// die now and then.
    fn strand(&mut self, rng: &mut Rng, from: Micros, until: Micros) {
        let agents = Place { region: 0, part: Part::Agents };
        let nodes = 0..self.nodes.len();
        let ways: Vec<Direction> =
            nodes.flat_map(|node| [(agents, coordinator(node)), (coordinator(node), agents)]).collect();
        self.plan(Planned { fault: Fault::Slow(ways.clone(), 600 * MILLI), from: from - 40 * SECOND, until });
        self.plan(Planned { fault: Fault::Lossy(ways.clone(), 500), from: from - 40 * SECOND, until });
        // Early enough that they have promises of others when the region is left, or as late as can be.
        let forgets = self.set.mix.forgets;
        let cut = if forgets || rng.per_mille(500) {
            from - rng.between(8, 14) * SECOND
        } else {
            from + rng.below(4 * SECOND)
        };
        if forgets {
            // Nobody promises it anything, until those who could have forgotten what they said.
            self.plan(Planned { fault: Fault::Cut(self.ways_of_promises()), from: cut, until });
        }
        if !forgets && rng.per_mille(300) {
            self.plan(Planned { fault: Fault::Cut(around(0, self.set.regions)), from: cut, until });
        } else {
            self.plan(Planned { fault: Fault::Cut(ways), from: cut, until });
            self.plan(Planned { fault: Fault::Down(0), from, until });
        }
        if rng.per_mille(400) {
            for agent in 0..AGENTS_PER_REGION {
                let begins = cut - rng.between(50, 900) * MILLI;
                let until = begins + rng.between(9, 14) * SECOND;
                self.plan(Planned { fault: Fault::Pause(Who::Agent(agent)), from: begins, until });
            }
        }
        let promisers =
            if self.set.promises && !self.set.mix.forgets { AGENTS_PER_REGION..self.agents.len() } else { 0..0 };
        for agent in promisers {
            self.plan(Planned { fault: Fault::SlowDisk(Who::Agent(agent), 1_500 * MILLI), from, until });
        }
        let first = if rng.per_mille(700) { AGENTS_PER_REGION } else { 0 };
        let mut at = cut;
        while at + 5 * SECOND < until.min(cut + 60 * SECOND) {
            let agent = first + rng.index(self.agents.len() - first);
            let back = at + rng.between(100, 900) * MILLI;
            self.plan(Planned { fault: Fault::Crash(Who::Agent(agent)), from: at, until: back });
            at += rng.between(1_000, 5_000) * MILLI;
        }
    }

    /// Coordinators die in turn; who leads next hears first of those who do not reach the first region.
    fn hear_late(&mut self, rng: &mut Rng, last: Micros) {
        let from = 40 * SECOND;
        let ways = [both_ways(0, 1), both_ways(0, 2)].concat();
        self.plan(Planned { fault: Fault::Cut(ways), from, until: last });
        let far = [0, 3, 4].map(|region| Place { region, part: Part::Agents });
        self.plan(Planned { fault: Fault::Slow(self.ways_to_coordinators(&far), 450 * MILLI), from, until: last });
        let (mut at, mut node) = (from + 20 * SECOND, 0);
        while at + 10 * SECOND < last {
            let until = at + rng.between(4, 8) * SECOND;
            self.plan(Planned { fault: Fault::Crash(Who::Node(node)), from: at, until });
            (at, node) = (at + 12 * SECOND, (node + 1) % self.nodes.len());
        }
    }

    fn ways_of_promises(&self) -> Vec<Direction> {
        let agents = |region| Place { region, part: Part::Agents };
        let others = (1..self.set.regions).map(agents);
        others.flat_map(|other| [(agents(0), other), (other, agents(0))]).collect()
    }

    fn ways_to_coordinators(&self, places: &[Place]) -> Vec<Direction> {
        let nodes = 0..self.nodes.len();
        let ways = nodes.flat_map(|node| places.iter().map(move |place| (*place, coordinator(node))));
        ways.flat_map(|(one, other)| [(one, other), (other, one)]).collect()
    }

    /// A region's right ends: those who may have promised it something die before it is on their disks.
    pub fn strike_promisers(&mut self) {
        let forgets = self.set.mix.forgets;
        if !self.set.mix.leases || !forgets && !self.rng.per_mille(500) {
            return;
        }
        let now = self.now;
        let from = now + self.rng.between(if forgets { 1_100 } else { 700 }, 1_500) * MILLI;
        let back = from + self.rng.between(100, 600) * MILLI;
        for agent in AGENTS_PER_REGION..self.agents.len() {
            let until = back + self.rng.below(100) * MILLI;
            self.plan(Planned { fault: Fault::Crash(Who::Agent(agent)), from, until });
            if forgets {
                let fault = Fault::SlowDisk(Who::Agent(agent), 1_700 * MILLI);
                self.plan(Planned { fault, from: now, until: from });
            }
        }
        if forgets {
            let apart = Fault::Cut(self.ways_of_promises());
            if let Some(nth) = self.faults.iter().position(|it| it.fault == apart && it.until > from) {
                self.faults[nth].until = from;
                self.at(from, Event::Fault { nth, begins: false });
            }
            // Back again, they hear of it late.
            let agents: Vec<Place> = (1..self.set.regions).map(|region| Place { region, part: Part::Agents }).collect();
            let fault = Fault::Slow(self.ways_to_coordinators(&agents), 500 * MILLI);
            self.plan(Planned { fault, from, until: back + 8 * SECOND });
        }
    }

    /// The workload alone, or everything.
    fn loss_of(&self, region: usize, how: u64) -> Vec<Fault> {
        let agents = (0..AGENTS_PER_REGION).map(|nth| Fault::Crash(Who::Agent(region * AGENTS_PER_REGION + nth)));
        match how {
            0 => vec![Fault::Down(region)],
            1 => vec![Fault::Cut(around(region, self.set.regions))],
            _ => agents.chain([Fault::Crash(Who::Node(region)), Fault::Down(region)]).collect(),
        }
    }

    fn power_fails(&mut self, rng: &mut Rng, at: Micros) {
        let (back, spread) = (at + rng.between(2, 30) * SECOND, 200 * MILLI);
        let agents = (0..self.agents.len()).map(Who::Agent);
        let all: Vec<Who> = agents.chain((0..self.nodes.len()).map(Who::Node)).collect();
        for who in all {
            let until = back + rng.below(spread);
            self.plan(Planned { fault: Fault::Crash(who), from: at, until });
        }
        self.at(back, Event::Mix(Step::ColdBack { last: back + spread }));
        self.at(back + COLD_LOOK, Event::Mix(Step::ColdLook));
        self.at(back + COLD - QUIET, Event::Mix(Step::ColdOver));
    }

    pub fn mix_step(&mut self, step: Step) {
        match step {
            Step::ColdBack { last } => self.judge_cold_back(last),
            Step::ColdLook => self.judge_cold_look(),
            Step::ColdOver => self.judge_cold_over(),
            Step::Finale => {
                self.judge_converged();
                let active = self.judge.fleet.services[&self.names.service].active.clone();
                let (region, now) = (self.names.region(&active), self.now);
                self.judge_finale(region);
                for fault in self.loss_of(region, 2) {
                    self.plan(Planned { fault, from: now, until: now + 2 * FINALE });
                }
                self.at(now + FINALE - SECOND, Event::Mix(Step::FinaleOver));
            }
            Step::FinaleOver => self.judge_finale_over(),
            Step::LostAgain { until } => {
                let active = self.judge.fleet.services[&self.names.service].active.clone();
                let (region, from) = (self.names.region(&active), self.now);
                self.plan(Planned { fault: Fault::Down(region), from, until });
            }
        }
    }

    /// A moment that matters: some of them are met by a fault.
    pub fn aim(&mut self, moment: Moment, run: &RunId) {
        if self.set.mix.aims == 0 || self.now + 60 * SECOND > self.heals_at || !self.rng.per_mille(self.set.mix.aims) {
            return;
        }
        if let Some(strike) = self.set.mix.strike {
            return self.strike(strike, moment);
        }
        let leader = self.leader().unwrap_or_default();
        let agent = match moment {
            Moment::Opened { agent } | Moment::Called { agent } => agent,
            Moment::Started | Moment::Granted => self.rng.index(self.agents.len()),
        };
        let (regions, region) = (self.set.regions, agent / AGENTS_PER_REGION);
        let (node, who) = (Who::Node(leader), Who::Agent(agent));
        let short = self.rng.between(300, 4_000) * MILLI;
        let long = self.rng.between(4, 40) * SECOND;
        let (fault, lasts) = match self.rng.below(16) {
            0 => (Fault::Crash(node), long),
            1 => (Fault::Pause(node), short * 3),
            2 => (Fault::Crash(who), short),
            3 => (Fault::Crash(who), long),
            4 => (Fault::Pause(who), short * 4),
            5 => (Fault::Suspend(who), long),
            6 => (Fault::Cut(around(region, regions)), long),
            7 => (Fault::Cut(around_part(leader, Part::Coordinator, regions)), long),
            8 => (Fault::Cut(around_part(region, Part::Agents, regions)), long),
            9 => (Fault::Cut(self.coordinators_apart()), long),
            10 => (Fault::RepliesLost(1_000), long),
            11 => (Fault::CallsLate(800), long),
            12 => (Fault::Down(self.rng.index(self.set.workloads)), short),
            13 => return self.power_cut(short),
            _ => return self.step_in(run, leader),
        };
        let from = self.now + self.rng.below(300 * MILLI);
        *self.counts.faults.entry("aimed").or_default() += 1;
        self.plan(Planned { fault, from, until: from + lasts });
    }

    fn coordinators_apart(&self) -> Vec<Direction> {
        let all = (0..self.nodes.len()).flat_map(|one| (0..self.nodes.len()).map(move |other| (one, other)));
        all.filter(|(one, other)| one != other).map(|(one, other)| (coordinator(one), coordinator(other))).collect()
    }

    /// Every coordinator loses its power.
    pub fn power_cut(&mut self, lasts: Micros) {
        let from = self.now + self.rng.below(50 * MILLI);
        for node in 0..self.nodes.len() {
            let until = from + lasts + self.rng.below(SECOND);
            self.plan(Planned { fault: Fault::Crash(Who::Node(node)), from, until });
        }
        *self.counts.faults.entry("power-cut").or_default() += 1;
    }

    fn step_in(&mut self, run: &RunId, leader: usize) {
        if self.set.mix.people.is_none() {
            return;
        }
        let by = "ann".to_owned();
        let command = match self.rng.below(3) {
            0 => Command::Abort { run: run.clone(), by, reason: "not now".to_owned() },
            _ => Command::Pause { run: run.clone(), by },
        };
        *self.counts.faults.entry("person-steps-in").or_default() += 1;
        self.ask(ANN, "/mesh.v1.Operator/ControlRun", Deed::Commit(Box::new(command)), leader);
    }
}
