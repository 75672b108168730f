//! Noise moves nothing; the long form is `tests/bench.sh false_failovers`.

use mesh_sim::noise::Noise;

const EPISODES: u64 = 1_000;

#[test]
fn noise_moves_nothing() {
    let mut noise = Noise::default();
    for seed in 1.. {
        noise.play(seed, None);
        if noise.episodes >= EPISODES {
            break;
        }
    }
    assert_eq!(noise.false_failovers, Vec::<u64>::new(), "seeds: mesh-sim episodes --from SEED");
    assert!(noise.violations.is_empty(), "{:?}", noise.violations);
    assert_eq!(noise.by_kind.len(), 22, "every kind occurs: {:?}", noise.by_kind);
    assert!(noise.suspected > 200, "the noise was seen {} times", noise.suspected);
}
