//! Noise that must move nothing: episodes of the kinds of docs/failure-model.md, several at a time, drawn from the seed.
//!
//! What must not happen is known from the faults, not from what anybody saw: the primary's workload lives all the time, and
//! no two other regions have lost their way to it, nor does one flap or fail questions, for as long as `sustained`.

use std::collections::BTreeMap;

use crate::event::Who;
use crate::fault::{Fault, Planned};
use crate::judge::Violation;
use crate::net::{Part, around, around_part, both_ways, one_way};
use crate::plant::Bug;
use crate::rng::Rng;
use crate::setting::{AGENTS_PER_REGION, Setting};
use crate::world::World;
use crate::{MILLI, Micros, SECOND};

const PRIMARY: usize = 0;
/// Episodes of one world.
pub const EPISODES: u64 = 40;
const SETTLED: Micros = 20 * SECOND;
/// From the last episode's end: a decision that is on its way falls.
const AFTERMATH: Micros = 20 * SECOND;

#[derive(Debug, Default)]
pub struct Noise {
    pub worlds: u64,
    pub episodes: u64,
    pub by_kind: BTreeMap<&'static str, u64>,
    pub failovers: u64,
    pub judgements: u64,
    pub suspected: u64,
    pub simulated: Micros,
    /// Seed and what was wrong.
    pub violations: Vec<(u64, Violation)>,
    pub false_failovers: Vec<u64>,
}

impl Noise {
    pub fn play(&mut self, seed: u64, plant: Option<Bug>) {
        let (mut world, kinds) = build(seed);
        world.plant = plant;
        let lasts = world.set.lasts;
        world.run(lasts);
        self.worlds += 1;
        for kind in kinds {
            *self.by_kind.entry(kind).or_default() += 1;
            self.episodes += 1;
        }
        self.simulated += lasts;
        self.judgements += world.counts.judgements;
        self.suspected += world.judge.sometimes.get("the active region was suspect").copied().unwrap_or_default();
        self.failovers += world.counts.failovers;
        if world.counts.failovers > 0 {
            self.false_failovers.push(seed);
        }
        self.violations.extend(world.judge.violations.into_iter().map(|violation| (seed, violation)));
    }
}

pub fn setting(rng: &mut Rng) -> Setting {
    let regions = rng.pick(&[3, 3, 3, 5]);
    Setting {
        regions,
        workloads: 2,
        far: rng.pick(&[30, 50, 75]) * MILLI,
        interval_s: rng.pick(&[1, 2, 5]),
        fail_after: rng.pick(&[1, 2, 3]),
        pass_after: rng.pick(&[1, 2]),
        sustained_s: rng.pick(&[15, 20, 30, 60]),
        lease_s: rng.pick(&[5, 15]),
        drift_ppm: rng.pick(&[0, 200, 4_000]),
        ..Setting::default()
    }
}

/// A world with its episodes, and their kinds.
pub fn build(seed: u64) -> (World, Vec<&'static str>) {
    let mut rng = Rng::new(seed ^ 0x6e6f_6973);
    let mut set = setting(&mut rng);
    let mut planned = Vec::new();
    let mut kinds = Vec::new();
    let mut allowed: Vec<usize> = (0..KINDS).filter(|_| rng.per_mille(500)).collect();
    if allowed.is_empty() {
        allowed.push(rng.index(KINDS));
    }
    // Of those that touch the way to the primary, one at a time: together two can be a real outage.
    let mut free_at = SETTLED;
    let mut background = SETTLED;
    while kinds.len() < usize::try_from(EPISODES).unwrap_or(usize::MAX) {
        let kind = rng.pick(&allowed);
        let (name, touches, faults) = episode(kind, &set, &mut rng);
        let at = if touches { &mut free_at } else { &mut background };
        let from = *at + rng.between(0, 4_000) * MILLI;
        let mut until = from + rng.between(1_000, 45_000) * MILLI;
        for (fault, longest) in faults {
            let ends = until.min(from + longest);
            planned.push(Planned { fault, from, until: ends });
            until = until.max(ends);
        }
        // A view of it may be as old as a probe's turn.
        *at = until + if touches { (set.interval_s + 2) * SECOND } else { 0 };
        kinds.push(name);
    }
    set.lasts = planned.iter().map(|one| one.until).max().unwrap_or_default() + AFTERMATH;
    let leader = rng.index(set.regions);
    let mut world = World::new(set, rng.draw(), None);
    world.begin(leader);
    for one in planned {
        world.plan(one);
    }
    (world, kinds)
}

/// A world whose links to the primary flap at the beat of the questions, and whose primary has no agents.
pub fn flapping(seed: u64) -> World {
    let mut rng = Rng::new(seed ^ 0x666c_6170);
    let mut set = Setting { interval_s: 2, fail_after: 1, ..setting(&mut rng) };
    set.lasts = SETTLED + 4 * LONG;
    let mut world = World::new(set, rng.draw(), None);
    world.begin(rng.index(3));
    let fault = Fault::Flap(around(PRIMARY, world.set.regions), SECOND);
    let until = SETTLED + 3 * LONG;
    world.plan(Planned { fault, from: SETTLED + rng.below(SECOND), until });
    // Those beside it would see that it is well.
    for agent in 0..AGENTS_PER_REGION {
        world.plan(Planned { fault: Fault::Crash(Who::Agent(agent)), from: SETTLED - SECOND, until });
    }
    world
}

const KINDS: usize = 21;
const LONG: Micros = 45 * SECOND;

/// Its name, whether it touches the way to the primary's workload, and the faults with the longest time for each.
fn episode(kind: usize, set: &Setting, rng: &mut Rng) -> (&'static str, bool, Vec<(Fault, Micros)>) {
    let regions = set.regions;
    let other = 1 + rng.index(regions - 1);
    let third = 1 + (other + rng.index(regions - 2)) % (regions - 1);
    let third = if third == other { 1 + other % (regions - 1) } else { third };
    let agent = Who::Agent(rng.index(regions * AGENTS_PER_REGION));
    let node = Who::Node(rng.index(regions));
    // Less than `sustained`, with an interval to spare.
    let brief = set.sustained_s.saturating_sub(set.interval_s + 2) * SECOND;
    let one = |fault: Fault| vec![(fault, LONG)];
    match kind {
        0 => ("isolated-other", false, one(Fault::Cut(around_others(other, regions)))),
        1 => ("parted", true, one(Fault::Cut(both_ways(PRIMARY, other)))),
        2 => ("one-way-out", true, one(Fault::Cut(one_way(PRIMARY, other)))),
        3 => ("one-way-in", true, one(Fault::Cut(one_way(other, PRIMARY)))),
        4 => ("parted-others", false, one(Fault::Cut(both_ways(other, third)))),
        5 => {
            ("coordinator-cut-off", false, one(Fault::Cut(around_part(rng.index(regions), Part::Coordinator, regions))))
        }
        6 => ("agents-cut-off", false, one(Fault::Cut(around_part(rng.index(regions), Part::Agents, regions)))),
        7 => ("standby-workload-cut-off", false, one(Fault::Cut(around_part(1, Part::Workload, regions)))),
        8 => ("flap-1s", true, one(Fault::Flap(around(PRIMARY, regions), SECOND))),
        9 => ("flap-10s", true, one(Fault::Flap(around(PRIMARY, regions), 10 * SECOND))),
        10 if set.sustained_s >= 60 => ("flap-43s", true, one(Fault::Flap(around(PRIMARY, regions), 43 * SECOND))),
        10 => ("flap-43s-one-link", true, one(Fault::Flap(both_ways(PRIMARY, other), 43 * SECOND))),
        11 => ("slow-links", true, one(Fault::Slow(around(PRIMARY, regions), rng.between(20, 120) * MILLI))),
        12 => ("lossy-links", true, one(Fault::Lossy(around(PRIMARY, regions), rng.between(20, 250)))),
        13 => ("no-name-server", false, one(Fault::NoNames(rng.index(regions)))),
        14 => ("agent-stands-still", false, one(Fault::Pause(agent))),
        15 => ("leader-stands-still", false, vec![(Fault::Pause(node), 15 * SECOND)]),
        16 => ("clock-step", false, one(Fault::Step(if rng.per_mille(500) { agent } else { node }, step(rng)))),
        17 => ("probe-failures", true, one(Fault::Sick(PRIMARY, rng.between(50, 400)))),
        18 => ("late-answers", true, vec![(Fault::Late(PRIMARY, rng.between(300, 3_000) * MILLI), brief)]),
        19 => ("short-outage", true, vec![(Fault::Down(PRIMARY), brief)]),
        _ => ("crash-of-agent", false, vec![(Fault::Crash(agent), 20 * SECOND)]),
    }
}

fn step(rng: &mut Rng) -> i64 {
    rng.pick(&[-3_600_000, -20_000, -1_500, 1_500, 20_000, 3_600_000])
}

/// Between it and all others but the primary, so that its way to the primary is whole.
fn around_others(region: usize, regions: usize) -> Vec<crate::net::Direction> {
    (1..regions).filter(|other| *other != region).flat_map(|other| both_ways(region, other)).collect()
}
