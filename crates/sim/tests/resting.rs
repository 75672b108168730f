//! What rests is reckoned as it would have been played: the same seeds with and without give the same.

use mesh_sim::swarm;
use mesh_sim::world::World;

const SEEDS: u64 = 12;
const MINUTES: u64 = 12;

/// All that anybody decided, said or judged, and when.
fn told(mut world: World) -> (String, Vec<String>, u64) {
    let lasts = world.set.lasts;
    world.run(lasts);
    world.judge_end();
    let server = |it: &mesh_sim::cloud::Server| (it.primary, it.fenced, it.timeline, it.touched, it.proxy_open);
    let servers: Vec<_> = world.cloud.servers.iter().map(server).collect();
    let committed = world.judge.committed.iter().map(|entry| format!("{} {entry:?}", world.now)).collect();
    let counts = &world.counts;
    let rest = format!(
        "{:?} {:?} {:?} {:?} {:?} {:?}",
        world.verdicts,
        world.counts.faults,
        world.judge.violations,
        world.judge.sometimes,
        servers,
        [
            counts.probes,
            counts.elections,
            counts.sessions,
            counts.sessions_lost,
            counts.judgements,
            counts.promises,
            counts.holds,
            counts.calls,
            counts.unknown_calls,
            counts.promotions,
        ],
    );
    (rest, committed, world.counts.events)
}

/// `MESH_SOAK_RESTING=n`: so many.
fn seeds() -> u64 {
    let given = std::env::var("MESH_SOAK_RESTING").ok();
    given.and_then(|given| given.parse().ok()).unwrap_or(SEEDS)
}

#[test]
fn what_rests_is_reckoned_as_it_would_have_been_played() {
    let (mut played, mut spared) = (0, 0);
    for seed in 1..=seeds() {
        let resting = swarm::build(seed, MINUTES, None);
        let mut playing = swarm::build(seed, MINUTES, None);
        playing.rests = false;
        let (resting, playing) = (told(resting), told(playing));
        (played, spared) = (played + playing.2, spared + playing.2 - resting.2);
        for (nth, (resting, playing)) in resting.1.iter().zip(&playing.1).enumerate() {
            assert_eq!(resting, playing, "seed {seed}: what was committed {nth}th");
        }
        let longer = if resting.1.len() > playing.1.len() { &resting.1 } else { &playing.1 };
        let (shorter, next) = (resting.1.len().min(playing.1.len()), |at: usize| longer.get(at));
        assert_eq!(resting.1.len(), playing.1.len(), "seed {seed}: how much was committed: {:?}", next(shorter));
        assert_eq!(resting.0, playing.0, "seed {seed}: what was seen");
    }
    assert!(spared * 5 > played, "of {played} events {spared} were spared");
}
