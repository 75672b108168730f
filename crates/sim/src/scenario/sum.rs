//! What many runs have in common.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{End, Played};
use crate::{MILLI, Micros};

/// Seeds that are named of each thing that is rare.
const SEEDS_NAMED: usize = 3;

/// Times in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spread(Vec<Micros>);

impl Spread {
    pub fn of(times: impl Iterator<Item = Micros>) -> Self {
        let mut times: Vec<Micros> = times.collect();
        times.sort_unstable();
        Self(times)
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest time that is not exceeded in so many of a hundred runs.
    pub fn at(&self, percent: usize) -> Option<Micros> {
        let nth = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(nth - 1).copied()
    }

    pub fn longest(&self) -> Option<Micros> {
        self.0.last().copied()
    }

    pub fn times(&self) -> &[Micros] {
        &self.0
    }

    pub fn json(&self) -> Value {
        let ms = |time: Option<Micros>| time.map(|time| time / MILLI);
        json!({
            "runs": self.count(), "p50": ms(self.at(50)), "p95": ms(self.at(95)), "p99": ms(self.at(99)),
            "max": ms(self.longest()),
        })
    }
}

/// A thing that happened in some runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub runs: usize,
    /// As it was said in the first of them.
    pub text: String,
    pub seeds: Vec<u64>,
}

impl Tally {
    fn add(&mut self, seed: u64, text: &str) {
        if self.runs == 0 {
            text.clone_into(&mut self.text);
        }
        self.runs += 1;
        if self.seeds.len() < SEEDS_NAMED {
            self.seeds.push(seed);
        }
    }

    fn json(&self) -> Value {
        json!({ "runs": self.runs, "text": self.text, "seeds": self.seeds })
    }
}

#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub runs: usize,
    pub done: usize,
    pub nothing: usize,
    pub blocked: usize,
    pub held: usize,
    pub no_leader: usize,
    pub unfinished: usize,
    pub detected: Spread,
    pub decided: Spread,
    pub granted: Spread,
    pub written: Spread,
    pub moved: Spread,
    /// Until the service is served in the new region.
    pub back: Spread,
    /// The same with the leader elsewhere, and with the leader in what failed.
    pub back_leader_elsewhere: Spread,
    pub back_leader_lost: Spread,
    pub ended: Spread,
    pub lost: Spread,
    pub expected: Spread,
    /// Promotions before which no lag was known.
    pub expected_unknown: usize,
    /// When each began after the decision, and how long it took.
    pub steps: Vec<(String, Spread, Spread)>,
    /// Where it went.
    pub to: BTreeMap<String, usize>,
    /// Rules that kept it from acting.
    pub rules: BTreeMap<String, Tally>,
    /// What a held run waits for.
    pub holds: BTreeMap<String, Tally>,
    pub violations: BTreeMap<String, Tally>,
}

impl Summary {
    pub fn of<'a>(runs: impl Iterator<Item = &'a Played>) -> Self {
        let runs: Vec<&Played> = runs.collect();
        let count = |is: &dyn Fn(&End) -> bool| runs.iter().filter(|run| is(&run.end)).count();
        let spread = |of: &dyn Fn(&Played) -> Option<Micros>| Spread::of(runs.iter().filter_map(|run| of(run)));
        let acted = |run: &&&Played| run.decided.is_some();
        let mut summary = Self {
            runs: runs.len(),
            done: count(&|end| *end == End::Done),
            nothing: count(&|end| *end == End::Nothing),
            blocked: count(&|end| *end == End::Blocked),
            held: count(&|end| matches!(end, End::Held { .. })),
            no_leader: count(&|end| *end == End::NoLeader),
            unfinished: count(&|end| *end == End::Unfinished),
            detected: spread(&|run| run.detected),
            decided: spread(&|run| run.decided),
            granted: spread(&|run| run.granted),
            written: spread(&|run| run.written),
            moved: spread(&|run| run.moved),
            back: spread(&Played::back),
            back_leader_elsewhere: spread(&|run| run.back().filter(|_| !run.leader_lost)),
            back_leader_lost: spread(&|run| run.back().filter(|_| run.leader_lost)),
            ended: spread(&|run| run.ended.filter(|_| run.end == End::Done)),
            lost: spread(&|run| run.lost),
            expected: spread(&|run| run.expected.filter(|_| run.decided.is_some())),
            expected_unknown: runs.iter().filter(acted).filter(|run| run.expected.is_none()).count(),
            ..Self::default()
        };
        summary.count_texts(&runs);
        summary.steps = steps(&runs);
        summary
    }

    fn count_texts(&mut self, runs: &[&Played]) {
        for run in runs {
            if let Some(to) = &run.to {
                *self.to.entry(to.clone()).or_default() += 1;
            }
            if let End::Held { step, reason } = &run.end {
                self.holds.entry(step.clone()).or_default().add(run.seed, reason);
            }
            for (rule, text) in &run.rules {
                self.rules.entry(rule.clone()).or_default().add(run.seed, text);
            }
            if let Some(first) = run.violations.first() {
                let rule = first.split(':').next().unwrap_or_default();
                self.violations.entry(rule.to_owned()).or_default().add(run.seed, first);
            }
        }
    }

    /// Times in milliseconds from the fault on. docs/simulation.md has the shape.
    pub fn json(&self) -> Value {
        let named = |of: &BTreeMap<String, Tally>| -> BTreeMap<String, Value> {
            of.iter().map(|(name, some)| (name.clone(), some.json())).collect()
        };
        json!({
            "runs": self.runs,
            "ends": {
                "done": self.done, "held": self.held, "blocked": self.blocked, "nothing": self.nothing,
                "no_leader": self.no_leader, "unfinished": self.unfinished,
            },
            "ms": {
                "detected": self.detected.json(), "decided": self.decided.json(), "granted": self.granted.json(),
                "first_write": self.written.json(), "traffic_moved": self.moved.json(), "back": self.back.json(),
                "back_leader_elsewhere": self.back_leader_elsewhere.json(),
                "back_leader_lost": self.back_leader_lost.json(), "done": self.ended.json(),
            },
            "lost_ms": self.lost.json(),
            "expected_loss_ms": self.expected.json(),
            "expected_loss_unknown": self.expected_unknown,
            "steps_ms": self.steps.iter().map(|(step, began, took)| {
                json!({ "step": step, "began": began.json(), "took": took.json() })
            }).collect::<Vec<_>>(),
            "to": self.to,
            "rules": named(&self.rules),
            "held_for": named(&self.holds),
            "violations": named(&self.violations),
        })
    }
}

/// In the plan's order; runs of one manifest to several targets have the same kinds of steps.
fn steps(runs: &[&Played]) -> Vec<(String, Spread, Spread)> {
    let mut names: Vec<&String> = Vec::new();
    for (name, _, _) in runs.iter().flat_map(|run| &run.steps) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let of = |name: &String| {
        let all = || runs.iter().flat_map(|run| &run.steps).filter(|(known, _, _)| known == name);
        let began = Spread::of(all().map(|(_, began, _)| *began));
        (name.clone(), began, Spread::of(all().map(|(_, _, took)| *took)))
    };
    names.into_iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_time_that_was_played() {
        let spread = Spread::of((1..=200).rev());
        assert_eq!((spread.at(50), spread.at(95), spread.at(99)), (Some(100), Some(190), Some(198)));
        assert_eq!(Spread::of([7].into_iter()).at(99), Some(7));
        assert_eq!(Spread::default().at(50), None);
    }
}
