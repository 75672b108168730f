//! Rules of the actions on stages, as tables over plain values.

use std::collections::BTreeMap;

use mesh_core::execute::{Job, Observation};
use mesh_core::lease::Throttle;
use mesh_core::plan::Action;

use super::note::{NOTE, Note};
use super::{Before, decide};
use crate::aws::apigateway::{Change, Limits, Stage};
use crate::test_jobs;

const UNSET: Limits = Limits { rate: None, burst: None, metrics: None };
const SHUT: Limits = Limits { rate: Some(0.0), burst: Some(0), metrics: None };

fn limits(rate: f64, burst: i32) -> Limits {
    Limits { rate: Some(rate), burst: Some(burst), metrics: None }
}

fn stage(default: Limits, routes: &[(&str, Limits)]) -> Stage {
    let routes = routes.iter().map(|(key, limits)| ((*key).to_owned(), *limits)).collect();
    Stage { protocol: "HTTP".to_owned(), default, routes, variables: BTreeMap::new() }
}

fn close() -> Job {
    let action = Action::ApiGatewayClose { api: "a1".to_owned(), stage: "prod".to_owned() };
    test_jobs::job("api-gateway-close-web", action)
}

/// Generation of the jobs of these tests.
const OURS: u64 = 7;

fn open() -> Job {
    let open = Throttle { rate: 100, burst: 50 };
    let action = Action::ApiGatewayOpen { api: "a1".to_owned(), stage: "prod".to_owned(), open };
    test_jobs::job("api-gateway-open-web", action)
}

fn kind(job: &Job, found: &Stage) -> &'static str {
    test_jobs::kind(&decide(job, found))
}

fn change(job: &Job, found: &Stage) -> Change {
    match decide(job, found) {
        Observation::Ready { before } => serde_json::from_str::<Before>(&before).expect("as it was written").to,
        other => panic!("it cannot be called: {other:?}"),
    }
}

/// What AWS has after the change.
fn after(found: &Stage, change: &Change) -> Stage {
    let mut stage = found.clone();
    stage.default = change.default;
    stage.routes.extend(change.routes.clone());
    if let Some((name, value)) = &change.variable {
        stage.variables.remove(name);
        if !value.is_empty() {
            stage.variables.insert(name.clone(), value.clone());
        }
    }
    stage
}

fn noted(found: &Stage) -> Option<Note> {
    found.variables.get(NOTE).map(|text| Note::read(text).expect("ours"))
}

#[test]
fn a_stage_is_closed_when_every_limit_is_0() {
    for (found, expected) in [
        (stage(UNSET, &[]), "ready"),
        (stage(limits(100.0, 50), &[]), "ready"),
        (stage(limits(0.0, 50), &[]), "ready"),
        (stage(limits(0.5, 0), &[]), "ready"),
        (stage(SHUT, &[("GET /a", limits(1.0, 1))]), "ready"),
        (stage(SHUT, &[("GET /a", UNSET)]), "ready"),
        (stage(SHUT, &[("GET /a", SHUT)]), "satisfied"),
        (stage(SHUT, &[]), "satisfied"),
        (Stage { protocol: "WEBSOCKET".to_owned(), ..stage(UNSET, &[]) }, "blocked"),
    ] {
        assert_eq!(kind(&close(), &found), expected, "{found:?}");
    }
}

#[test]
fn what_was_closed_is_opened_with_exactly_its_former_limits() {
    let metrics = Limits { metrics: Some(true), ..limits(1000.0, 500) };
    let before = stage(metrics, &[("GET /a", limits(2.5, 5)), ("POST /b", SHUT)]);
    let closed = after(&before, &change(&close(), &before));
    assert!(closed.default.is_closed() && closed.routes.values().all(Limits::is_closed), "{closed:?}");
    assert_eq!(closed.default.metrics, Some(true), "what is no limit stays");
    assert_eq!(kind(&close(), &closed), "satisfied");
    let opened = after(&closed, &change(&open(), &closed));
    assert_eq!(opened, before);
    assert_eq!(kind(&open(), &opened), "satisfied");
}

#[test]
fn where_there_was_no_limit_the_declared_one_is_set() {
    let before = stage(UNSET, &[("GET /a", UNSET)]);
    let closed = after(&before, &change(&close(), &before));
    let opened = after(&closed, &change(&open(), &closed));
    assert_eq!(opened, stage(limits(100.0, 50), &[("GET /a", limits(100.0, 50))]));
    let from_the_first = stage(SHUT, &[("GET /a", SHUT)]);
    let opened = after(&from_the_first, &change(&open(), &from_the_first));
    assert_eq!(opened, stage(limits(100.0, 50), &[("GET /a", SHUT)]), "a route that somebody closed stays so");
}

#[test]
fn what_somebody_set_since_is_neither_overwritten_nor_lost() {
    let before = stage(limits(1000.0, 500), &[("GET /a", limits(10.0, 5))]);
    let mut closed = after(&before, &change(&close(), &before));
    closed.routes.insert("GET /a".to_owned(), limits(3.0, 3));
    closed.routes.insert("GET /new".to_owned(), limits(4.0, 4));
    let opened = after(&closed, &change(&open(), &closed));
    let routes = [("GET /a", limits(3.0, 3)), ("GET /new", limits(4.0, 4))];
    assert_eq!(opened, stage(limits(1000.0, 500), &routes), "theirs stay");

    assert_eq!(kind(&close(), &closed), "ready", "it lets requests through again");
    let again = after(&closed, &change(&close(), &closed));
    let opened = after(&again, &change(&open(), &again));
    assert_eq!(opened, stage(limits(1000.0, 500), &routes), "and are put back, too");
}

#[test]
fn a_newer_close_is_not_opened_by_an_older_run() {
    let before = stage(limits(1000.0, 500), &[]);
    let newer = Job { token: "8.1".parse().expect("a token"), ..close() };
    let closed = after(&before, &change(&newer, &before));
    assert_eq!(noted(&closed).map(|note| note.generation), Some(OURS + 1));
    assert_eq!((kind(&open(), &closed), kind(&close(), &closed)), ("superseded", "superseded"));
}

#[test]
fn a_newer_run_closes_what_is_closed_for_itself() {
    let before = stage(limits(1000.0, 500), &[]);
    let closed = after(&before, &change(&close(), &before));
    let newer = Job { token: "8.1".parse().expect("a token"), ..close() };
    let again = after(&closed, &change(&newer, &closed));
    assert_eq!(kind(&newer, &again), "satisfied");
    let note = noted(&again).expect("it is there");
    assert_eq!((note.generation, note.default), (OURS + 1, Some(limits(1000.0, 500))), "what the first close noted");
}

#[test]
fn the_evidence_of_a_close_has_the_former_limits() {
    let before = stage(limits(1000.0, 500), &[("GET /a", limits(10.0, 5))]);
    let closed = after(&before, &change(&close(), &before));
    let Observation::Satisfied { read_back } = decide(&close(), &closed) else { panic!("it is closed") };
    let shown: serde_json::Value = serde_json::from_str(&read_back).expect("JSON");
    assert_eq!((shown["rate"].as_f64(), shown["burst"].as_i64()), (Some(0.0), Some(0)), "{shown}");
    assert_eq!(shown["former"]["default"]["rate"].as_f64(), Some(1000.0), "{shown}");
    assert_eq!(shown["former"]["routes"]["GET /a"]["burst"].as_i64(), Some(5), "{shown}");
}

#[test]
fn a_note_is_written_in_the_letters_of_a_variable_and_has_a_bound() {
    let key = "ANY /caf\u{e9}/{proxy+}";
    let before = stage(limits(0.333, 1), &[(key, limits(1.0, 2)), ("$default", UNSET)]);
    let text = change(&close(), &before).variable.expect("a note").1;
    assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{text}");
    assert!(Note::read(&text).expect("ours").routes.contains_key(key));
    let names: Vec<String> = (0..200).map(|number| format!("GET /{number}")).collect();
    let many: Vec<(&str, Limits)> = names.iter().map(|name| (name.as_str(), limits(1.0, 1))).collect();
    let Observation::Blocked { reason } = decide(&close(), &stage(UNSET, &many)) else { panic!("too many") };
    assert!(reason.contains("200 routes") && reason.contains("hook"), "{reason}");
}

#[test]
fn a_variable_of_somebody_else_is_left_alone() {
    let mut found = stage(limits(1000.0, 500), &[]);
    found.variables.insert(NOTE.to_owned(), "blue".to_owned());
    assert_eq!((kind(&close(), &found), kind(&open(), &found)), ("blocked", "blocked"));
}
