//! Rules of the node group actions, as tables over plain values.

use std::time::Duration;

use mesh_core::execute::{Job, Observation};
use mesh_core::ids::StepId;
use mesh_core::plan::Action;

use super::{check, request_token, restore, scale};
use crate::aws::eks::{Issue, NodeGroup, Sizes};
use crate::test_jobs;

const PLAN: Sizes = Sizes { min: 4, max: 20, desired: 8 };

fn sizes(min: u32, max: u32, desired: u32) -> Sizes {
    Sizes { min, max, desired }
}

fn group(status: &str, sizes: Sizes, issues: &[&str]) -> NodeGroup {
    let issue = |code: &&str| Issue { code: (*code).to_owned(), message: "said EKS".to_owned() };
    NodeGroup { status: status.to_owned(), sizes, issues: issues.iter().map(issue).collect() }
}

fn job() -> Job {
    let action = Action::EksScaleNodegroup {
        cluster: "maip".to_owned(),
        node_group: "nodes".to_owned(),
        min: PLAN.min,
        max: PLAN.max,
        desired: PLAN.desired,
    };
    test_jobs::job("eks-scale-nodegroup-platform", action)
}

#[test]
fn a_node_group_is_scaled_when_it_is_active_and_healthy_with_at_least_the_plans_sizes() {
    let small = sizes(1, 4, 1);
    for (found, expected) in [
        (group("ACTIVE", small, &[]), "ready"),
        (group("ACTIVE", PLAN, &[]), "satisfied"),
        (group("ACTIVE", sizes(5, 30, 12), &[]), "satisfied"),
        (group("ACTIVE", sizes(5, 30, 7), &[]), "ready"),
        (group("UPDATING", PLAN, &[]), "pending"),
        (group("UPDATING", small, &[]), "pending"),
        (group("CREATING", small, &[]), "pending"),
        (group("DELETING", PLAN, &[]), "blocked"),
        (group("CREATE_FAILED", small, &[]), "blocked"),
        (group("ACTIVE", PLAN, &["AsgInstanceLaunchFailures"]), "pending"),
        (group("DEGRADED", PLAN, &["InsufficientFreeAddresses"]), "pending"),
        (group("DEGRADED", PLAN, &["Ec2SubnetNotFound"]), "blocked"),
        (group("ACTIVE", small, &["AccessDenied"]), "blocked"),
        (group("ACTIVE", PLAN, &["SomethingNew"]), "blocked"),
    ] {
        assert_eq!(test_jobs::kind(&scale::observe(&found, PLAN)), expected, "{found:?}");
    }
}

#[test]
fn no_size_is_ever_lowered() {
    let Observation::Ready { before } = scale::observe(&group("ACTIVE", sizes(1, 40, 9), &[]), PLAN) else {
        panic!("its least is too few");
    };
    assert_eq!(before, r#"{"min":1,"max":40,"desired":9,"to":{"min":4,"max":40,"desired":9}}"#);
}

#[test]
fn what_ails_a_node_group_is_told_in_its_own_words() {
    let Observation::Pending { note } = scale::observe(&group("DEGRADED", PLAN, &["AsgInstanceLaunchFailures"]), PLAN)
    else {
        panic!("it may pass");
    };
    assert!(note.contains("AsgInstanceLaunchFailures: said EKS"), "{note}");
    let Observation::Blocked { reason } = check(&group("ACTIVE", PLAN, &["IamNodeRoleNotFound"])) else {
        panic!("it does not mend itself");
    };
    assert!(reason.contains("IamNodeRoleNotFound: said EKS"), "{reason}");
}

#[test]
fn the_looks_read_back_is_what_an_undo_reads() {
    let Observation::Satisfied { read_back } = check(&group("ACTIVE", sizes(1, 4, 2), &[])) else {
        panic!("it is active");
    };
    assert_eq!(serde_json::from_str::<Sizes>(&read_back).expect("sizes"), sizes(1, 4, 2));
    let mut job = job();
    let look = StepId::new("eks-check-nodegroup-platform").expect("a name");
    job.evidence.insert(look.clone(), read_back);
    assert_eq!(super::sizes(&job, &look), Some(sizes(1, 4, 2)));
}

#[test]
fn an_undo_restores_what_the_run_left_and_never_what_someone_set_since() {
    let before = sizes(1, 4, 1);
    for (now, left, expected) in [
        (before, Some(PLAN), "satisfied"),
        (PLAN, Some(PLAN), "ready"),
        // The cluster's autoscaler moves the desired size.
        (sizes(4, 20, 11), Some(PLAN), "ready"),
        (sizes(6, 20, 11), Some(PLAN), "blocked"),
        (sizes(4, 25, 8), Some(PLAN), "blocked"),
        // The scaling was never seen to its end.
        (PLAN, None, "blocked"),
        (sizes(0, 4, 0), None, "blocked"),
    ] {
        let seen = restore::observe(&group("ACTIVE", now, &[]), Some(before), left, false);
        assert_eq!(test_jobs::kind(&seen), expected, "{now:?} left {left:?}: {seen:?}");
    }
    let unknown = restore::observe(&group("ACTIVE", PLAN, &[]), None, Some(PLAN), false);
    assert_eq!(test_jobs::kind(&unknown), "blocked");
    let updating = restore::observe(&group("UPDATING", PLAN, &[]), Some(before), Some(PLAN), false);
    assert_eq!(test_jobs::kind(&updating), "pending");
}

#[test]
fn a_person_who_retries_leaves_anothers_sizes_as_they_are() {
    let found = group("ACTIVE", sizes(6, 20, 8), &[]);
    let Observation::Satisfied { read_back } = restore::observe(&found, Some(sizes(1, 4, 1)), Some(PLAN), true) else {
        panic!("left alone");
    };
    assert!(read_back.contains("left_as_others_set_it"), "{read_back}");
}

#[test]
fn one_effect_has_one_request_token_and_another_has_another() {
    let token = request_token(&job(), PLAN);
    assert_eq!(token.len(), 36);
    assert!(token.chars().all(|c| c.is_ascii_hexdigit() || c == '-'), "{token}");
    let mut again = job();
    again.token = "7.13".parse().expect("a token");
    again.time_left = Duration::from_secs(1);
    assert_eq!(request_token(&again, PLAN), token, "a repeated call is the same call");
    assert_ne!(request_token(&job(), sizes(4, 40, 8)), token);
    again.retried_by_person = true;
    assert_ne!(request_token(&again, PLAN), token);
}
