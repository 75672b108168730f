//! Invariant OneWriter over the whole space of each scenario, and a trace for each rule that is broken.

use mesh_models::{Found, Rules, Scenario, World, explore};

/// Beyond this a scenario has grown by mistake.
const TRANSITIONS_MAX: usize = 30_000_000;

fn explored(scenario: Scenario, rules: Rules) -> Found {
    let found = explore(World::new(scenario, rules), TRANSITIONS_MAX).expect("the space is bounded");
    println!("{rules:?}: {} states, {} transitions, {} deep", found.states, found.transitions, found.depth);
    if let Some(trace) = &found.violation {
        trace.iter().for_each(|event| println!("  {event:?}"));
    }
    found
}

fn holds(scenario: Scenario) {
    let found = explored(scenario, Rules::Kept);
    assert_eq!(found.violation, None, "two regions may write");
    assert!(found.never.is_empty(), "this never came about: {:?}", found.never);
}

/// The same scenario holds with the rule kept: what breaks it is the rule alone.
fn breaks(scenario: Scenario, rules: Rules) {
    let found = explored(scenario, rules);
    assert!(found.violation.is_some(), "the model does not see that {rules:?} is broken");
}

/// A writer's agent and a witness's; a run from `y` to `x`.
fn plain() -> Scenario {
    Scenario {
        agents: vec!["y1", "w1"],
        lists: vec![vec!["y1", "w1"]],
        restarting: Vec::new(),
        elections: 0,
        runs: 1,
        aborts: 0,
        consents: 0,
        calls: 0,
        asks: 1,
        ticks: 4,
    }
}

fn with_two_givers() -> Scenario {
    Scenario { agents: vec!["y1", "x1", "w1"], lists: vec![vec!["y1", "x1", "w1"]], ticks: 3, ..plain() }
}

/// At first the witness alone is asked, then the target's agent alone.
fn with_another_list() -> Scenario {
    Scenario { agents: vec!["y1", "x1", "w1"], lists: vec![vec!["y1", "w1"], vec!["y1", "x1"]], ticks: 3, ..plain() }
}

#[test]
fn one_region_writes_when_leases_end_and_promises_run_out() {
    holds(plain());
}

#[test]
fn one_region_writes_when_all_must_promise() {
    holds(Scenario { ticks: 2, ..with_two_givers() });
}

#[test]
fn one_region_writes_when_agents_restart() {
    holds(Scenario { restarting: vec!["w1", "y1"], ticks: 3, ..plain() });
}

#[test]
fn one_region_writes_when_the_leader_changes() {
    holds(Scenario { elections: 1, ticks: 3, ..plain() });
}

#[test]
fn one_region_writes_when_the_ask_list_changes() {
    holds(Scenario { ticks: 2, ..with_another_list() });
}

#[test]
fn one_region_writes_when_a_run_is_aborted() {
    holds(Scenario { agents: vec!["y1", "x1"], lists: vec![vec!["y1", "x1"]], aborts: 1, ticks: 2, ..plain() });
}

#[test]
fn one_region_writes_when_a_list_changes_an_agent_restarts_and_the_leader_changes() {
    let lists = vec![vec!["y1", "w1"], vec!["y1"]];
    holds(Scenario { lists, restarting: vec!["w1"], elections: 1, ticks: 2, ..plain() });
}

#[test]
fn one_region_writes_with_two_agents_a_region() {
    let agents = vec!["y1", "y2", "w1"];
    holds(Scenario { lists: vec![agents.clone()], agents, ticks: 2, ..plain() });
}

#[test]
fn a_lease_counted_from_the_answer_is_too_long() {
    breaks(plain(), Rules::LeaseFromTheAnswer);
}

#[test]
fn a_leader_that_does_not_ask_whether_it_leads_answers_leases_that_nobody_waits_for() {
    breaks(Scenario { elections: 1, ..plain() }, Rules::AnsweredWithoutReadIndex);
}

#[test]
fn a_new_leader_that_does_not_wait_ends_nothing() {
    breaks(Scenario { elections: 1, ..plain() }, Rules::NoWaitAfterElection);
}

/// Where the old region is proven closed, somebody's promise on every list has run out, and with it every hold: then it
/// makes no difference whether the others still keep theirs. It does where people consent to go on without the proof.
fn with_consent() -> Scenario {
    Scenario { agents: vec!["y1", "x1"], lists: vec![vec!["y1", "x1"]], consents: 1, ticks: 3, ..plain() }
}

#[test]
fn a_hold_ends_before_who_promised_it_may_write_though_people_consented() {
    holds(with_consent());
}

#[test]
fn who_takes_what_is_newer_while_it_has_promised_writes_beside_a_hold() {
    breaks(with_consent(), Rules::TakesNewerWhilePromised);
}

#[test]
fn promises_that_are_not_waited_for_prolong_a_right() {
    breaks(plain(), Rules::PromisesNotWaitedFor);
}

#[test]
fn promises_that_are_denied_prolong_a_right() {
    breaks(plain(), Rules::PromisesDenied);
}

#[test]
fn a_promise_that_a_restart_forgets_is_none() {
    breaks(Scenario { restarting: vec!["w1"], ..plain() }, Rules::PromiseNotOnDisk);
}

#[test]
fn a_promise_below_the_floor_prolongs_what_has_ended() {
    breaks(plain(), Rules::FloorNotChecked);
}

#[test]
fn one_promise_of_several_is_no_hold() {
    breaks(with_two_givers(), Rules::OnePromiseIsEnough);
}

#[test]
fn an_older_ask_list_counts_as_long_as_it_may_be_used() {
    breaks(with_another_list(), Rules::AskListNotVersioned);
}

#[test]
fn a_call_without_a_lease_opens_what_was_closed() {
    breaks(Scenario { calls: 1, ..plain() }, Rules::CallWithoutLease);
}

#[test]
fn a_dead_man_fence_needs_its_time() {
    breaks(plain(), Rules::NoTimeToReact);
}

#[test]
fn what_was_acknowledged_was_given_up() {
    breaks(plain(), Rules::RightKeptAfterAck);
}
