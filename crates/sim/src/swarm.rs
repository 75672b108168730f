//! A mesh and its faults, drawn from one seed: which kinds occur at all is drawn first, so that each seed has a mix of its
//! own (Groce et al., "Swarm Testing", ISSTA 2012).

use crate::event::Who;
use crate::fault::{Fault, HEALING, Planned};
use crate::mix::Mix;
use crate::net::{Direction, PARTS, around, around_part, both_ways, one_way};
use crate::plant::Bug;
use crate::rng::Rng;
use crate::setting::{AGENTS_PER_REGION, Setting};
use crate::world::World;
use crate::{MILLI, MINUTE, Micros, SECOND};

const KINDS: usize = 16;
const FAULTS_MAX: u64 = 40;

pub fn setting(rng: &mut Rng, minutes: u64) -> Setting {
    let regions = rng.pick(&[3, 3, 3, 5]);
    let workloads = if regions == 5 { rng.pick(&[2, 3]) } else { 2 };
    Setting {
        regions,
        workloads,
        far: rng.pick(&[30, 50, 75]) * MILLI,
        interval_s: rng.pick(&[1, 1, 2, 5]),
        fail_after: rng.pick(&[1, 2, 3]),
        pass_after: rng.pick(&[1, 2]),
        sustained_s: rng.pick(&[3, 10, 15, 30]),
        cool_down_s: rng.pick(&[60, 300, 600]),
        lease_s: rng.pick(&[5, 8, 15]),
        reaction_s: 3,
        rpo_s: rng.pick(&[None, None, Some(20)]),
        drift_ppm: rng.pick(&[0, 200, 4_000]),
        fsync: rng.pick(&[1, 5, 20]) * MILLI,
        promises: rng.pick(&[true, true, false]),
        lasts: minutes * MINUTE,
        mix: Mix::draw(rng),
        ..Setting::default()
    }
}

pub fn build(seed: u64, minutes: u64, plant: Option<Bug>) -> World {
    made(seed, minutes, plant, plant)
}

/// A seed in which the bug can show, with it or without it.
pub fn bent(seed: u64, minutes: u64, bug: Bug, planted: bool) -> World {
    made(seed, minutes, Some(bug), Some(bug).filter(|_| planted))
}

fn made(seed: u64, minutes: u64, bends: Option<Bug>, plant: Option<Bug>) -> World {
    let mut rng = Rng::new(seed ^ 0x6d65_7368);
    let mut set = setting(&mut rng, minutes);
    if let Some(bug) = bends {
        bug.bend(&mut set);
    }
    let leader = rng.index(set.regions);
    let mut world = World::new(set.clone(), rng.draw(), plant);
    world.begin(leader);
    let kinds: Vec<bool> = (0..KINDS).map(|_| rng.per_mille(450)).collect();
    let last = set.lasts.saturating_sub(HEALING + set.sustained_s * SECOND);
    let mut slots = Slots::default();
    for _ in 0..rng.between(4, FAULTS_MAX) {
        let kind = rng.index(KINDS);
        if !kinds[kind] {
            continue;
        }
        let from = rng.between(20 * SECOND, last - 20 * SECOND);
        let until = (from + length(&mut rng)).min(last);
        if let Some(fault) = draw(kind, &set, until - from, &mut rng)
            && slots.take(&fault, from, until)
        {
            world.plan(Planned { fault, from, until });
        }
    }
    world.mix_in(&mut rng, last);
    world
}

fn length(rng: &mut Rng) -> Micros {
    match rng.below(4) {
        0 => rng.between(200, 3_000) * MILLI,
        1 => rng.between(2, 20) * SECOND,
        2 => rng.between(10, 60) * SECOND,
        _ => rng.between(30, 240) * SECOND,
    }
}

/// Some links of the mesh.
fn links(set: &Setting, rng: &mut Rng) -> Vec<Direction> {
    let one = rng.index(set.regions);
    let other = (one + 1 + rng.index(set.regions - 1)) % set.regions;
    match rng.below(4) {
        0 => around(one, set.regions),
        1 => both_ways(one, other),
        2 => one_way(one, other),
        _ => around_part(one, PARTS[rng.index(3)], set.regions),
    }
}

fn draw(kind: usize, set: &Setting, lasts: Micros, rng: &mut Rng) -> Option<Fault> {
    let agent = Who::Agent(rng.index(set.regions * AGENTS_PER_REGION));
    let node = Who::Node(rng.index(set.regions));
    let who = if rng.per_mille(600) { agent } else { node };
    let workload = rng.index(set.workloads);
    Some(match kind {
        0 | 1 => Fault::Cut(links(set, rng)),
        2 => Fault::Slow(links(set, rng), rng.between(20, 400) * MILLI),
        3 => Fault::Lossy(links(set, rng), rng.between(20, 500)),
        4 => Fault::Flap(links(set, rng), rng.pick(&[SECOND, 3 * SECOND, 10 * SECOND, 43 * SECOND])),
        5 => Fault::Down(workload),
        6 => Fault::Sick(workload, rng.between(50, 900)),
        7 => Fault::Late(workload, rng.between(200, 3_000) * MILLI),
        8 => Fault::Pause(who),
        9 => Fault::Suspend(who),
        // A pause that no clock sees is assumed to be shorter than the margin of a lease.
        10 if lasts <= 1_500 * MILLI => Fault::Freeze(who),
        10 => Fault::Crash(node),
        11 => Fault::Crash(who),
        12 => Fault::Step(who, rng.pick(&[-600_000, -3_000, 3_000, 600_000])),
        13 => Fault::NoNames(rng.index(set.regions)),
        14 => Fault::SlowDisk(who, rng.between(50, 1_500) * MILLI),
        _ if rng.per_mille(500) => Fault::RepliesLost(rng.between(100, 1_000)),
        _ => Fault::CallsLate(rng.between(100, 1_000)),
    })
}

/// Of faults that set one thing, one at a time.
#[derive(Default)]
struct Slots(Vec<(String, Micros, Micros)>);

impl Slots {
    fn take(&mut self, fault: &Fault, from: Micros, until: Micros) -> bool {
        let of = match fault {
            Fault::Cut(_) | Fault::Slow(..) | Fault::Lossy(..) | Fault::Flap(..) => return true,
            Fault::Down(_) | Fault::NoNames(_) => return true,
            Fault::Pause(who) | Fault::Suspend(who) | Fault::Freeze(who) | Fault::Crash(who) => format!("{who:?}"),
            Fault::Step(who, _) => format!("wall {who:?}"),
            Fault::SlowDisk(who, _) => format!("disk {who:?}"),
            Fault::Sick(region, _) => format!("sick {region}"),
            Fault::Late(region, _) => format!("late {region}"),
            Fault::RepliesLost(_) => "replies".to_owned(),
            Fault::CallsLate(_) => "calls".to_owned(),
        };
        let free = self.0.iter().all(|(other, begins, ends)| *other != of || until < *begins || *ends < from);
        if free {
            self.0.push((of, from, until));
        }
        free
    }
}
