//! Rules of the Kubernetes actions, as tables over plain values.

use std::collections::{BTreeMap, BTreeSet};

use mesh_core::execute::{Job, Observation};
use mesh_core::ids::StepId;
use mesh_core::plan::Action;

use super::objects::{Autoscaler, Deployment, WaitingPod};
use super::{Before, Recorded, check, restore, scale};
use crate::test_jobs;

/// As a deployment stands when it is at rest with so many replicas.
fn deployment(name: &str, replicas: u32) -> Deployment {
    Deployment {
        name: name.to_owned(),
        replicas,
        observed: true,
        updated: replicas,
        ready: replicas,
        resource_version: "17".to_owned(),
        ..Deployment::default()
    }
}

/// The same, as this run's scaling (intent 12 of generation 7) left it.
fn scaled(name: &str, replicas: u32) -> Deployment {
    Deployment {
        token: Some("7.12".to_owned()),
        run: Some("maip-g7".to_owned()),
        set_by_run: Some(replicas),
        ..deployment(name, replicas)
    }
}

fn autoscaler(deployment: &str, min: u32, max: u32) -> Autoscaler {
    Autoscaler { name: format!("{deployment}-hpa"), deployment: deployment.to_owned(), min, max }
}

fn observe(found: &[Deployment], autoscalers: &[Autoscaler], named: &[(&str, u32)]) -> Observation {
    let named: BTreeMap<_, _> = named.iter().map(|(name, replicas)| ((*name).to_owned(), *replicas)).collect();
    let floor = scale::Floor { namespace: "maip-services", replicas: 4, named: &named };
    match scale::observe("7.12".parse().expect("a token"), &floor, found, autoscalers) {
        scale::Seen::Clear(observation) => observation,
        scale::Seen::Unready(unready) => Observation::Pending { note: scale::why(&unready, &Ok(Vec::new())) },
    }
}

#[test]
fn a_look_records_the_replicas_of_what_is_named_or_of_all() {
    let found = [deployment("api", 2), deployment("worker", 0)];
    let look = |named: &[&str]| {
        let named: BTreeSet<_> = named.iter().map(|name| (*name).to_owned()).collect();
        check::observe("maip-services", &found, &named)
    };
    let all = look(&[]);
    assert_eq!(all, Observation::Satisfied { read_back: r#"{"deployments":{"api":2,"worker":0}}"#.to_owned() });
    let one = look(&["api"]);
    assert_eq!(one, Observation::Satisfied { read_back: r#"{"deployments":{"api":2}}"#.to_owned() });
    let Observation::Blocked { reason } = look(&["api", "gone"]) else { panic!("one is missing") };
    assert!(reason.contains("no deployment gone"), "{reason}");
    let Observation::Blocked { reason } = check::observe("maip-services", &[], &BTreeSet::new()) else {
        panic!("there is nothing to scale");
    };
    assert!(reason.contains("maip-services has no deployments"), "{reason}");
}

#[test]
fn deployments_are_scaled_when_all_have_the_replicas_updated_and_ready() {
    let with = |change: fn(&mut Deployment)| {
        let mut found = deployment("api", 4);
        change(&mut found);
        [found, deployment("worker", 6)]
    };
    for (found, expected) in [
        (with(|_| {}), "satisfied"),
        (with(|api| api.replicas = 3), "ready"),
        (with(|api| api.replicas = 0), "ready"),
        (with(|api| api.ready = 3), "pending"),
        (with(|api| api.updated = 3), "pending"),
        (with(|api| api.observed = false), "pending"),
        (with(|api| api.paused = true), "satisfied"),
        (with(|api| (api.paused, api.updated) = (true, 1)), "blocked"),
        (with(|api| api.token = Some("7.11".to_owned())), "satisfied"),
        (with(|api| api.token = Some("7.13".to_owned())), "superseded"),
        (with(|api| (api.replicas, api.token) = (1, Some("8.1".to_owned()))), "superseded"),
        (with(|api| api.token = Some("yesterday".to_owned())), "blocked"),
    ] {
        let seen = observe(&found, &[], &[]);
        assert_eq!(test_jobs::kind(&seen), expected, "{found:?}: {seen:?}");
    }
    assert_eq!(test_jobs::kind(&observe(&[], &[], &[])), "blocked");
}

#[test]
fn only_what_is_named_is_scaled_each_to_its_own_number() {
    let found = [deployment("api", 1), deployment("batch", 0), deployment("worker", 2)];
    let Observation::Ready { before } = observe(&found, &[], &[("api", 3), ("worker", 2)]) else {
        panic!("one is below its number");
    };
    assert_eq!(before, r#"{"deployments":{"api":{"replicas":1,"to":3,"resource_version":"17"}}}"#);
    assert_eq!(test_jobs::kind(&observe(&found, &[], &[("gone", 1)])), "blocked");
}

#[test]
fn an_autoscaler_that_allows_fewer_replicas_blocks_and_another_is_told_of() {
    let below = [deployment("api", 1)];
    assert_eq!(test_jobs::kind(&observe(&below, &[autoscaler("api", 1, 3)], &[])), "blocked");
    assert_eq!(test_jobs::kind(&observe(&below, &[autoscaler("api", 1, 10)], &[])), "ready");
    assert_eq!(test_jobs::kind(&observe(&below, &[autoscaler("other", 1, 3)], &[])), "ready");
    let Observation::Satisfied { read_back } = observe(&[deployment("api", 4)], &[autoscaler("api", 1, 10)], &[])
    else {
        panic!("it is scaled");
    };
    assert!(read_back.contains("api-hpa (1 to 10)"), "{read_back}");
}

#[test]
fn pods_that_are_not_scheduled_are_named_with_what_the_scheduler_says() {
    let mut api = deployment("api", 4);
    api.ready = 1;
    let pod = |deployment: &str, unschedulable, reason: &str| WaitingPod {
        deployment: Some(deployment.to_owned()),
        unschedulable,
        reason: reason.to_owned(),
    };
    let pods = Ok(vec![
        pod("other", true, "not this one"),
        pod("api", true, "0/1 nodes are available: 1 Too many pods"),
        pod("api", true, "0/1 nodes are available: 1 Too many pods"),
        pod("api", false, "ErrImagePull: no such image"),
    ]);
    let named = BTreeMap::new();
    let floor = scale::Floor { namespace: "maip-services", replicas: 4, named: &named };
    let found = [api];
    let scale::Seen::Unready(unready) = scale::observe("7.12".parse().expect("a token"), &floor, &found, &[]) else {
        panic!("three are missing");
    };
    let note = scale::why(&unready, &pods);
    for words in ["api: 1 of 4 ready", "2 not scheduled", "capacity", "1 Too many pods", "ErrImagePull"] {
        assert!(note.contains(words), "{words} in {note}");
    }
    assert!(!note.contains("not this one"), "{note}");
}

fn undo() -> Job {
    let as_of = StepId::new("kubernetes-check-platform").expect("a name");
    let action = Action::KubernetesRestore { cluster: "maip".to_owned(), namespace: "maip-services".to_owned(), as_of };
    let mut job = test_jobs::job("kubernetes-scale-platform", action);
    job.token = "8.2".parse().expect("a token");
    job
}

fn restored(found: &[Deployment], autoscalers: &[Autoscaler], job: &Job) -> Observation {
    let recorded = Recorded { deployments: [("api".to_owned(), 1)].into() };
    restore::observe(job, &recorded, found, autoscalers)
}

#[test]
fn an_undo_restores_what_this_run_set_and_leaves_what_it_never_did() {
    let with = |change: fn(&mut Deployment)| {
        let mut found = scaled("api", 4);
        change(&mut found);
        [found]
    };
    for (found, expected) in [
        (with(|_| {}), "ready"),
        (with(|api| api.replicas = 1), "satisfied"),
        (with(|api| (api.replicas, api.observed) = (1, false)), "pending"),
        (with(|api| api.replicas = 6), "blocked"),
        (with(|api| api.token = Some("8.3".to_owned())), "superseded"),
        (with(|api| api.run = Some("maip-g6".to_owned())), "satisfied"),
        (with(|api| (api.token, api.run, api.set_by_run) = (None, None, None)), "satisfied"),
        // It was restored, and raised by someone after that.
        (with(|api| (api.token, api.set_by_run) = (Some("8.2".to_owned()), Some(1))), "satisfied"),
    ] {
        let seen = restored(&found, &[], &undo());
        assert_eq!(test_jobs::kind(&seen), expected, "{found:?}: {seen:?}");
    }
    assert_eq!(test_jobs::kind(&restored(&[deployment("other", 4)], &[], &undo())), "satisfied", "it is gone");
}

#[test]
fn an_undo_patches_exactly_to_the_recorded_replicas() {
    let Observation::Ready { before } = restored(&[scaled("api", 4), scaled("new", 4)], &[], &undo()) else {
        panic!("it is to be restored");
    };
    let before: Before = serde_json::from_str(&before).expect("what was written");
    let targets: Vec<_> = before.deployments.iter().map(|(name, change)| (name.as_str(), change.to)).collect();
    assert_eq!(targets, [("api", 1)], "what was made after the look has nothing to go back to");
}

#[test]
fn an_undo_takes_an_autoscalers_number_for_ours_and_a_persons_not() {
    let mut found = scaled("api", 4);
    found.replicas = 6;
    let found = [found];
    assert_eq!(test_jobs::kind(&restored(&found, &[autoscaler("api", 1, 10)], &undo())), "ready");
    assert_eq!(test_jobs::kind(&restored(&found, &[], &undo())), "blocked");
    let retried = Job { retried_by_person: true, ..undo() };
    let Observation::Satisfied { read_back } = restored(&found, &[], &retried) else { panic!("left alone") };
    assert!(read_back.contains(r#""left_as_others_set_it":{"api":6}"#), "{read_back}");
}

#[test]
fn two_services_do_not_fence_each_other_by_numbers_that_cannot_be_compared() {
    let service = mesh_core::ids::ServiceId::new("maip").expect("a name");
    let others = Deployment { run: Some("billing-g9".to_owned()), ..scaled("api", 4) };
    let found = [others, scaled("worker", 4), deployment("batch", 1)];
    let blocked = super::moved_by_another(&found, &service, |_| true);
    let Some(Observation::Blocked { reason }) = blocked else { panic!("another's deployment: {blocked:?}") };
    assert!(reason.contains("billing") && reason.contains("api"), "{reason}");
    assert_eq!(super::moved_by_another(&found, &service, |name| name != "api"), None, "it is not meant");
}
