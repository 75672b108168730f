//! Figures, as one JSON object a line.

use std::collections::BTreeMap;
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

    pub fn json(&self, took: Duration, planted: &BTreeMap<String, Option<u64>>) -> Value {
        json!({
            "seeds": self.seeds,
            "violations": self.violating.len(),
            "unknown": self.unknown,
            "seeds_per_second_per_core": round(self.seeds as f64 / took.as_secs_f64()),
            "simulated_years": round(self.simulated as f64 / YEAR as f64),
            "faults": self.faults,
            "decisions": self.decisions,
            "sometimes": self.sometimes,
            "planted_found": planted.values().flatten().count(),
            "planted_total": planted.len(),
            "planted": planted,
        })
    }
}

/// How many seeds it takes until each planted bug is found.
pub fn planted(seeds_max: u64, minutes: u64) -> BTreeMap<String, Option<u64>> {
    sought().map(|bug| (format!("{bug:?}"), planted::find(bug, seeds_max, minutes).map(|found| found.seed))).collect()
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
