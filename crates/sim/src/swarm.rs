//! A mesh and its faults, drawn from one seed: which kinds occur at all is drawn first, so that each seed has a mix of its
//! own (Groce et al., "Swarm Testing", ISSTA 2012).

use crate::event::Who;
use crate::fault::{Fault, HEALING, POINTS, Planned};
use crate::mix::Mix;
use crate::net::{Direction, PARTS, Part, around, around_part, both_ways, one_way};
use crate::plant::Bug;
use crate::rng::Rng;
use crate::setting::{AGENTS_PER_REGION, MARGIN, Setting};
use crate::world::World;
use crate::{MILLI, MINUTE, Micros, SECOND};

const KINDS: usize = 22;
/// From so many on a kind needs runs to fire in.
const KINDS_OF_RUNS: usize = 17;
const SLOW_DISK: usize = 14;
const FAULTS_MIN: u64 = 20;
const FAULTS_MAX: u64 = 36;
/// Draws of a fault that found no room.
const MISSES_MAX: u32 = 64;
const QUIET_AT_FIRST: Micros = 20 * SECOND;

/// Everything that a seed says.
#[derive(Clone, Debug)]
pub struct Drawn {
    pub set: Setting,
    pub seed: u64,
    /// What the mix is drawn from.
    pub mix: u64,
    pub leader: usize,
    pub faults: Vec<Planned>,
}

/// `bent`: where few regions show as much as many.
fn setting(rng: &mut Rng, minutes: u64, bent: bool) -> Setting {
    let regions = if bent { rng.pick(&[3, 3, 3, 5]) } else { rng.pick(&[5, 5, 5, 5, 5, 5, 5, 3]) };
    let workloads = rng.pick(&[2, 2, 3, 4]);
    Setting {
        regions,
        workloads: if regions == 5 { workloads } else { 2 },
        far: rng.pick(&[30, 50, 75]) * MILLI,
        interval_s: rng.pick(&[1, 1, 2, 5]),
        fail_after: rng.pick(&[1, 2, 3]),
        pass_after: rng.pick(&[1, 2]),
        sustained_s: rng.pick(&[3, 10, 15, 30]),
        cool_down_s: rng.pick(&[60, 300, 600]),
        lease_s: rng.pick(&[5, 8, 15]),
        reaction_s: 3,
        rpo_s: rng.pick(&[None, None, Some(20)]),
        drift_ppm: rng.pick(&[0, 200, 3_000]),
        fsync: rng.pick(&[1, 5, 20]) * MILLI,
        promises: rng.pick(&[true, true, false]),
        // Longer where there is more to judge.
        rest: rng.pick(&[20, 20, 100, 400]) * MILLI,
        lasts: minutes * MINUTE,
        mix: Mix::draw(rng),
        ..Setting::default()
    }
}

impl Drawn {
    /// `bends`: a seed in which this bug can show.
    pub fn of(seed: u64, minutes: u64, bends: Option<Bug>) -> Self {
        let mut rng = Rng::new(seed ^ 0x6d65_7368);
        let mut set = setting(&mut rng, minutes, bends.is_some());
        if let Some(bug) = bends {
            bug.bend(&mut set);
        }
        let leader = rng.index(set.regions);
        let (world, mix) = (rng.draw(), rng.draw());
        let faults = faults(&set, &mut rng);
        Self { set, seed: world, mix, leader, faults }
    }

    pub fn world(&self, plant: Option<Bug>) -> World {
        let mut world = World::new(self.set.clone(), self.seed, plant);
        world.begin(self.leader);
        self.faults.iter().for_each(|fault| world.plan(fault.clone()));
        world.mix_in(&mut Rng::new(self.mix), last(&self.set));
        world
    }

    /// Plays it to the end.
    pub fn play(&self, plant: Option<Bug>) -> World {
        let mut world = self.world(plant);
        world.run(world.set.lasts);
        world.judge_end();
        world
    }
}

pub fn build(seed: u64, minutes: u64, plant: Option<Bug>) -> World {
    Drawn::of(seed, minutes, plant).world(plant)
}

/// A seed in which the bug can show, with it or without it.
pub fn bent(seed: u64, minutes: u64, bug: Bug, planted: bool) -> World {
    Drawn::of(seed, minutes, Some(bug)).world(Some(bug).filter(|_| planted))
}

/// The faults are over.
fn last(set: &Setting) -> Micros {
    set.lasts.saturating_sub(HEALING + set.sustained_s * SECOND)
}

fn faults(set: &Setting, rng: &mut Rng) -> Vec<Planned> {
    let of_runs = |kind: usize| kind >= KINDS_OF_RUNS || kind == SLOW_DISK;
    let mut kinds: Vec<usize> = (0..KINDS).filter(|_| rng.per_mille(450)).collect();
    kinds.retain(|kind| set.mix.people.is_some() || !of_runs(*kind));
    if kinds.is_empty() {
        kinds.push(rng.index(SLOW_DISK));
    }
    let last = last(set);
    let wanted = rng.between(FAULTS_MIN, FAULTS_MAX) * set.lasts / (30 * MINUTE) + 1;
    let (mut faults, mut slots, mut misses): (Vec<Planned>, _, _) = (Vec::new(), Slots::default(), 0);
    while (faults.len() as u64) < wanted && misses < MISSES_MAX {
        let kind = rng.pick(&kinds);
        // What needs a run has time for another.
        let latest = if of_runs(kind) { last * 6 / 10 } else { last - 60 * SECOND };
        let from = rng.between(QUIET_AT_FIRST, latest);
        let lasts = if of_runs(kind) { rng.between(120, 400) * SECOND } else { length(rng) };
        let until = (from + lasts).min(last);
        let fault = draw(kind, set, until - from, rng);
        if slots.take(&fault, from, until) {
            faults.push(Planned { fault, from, until });
        } else {
            misses += 1;
        }
    }
    faults
}

fn length(rng: &mut Rng) -> Micros {
    match rng.below(4) {
        0 => rng.between(2_500, 6_000) * MILLI,
        1 => rng.between(3, 20) * SECOND,
        2 => rng.between(10, 40) * SECOND,
        _ => rng.between(30, 100) * SECOND,
    }
}

/// Some links of the mesh on which something passes: every region asks those with a workload.
fn links(set: &Setting, rng: &mut Rng) -> Vec<Direction> {
    let (any, asked) = (rng.index(set.regions), rng.index(set.workloads));
    let other = (asked + 1 + rng.index(set.regions - 1)) % set.regions;
    match rng.below(4) {
        0 => around(any, set.regions),
        1 => both_ways(asked, other),
        2 => one_way(other, asked),
        _ => match PARTS[rng.index(3)] {
            Part::Workload => around_part(asked, Part::Workload, set.regions),
            part => around_part(any, part, set.regions),
        },
    }
}

/// Whoever leads is at one end of some of them.
fn links_of_coordinators(set: &Setting, rng: &mut Rng) -> Vec<Direction> {
    let any = rng.index(set.regions);
    if rng.per_mille(500) { around(any, set.regions) } else { around_part(any, Part::Coordinator, set.regions) }
}

fn draw(kind: usize, set: &Setting, lasts: Micros, rng: &mut Rng) -> Fault {
    let agent = Who::Agent(rng.index(set.regions * AGENTS_PER_REGION));
    let node = Who::Node(rng.index(set.regions));
    let who = if rng.per_mille(600) { agent } else { node };
    let workload = rng.index(set.workloads);
    match kind {
        0 | 1 => Fault::Cut(links(set, rng)),
        2 => Fault::Slow(links(set, rng), rng.between(20, 400) * MILLI),
        3 => Fault::Lossy(links(set, rng), rng.between(20, 500)),
        4 => Fault::Flap(links(set, rng), rng.pick(&[SECOND, 3 * SECOND, 10 * SECOND, 43 * SECOND])),
        5 => Fault::Down(workload),
        6 => Fault::Sick(workload, rng.between(100, 900)),
        7 => Fault::Late(workload, rng.between(200, 3_000) * MILLI),
        8 => Fault::Pause(who),
        9 => Fault::Suspend(who),
        // A pause that no clock sees is assumed to be shorter than the margin of a lease.
        10 if lasts <= 1_500 * MILLI && set.margin == MARGIN => Fault::Freeze(who),
        10 => Fault::Crash(node),
        11 => Fault::Crash(who),
        12 => Fault::Step(who, rng.pick(&[-600_000, -3_000, 3_000, 600_000])),
        13 => Fault::NoNames(rng.index(set.regions)),
        // Witnesses write next to nothing.
        SLOW_DISK if rng.per_mille(600) => {
            Fault::SlowDisk(Who::Agent(rng.index(set.workloads * AGENTS_PER_REGION)), rng.between(50, 1_500) * MILLI)
        }
        SLOW_DISK => Fault::SlowDisk(node, rng.between(50, 1_500) * MILLI),
        // Two clocks run at most a hundredth apart: what leases allow for.
        15 => Fault::Drift(who, rng.pick(&[-1_500, -500, 500, 1_500])),
        16 => Fault::DiskLost(rng.index(set.regions)),
        17 => Fault::Doubled(links_of_coordinators(set, rng), rng.between(100, 900)),
        18 => Fault::CrashAt(rng.pick(&POINTS), rng.between(500, 15_000) * MILLI),
        19 => Fault::RepliesLost(rng.between(500, 1_000)),
        20 => Fault::CallsLate(rng.between(500, 1_000)),
        _ => Fault::ProviderErrors(rng.between(400, 900)),
    }
}

/// Of faults that set one thing, one at a time.
#[derive(Default)]
struct Slots(Vec<(String, Micros, Micros)>);

impl Slots {
    fn take(&mut self, fault: &Fault, from: Micros, until: Micros) -> bool {
        let of = match fault {
            Fault::Cut(_) | Fault::Slow(..) | Fault::Lossy(..) | Fault::Flap(..) | Fault::Doubled(..) => return true,
            Fault::Down(_) | Fault::NoNames(_) | Fault::CrashAt(..) => return true,
            Fault::Pause(who) | Fault::Suspend(who) | Fault::Freeze(who) | Fault::Crash(who) => format!("{who:?}"),
            Fault::DiskLost(node) => {
                let others = "disk lost".to_owned();
                if !self.is_free(&others, from, until) {
                    return false;
                }
                self.0.push((others, from, until));
                format!("{:?}", Who::Node(*node))
            }
            Fault::Step(who, _) => format!("wall {who:?}"),
            Fault::Drift(who, _) => format!("rate {who:?}"),
            Fault::SlowDisk(who, _) => format!("disk {who:?}"),
            Fault::Sick(region, _) => format!("sick {region}"),
            Fault::Late(region, _) => format!("late {region}"),
            Fault::RepliesLost(_) => "replies".to_owned(),
            Fault::CallsLate(_) => "calls".to_owned(),
            Fault::ProviderErrors(_) => "errors".to_owned(),
        };
        let free = self.is_free(&of, from, until);
        if free {
            self.0.push((of, from, until));
        }
        free
    }

    fn is_free(&self, of: &str, from: Micros, until: Micros) -> bool {
        self.0.iter().all(|(other, begins, ends)| other != of || until < *begins || *ends < from)
    }
}
