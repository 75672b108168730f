//! Requester-side evidence: a second kind of observer, and one source for all who ask it.

use super::*;
use crate::manifest::Alarm;

fn errors() -> Check {
    let alarm = || Alarm { alarm: "errors".to_owned(), published_in: None };
    let alarms = [EAST, WEST].map(|region| (fixtures::region(region), alarm())).into();
    Check { probe: Probe::Alarm { alarms }, ..http("errors") }
}

fn scene(api: &str, requests: &str) -> Scene {
    Scene::east(api).and(EAST, "errors", requests).set_checks(vec![http("api"), errors()])
}

fn rows(rows: &[(&str, &str, &str)]) {
    for (api, requests, expected) in rows {
        assert_eq!(scene(api, requests).judged(EAST), *expected, "{api} | {requests}");
    }
}

#[test]
fn requests_that_fail_while_every_probe_passes_are_grey_and_not_down() {
    rows(&[
        ("w1+ w2+ x1+ x2+", "w1-90 w2-90 x1-90 x2-90", "suspect grey"),
        ("w1+ x1+", "x1-1", "suspect grey"),
        ("w1+ w2+ x1+ x2+", "w1+ w2+ x1+ x2+", "healthy well"),
        ("w1+ x1+", "w1? x1?", "healthy well"),
    ]);
    let verdict = scene("w1+ x1+", "w1-90 x1-90").of(EAST);
    let wanted = "a probe of us-east-1 that fails for as long: errors alone is one source for all observers";
    assert_eq!(verdict.missing, [wanted]);
}

#[test]
fn two_kinds_of_observers_that_agree_complete_a_quorum() {
    rows(&[
        // The probes alone are two of four.
        ("w1-30 w2-30 x1+ x2+", "", "suspect asymmetric"),
        ("w1-30 w2-30 x1+ x2+", "w1-30 w2-30 x1-30 x2-30", "down grey"),
        ("w1-30 w2-30 x1+ x2+", "x1-30", "down grey"),
        // The region's own probe agrees.
        ("e1-30 w1+ w2+ x1+ x2+", "w1-30 w2-30 x1-30 x2-30", "down grey"),
        // For less than the whole time.
        ("w1-30 w2-30 x1+ x2+", "w1-29 w2-29 x1-29 x2-29", "suspect asymmetric"),
        ("w1-29 w2-29 x1+ x2+", "w1-30 w2-30 x1-30 x2-30", "suspect asymmetric"),
        // In one region only.
        ("w1-30 w2+", "w1-30 w2-30", "suspect grey"),
        // The region's own agents see it well.
        ("e1+ e2+ w1-30 w2+ x1+ x2+", "w1-30 w2-30 x1-30 x2-30", "suspect outside-only"),
    ]);
}

#[test]
fn requests_are_not_a_quorum_of_their_own_where_nothing_is_probed() {
    let alone = |requests: &str| scene("", requests).set_checks(vec![errors()]).judged(EAST);
    assert_eq!(alone("w1-90 w2-90 x1-90 x2-90"), "suspect grey");
    assert_eq!(alone("w1+ x1+"), "healthy well");
    assert_eq!(alone(""), "unknown blind");
}

#[test]
fn requests_that_are_only_observed_join_nobody() {
    let watched = Check { observe_only: true, ..errors() };
    let judged =
        |api: &str| scene(api, "w1-90 w2-90 x1-90 x2-90").set_checks(vec![http("api"), watched.clone()]).judged(EAST);
    assert_eq!(judged("w1-30 w2-30 x1+ x2+"), "suspect asymmetric");
    assert_eq!(judged("w1+ x1+"), "healthy well");
}
