//! Figures, as one JSON object a line.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::noise::Noise;
use crate::plant::{Bug, sought};
use crate::planted;
use crate::swarm::Drawn;
use crate::{Micros, SECOND};

const YEAR: Micros = 365 * 24 * 3600 * SECOND;
/// Violations that are told of.
const TOLD_MAX: usize = 1_000;
/// A long run says how far it is, each so many seeds.
const TOLD_EVERY: u64 = 5_000;

/// Situations in which a rule could break: a run that never came into one of them says nothing about it.
pub const SOMETIMES: [&str; 12] = [
    "the active region was suspect",
    "the active region was down",
    "an old leader proposed",
    "refused at commit",
    "a promotion was called",
    "a region was proven closed",
    "an intent was closed as unknown",
    "applied, and the reply was lost",
    "people moved a service",
    "a halt was acknowledged",
    "a disk was lost",
    "a node without a disk was taken up again",
];

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

/// What came of many seeds.
#[derive(Debug, Default)]
pub struct Swarm {
    pub seeds: u64,
    pub violating: Vec<(u64, &'static str, String)>,
    /// Seeds in which a fault that was planned never fired.
    pub unknown: u64,
    /// Seeds in which a fault of this kind never did.
    pub unknown_for: BTreeMap<&'static str, u64>,
    pub simulated: Micros,
    pub events: u64,
    pub probes: u64,
    /// Seeds by their number of regions.
    pub by_regions: BTreeMap<usize, u64>,
    /// Faults that fired, and that were planned, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    pub planned: BTreeMap<&'static str, u64>,
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
        let (next, began) = (AtomicU64::new(from), Instant::now());
        let some = || {
            let mut swarm = Self::default();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= from + seeds {
                    return swarm;
                }
                swarm.play(seed, minutes, None);
                if let Some((seed, rule, text)) = swarm.violating.last().filter(|(last, _, _)| *last == seed) {
                    eprintln!("seed {seed}: {rule}: {text}");
                }
                let played = seed - from + 1;
                if played.is_multiple_of(TOLD_EVERY) {
                    eprintln!("{played} seeds of {seeds} in {:.0?}", began.elapsed());
                }
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
        whole.violating.truncate(TOLD_MAX);
        whole
    }

    fn add(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.violating.extend(other.violating);
        self.unknown += other.unknown;
        self.simulated += other.simulated;
        self.events += other.events;
        self.probes += other.probes;
        self.promotions += other.promotions;
        self.holds += other.holds;
        for (ours, theirs) in [
            (&mut self.faults, other.faults),
            (&mut self.planned, other.planned),
            (&mut self.unknown_for, other.unknown_for),
            (&mut self.sometimes, other.sometimes),
        ] {
            theirs.into_iter().for_each(|(kind, count)| *ours.entry(kind).or_default() += count);
        }
        other.by_regions.into_iter().for_each(|(regions, count)| *self.by_regions.entry(regions).or_default() += count);
        other.decisions.into_iter().for_each(|(kind, count)| *self.decisions.entry(kind).or_default() += count);
    }

    /// Plays one seed; its trace.
    pub fn play(&mut self, seed: u64, minutes: u64, plant: Option<Bug>) -> String {
        let drawn = Drawn::of(seed, minutes, plant);
        let mut world = drawn.play(plant);
        self.seeds += 1;
        self.simulated += world.set.lasts;
        self.events += world.counts.events;
        self.probes += world.counts.probes;
        self.promotions += world.counts.promotions;
        self.holds += world.counts.holds;
        let unfired: BTreeSet<&'static str> = world.unfired().collect();
        self.unknown += u64::from(!unfired.is_empty());
        for kind in unfired {
            *self.unknown_for.entry(kind).or_default() += 1;
        }
        *self.by_regions.entry(world.set.regions).or_default() += 1;
        for planned in &world.faults {
            *self.planned.entry(planned.fault.kind()).or_default() += 1;
        }
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

    /// What never came about: kinds of faults that were planned, and situations.
    pub fn never(&self) -> Vec<&'static str> {
        let kinds = self.planned.keys().copied().filter(|kind| !self.faults.contains_key(kind));
        kinds.chain(SOMETIMES.into_iter().filter(|what| !self.sometimes.contains_key(what))).collect()
    }

    /// `pass`: no seed broke a rule, each seed's faults struck, and every situation came about.
    pub fn verdict(&self) -> &'static str {
        match (self.violating.is_empty(), self.unknown == 0 && self.never().is_empty()) {
            (false, _) => "violated",
            (true, false) => "unknown",
            (true, true) => "pass",
        }
    }

    pub fn json(&self, took: Took, planted: &BTreeMap<String, Option<u64>>) -> Value {
        let each = |of: u64| round(of as f64 / self.seeds.max(1) as f64);
        json!({
            "seeds": self.seeds,
            "violations": self.violating.len(),
            "unknown": self.unknown,
            "unknown_for": self.unknown_for,
            "verdict": self.verdict(),
            "never": self.never(),
            "seeds_per_second_per_core": round(self.seeds as f64 / took.busy.as_secs_f64().max(1e-9)),
            "simulated_years": round(self.simulated as f64 / YEAR as f64),
            "by_regions": self.by_regions,
            "faults": self.faults,
            "faults_planned": self.planned,
            "faults_per_seed": each(self.faults.values().sum()),
            "decisions": self.decisions,
            "decisions_per_seed": each(self.decisions.values().sum()),
            "sometimes": self.sometimes,
            "events_per_seed": each(self.events),
            "probes_per_seed": each(self.probes),
            "threads": took.threads,
            "seconds": round(took.wall.as_secs_f64()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_that_are_unknown_are_no_pass() {
        let sometimes = SOMETIMES.into_iter().map(|what| (what, 1)).collect();
        let mut swarm = Swarm { seeds: 2, sometimes, ..Swarm::default() };
        assert_eq!(swarm.verdict(), "pass");
        swarm.unknown = 1;
        assert_eq!(swarm.verdict(), "unknown");
        swarm.violating.push((1, "OneWriter", String::new()));
        assert_eq!(swarm.verdict(), "violated");
    }
}
