//! Leaders and executors are killed at random while many runs go on: every run ends, every effect happens once, and no
//! client ever sees two writers.
//!
//! Few runs by default; `make soak` makes 200 of it. A wave that fails prints the command that repeats it: the seed
//! decides who is killed, when, and when it comes back. What the machine's scheduler adds, no seed repeats.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a helper that finds something else fails its test, and a soak says what it did"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use mesh_core::ids::RunId;
use mesh_core::run::{Run, RunState};
use mesh_suite::rig::{LONG, describe};
use mesh_suite::witness::Witnesses;
use mesh_suite::{Rig, many};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

const SEED: &str = "MESH_SOAK_SEED";
const WAVES: &str = "MESH_SOAK_WAVES";
const SERVICES: &str = "MESH_SOAK_SERVICES";
const SERVICES_DEFAULT: u64 = 4;
const SEED_DEFAULT: u64 = 20_261_121;
/// After so many a wave is left in peace, so that it ends.
const KILLS_MAX: usize = 8;
const PAUSE_MS: std::ops::Range<u64> = 100..1200;
/// How long a killed process stays away: some come back before anyone has noticed, some after others took over.
const AWAY_MS: std::ops::Range<u64> = 0..9000;
const POLL: Duration = Duration::from_millis(50);

#[derive(Default)]
struct Tally {
    runs: usize,
    leaders: usize,
    executors: usize,
    /// Runs that went on while a leader died, and runs whose own executor died with their intent open.
    runs_without_leader: usize,
    runs_without_executor: usize,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.leaders += other.leaders;
        self.executors += other.executors;
        self.runs_without_leader += other.runs_without_leader;
        self.runs_without_executor += other.runs_without_executor;
    }

    fn say(&self, what: &str) {
        println!(
            "{what}: {} runs, {} leaders and {} executors killed; {} runs were without their leader, {} lost the \
             executor of an open intent",
            self.runs, self.leaders, self.executors, self.runs_without_leader, self.runs_without_executor
        );
    }
}

fn number(variable: &str, default: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.map_or(default, |text| text.parse().unwrap_or_else(|error| panic!("{variable}={text}: {error}")))
}

#[tokio::test]
async fn every_run_ends_right_whoever_is_killed_and_whenever() {
    let (first, services) = (number(SEED, SEED_DEFAULT), number(SERVICES, SERVICES_DEFAULT));
    let mut all = Tally::default();
    for seed in first..first + number(WAVES, 1) {
        let repeat =
            Repeat(format!("{SEED}={seed} {SERVICES}={services} cargo test -p mesh-suite --test random_kills"));
        let tally = wave(seed, usize::try_from(services).expect("a small number")).await;
        drop(repeat);
        tally.say(&format!("seed {seed}"));
        all.add(&tally);
    }
    all.say("all");
    assert!(all.runs_without_leader > 0 && all.runs_without_executor > 0, "nobody was hit: this showed nothing");
}

/// Says how to repeat the wave, if that panics.
struct Repeat(String);

impl Drop for Repeat {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("repeat it: {}", self.0);
        }
    }
}

async fn wave(seed: u64, services: usize) -> Tally {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut rig = Rig::raise_many(services).await;
    let services: Vec<String> = (1..=services).map(many::name).collect();
    let witnesses = Witnesses::start(rig.databases_of(&services));
    let runs = rig.begin_many(&services).await;
    let mut tally = Tally { runs: runs.len(), ..Tally::default() };
    let mut away: BTreeMap<String, Instant> = BTreeMap::new();
    let mut hit_by_leader = BTreeSet::new();
    let mut hit_by_executor = BTreeSet::new();
    let deadline = Instant::now() + LONG;
    let mut next_kill = Instant::now() + pause(&mut rng);
    loop {
        come_back(&mut rig, &mut away, Instant::now());
        let now = look(&rig, &runs).await;
        let going: Vec<&Run> = now.values().filter(|run| !settled(run)).collect();
        if going.is_empty() && now.len() == runs.len() {
            break;
        }
        assert!(Instant::now() < deadline, "{}", now.values().map(describe).collect::<Vec<_>>().join("\n"));
        if tally.leaders + tally.executors < KILLS_MAX && Instant::now() >= next_kill {
            let away_for = Duration::from_millis(rng.random_range(AWAY_MS));
            // One coordinator at a time: two away are no quorum, and then nothing goes on.
            if rng.random_bool(0.5) && !away.keys().any(|name| name.starts_with("coordinator")) {
                let leader = rig.leader().await;
                rig.kill(&leader);
                away.insert(leader, Instant::now() + away_for);
                tally.leaders += 1;
                hit_by_leader.extend(going.iter().map(|run| run.id.clone()));
            } else if let Some(agent) = executor(&mut rng, &going, &away) {
                rig.kill(&format!("agent-{agent}"));
                away.insert(format!("agent-{agent}"), Instant::now() + away_for);
                tally.executors += 1;
                let lost = going.iter().filter(|run| executors(run).contains(&agent));
                hit_by_executor.extend(lost.map(|run| run.id.clone()));
            }
            next_kill = Instant::now() + pause(&mut rng);
        }
        tokio::time::sleep(POLL).await;
    }
    for name in away.keys() {
        rig.restart(name);
    }
    let mut ended = BTreeMap::new();
    for (service, run) in &runs {
        ended.insert(service.clone(), rig.until_settled(run).await);
    }
    rig.judge_many(&ended).await;
    let (old, new) = witnesses.judge(many::OLD, many::NEW).await;
    assert!(old > 0 && new > 0, "the clients wrote {old} times to the old databases and {new} times to the new");
    rig.ctl(&["audit", "verify"]).await.expect(0);
    tally.runs_without_leader = hit_by_leader.len();
    tally.runs_without_executor = hit_by_executor.len();
    tally
}

fn pause(rng: &mut StdRng) -> Duration {
    Duration::from_millis(rng.random_range(PAUSE_MS))
}

fn settled(run: &Run) -> bool {
    run.state.is_terminal() || matches!(run.state, RunState::Held { .. })
}

fn come_back(rig: &mut Rig, away: &mut BTreeMap<String, Instant>, now: Instant) {
    let due: Vec<String> = away.iter().filter(|(_, until)| **until <= now).map(|(name, _)| name.clone()).collect();
    for name in due {
        rig.restart(&name);
        away.remove(&name);
    }
}

/// What can be read of the runs just now.
async fn look(rig: &Rig, runs: &BTreeMap<String, RunId>) -> BTreeMap<String, Run> {
    let mesh = rig.mesh();
    let mut seen = BTreeMap::new();
    for (service, run) in runs {
        if let Ok(run) = mesh.run(run).await {
            seen.insert(service.clone(), run);
        }
    }
    seen
}

fn executors(run: &Run) -> BTreeSet<String> {
    run.open_intents().map(|(_, _, intent)| intent.agent.to_string()).collect()
}

/// One of those that have an open intent, and whose colleague is there to take over.
fn executor(rng: &mut StdRng, going: &[&Run], away: &BTreeMap<String, Instant>) -> Option<String> {
    let open: BTreeSet<String> = going.iter().flat_map(|run| executors(run)).collect();
    let colleague = |agent: &str| {
        let region = agent.trim_end_matches(['a', 'b']);
        away.keys().any(|name| name.starts_with(&format!("agent-{region}")))
    };
    let open: Vec<&String> = open.iter().filter(|agent| !colleague(agent)).collect();
    let at = (!open.is_empty()).then(|| rng.random_range(0..open.len()))?;
    open.get(at).map(|agent| (*agent).clone())
}
