//! How many seeds it takes until each planted bug is found. A seed counts only if nothing is found in it without the bug.

use crate::judge::Violation;
use crate::noise;
use crate::plant::Bug;
use crate::swarm;
use crate::world::World;

/// The seed that found it, by which rule, and what was said.
#[derive(Clone, Debug)]
pub struct Found {
    pub seed: u64,
    pub rule: &'static str,
    pub text: String,
}

pub fn find(bug: Bug, seeds_max: u64, minutes: u64) -> Option<Found> {
    if bug == Bug::InStep {
        return (1..=seeds_max).find_map(moved_by_a_flapping_link);
    }
    (1..=seeds_max).find_map(|seed| {
        let Violation { rule, text, .. } = first_of(swarm::bent(seed, minutes, bug, true))?;
        first_of(swarm::bent(seed, minutes, bug, false)).is_none().then_some(Found { seed, rule, text })
    })
}

/// What every judge believes, since everybody asked and nobody was answered: only in a world of noise it is known to be
/// wrong.
fn moved_by_a_flapping_link(seed: u64) -> Option<Found> {
    let moves = |plant| {
        let mut world = noise::flapping(seed);
        world.plant = plant;
        world.run(world.set.lasts);
        world.counts.failovers > 0
    };
    let text = "a link that flaps every second moved the service".to_owned();
    let found = moves(Some(Bug::InStep)) && !moves(None);
    found.then_some(Found { seed, rule: Bug::InStep.rule(), text })
}

/// What is found in seeds that are bent for the bug, and do not have it: mistakes of the judges, or of the mesh.
pub fn control(bug: Bug, from: u64, seeds: u64, minutes: u64) -> Vec<(u64, Violation, Vec<String>)> {
    let of = |seed| {
        let mut world = played(swarm::bent(seed, minutes, bug, false));
        let told = std::mem::take(&mut world.judge.told);
        world.judge.violations.into_iter().next().map(|violation| (seed, violation, told))
    };
    (from..from + seeds).filter_map(of).collect()
}

fn first_of(world: World) -> Option<Violation> {
    played(world).judge.violations.into_iter().next()
}

/// Up to the first violation.
fn played(mut world: World) -> World {
    let lasts = world.set.lasts;
    // The first is enough.
    let mut at = 0;
    while at < lasts && world.judge.violations.is_empty() {
        at = (at + crate::MINUTE).min(lasts);
        world.run(at);
    }
    if world.judge.violations.is_empty() {
        world.judge_end();
    }
    world
}
