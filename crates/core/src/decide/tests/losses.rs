//! Invariant RpoGate: what is measured after the primary's death means nothing.

use std::time::Duration;

use super::stand::{BROKE, NOW, Stand, lag};
use crate::decide::RuleState;
use crate::fixtures::{WEST, at, region};
use crate::manifest::{AutomaticMode, Check, Probe, Vantage};
use crate::plan::PredictedLoss;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn predicted(stand: &Stand) -> PredictedLoss {
    let starts = stand.starts();
    let [start] = starts.as_slice() else { panic!("one start: {starts:?}") };
    super::stand::loss_of(start)
}

fn expects(lag_s: u64, age_s: u64) -> PredictedLoss {
    PredictedLoss::Lag {
        lag: seconds(lag_s),
        age: seconds(age_s),
        observer: "west-a".to_owned(),
        signal: "CloudWatch's ReplicaLag of database".to_owned(),
        measured_at: at(BROKE - age_s),
    }
}

#[test]
fn the_lag_that_grows_after_the_primarys_death_means_nothing() {
    let mut stand = Stand::outage();
    for (at_s, lag_s) in [(BROKE + 1, 3), (BROKE + 30, 32), (NOW, 62)] {
        stand.sights.push(lag("maip", at_s, seconds(lag_s)));
    }
    assert_eq!(predicted(&stand), expects(2, 1), "the last before it, and its age when it began");
}

#[test]
fn of_many_lags_the_newest_of_a_living_primary_counts_and_of_two_as_new_the_larger() {
    let mut stand = Stand::outage();
    let lags = [(BROKE - 9, 9), (BROKE + 4, 0), (BROKE - 1, 3), (BROKE - 30, 1), (BROKE - 1, 2)];
    stand.sights = lags.into_iter().map(|(at_s, lag_s)| lag("maip", at_s, seconds(lag_s))).collect();
    assert_eq!(predicted(&stand), expects(3, 1));
    stand.sights.reverse();
    assert_eq!(predicted(&stand), expects(3, 1), "in whatever order they came");
}

#[test]
fn a_lag_of_zero_after_the_primarys_death_means_nothing_either() {
    let mut stand = Stand::outage();
    stand.sights = vec![lag("maip", BROKE + 1, Duration::ZERO)];
    assert_eq!(stand.rule("rpo").0, RuleState::Missing);
    assert!(!stand.acts());
}

#[test]
fn the_age_at_the_onset_counts_and_not_the_age_now() {
    let mut stand = Stand::outage();
    stand.sights = vec![lag("maip", BROKE - 20, seconds(2))];
    assert_eq!(predicted(&stand), expects(2, 20));
    stand.now = at(NOW + 3_000);
    assert!(stand.acts(), "an outage that lasts makes it no larger");
    stand.sights = vec![lag("maip", BROKE - 29, seconds(2))];
    assert!(!stand.acts(), "31 s are more than the objective's 30");
}

#[test]
fn between_two_probes_nobody_knows_whether_the_primary_lived() {
    let mut stand = Stand::outage();
    let probe = Probe::Tcp { addresses: [(region(WEST), "west:1".to_owned())].into() };
    stand.maip().manifest.checks = vec![Check {
        name: "port".to_owned(),
        probe,
        interval: seconds(4),
        timeout: seconds(1),
        fail_after: 1,
        pass_after: 1,
        critical: true,
        observe_only: false,
        from: Vantage::Both,
    }];
    stand.sights = vec![lag("maip", BROKE - 4, Duration::ZERO), lag("maip", BROKE - 6, seconds(1))];
    assert_eq!(predicted(&stand), expects(1, 6), "a lag of the last five seconds may be a dead primary's");
}

#[test]
fn the_plan_and_the_gate_say_the_same_number() {
    let stand = Stand::outage();
    let loss = predicted(&stand);
    let (state, text) = stand.rule("rpo");
    assert_eq!(state, RuleState::Held);
    assert!(text.contains(&loss.in_words()), "{text}");
}

#[test]
fn mode_fence_may_go_on_to_where_two_people_must_look() {
    let mut stand = Stand::outage();
    stand.sights.clear();
    stand.maip().manifest.policy.automatic = AutomaticMode::Fence;
    let (state, text) = stand.rule("rpo");
    assert_eq!(state, RuleState::Held);
    assert!(text.contains("Two people"), "{text}");
}

#[test]
fn losses_are_ordered_with_the_unknown_last() {
    let [small, large] = [expects(1, 1), expects(1, 2)];
    assert!(large.exceeds(&small) && !small.exceeds(&large) && !small.exceeds(&small));
    assert!(PredictedLoss::Unknown.exceeds(&large) && !large.exceeds(&PredictedLoss::Unknown));
    assert!(small.exceeds(&PredictedLoss::Nothing));
    assert!(small.is_covered_by(&small.bound()) && small.is_covered_by(&large.bound()));
    assert!(!large.is_covered_by(&small.bound()) && !PredictedLoss::Unknown.is_covered_by(&large.bound()));
    assert!(large.is_covered_by("unknown") && PredictedLoss::Nothing.is_covered_by("nothing"));
    for nonsense in ["", "at-most-", "at-most-5s", "at-most--1ms"] {
        assert!(!small.is_covered_by(nonsense), "{nonsense:?} covers nothing");
    }
}
