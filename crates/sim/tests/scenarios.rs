//! A user's manifest under faults by name: the same bytes each time, and answers that follow from the manifest.

#![allow(clippy::expect_used, reason = "a test that finds something else fails")]

use std::sync::Arc;

use mesh_core::manifest::AutomaticMode;
use mesh_sim::SECOND;
use mesh_sim::scenario::second::Second;
use mesh_sim::scenario::{Assumed, Given, Many, Scenario, Summary, play_all};

const POSTGRES: &str = include_str!("../../../examples/postgres.yaml");
const MAIP: &str = include_str!("../../../examples/maip.yaml");
const RUNS: usize = 24;

fn given(source: &str, mode: Option<AutomaticMode>, assumed: Assumed) -> Arc<Given> {
    let manifest = mesh_manifest::parse(source, "given.yaml").expect("a good manifest");
    Arc::new(Given::new(manifest, mode, assumed).expect("it can be simulated"))
}

fn played(given: &Arc<Given>, name: &str, second: Option<&Second>, threads: usize) -> Summary {
    let scenario = Scenario::find(given, name).expect("a scenario");
    let many = Many { given, scenario: &scenario, second, seed: 1, runs: RUNS, threads };
    Summary::of(play_all(&many, &|_| ()).iter())
}

fn of(source: &str, name: &str) -> Summary {
    played(&given(source, None, Assumed::default()), name, None, 2)
}

#[test]
fn a_lost_primary_is_left_once_and_what_was_not_replicated_is_lost() {
    let summary = of(POSTGRES, "us-east-1-lost");
    assert_eq!((summary.done, summary.violations.len()), (RUNS, 0), "{summary:?}");
    assert_eq!(summary.to.keys().collect::<Vec<_>>(), ["us-west-2"]);
    // Never more than the replicas were behind, of which the manifest's owner has no other word.
    let lag = Assumed::default().range("replication-lag");
    assert!(summary.lost.longest().expect("it was promoted") <= lag.to, "{:?}", summary.lost);
    let order = [&summary.detected, &summary.decided, &summary.granted, &summary.written].map(|it| it.at(50));
    assert!(order.is_sorted() && order.iter().all(Option::is_some), "{order:?}");
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    let given = given(POSTGRES, None, Assumed::default());
    let second = Second { of: Second::any(&given, "us-east-1-lost"), within: 10 * SECOND };
    let [one, other] = [1, 3].map(|threads| played(&given, "us-east-1-lost", Some(&second), threads).json());
    assert_eq!(one.to_string(), other.to_string());
}

#[test]
fn a_policy_that_waits_27_s_longer_is_27_s_later() {
    let slow = POSTGRES.replace("sustained: 3s", "sustained: 30s");
    let back = |source: &str| of(source, "us-east-1-lost").decided.at(50).expect("it moved") / SECOND;
    let later = back(&slow).abs_diff(back(POSTGRES));
    assert!((26..=29).contains(&later), "{later} s");
}

#[test]
fn a_region_that_goes_on_alone_loses_what_it_accepts_until_its_lease_ends() {
    let (isolated, lost) = (of(POSTGRES, "us-east-1-isolated"), of(POSTGRES, "us-east-1-lost"));
    assert_eq!((isolated.done, isolated.violations.len()), (RUNS, 0));
    let at = |summary: &Summary| summary.lost.at(50).expect("it was promoted");
    assert!(at(&isolated) > at(&lost) + 2 * SECOND, "{} and {}", at(&isolated), at(&lost));
}

#[test]
fn what_is_no_loss_of_the_primary_moves_nothing() {
    for name in ["us-west-2-lost", "witness-lost", "us-east-1-us-west-2-cut", "us-east-1-slow"] {
        let summary = of(POSTGRES, name);
        assert_eq!(summary.nothing, RUNS, "{name}: {summary:?}");
    }
    assert_eq!(of(POSTGRES, "us-west-2-and-witness-lost").no_leader, RUNS);
}

#[test]
fn a_rule_that_keeps_it_from_acting_is_named_with_its_words() {
    let off = of(MAIP, "us-east-1-lost");
    let rule = &off.rules["automatic"];
    assert_eq!((off.blocked, rule.runs), (RUNS, RUNS));
    assert!(rule.text.contains("`policy.automatic: off`"), "{}", rule.text);
    let frugal = POSTGRES.replace("rpo: 5s", "rpo: 1s");
    let rpo = of(&frugal, "us-east-1-lost");
    assert!(rpo.rules["rpo"].text.contains("the objective is 1"), "{:?}", rpo.rules);
    assert_eq!(rpo.rules["rpo"].runs, rpo.blocked);
}

#[test]
fn a_window_blocks_in_as_many_runs_as_it_is_closed() {
    let closed = POSTGRES.replace("  cool-down: 1h\n", "  cool-down: 1h\n  windows: [\"daily 00:00-12:00\"]\n");
    let summary = of(&closed, "us-east-1-lost");
    assert!(summary.blocked > RUNS / 6 && summary.done > RUNS / 6, "{} and {}", summary.blocked, summary.done);
    assert_eq!(summary.rules["window"].runs, summary.blocked);
}

#[test]
fn an_old_region_that_nothing_proves_closed_holds_the_run_for_two_persons() {
    let patient = MAIP.replace("rpo: 30s", "rpo: 10m");
    let given = given(&patient, Some(AutomaticMode::Full), Assumed::default());
    let summary = played(&given, "us-east-1-lost", None, 2);
    assert_eq!((summary.held, summary.done), (RUNS, 0), "{summary:?}");
    let (step, _) = summary.holds.first_key_value().expect("it waits for something");
    assert!(step.contains("two persons"), "{step}");
}

#[test]
fn what_is_assumed_decides_what_the_manifest_does_not_say() {
    let mut slow = Assumed::default();
    slow.set("postgresql-promotion", "60s").expect("an assumption");
    let [quick, slow] = [Assumed::default(), slow].map(|assumed| {
        let given = given(&POSTGRES.replace("promote-timeout: 1m", "promote-timeout: 5m"), None, assumed);
        played(&given, "us-east-1-lost", None, 2).written.at(50).expect("it moved")
    });
    assert!(slow > quick + 50 * SECOND, "{slow} and {quick}");
}

#[test]
fn what_is_not_simulated_is_told() {
    let told = given(MAIP, None, Assumed::default()).not_simulated.join("\n");
    for part in ["check postgres", "kafka", "merchant-analytics"] {
        assert!(told.contains(part), "{part} in {told}");
    }
    assert!(given(POSTGRES, None, Assumed::default()).not_simulated.is_empty());
}

#[test]
fn a_second_fault_is_drawn_and_meets_the_first() {
    let given = given(POSTGRES, None, Assumed::default());
    let second = Second { of: vec!["coordinator-crash".to_owned()], within: 5 * SECOND };
    let summary = played(&given, "us-east-1-lost", Some(&second), 2);
    // Of three coordinators one is gone already: two times in three the quorum goes with the second.
    assert!(summary.no_leader + summary.unfinished > 0 && summary.done > 0, "{summary:?}");
    assert!(summary.violations.is_empty(), "{:?}", summary.violations);
}
