//! What was observed, and whether the promise held. Pure arithmetic on what clients and the double recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesh_core::time::duration_millis;
use serde::Serialize;

use super::checklist::Tick;
use super::double::Effect;
use super::writers::Accepted;

/// The one JSON object of a scenario. A number that could not be observed is null.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    pub scenario: String,
    pub held: bool,
    /// From the command to the first write accepted in the new region.
    pub first_write_ms: Option<u64>,
    /// From the last write accepted in the old region to the first one in the new.
    pub outage_ms: Option<u64>,
    /// From the command to its end.
    pub run_ms: Option<u64>,
    /// The provider's own time in it, along the steps that its end waited for.
    pub floor_ms: Option<u64>,
    pub overhead_ms: Option<u64>,
    /// Mutations applied more often than once.
    pub effects_twice: Option<usize>,
    /// Regions that accepted writes at the same time.
    pub writers_max: Option<u32>,
    pub notices: Option<usize>,
    /// Accepted by the old region, missing in the new.
    pub lost_writes: Option<usize>,
    pub accepted_before: usize,
    pub accepted_after: usize,
    /// The region that answers the public name.
    pub api_region: Option<String>,
    /// From nothing to a mesh with a service.
    pub up_ms: Option<u64>,
    /// The boxes of the runbook, in its order.
    pub checklist: Vec<Tick>,
    pub failures: Vec<String>,
}

impl Verdict {
    pub fn new(scenario: &str) -> Self {
        Self {
            scenario: scenario.to_owned(),
            held: false,
            first_write_ms: None,
            outage_ms: None,
            run_ms: None,
            floor_ms: None,
            overhead_ms: None,
            effects_twice: None,
            writers_max: None,
            notices: None,
            lost_writes: None,
            accepted_before: 0,
            accepted_after: 0,
            api_region: None,
            up_ms: None,
            checklist: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Fills in what the accepted writes say. `command` is when the failover was asked for.
    pub fn judge_writes(&mut self, accepted: &[Accepted], old: &str, new: &str, command: Duration) {
        let first = first_in(accepted, new);
        self.accepted_before = accepted.iter().filter(|write| write.region == old).count();
        self.accepted_after = accepted.iter().filter(|write| write.region == new).count();
        self.first_write_ms = first.map(|first| duration_millis(first.saturating_sub(command)));
        let last = accepted.iter().filter(|write| write.region == old).map(|write| write.at).max();
        self.outage_ms = first.zip(last).map(|(first, last)| duration_millis(first.saturating_sub(last)));
        self.writers_max = writers_max(accepted, old, new);
    }

    /// Concludes: every promise that did not hold becomes a failure in words.
    pub fn conclude_for(&mut self, new: &str) {
        self.overhead_ms = self.run_ms.zip(self.floor_ms).map(|(run, floor)| run.saturating_sub(floor));
        let mut failures = Vec::new();
        let mut expect = |holds: bool, what: String| {
            if !holds {
                failures.push(what);
            }
        };
        let seen = |number: Option<usize>| number.map_or("not observed".to_owned(), |number| number.to_string());
        expect(self.accepted_before > 0, "no client write was accepted before the failover".to_owned());
        expect(self.first_write_ms.is_some(), format!("no client write was accepted in {new}"));
        expect(self.run_ms.is_some(), "the time of the run was not observed".to_owned());
        expect(self.floor_ms.is_some(), "the provider's own time was not observed".to_owned());
        expect(
            self.writers_max == Some(1),
            format!("writers_max is {}, not 1", self.writers_max.map_or("not observed".to_owned(), |n| n.to_string())),
        );
        expect(self.effects_twice == Some(0), format!("effects_twice is {}, not 0", seen(self.effects_twice)));
        expect(self.notices == Some(1), format!("notices is {}, not 1", seen(self.notices)));
        expect(self.lost_writes == Some(0), format!("lost_writes is {}, not 0", seen(self.lost_writes)));
        expect(
            self.api_region.as_deref() == Some(new),
            format!("the public name is answered by {}, not {new}", self.api_region.as_deref().unwrap_or("nobody")),
        );
        expect(!self.checklist.is_empty(), "the runbook's checklist was not gone through".to_owned());
        for tick in self.checklist.iter().filter(|tick| !tick.held) {
            expect(false, format!("checklist: {}: {}", tick.step, tick.seen));
        }
        self.failures.extend(failures);
        self.held = self.failures.is_empty();
    }
}

pub fn first_in(accepted: &[Accepted], region: &str) -> Option<Duration> {
    accepted.iter().filter(|write| write.region == region).map(|write| write.at).min()
}

/// 2 if the old region accepted a write after the new one had accepted its first, else 1. Nothing without any write.
pub fn writers_max(accepted: &[Accepted], old: &str, new: &str) -> Option<u32> {
    if accepted.is_empty() {
        return None;
    }
    let overlap = first_in(accepted, new)
        .is_some_and(|first| accepted.iter().any(|write| write.region == old && write.at > first));
    Some(if overlap { 2 } else { 1 })
}

/// Writes that `region` accepted and the survivor does not have.
pub fn lost_writes(accepted: &[Accepted], region: &str, survivor: &BTreeSet<String>) -> usize {
    accepted.iter().filter(|write| write.region == region && !survivor.contains(&write.id)).count()
}

/// How often a mutation was applied that had been applied before with the same operation, resource and parameters.
pub fn effects_twice(effects: &[Effect]) -> usize {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for effect in effects.iter().filter(|effect| effect.mutating && effect.outcome == "applied") {
        let key = format!(
            "{}\n{}\n{}\n{}\n{}",
            effect.service, effect.region, effect.operation, effect.resource, effect.parameters
        );
        *counts.entry(key).or_default() += 1;
    }
    counts.values().map(|count| count.saturating_sub(1)).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn write(region: &str, id: &str, at: u64) -> Accepted {
        Accepted { region: region.to_owned(), id: id.to_owned(), at: Duration::from_millis(at) }
    }

    fn effect(operation: &str, parameters: Value, outcome: &str, mutating: bool) -> Effect {
        Effect {
            service: "rds".to_owned(),
            region: "us-west-2".to_owned(),
            operation: operation.to_owned(),
            resource: "db".to_owned(),
            parameters,
            outcome: outcome.to_owned(),
            mutating,
        }
    }

    use serde_json::Value;

    #[test]
    fn two_writers_are_seen_only_when_the_old_region_accepts_after_the_new_one() {
        let one = [write("old", "a", 1), write("old", "b", 5), write("new", "c", 6)];
        assert_eq!(writers_max(&one, "old", "new"), Some(1));
        let two = [write("old", "a", 1), write("new", "c", 6), write("old", "b", 7)];
        assert_eq!(writers_max(&two, "old", "new"), Some(2));
        assert_eq!(writers_max(&[write("old", "a", 1)], "old", "new"), Some(1));
        assert_eq!(writers_max(&[], "old", "new"), None);
    }

    #[test]
    fn a_write_is_lost_if_the_old_region_accepted_it_and_the_new_one_does_not_have_it() {
        let accepted = [write("old", "a", 1), write("old", "b", 2), write("new", "c", 3)];
        let survivor = BTreeSet::from(["a".to_owned()]);
        assert_eq!(lost_writes(&accepted, "old", &survivor), 1);
    }

    #[test]
    fn an_effect_is_doubled_only_if_it_was_applied_twice_with_the_same_parameters() {
        let promote = || effect("PromoteReadReplica", json!({ "id": "db" }), "applied", true);
        let refused = effect("PromoteReadReplica", json!({ "id": "db" }), "refused", true);
        let other = effect("PromoteReadReplica", json!({ "id": "db2" }), "applied", true);
        let read = || effect("DescribeDBInstances", json!({}), "applied", false);
        assert_eq!(effects_twice(&[promote(), refused, other, read(), read()]), 0);
        assert_eq!(effects_twice(&[promote(), promote(), promote()]), 2);
    }

    #[test]
    fn a_verdict_holds_only_if_everything_was_observed_and_right() {
        let mut good = Verdict::new("failover");
        good.judge_writes(&[write("old", "a", 100), write("new", "b", 400)], "old", "new", Duration::from_millis(150));
        assert_eq!((good.first_write_ms, good.outage_ms, good.writers_max), (Some(250), Some(300), Some(1)));
        (good.run_ms, good.floor_ms, good.effects_twice) = (Some(900), Some(700), Some(0));
        (good.notices, good.lost_writes, good.api_region) = (Some(1), Some(0), Some("new".to_owned()));
        let tick = |held| Tick { step: "Update Route 53", seen: "asked".to_owned(), held };
        good.checklist = vec![tick(true)];
        let mut open = Verdict { checklist: vec![tick(true), tick(false)], ..good.clone() };
        let mut unasked = Verdict { checklist: Vec::new(), ..good.clone() };
        let mut unseen = Verdict { notices: None, ..good.clone() };
        let mut twice = Verdict { notices: Some(2), ..good.clone() };
        let mut lost = Verdict { lost_writes: Some(1), ..good.clone() };
        good.conclude_for("new");
        assert!(good.held, "{:?}", good.failures);
        assert_eq!(good.overhead_ms, Some(200));
        for bad in [&mut unseen, &mut twice, &mut lost, &mut open, &mut unasked] {
            bad.conclude_for("new");
            assert!(!bad.held);
            assert_eq!(bad.failures.len(), 1, "{:?}", bad.failures);
        }
    }
}
