//! The provider's own time in a run, along its critical path: the chain of steps that its end waited for. Of each step
//! counts the time from the end of the step before it to its own in which the provider was busy with what the step acts
//! on. What the provider did meanwhile for steps beside the path hides nothing of ours.

use std::collections::BTreeSet;

use mesh_core::ids::StepId;
use mesh_core::plan::Step;
use mesh_core::run::Run;
use serde_json::Value;

use super::double::Activity;

/// One step of the path, with the time in which nothing else held up the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg<'r> {
    pub step: &'r Step,
    pub from_ms: u64,
    pub to_ms: u64,
}

/// Milliseconds of provider's time in the run.
pub fn floor_ms(run: &Run, activities: &[Activity]) -> u64 {
    legs(run).iter().map(|leg| busy_ms(leg, run, activities)).sum()
}

/// The critical path, in its order.
pub fn legs(run: &Run) -> Vec<Leg<'_>> {
    let mut path = Vec::new();
    let mut last = latest(run, run.plan.steps.iter().map(|step| &step.id));
    while let Some((step, to_ms)) = last {
        // A step waits only for steps that stand before it in the plan, so that this ends.
        last = latest(run, step.after.iter());
        let from_ms = last.map_or(run.started_at.as_millis(), |(_, ended)| ended);
        path.push(Leg { step, from_ms, to_ms });
    }
    path.reverse();
    path
}

fn latest<'r>(run: &'r Run, steps: impl Iterator<Item = &'r StepId>) -> Option<(&'r Step, u64)> {
    let ended = |id: &StepId| Some((run.plan.step(id)?, run.steps.get(id)?.forward.ended_at?.as_millis()));
    steps.filter_map(ended).max_by_key(|(_, ended)| *ended)
}

fn busy_ms(leg: &Leg<'_>, run: &Run, activities: &[Activity]) -> u64 {
    let acted_on = names(leg.step, run);
    let spans = activities
        .iter()
        .filter(|activity| activity.resource.split('/').any(|part| acted_on.contains(part)))
        .map(|activity| (activity.started_ms.max(leg.from_ms), activity.ended_ms.unwrap_or(u64::MAX).min(leg.to_ms)));
    union_ms(spans.collect())
}

/// Length of the union: work at the same time counts once.
fn union_ms(mut spans: Vec<(u64, u64)>) -> u64 {
    spans.retain(|(start, end)| start < end);
    spans.sort_unstable();
    let mut busy = 0u64;
    let mut covered = 0u64;
    for (start, end) in spans {
        busy = busy.saturating_add(end.saturating_sub(start.max(covered)));
        covered = covered.max(end);
    }
    busy
}

/// Whatever the action names: instances, zones, clusters, tables. Not regions, where everything is.
fn names(step: &Step, run: &Run) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    collect(&serde_json::to_value(&step.action).unwrap_or_default(), &mut names);
    for region in [&step.region, &run.plan.from, &run.plan.to] {
        names.remove(region.as_str());
    }
    names
}

fn collect(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            names.insert(text.clone());
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, names)),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use mesh_core::ids::{Generation, Hash32, RegionId};
    use mesh_core::plan::{Action, Plan, PlanKind, PredictedLoss, Retry, Reversibility};
    use mesh_core::run::{Cause, RunState, StepRun, Work, WorkState};
    use mesh_core::time::Timestamp;

    use super::*;

    fn region(name: &str) -> RegionId {
        RegionId::new(name).expect("a region")
    }

    fn step(id: &str, instance: &str, after: &[&str]) -> Step {
        Step {
            id: id.parse().expect("a name"),
            title: String::new(),
            region: region("us-west-2"),
            action: Action::RdsReboot { instance: instance.to_owned() },
            after: after.iter().map(|id| id.parse().expect("a name")).collect(),
            timeout: Duration::from_secs(60),
            retry: Retry { attempts_max: 1, backoff_min: Duration::ZERO, backoff_max: Duration::ZERO },
            reversibility: Reversibility::NothingToUndo,
            undo: None,
        }
    }

    /// Started at 1000; each step with the time of its end.
    fn run(steps: &[(Step, u64)]) -> Run {
        let done = |ended: u64| StepRun {
            forward: Work {
                state: WorkState::Done,
                started_at: None,
                ended_at: Some(Timestamp::from_millis(ended)),
                intents: Vec::new(),
            },
            undo: None,
        };
        Run {
            id: "maip-g1".parse().expect("a name"),
            plan: Plan {
                service: "maip".parse().expect("a name"),
                kind: PlanKind::Failover,
                from: region("us-east-1"),
                to: region("us-west-2"),
                manifest_version: 1,
                generation: Generation(1),
                steps: steps.iter().map(|(step, _)| step.clone()).collect(),
                warnings: Vec::new(),
                loss: PredictedLoss::Nothing,
            },
            plan_hash: Hash32::default(),
            requested_by: String::new(),
            started_at: Timestamp::from_millis(1000),
            state: RunState::Done,
            paused: None,
            unwind: None,
            approvals: Vec::new(),
            steps: steps.iter().map(|(step, ended)| (step.id.clone(), done(*ended))).collect::<BTreeMap<_, _>>(),
            timeline: Vec::new(),
            ended_at: None,
            cause: Cause::Asked,
            loss: PredictedLoss::Nothing,
            measured: None,
            released: None,
            overrides: BTreeSet::new(),
        }
    }

    fn activity(resource: &str, started_ms: u64, ended_ms: Option<u64>) -> Activity {
        Activity { resource: resource.to_owned(), operation: "o".to_owned(), started_ms, ended_ms }
    }

    #[test]
    fn the_path_goes_back_from_the_last_end_to_what_it_waited_for_last() {
        let run = run(&[
            (step("look", "a", &[]), 1100),
            (step("database", "a", &["look"]), 3000),
            (step("nodes", "n", &["look"]), 2500),
            (step("notify", "t", &["database", "nodes"]), 3200),
        ]);
        let legs: Vec<_> = legs(&run).iter().map(|leg| (leg.step.id.to_string(), leg.from_ms, leg.to_ms)).collect();
        let expected = [("look", 1000, 1100), ("database", 1100, 3000), ("notify", 3000, 3200)];
        assert_eq!(legs, expected.map(|(id, from, to)| (id.to_owned(), from, to)));
    }

    #[test]
    fn work_beside_the_path_is_no_excuse_for_a_gap_in_it() {
        let run = run(&[
            (step("database", "db", &[]), 2000),
            (step("nodes", "group", &[]), 1900),
            (step("traffic", "zone", &["database", "nodes"]), 3000),
        ]);
        let activities = [
            activity("us-west-2/db", 1100, Some(1600)),
            activity("us-west-2/group", 1000, Some(1900)),
            activity("zone/C1", 2200, Some(2900)),
        ];
        assert_eq!(floor_ms(&run, &activities), 500 + 700);
    }

    #[test]
    fn work_at_the_same_time_counts_once_and_work_outside_of_the_step_not_at_all() {
        let run = run(&[(step("one", "db", &[]), 2000), (step("two", "db", &["one"]), 3000)]);
        let activities = [
            activity("us-west-2/db", 500, Some(1200)),
            activity("us-west-2/db", 1100, Some(1300)),
            activity("us-west-2/db", 1900, Some(2100)),
            activity("us-west-2/db", 2900, None),
            activity("us-west-2/other", 1000, Some(3000)),
        ];
        assert_eq!(floor_ms(&run, &activities), 300 + 100 + 100 + 100);
        assert_eq!(floor_ms(&run, &[]), 0);
    }

    #[test]
    fn a_run_in_which_nothing_ended_has_no_path() {
        assert_eq!(legs(&run(&[])), Vec::new());
    }
}
