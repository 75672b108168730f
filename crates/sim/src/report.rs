//! Figures, as one JSON object a line.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::noise::Noise;
use crate::plant::{Bug, sought};
use crate::planted;
use crate::swarm;
use crate::{Micros, SECOND};

const YEAR: Micros = 365 * 24 * 3600 * SECOND;

pub fn false_failovers(noise: &Noise, took: Duration) -> Value {
    json!({
        "bench": "false_failovers",
        "value": noise.failovers,
        "unit": "failovers",
        "episodes": noise.episodes,
        "kinds": noise.by_kind,
        "worlds": noise.worlds,
        "judgements": noise.judgements,
        "judged_suspect": noise.suspected,
        "violations": noise.violations.len(),
        "simulated_hours": noise.simulated / SECOND / 3600,
        "seconds": took.as_secs(),
    })
}

#[derive(Debug, Default)]
pub struct Swarm {
    pub seeds: u64,
    pub violating: Vec<(u64, &'static str, String)>,
    pub unknown: u64,
    pub simulated: Micros,
    pub events: u64,
    pub faults: BTreeMap<&'static str, u64>,
    pub decisions: BTreeMap<String, u64>,
    pub sometimes: BTreeMap<&'static str, u64>,
    /// What became of the runs of the last seed.
    pub told: Vec<String>,
    pub promotions: u64,
    pub holds: u64,
}

impl Swarm {
    /// So many seeds from `from` on, on so many threads. What comes of it does not depend on their number.
    pub fn of(from: u64, seeds: u64, minutes: u64, threads: usize) -> Self {
        let next = AtomicU64::new(from);
        let some = || {
            let mut swarm = Self::default();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= from + seeds {
                    return swarm;
                }
                swarm.play(seed, minutes, None);
            }
        };
        let mut whole = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(some)).collect();
            threads.into_iter().fold(Self::default(), |mut whole, thread| {
                whole.add(thread.join().expect("a world that contradicts itself has said so"));
                whole
            })
        });
        whole.violating.sort();
        whole
    }

    fn add(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.violating.extend(other.violating);
        self.unknown += other.unknown;
        self.simulated += other.simulated;
        self.events += other.events;
        self.promotions += other.promotions;
        self.holds += other.holds;
        for (ours, theirs) in [(&mut self.faults, other.faults), (&mut self.sometimes, other.sometimes)] {
            theirs.into_iter().for_each(|(kind, count)| *ours.entry(kind).or_default() += count);
        }
        other.decisions.into_iter().for_each(|(kind, count)| *self.decisions.entry(kind).or_default() += count);
    }

    /// Plays one seed; its trace.
    pub fn play(&mut self, seed: u64, minutes: u64, plant: Option<Bug>) -> String {
        let mut world = swarm::build(seed, minutes, plant);
        let lasts = world.set.lasts;
        world.run(lasts);
        world.judge_end();
        self.seeds += 1;
        self.simulated += lasts;
        self.events += world.counts.events;
        self.promotions += world.counts.promotions;
        self.holds += world.counts.holds;
        self.unknown += u64::from(world.unmet() > 0);
        for (kind, count) in &world.counts.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        for (kind, count) in &world.counts.decisions {
            *self.decisions.entry(kind.clone()).or_default() += count;
        }
        for (what, count) in &world.judge.sometimes {
            *self.sometimes.entry(what).or_default() += count;
        }
        if let Some(first) = world.judge.violations.first() {
            self.violating.push((seed, first.rule, first.text.clone()));
        }
        if !world.judge.violations.is_empty() {
            self.told = std::mem::take(&mut world.judge.told);
        }
        world.trace.to_string()
    }

    pub fn json(&self, took: Took, planted: &BTreeMap<String, Option<u64>>) -> Value {
        let each = |of: u64| round(of as f64 / self.seeds.max(1) as f64);
        json!({
            "seeds": self.seeds,
            "violations": self.violating.len(),
            "unknown": self.unknown,
            "seeds_per_second_per_core": round(self.seeds as f64 / took.busy.as_secs_f64().max(1e-9)),
            "simulated_years": round(self.simulated as f64 / YEAR as f64),
            "faults": self.faults,
            "faults_per_seed": each(self.faults.values().sum()),
            "decisions": self.decisions,
            "decisions_per_seed": each(self.decisions.values().sum()),
            "events_per_seed": each(self.events),
            "threads": took.threads,
            "seconds": round(took.wall.as_secs_f64()),
            "sometimes": self.sometimes,
            "planted_found": planted.values().flatten().count(),
            "planted_total": planted.len(),
            "planted": planted,
        })
    }
}

/// What it took.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    pub wall: Duration,
    /// Of all cores together.
    pub busy: Duration,
    pub threads: usize,
}

/// How many seeds it takes until each planted bug is found.
pub fn planted(seeds_max: u64, minutes: u64) -> BTreeMap<String, Option<u64>> {
    sought().map(|bug| (format!("{bug:?}"), planted::find(bug, seeds_max, minutes).map(|found| found.seed))).collect()
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
