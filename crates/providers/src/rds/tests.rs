//! Rules of the database actions, as tables over plain values.

use std::collections::BTreeSet;
use std::time::Duration;

use mesh_core::execute::Observation;
use mesh_core::time::Timestamp;

use super::{Fenced, Rebooted, caught_up, check_replica, promote, reboot, retention, security_groups};
use crate::aws::cloudwatch::LagPoint;
use crate::aws::rds::{Event, Instance, Replication};

const FENCED_AT: u64 = 1_700_000_010_000;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn instance(status: &str) -> Instance {
    Instance {
        status: status.to_owned(),
        security_groups: [("sg-closed".to_owned(), "active".to_owned())].into(),
        source: None,
        replication: Vec::new(),
        backup_retention_days: 7,
        backup_retention_pending: false,
        seen_at: at(FENCED_AT + 60_000),
    }
}

fn replica(status: &str) -> Instance {
    Instance { source: Some("arn:aws:rds:us-east-1:1:db:primary".to_owned()), ..instance(status) }
}

fn groups(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

fn kind(observation: &Observation) -> &'static str {
    match observation {
        Observation::Satisfied { .. } => "satisfied",
        Observation::Ready { .. } => "ready",
        Observation::Pending { .. } => "pending",
        Observation::Blocked { .. } => "blocked",
        Observation::Superseded { .. } => "superseded",
        Observation::Ambiguous { .. } => "ambiguous",
        Observation::Unreadable { .. } => "unreadable",
    }
}

#[test]
fn a_fence_holds_when_the_closed_group_alone_is_active_on_an_available_instance() {
    let state = |group: &str, state: &str, status: &str| Instance {
        security_groups: [(group.to_owned(), state.to_owned())].into(),
        ..instance(status)
    };
    for (found, expected) in [
        (state("sg-closed", "active", "available"), "satisfied"),
        (state("sg-closed", "active", "modifying"), "pending"),
        (state("sg-closed", "adding", "available"), "pending"),
        (state("sg-open", "active", "available"), "ready"),
        (state("sg-open", "active", "rebooting"), "pending"),
        (state("sg-open", "removing", "available"), "pending"),
        (state("sg-open", "active", "stopped"), "blocked"),
        (state("sg-open", "active", "incompatible-network"), "blocked"),
    ] {
        assert_eq!(
            kind(&security_groups::observe(&found, &groups(&["sg-closed"]), None, false)),
            expected,
            "{found:?}"
        );
    }
    let mut two = instance("available");
    two.security_groups.insert("sg-open".to_owned(), "active".to_owned());
    assert_eq!(kind(&security_groups::observe(&two, &groups(&["sg-closed"]), None, false)), "ready");
}

#[test]
fn an_accepted_call_is_waited_for_and_not_repeated() {
    let open = instance("available");
    assert_eq!(kind(&security_groups::observe(&open, &groups(&["sg-x"]), None, true)), "pending");
    assert_eq!(kind(&promote::observe(&replica("available"), &[], true)), "pending");
    assert_eq!(kind(&retention::observe(&open, 14, true)), "pending");
    assert_eq!(kind(&reboot::observe(&open, &[], &fence(), true)), "pending");
}

#[test]
fn the_fences_read_back_carries_groups_the_providers_time_and_the_events_of_restarts_until_then() {
    let listed = [event(FENCED_AT + 60_100, "DB instance restarted"), event(FENCED_AT + 60_200, "Backing up")];
    for (known, times) in [(None, None), (Some(&listed[..]), Some(vec![at(FENCED_AT + 60_100)]))] {
        let observed = security_groups::observe(&instance("available"), &groups(&["sg-closed"]), known, false);
        let Observation::Satisfied { read_back } = observed else { panic!("the fence holds") };
        let fenced: Fenced = serde_json::from_str(&read_back).expect("the reboot reads it");
        let expected = Fenced { provider_time_ms: at(FENCED_AT + 60_000), known_events_ms: times, ..fence() };
        assert_eq!(fenced, expected);
    }
}

/// As an agent left it that did not ask for events.
fn fence() -> Fenced {
    Fenced { security_groups: groups(&["sg-closed"]), provider_time_ms: at(FENCED_AT), known_events_ms: None }
}

fn event(millis: u64, message: &str) -> Event {
    Event { at: at(millis), message: message.to_owned() }
}

#[test]
fn a_restart_of_the_fences_own_second_or_before_never_counts_and_a_later_one_always_does() {
    let restarted = "DB instance restarted";
    for (events, expected) in [
        (vec![], "ready"),
        (vec![event(FENCED_AT - 1, restarted)], "ready"),
        (vec![event(FENCED_AT + 999, restarted)], "ready"),
        (vec![event(FENCED_AT + 1000, restarted)], "satisfied"),
        (vec![event(FENCED_AT + 5000, "DB instance shutdown")], "ready"),
        (vec![event(FENCED_AT + 500, "DB instance shutdown"), event(FENCED_AT + 2000, restarted)], "ready"),
        (vec![event(FENCED_AT + 1500, "DB instance shutdown"), event(FENCED_AT + 2000, restarted)], "satisfied"),
    ] {
        let observed = reboot::observe(&instance("available"), &events, &fence(), false);
        assert_eq!(kind(&observed), expected, "{events:?}");
    }
    let later = vec![event(FENCED_AT + 2000, restarted)];
    assert_eq!(kind(&reboot::observe(&instance("rebooting"), &later, &fence(), false)), "pending");
}

#[test]
fn a_restart_of_the_fences_own_second_counts_when_it_was_not_listed_right_after_the_fence() {
    let (down, up) = ("DB instance shutdown", "DB instance restarted");
    let known = |times: &[u64]| Fenced {
        known_events_ms: Some(times.iter().map(|time| at(FENCED_AT + time)).collect()),
        ..fence()
    };
    for (events, listed, expected) in [
        (vec![event(FENCED_AT + 500, down), event(FENCED_AT + 2000, up)], vec![], "satisfied"),
        (vec![event(FENCED_AT + 500, down), event(FENCED_AT + 700, up)], vec![], "satisfied"),
        // It was down already when the fence was seen.
        (vec![event(FENCED_AT + 500, down), event(FENCED_AT + 2000, up)], vec![500], "ready"),
        (vec![event(FENCED_AT + 500, down), event(FENCED_AT + 700, up)], vec![500, 700], "ready"),
        // One before the fence does not hide ours.
        (
            vec![
                event(FENCED_AT + 100, down),
                event(FENCED_AT + 200, up),
                event(FENCED_AT + 500, down),
                event(FENCED_AT + 2000, up),
            ],
            vec![100, 200],
            "satisfied",
        ),
        // Listed late, but of an earlier second.
        (vec![event(FENCED_AT - 200, down), event(FENCED_AT + 300, up)], vec![], "ready"),
        // Whether it went down before or after the sight, nobody can tell.
        (vec![event(FENCED_AT + 300, up)], vec![], "ready"),
        (vec![event(FENCED_AT + 1000, up)], vec![], "satisfied"),
    ] {
        let observed = reboot::observe(&instance("available"), &events, &known(&listed), false);
        assert_eq!(kind(&observed), expected, "{events:?} known {listed:?}");
    }
}

#[test]
fn the_reboot_waits_for_the_next_second_only_where_nobody_asked_for_events() {
    let early = Instance { seen_at: at(FENCED_AT), ..instance("available") };
    assert_eq!(kind(&reboot::observe(&early, &[], &fence(), false)), "pending");
    let asked = Fenced { known_events_ms: Some(Vec::new()), ..fence() };
    assert_eq!(kind(&reboot::observe(&early, &[], &asked, false)), "ready");
}

#[test]
fn a_fence_that_someone_opened_again_blocks_the_reboot() {
    let mut opened = instance("available");
    opened.security_groups = [("sg-open".to_owned(), "active".to_owned())].into();
    let later = vec![event(FENCED_AT + 2000, "DB instance restarted")];
    assert_eq!(kind(&reboot::observe(&opened, &later, &fence(), false)), "blocked");
}

#[test]
fn a_promotion_is_done_when_the_instance_is_available_without_a_source() {
    for (found, expected) in [
        (instance("available"), "satisfied"),
        (instance("modifying"), "pending"),
        (instance("backing-up"), "pending"),
        (replica("available"), "ready"),
        (replica("modifying"), "pending"),
        (replica("failed"), "blocked"),
    ] {
        assert_eq!(kind(&promote::observe(&found, &[], false)), expected, "{found:?}");
    }
}

#[test]
fn backup_retention_is_read_from_what_is_in_force() {
    let pending = Instance { backup_retention_pending: true, ..instance("available") };
    for (found, days, expected) in [
        (instance("available"), 7, "satisfied"),
        (instance("available"), 14, "ready"),
        (instance("modifying"), 14, "pending"),
        (replica("available"), 7, "pending"),
        (pending, 7, "pending"),
    ] {
        assert_eq!(kind(&retention::observe(&found, days, false)), expected, "{found:?}");
    }
}

#[test]
fn a_replica_has_caught_up_when_its_lag_reaches_back_to_after_the_restart() {
    let rebooted = Rebooted { restarted_at_ms: at(FENCED_AT + 2500), provider_time_ms: at(FENCED_AT + 2000) };
    let point = |millis: u64, lag_ms: u64| LagPoint { at: at(millis), lag: Duration::from_millis(lag_ms) };
    for (lag, expected) in [
        (vec![], "pending"),
        (vec![point(FENCED_AT + 2499, 0)], "pending"),
        (vec![point(FENCED_AT + 2500, 0)], "satisfied"),
        (vec![point(FENCED_AT + 60_000, 59_000)], "pending"),
        (vec![point(FENCED_AT + 60_000, 57_500)], "satisfied"),
    ] {
        assert_eq!(kind(&caught_up::observe(&replica("available"), &lag, Some(&rebooted))), expected, "{lag:?}");
    }
    assert_eq!(kind(&caught_up::observe(&replica("available"), &[], None)), "pending");
    assert_eq!(kind(&caught_up::observe(&instance("available"), &[], None)), "satisfied");
}

#[test]
fn broken_replication_is_given_the_time_to_reconnect_after_the_reboot_and_then_never_catches_up() {
    let restarted = |ago_ms: u64| {
        let at = at(FENCED_AT + 60_000 - ago_ms);
        Some(Rebooted { restarted_at_ms: at, provider_time_ms: at })
    };
    for (status, normal, rebooted, expected) in [
        ("replicating", true, None, "pending"),
        ("error", false, None, "blocked"),
        ("error", false, restarted(59_999), "pending"),
        ("error", false, restarted(60_000), "blocked"),
        ("terminated", true, restarted(1000), "blocked"),
    ] {
        let replication = vec![Replication { status: status.to_owned(), normal, message: String::new() }];
        let found = Instance { replication, ..replica("available") };
        assert_eq!(kind(&caught_up::observe(&found, &[], rebooted.as_ref())), expected, "{status} {rebooted:?}");
    }
}

#[test]
fn a_target_can_take_over_only_as_an_available_unfenced_replica_of_the_old_primary_or_promoted_already() {
    let open =
        |found: Instance| Instance { security_groups: [("sg-open".to_owned(), "active".to_owned())].into(), ..found };
    for (found, source, standalone_ok, expected) in [
        (open(replica("available")), "primary", false, "satisfied"),
        (open(replica("available")), "PRIMARY", false, "satisfied"),
        (open(replica("available")), "other", true, "blocked"),
        (replica("available"), "primary", true, "blocked"),
        (open(replica("modifying")), "primary", true, "pending"),
        (open(replica("failed")), "primary", true, "blocked"),
        (open(instance("available")), "primary", true, "satisfied"),
        (open(instance("available")), "primary", false, "blocked"),
    ] {
        let seen = check_replica::observe(&found, source, "sg-closed", standalone_ok);
        assert_eq!(kind(&seen), expected, "{found:?} of {source}, standalone_ok {standalone_ok}: {seen:?}");
    }
}
