//! Mixed faults from a seed: no violation, the same bytes each time. Planted bugs: `planted.rs`. `volume.rs` plays
//! thousands more.

use mesh_sim::minimise::minimised;
use mesh_sim::plant::Bug;
use mesh_sim::report::Swarm;
use mesh_sim::swarm::Drawn;

const SEEDS: u64 = 40;
const MINUTES: u64 = 12;

#[test]
fn a_seed_gives_the_same_bytes_each_time() {
    for seed in 1..=4 {
        let trace = || Swarm::default().play(seed, MINUTES, None);
        assert_eq!(trace(), trace(), "seed {seed}");
    }
}

#[test]
fn what_comes_of_seeds_does_not_depend_on_the_number_of_threads() {
    let of = |threads| format!("{:?}", Swarm::of(1, 12, MINUTES, threads));
    assert_eq!(of(1), of(3));
}

#[test]
fn mixed_faults_break_no_rule() {
    let swarm = Swarm::of(1, SEEDS, MINUTES, 2);
    assert!(swarm.violating.is_empty(), "mesh-sim run SEED --minutes {MINUTES}: {:?}", swarm.violating);
    assert!(swarm.promotions > 10, "{} promotions: too little happens", swarm.promotions);
    assert!(swarm.faults.len() > 25, "{:?}", swarm.faults);
    let (fired, planned): (u64, u64) = (swarm.faults.values().sum(), swarm.planned.values().sum());
    assert!(fired * 10 > planned * 6, "of {planned} faults {fired} fired");
}

#[test]
fn of_the_faults_that_break_a_rule_those_that_are_not_needed_are_left_out() {
    let bug = Some(Bug::NotSustained);
    let found = (1..=400).find_map(|seed| {
        let drawn = Drawn::of(seed, MINUTES, bug);
        let rule = drawn.play(bug).judge.violations.first().map(|violation| violation.rule)?;
        Some((drawn, rule))
    });
    let (drawn, rule) = found.expect("the planted bug is found");
    let faults = minimised(&drawn, bug, rule);
    assert!(faults.len() < drawn.faults.len(), "{} of {}", faults.len(), drawn.faults.len());
    let smaller = Drawn { faults, ..drawn };
    assert!(smaller.play(bug).judge.violations.iter().any(|violation| violation.rule == rule));
}
