//! Links that are cut and lossy, processes that are killed and stand still, several at a time, between regions that are far
//! apart; then all is mended. Whatever came of it: every effect happened once by the double's own log, never did two regions
//! take writes, every run ended or is held, all replicas have one state, and somebody may write or says why not.
//!
//! `make soak` makes storms of it. The seed decides what strikes, and when; what the machine's scheduler adds, no seed repeats.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a helper that finds something else fails its test, and a soak says what it did"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesh_core::run::{Cause, Run, RunState};
use mesh_suite::Wide;
use mesh_suite::rig::describe;
use mesh_suite::storm::Storm;
use mesh_suite::wide::{FAR, PRIMARY, STANDBY, fenced, policy};
use mesh_suite::writing::{WRITES, until_written};
use meshctl::demo::double::{Double, Effect};
use meshctl::demo::maip::SERVICE;
use meshctl::demo::verdict::writers_max;
use serde_json::Value;

const SEED: &str = "MESH_SOAK_SEED";
const STORMS: &str = "MESH_SOAK_STORMS";
const STRIKES: &str = "MESH_SOAK_STRIKES";
const STRIKES_DEFAULT: u64 = 10;
const SEED_DEFAULT: u64 = 20_261_121;
const SUSTAINED: Duration = Duration::from_secs(3);
const PROMOTE: &str = "PromoteReadReplica";
const PUBLISH: &str = "Publish";

fn number(variable: &str, default: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.map_or(default, |text| text.parse().unwrap_or_else(|error| panic!("{variable}={text}: {error}")))
}

#[derive(Default)]
struct Tally {
    storms: usize,
    /// Strikes, and those that met nothing, by kind.
    strikes: BTreeMap<&'static str, (usize, usize)>,
    moved: usize,
    by_itself: usize,
    held: usize,
    asked: usize,
}

impl Tally {
    fn say(&self) {
        println!("{} storms; strikes, and how many of them met nothing: {:?}", self.storms, self.strikes);
        println!(
            "{} moved the service, {} of them by itself; {} runs are held; somebody asked {} times",
            self.moved, self.by_itself, self.held, self.asked
        );
    }
}

/// Says how to repeat the storm, if that panics.
struct Repeat(String);

impl Drop for Repeat {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("repeat it: {}", self.0);
        }
    }
}

#[tokio::test]
async fn whatever_the_storm_did_one_region_writes_and_nothing_happened_twice() {
    let (first, storms, strikes) = (number(SEED, SEED_DEFAULT), number(STORMS, 0), number(STRIKES, STRIKES_DEFAULT));
    if storms == 0 {
        println!("not part of `make test`: {STORMS}=n makes n storms");
    }
    let mut tally = Tally::default();
    for seed in first..first + storms {
        let repeat = Repeat(format!(
            "{SEED}={seed} {STORMS}=1 {STRIKES}={strikes} cargo test -p mesh-suite --test storms -- --nocapture"
        ));
        if !storm(seed, usize::try_from(strikes).expect("a small number"), &mut tally).await {
            return;
        }
        drop(repeat);
    }
    tally.say();
    for (kind, (strikes, missed)) in &tally.strikes {
        assert!(strikes > missed, "none of {strikes} strikes of the kind {kind} met anything: this showed nothing");
    }
}

async fn storm(seed: u64, strikes: usize, tally: &mut Tally) -> bool {
    let Some(mut wide) = Wide::raise(FAR, |ready| policy(ready, &fenced("full", SUSTAINED))).await else {
        return false;
    };
    let storm = Storm::draw(seed, strikes, &wide);
    println!("seed {seed}, led from {}, asked {:?}", storm.leader, storm.asked);
    for planned in &storm.planned {
        println!("  {:?} to {:?}: {} {}", planned.from, planned.until, planned.strike.kind(), planned.what);
    }
    wide.until_every_region_is_healthy().await;
    let before = effects(&wide).await.len();
    let writers = wide.writers().await;
    wide.rig.lead_from(storm.leader).await;
    let (met, said) = storm.rage(&mut wide).await;
    println!("  met {met:?}; told {said:?}");
    tally.storms += 1;
    tally.asked += usize::from(said.is_some());
    for (planned, met) in storm.planned.iter().zip(&met) {
        let of = tally.strikes.entry(planned.strike.kind()).or_default();
        of.0 += 1;
        of.1 += usize::from(*met == 0);
    }

    wide.rig.until_whole().await;
    wide.rig.until_replicas_agree().await;
    let ended = ended(&wide).await;
    for run in &ended {
        println!("  {}: {}", run.id, describe(run));
    }
    if ended.is_empty() {
        let said = wide.rig.ctl(&["why-not", SERVICE]).await.expect(0);
        println!("  not moved: {}", said.stdout.lines().next().unwrap_or_default());
    }
    let active = active_after(&ended);
    if ended.iter().all(|run| !matches!(run.state, RunState::Held { .. })) {
        until_written(&writers, active, WRITES).await;
    }
    let accepted = writers.stop().await;
    assert_eq!(writers_max(&accepted, PRIMARY, STANDBY), Some(1), "OneWriter");
    judge_effects(&wide, before, &ended).await;
    wide.rig.ctl(&["audit", "verify"]).await.expect(0);
    tally.held += ended.iter().filter(|run| matches!(run.state, RunState::Held { .. })).count();
    let moved: Vec<&Run> = ended.iter().filter(|run| run.state == RunState::Done).collect();
    tally.moved += moved.len();
    tally.by_itself += moved.iter().filter(|run| matches!(run.cause, Cause::Automatic { .. })).count();
    true
}

async fn ended(wide: &Wide) -> Vec<Run> {
    let mut ended = Vec::new();
    for run in wide.rig.failovers(SERVICE).await {
        ended.push(wide.rig.until_settled(&run).await);
    }
    ended
}

/// Where the service is to be.
fn active_after(ended: &[Run]) -> &'static str {
    if ended.iter().any(|run| run.state == RunState::Done) { STANDBY } else { PRIMARY }
}

/// By what the double applied since: nothing twice, and all of it if a run is done.
async fn judge_effects(wide: &Wide, before: usize, ended: &[Run]) {
    let after = effects(wide).await;
    let mut counts: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
    for effect in after.get(before..).unwrap_or_default() {
        *counts.entry((&effect.operation, &effect.region, &effect.resource)).or_default() += 1;
    }
    for ((operation, region, resource), count) in &counts {
        // A notice is published again when its answer was lost: what arrives of it counts.
        if *operation != PUBLISH {
            assert!(*count <= 1, "{operation} of {resource} in {region} was applied {count} times: {counts:?}");
        }
    }
    let notices = notices(wide).await;
    let keys: BTreeSet<&String> = notices.iter().collect();
    assert_eq!(keys.len(), notices.len(), "a notice was delivered twice: {notices:?}");
    let done = ended.iter().filter(|run| run.state == RunState::Done).count();
    assert!(done <= 1, "the service moved {done} times to where it was");
    let promoted = counts.keys().any(|(operation, region, _)| *operation == PROMOTE && *region == STANDBY);
    assert!(promoted || done == 0, "a run is done that promoted nothing: {counts:?}");
    assert!(notices.len() >= done, "nobody was told: {notices:?}");
}

/// The keys of the notices that arrived.
async fn notices(wide: &Wide) -> Vec<String> {
    let queue = wide.rig.get("queues/maip-prod-oncall.fifo").await;
    let all = queue.as_array().or_else(|| queue["messages"].as_array()).expect("a queue has messages");
    let key = |body: &str| {
        let inner: Value = serde_json::from_str(body).expect("what SNS hands on is JSON");
        let message = inner["Message"].as_str().expect("a message").to_owned();
        message.split_once("Idempotency-Key: ").expect("it has a key").1.to_owned()
    };
    all.iter().map(|one| key(one["body"].as_str().expect("a body"))).collect()
}

/// Applied mutations, in their order.
async fn effects(wide: &Wide) -> Vec<Effect> {
    let double = Double::new(&wide.rig.stand.ready.aws).unwrap_or_else(|why| panic!("{why}"));
    let all = double.effects().await.unwrap_or_else(|why| panic!("{why}"));
    all.into_iter().filter(|effect| effect.mutating && effect.outcome == "applied").collect()
}
