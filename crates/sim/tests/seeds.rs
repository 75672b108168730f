//! Mixed faults from a seed: no violation, the same bytes each time. Planted bugs: `planted.rs`.

use mesh_sim::report::Swarm;

const SEEDS: u64 = 40;
const MINUTES: u64 = 12;

#[test]
fn a_seed_gives_the_same_bytes_each_time() {
    for seed in [1, 7, 23] {
        let mut swarm = Swarm::default();
        assert_eq!(swarm.play(seed, MINUTES, None), swarm.play(seed, MINUTES, None), "seed {seed}");
    }
}

#[test]
fn what_comes_of_seeds_does_not_depend_on_the_number_of_threads() {
    let of = |threads| format!("{:?}", Swarm::of(1, 6, MINUTES, threads));
    assert_eq!(of(1), of(3));
}

#[test]
fn mixed_faults_break_no_rule() {
    let swarm = Swarm::of(1, SEEDS, MINUTES, 2);
    assert!(swarm.violating.is_empty(), "make simulate SEED=n: {:?}", swarm.violating);
    assert!(swarm.promotions > 1, "{} promotions: too little happens", swarm.promotions);
    assert!(swarm.faults.len() > 12, "{:?}", swarm.faults);
}
