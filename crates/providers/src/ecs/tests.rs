//! Rules of the ECS actions, as tables over plain values.

use mesh_core::execute::{Job, Observation};
use mesh_core::ids::StepId;
use mesh_core::plan::Action;

use super::decide;
use crate::aws::ecs::{Deployment, Service};
use crate::test_jobs;

fn service(desired: u32, running: u32, pending: u32, rollout: &str) -> Service {
    Service {
        status: "ACTIVE".to_owned(),
        desired,
        running,
        pending,
        daemon: false,
        deployments: vec![deployment("PRIMARY", rollout)],
        newest_event: None,
    }
}

fn deployment(status: &str, rollout: &str) -> Deployment {
    Deployment {
        status: status.to_owned(),
        rollout: (!rollout.is_empty()).then(|| rollout.to_owned()),
        rollout_reason: Some("the circuit breaker".to_owned()),
        failed_tasks: 0,
    }
}

fn scale(tasks: u32) -> Job {
    let action = Action::EcsScaleService { cluster: "dr".to_owned(), service: "web".to_owned(), tasks };
    test_jobs::job("ecs-scale-web", action)
}

fn check() -> Job {
    let action = Action::EcsCheckService { cluster: "dr".to_owned(), service: "web".to_owned() };
    test_jobs::job("ecs-check-web", action)
}

fn restore(before: u32, left: Option<u32>) -> Job {
    let as_of = StepId::new("ecs-check-web").expect("a name");
    let action =
        Action::EcsRestoreService { cluster: "dr".to_owned(), service: "web".to_owned(), as_of: as_of.clone() };
    let mut job = test_jobs::job("ecs-scale-web", action);
    let read_back = |desired: u32| format!(r#"{{"desired":{desired},"running":0,"status":"ACTIVE"}}"#);
    job.evidence.insert(as_of, read_back(before));
    if let Some(left) = left {
        job.evidence.insert(job.step.clone(), read_back(left));
    }
    job
}

#[test]
fn a_service_is_scaled_when_it_is_steady_with_at_least_the_plans_tasks() {
    let two = Service {
        deployments: vec![deployment("PRIMARY", "COMPLETED"), deployment("ACTIVE", "COMPLETED")],
        ..service(6, 6, 0, "")
    };
    for (found, expected) in [
        (service(1, 1, 0, "COMPLETED"), "ready"),
        (service(6, 6, 0, "COMPLETED"), "satisfied"),
        (service(9, 9, 0, "COMPLETED"), "satisfied"),
        // Where another controller rolls out, ECS names no state.
        (service(6, 6, 0, ""), "satisfied"),
        (service(6, 4, 2, "COMPLETED"), "pending"),
        (service(6, 6, 0, "IN_PROGRESS"), "pending"),
        (service(6, 7, 0, "COMPLETED"), "pending"),
        (two, "pending"),
        (service(6, 2, 0, "FAILED"), "blocked"),
        (Service { status: "DRAINING".to_owned(), ..service(0, 0, 0, "") }, "blocked"),
        (Service { daemon: true, ..service(6, 6, 0, "COMPLETED") }, "blocked"),
    ] {
        assert_eq!(test_jobs::kind(&decide(&scale(6), &found, false)), expected, "{found:?}");
    }
}

#[test]
fn an_accepted_count_that_is_not_readable_yet_is_waited_for() {
    assert_eq!(test_jobs::kind(&decide(&scale(6), &service(1, 1, 0, "COMPLETED"), true)), "pending");
}

#[test]
fn why_tasks_do_not_run_is_told_in_the_services_own_words() {
    let found = Service {
        newest_event: Some(
            "was unable to place a task because no container instance met all of its requirements".to_owned(),
        ),
        ..service(6, 2, 0, "IN_PROGRESS")
    };
    let Observation::Pending { note } = decide(&scale(6), &found, true) else {
        panic!("not yet");
    };
    assert!(note.contains("2 of 6 tasks run") && note.contains("unable to place a task"), "{note}");
}

#[test]
fn a_look_records_the_count() {
    let Observation::Satisfied { read_back } = decide(&check(), &service(1, 0, 1, "IN_PROGRESS"), false) else {
        panic!("it is there");
    };
    assert_eq!(read_back, r#"{"desired":1,"running":0,"status":"ACTIVE"}"#);
}

#[test]
fn an_undo_restores_what_the_run_left_and_never_what_someone_set_since() {
    for (now, left, expected) in [
        (1, Some(6), "satisfied"),
        (6, Some(6), "ready"),
        (7, Some(6), "blocked"),
        (6, None, "blocked"),
        (0, None, "blocked"),
    ] {
        let seen = decide(&restore(1, left), &service(now, now, 0, "COMPLETED"), false);
        assert_eq!(test_jobs::kind(&seen), expected, "{now} left {left:?}: {seen:?}");
    }
    let mut unknown = restore(1, None);
    unknown.evidence.clear();
    assert_eq!(test_jobs::kind(&decide(&unknown, &service(6, 6, 0, "COMPLETED"), false)), "blocked");
    let mut retried = restore(1, Some(6));
    retried.retried_by_person = true;
    assert_eq!(test_jobs::kind(&decide(&retried, &service(7, 7, 0, "COMPLETED"), false)), "satisfied");
}
