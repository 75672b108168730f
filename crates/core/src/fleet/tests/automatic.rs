//! Automatic runs, through the one way in which the state changes: what a leader may have overlooked is refused when it
//! is committed, and what blocks is in the state and ends.

use std::time::Duration;

use super::{accepted, all_done, approval, enroll, outcome, play, refused};
use crate::access;
use crate::decide::tests::stand::{BROKE, NOW, Stand, healthy, lag, started};
use crate::decide::{RuleRecord, RuleState, WAVE_SIZE, next};
use crate::engine;
use crate::fixtures::{EAST, HASH, WEST, at, region, service, start, view};
use crate::fleet::{Command, Fleet, RefusalCode, Reply};
use crate::ids::{RunId, StepId};
use crate::manifest::{AutomaticMode, LossPolicy, RuleScope, SafetyRule};
use crate::plan::PredictedLoss;
use crate::run::{Cause, MeasuredLoss, Need, OutcomeResult, Run, RunState, WorkState};

fn run<'f>(fleet: &'f Fleet, id: &str) -> &'f Run {
    &fleet.runs[&RunId::new(id).expect("a run")]
}

fn the(commands: Vec<Command>) -> Command {
    let [command]: [Command; 1] = commands.try_into().unwrap_or_else(|several| panic!("one command: {several:?}"));
    command
}

fn refusal(fleet: &mut Fleet, second: u64, command: &Command) -> String {
    match fleet.apply(at(second), command).reply {
        Reply::Refused(refusal) => refusal.message,
        other => panic!("{command:?} was accepted: {other:?}"),
    }
}

/// The stand of the first failover is left, and the region that it went to is lost in its turn.
fn back(stand: &mut Stand, second: u64) -> Command {
    stand.now = at(second);
    let east = stand.verdicts[&region(EAST)].clone();
    stand.verdicts.insert(region(WEST), east);
    stand.verdicts.insert(region(EAST), healthy());
    let mut replica = lag("maip", BROKE - 1, Duration::ZERO);
    let mut signal = (*replica.signal).clone();
    signal.region = region(EAST);
    replica.signal = signal.into();
    stand.sights.push(replica);
    for observer in stand.observers.values_mut() {
        observer.heard_at = Some(at(second));
    }
    let judged = stand.judged();
    let (regions, observers) = (judged.regions.clone(), stand.observers.clone());
    // As a leader would propose it that has overlooked the cool-down.
    let mut fresh = Stand {
        fleet: stand.fleet.clone(),
        now: stand.now,
        verdicts: regions,
        observers,
        sights: stand.sights.clone(),
    };
    fresh.maip().automatic_at = None;
    the(fresh.starts())
}

#[test]
fn a_second_automatic_failover_within_the_cool_down_is_refused_and_an_ack_allows_it() {
    let mut stand = Stand::outage();
    let first = the(stand.starts());
    accepted(&mut stand.fleet, at(NOW), &first);
    let done = play(&mut stand.fleet, NOW + 1, &[], &mut all_done);
    assert_eq!(stand.maip().active, region(WEST));
    assert_eq!(stand.maip().automatic_at, Some(at(NOW)));

    let again = back(&mut stand, done + 10);
    assert!(refusal(&mut stand.fleet, done + 10, &again).contains("cool-down"));
    assert!(stand.starts().is_empty(), "nor does a leader propose it");
    accepted(&mut stand.fleet, at(done + 11), &Command::Acknowledge { service: service("maip"), by: "ann".to_owned() });
    accepted(&mut stand.fleet, at(done + 12), &again);
}

#[test]
fn the_cool_down_is_over_when_its_time_has_passed_whoever_leads() {
    let mut stand = Stand::outage();
    let first = the(stand.starts());
    accepted(&mut stand.fleet, at(NOW), &first);
    play(&mut stand.fleet, NOW + 1, &[], &mut all_done);
    let period = stand.maip().manifest.policy.cool_down.as_secs();
    let early = back(&mut stand, NOW + period - 1);
    assert!(refusal(&mut stand.fleet, NOW + period - 1, &early).contains("cool-down"));
    accepted(&mut stand.fleet, at(NOW + period), &early);
}

/// orchestrator#1296: a recovery that was begun by a leader that died with the primary kept the next leader from
/// recovering.
#[test]
fn what_a_leader_began_before_it_died_with_the_primary_the_next_one_ends() {
    let mut stand = Stand::outage();
    let begin = the(stand.starts());
    accepted(&mut stand.fleet, at(NOW), &begin);
    // The old leader had just handed out the first look.
    let seen = view(&stand.fleet, at(NOW), &[]);
    for command in engine::next(&stand.fleet, &seen) {
        stand.fleet.apply(at(NOW), &command);
    }
    let judged = stand.judged();
    assert!(judged.rules.iter().any(|rule| rule.rule == "idle" && rule.state == RuleState::Blocks));
    assert!(stand.starts().is_empty(), "one run is enough");
    // The next leader knows no agent of the east. The fence is not proven, so two people consent; nothing else is asked.
    enroll(&mut stand.fleet);
    let rested = play(&mut stand.fleet, NOW + 10, &[EAST], &mut |_, _, job| {
        (job.region.as_str() != EAST).then(|| outcome(OutcomeResult::Done))
    });
    assert!(matches!(&run(&stand.fleet, "maip-g1").state, RunState::Held { need: Need::Consent { .. }, .. }));
    let loss = run(&stand.fleet, "maip-g1").loss.clone();
    let subject = access::loss_subject(&RunId::new("maip-g1").expect("a run"), &HASH, &loss);
    for key in ["k1", "k2"] {
        let approve = Command::Approve {
            run: RunId::new("maip-g1").expect("a run"),
            approval: approval(key, &subject, 99_999),
            by: "x".to_owned(),
        };
        accepted(&mut stand.fleet, at(rested), &approve);
    }
    play(&mut stand.fleet, rested + 1, &[EAST], &mut all_done);
    assert_eq!(run(&stand.fleet, "maip-g1").state, RunState::Done);
    assert_eq!(stand.maip().active, region(WEST));
    assert_eq!(stand.maip().current_run, None);
}

#[test]
fn a_freeze_keeps_runs_from_starting_until_it_expires_or_is_ended() {
    for of in [Some(service("maip")), None] {
        let mut stand = Stand::outage();
        let begin = the(stand.starts());
        let freeze = Command::Freeze {
            service: of.clone(),
            until: at(NOW + 100),
            by: "ann".to_owned(),
            reason: "a migration".to_owned(),
        };
        accepted(&mut stand.fleet, at(NOW), &freeze);
        assert!(refusal(&mut stand.fleet, NOW + 1, &begin).contains("frozen"));
        let asked = start(&stand.fleet, WEST);
        assert_eq!(
            refused(&mut stand.fleet, at(NOW + 1), &asked),
            RefusalCode::Precondition,
            "a person says so in words"
        );
        let mut thawed = stand.fleet.clone();
        let unfreeze = Command::Unfreeze { service: of, by: "ann".to_owned() };
        accepted(&mut thawed, at(NOW + 2), &unfreeze);
        refused(&mut thawed, at(NOW + 2), &unfreeze);
        accepted(&mut thawed, at(NOW + 3), &begin);
        stand.now = at(NOW + 100);
        let later = the(stand.starts());
        accepted(&mut stand.fleet, at(NOW + 100), &later);
    }
}

#[test]
fn a_freeze_without_end_or_reason_is_refused() {
    let mut stand = Stand::outage();
    let freeze = |until, reason: &str| Command::Freeze {
        service: None,
        until: at(until),
        by: "ann".to_owned(),
        reason: reason.to_owned(),
    };
    refused(&mut stand.fleet, at(NOW), &freeze(NOW, "over already"));
    refused(&mut stand.fleet, at(NOW), &freeze(NOW + 31 * 86_400, "for ever"));
    refused(&mut stand.fleet, at(NOW), &freeze(NOW + 60, " "));
    accepted(&mut stand.fleet, at(NOW), &freeze(NOW + 60, "a migration"));
}

/// Invariant HumanWins: nothing is sent while it lasts, and the time is no step's own.
#[test]
fn a_freeze_halts_a_run_that_is_going_and_no_step_runs_out_of_time_by_it() {
    let mut stand = Stand::outage();
    let begin = the(stand.starts());
    accepted(&mut stand.fleet, at(NOW), &begin);
    let until = NOW + 100_000;
    let freeze = Command::Freeze { service: None, until: at(until), by: "ann".to_owned(), reason: "stop".to_owned() };
    accepted(&mut stand.fleet, at(NOW + 1), &freeze);
    let due = |fleet: &Fleet, second| engine::next(fleet, &view(fleet, at(second), &[]));
    assert_eq!(due(&stand.fleet, NOW + 2), Vec::new());
    assert!(stand.fleet.halted(run(&stand.fleet, "maip-g1"), at(NOW + 2)).is_some_and(|why| why.contains("frozen")));
    let step = run(&stand.fleet, "maip-g1").plan.steps[0].clone();
    let open = Command::OpenIntent {
        run: RunId::new("maip-g1").expect("a run"),
        step: step.id,
        direction: crate::run::Direction::Forward,
        agent: crate::fixtures::agent("west-a"),
    };
    assert!(refusal(&mut stand.fleet, NOW + 3, &open).contains("frozen"), "whoever proposes it");
    let revoke = Command::Revoke { run: RunId::new("maip-g1").expect("a run") };
    assert!(refusal(&mut stand.fleet, NOW + 3, &revoke).contains("frozen"), "nor does anybody lose the right to write");
    let wakeup = engine::next_wakeup(&stand.fleet, &view(&stand.fleet, at(NOW + 3), &[]));
    assert_eq!(wakeup, Some(at(until)), "the engine wakes when it ends");
    play(&mut stand.fleet, until, &[], &mut all_done);
    assert_eq!(run(&stand.fleet, "maip-g1").state, RunState::Done, "no step ran out of time");
}

#[test]
fn the_loss_of_a_region_moves_its_services_in_waves() {
    let mut stand = Stand::outage().with(&["a", "b", "c", "d", "e"]);
    let first = stand.starts();
    assert_eq!(started(&first), ["a", "b", "c", "d"], "as many as a wave has places");
    let (rest, one) = (&first[1..], &first[0]);
    accepted(&mut stand.fleet, at(NOW), one);
    assert_eq!(started(&stand.starts()), ["b", "c", "d"]);
    for command in rest {
        accepted(&mut stand.fleet, at(NOW), command);
    }
    assert_eq!(stand.fleet.services.values().filter(|service| service.current_run.is_some()).count(), WAVE_SIZE);
    assert!(stand.starts().is_empty());
    // A leader that overlooked one of them.
    let blind = Stand::outage().with(&["e"]);
    let fifth = blind.starts().into_iter().find(|start| started(std::slice::from_ref(start)) == ["e"]);
    let fifth = fifth.expect("e would be started alone");
    assert!(refusal(&mut stand.fleet, NOW + 1, &fifth).starts_with("wave: "));
    // One that is held for a person has given its place up.
    let look = run(&stand.fleet, "a-g1").plan.steps[0].id.clone();
    let fail = Command::FailStep {
        run: RunId::new("a-g1").expect("a run"),
        step: look,
        direction: crate::run::Direction::Forward,
        reason: "no replica".to_owned(),
    };
    accepted(&mut stand.fleet, at(NOW + 2), &fail);
    assert_eq!(started(&stand.starts()), ["e"]);
}

#[test]
fn a_second_regions_loss_is_no_event_to_handle_beside_the_first() {
    let mut stand = Stand::outage().with(&["other"]);
    let first =
        the(stand.starts().into_iter().filter(|start| started(std::slice::from_ref(start)) == ["maip"]).collect());
    stand.of("other").active = region(WEST);
    accepted(&mut stand.fleet, at(NOW), &first);
    let mut lost = Stand::outage().with(&["other"]);
    lost.of("other").active = region(WEST);
    lost.verdicts.insert(region(WEST), lost.verdicts[&region(EAST)].clone());
    lost.verdicts.insert(region(EAST), healthy());
    lost.fleet.services.insert(service("maip"), stand.fleet.services[&service("maip")].clone());
    lost.fleet.runs = stand.fleet.runs.clone();
    let judged = lost.judge_one("other");
    let wave = judged.rules.iter().find(|rule| rule.rule == "wave").expect("it is asked");
    assert_eq!(wave.state, RuleState::Blocks);
    assert!(wave.text.contains("maip-g1"), "{}", wave.text);
}

#[test]
fn what_a_service_depends_on_leaves_the_lost_region_first() {
    let mut stand = Stand::outage().with(&["db"]);
    stand.maip().manifest.depends_on = [service("db")].into();
    let of = |stand: &Stand, name: &str| {
        stand.starts().into_iter().find(|start| started(std::slice::from_ref(start)) == [name])
    };
    assert!(of(&stand, "maip").is_none(), "both are due, and db first");
    // As a leader would that does not look at db.
    let early = the(next::commands(&stand.fleet, &[&stand.judged()], &stand.evidence(), &|_| HASH));
    let db = of(&stand, "db").expect("it is due");
    accepted(&mut stand.fleet, at(NOW), &db);
    assert!(of(&stand, "maip").is_none(), "db is leaving the region");
    assert!(refusal(&mut stand.fleet, NOW + 1, &early).starts_with("order: db"));
    play(&mut stand.fleet, NOW + 1, &[], &mut all_done);
    stand.now = stand.fleet.now;
    assert_eq!(stand.of("db").active, region(WEST));
    assert!(of(&stand, "maip").is_some(), "db has moved");
}

#[test]
fn services_that_depend_on_each_other_in_a_circle_are_said_to() {
    let mut stand = Stand::outage().with(&["db"]);
    stand.maip().manifest.depends_on = [service("db")].into();
    stand.of("db").manifest.depends_on = [service("maip")].into();
    let (state, text) = stand.rule("order");
    assert_eq!(state, RuleState::Blocks);
    assert!(text.contains("circle"), "{text}");
}

#[test]
fn a_start_is_refused_if_what_it_was_judged_by_has_changed() {
    type Change = fn(&mut Stand);
    let changes: [(&str, Change); 4] = [
        ("another mode", |stand| stand.maip().manifest.policy.automatic = AutomaticMode::Fence),
        ("armed", |stand| stand.maip().armed = false),
        ("window", |stand| {
            stand.maip().manifest.policy.windows = vec!["mon 08:00-09:00".parse().expect("a window")];
        }),
        ("rpo", |stand| stand.maip().manifest.objectives.rpo = Duration::from_secs(1)),
    ];
    for (word, change) in changes {
        let mut stand = Stand::outage();
        let begin = the(stand.starts());
        change(&mut stand);
        let said = refusal(&mut stand.fleet, NOW, &begin);
        let word = if word == "armed" { "meshctl arm" } else { word };
        assert!(said.contains(word), "{said:?} must say {word:?}");
    }
    let mut stand = Stand::outage();
    let begin = the(stand.starts());
    assert!(refusal(&mut stand.fleet, NOW + 31, &begin).contains("too long ago"));
}

// ---- mode fence ----

fn fenced() -> Stand {
    let mut stand = Stand::outage();
    stand.maip().manifest.policy.automatic = AutomaticMode::Fence;
    enroll(&mut stand.fleet);
    stand.fleet.now = at(NOW);
    let begin = the(stand.starts());
    accepted(&mut stand.fleet, at(NOW), &begin);
    stand
}

fn state_of<'f>(fleet: &'f Fleet, step: &str) -> &'f WorkState {
    &run(fleet, "maip-g1").steps[&StepId::new(step).expect("a step")].forward.state
}

fn proceed(fleet: &Fleet, key: &str) -> Command {
    let run = run(fleet, "maip-g1");
    let subject = access::proceed_subject(&run.id, &run.plan_hash, &run.loss);
    Command::Approve { run: run.id.clone(), approval: approval(key, &subject, 99_999), by: "x".to_owned() }
}

fn need(fleet: &Fleet) -> Option<Need> {
    match &run(fleet, "maip-g1").state {
        RunState::Held { need, .. } => Some(need.clone()),
        _ => None,
    }
}

fn approval_of(people: u32) -> Option<Need> {
    Some(Need::Approval { step: StepId::new("rds-promote-database").expect("a step"), people })
}

#[test]
fn mode_fence_does_what_can_be_undone_and_stops_before_the_promotion() {
    let mut stand = fenced();
    let rested = play(&mut stand.fleet, NOW + 1, &[], &mut all_done);
    assert_eq!(state_of(&stand.fleet, "rds-fence-database"), &WorkState::Done);
    assert_eq!(state_of(&stand.fleet, "grant"), &WorkState::Done);
    assert_eq!(state_of(&stand.fleet, "rds-promote-database"), &WorkState::Waiting);
    assert_eq!(need(&stand.fleet), approval_of(1));
    let retry = Command::Retry { run: RunId::new("maip-g1").expect("a run"), by: "x".to_owned() };
    accepted(&mut stand.fleet, at(rested), &retry);
    assert_eq!(need(&stand.fleet), approval_of(1), "a retry is no approval");
    let approve = proceed(&stand.fleet, "k1");
    accepted(&mut stand.fleet, at(rested + 5_000), &approve);
    play(&mut stand.fleet, rested + 5_001, &[], &mut all_done);
    assert_eq!(run(&stand.fleet, "maip-g1").state, RunState::Done);
}

#[test]
fn a_run_of_mode_fence_can_be_taken_back_while_it_waits() {
    let mut stand = fenced();
    let rested = play(&mut stand.fleet, NOW + 1, &[], &mut all_done);
    let id = RunId::new("maip-g1").expect("a run");
    let abort = Command::Abort { run: id, by: "x".to_owned(), reason: "it came back".to_owned() };
    accepted(&mut stand.fleet, at(rested), &abort);
    play(&mut stand.fleet, rested + 1, &[], &mut all_done);
    assert_eq!(run(&stand.fleet, "maip-g1").state, RunState::Compensated);
    assert_eq!(stand.maip().active, region(EAST));
}

#[test]
fn an_approval_lapses_when_more_is_expected_to_be_lost() {
    let mut stand = fenced();
    let rested = play(&mut stand.fleet, NOW + 1, &[], &mut all_done);
    let early = proceed(&stand.fleet, "k1");
    let more = PredictedLoss::Lag {
        lag: Duration::from_secs(8),
        age: Duration::ZERO,
        observer: "west-a".to_owned(),
        signal: String::new(),
        measured_at: at(NOW),
    };
    let note = Command::NoteLoss { run: RunId::new("maip-g1").expect("a run"), loss: more };
    accepted(&mut stand.fleet, at(rested), &note);
    refused(&mut stand.fleet, at(rested), &note);
    assert!(refusal(&mut stand.fleet, rested + 1, &early).contains("more is expected to be lost"));
    assert_eq!(need(&stand.fleet), approval_of(1));
    let now = proceed(&stand.fleet, "k1");
    accepted(&mut stand.fleet, at(rested + 2), &now);
    assert_eq!(run(&stand.fleet, "maip-g1").state, RunState::Running);
}

#[test]
fn more_than_the_objective_needs_two_people() {
    let mut stand = Stand::outage();
    stand.maip().manifest.policy.automatic = AutomaticMode::Fence;
    stand.sights.clear();
    enroll(&mut stand.fleet);
    stand.fleet.now = at(NOW);
    let begin = the(stand.starts());
    accepted(&mut stand.fleet, at(NOW), &begin);
    let rested = play(&mut stand.fleet, NOW + 1, &[], &mut all_done);
    assert_eq!(need(&stand.fleet), approval_of(2));
    for key in ["k1", "k3"] {
        let one = proceed(&stand.fleet, key);
        accepted(&mut stand.fleet, at(rested), &one);
        assert_eq!(need(&stand.fleet), approval_of(2), "both keys are ann's");
    }
    let other = proceed(&stand.fleet, "k2");
    accepted(&mut stand.fleet, at(rested), &other);
    assert_eq!(run(&stand.fleet, "maip-g1").state, RunState::Running);
}

#[test]
fn a_key_that_is_revoked_takes_back_what_it_released() {
    let mut stand = fenced();
    let rested = play(&mut stand.fleet, NOW + 1, &[], &mut all_done);
    let approve = proceed(&stand.fleet, "k1");
    accepted(&mut stand.fleet, at(rested), &approve);
    let key = crate::ids::KeyId::new("k1").expect("a key");
    let subject = access::revoke_subject(&key);
    let approvals = vec![approval("k2", &subject, 99_999), approval("k3", &subject, 99_999)];
    accepted(&mut stand.fleet, at(rested), &Command::RevokeKey { key, approvals, by: "x".to_owned() });
    assert_eq!(need(&stand.fleet), approval_of(1));
}

/// What a leader notes of a held run, from what it sees.
#[test]
fn a_leader_notes_that_more_is_expected_to_be_lost_before_anybody_approves() {
    let mut stand = fenced();
    stand.sights.clear();
    play(&mut stand.fleet, NOW + 1, &[], &mut all_done);
    stand.now = at(stand.fleet.now.as_millis() / 1000);
    assert_eq!(stand.due(), Vec::new(), "nothing is known, so nothing has grown");
    stand.sights = vec![lag("maip", BROKE - 1, Duration::from_secs(2))];
    assert_eq!(stand.due(), Vec::new(), "as planned");
    stand.sights = vec![lag("maip", BROKE - 1, Duration::from_secs(9))];
    let note = the(stand.due());
    accepted(&mut stand.fleet, stand.now, &note);
    assert_eq!(run(&stand.fleet, "maip-g1").loss.total(), Some(Duration::from_secs(10)));
    assert_eq!(stand.due(), Vec::new(), "once");
}

// ---- safety rules ----

fn ruled(rule: &str) -> Stand {
    let mut stand = Stand::outage();
    let rule = SafetyRule { name: "mine".to_owned(), scope: RuleScope::Service, rule: rule.parse().expect("a rule") };
    stand.maip().manifest.safety = vec![rule];
    stand
}

fn asked(fleet: &Fleet, state: Option<RuleState>, approvals: Vec<crate::run::Approval>) -> Command {
    let Command::StartRun { plan, plan_hash, by, .. } = start(fleet, WEST) else { panic!("a start") };
    let known = |state| RuleRecord { rule: "mine".to_owned(), state, text: "as measured".to_owned() };
    Command::StartRun {
        plan,
        plan_hash,
        by,
        cause: Cause::Asked,
        safety: state.map(known).into_iter().collect(),
        approvals,
    }
}

#[test]
fn a_safety_rule_binds_people_too_and_two_of_them_may_set_it_aside_by_its_name_for_one_plan() {
    let mut stand = ruled("lag(database) < 5s");
    enroll(&mut stand.fleet);
    for state in [None, Some(RuleState::Blocks), Some(RuleState::Missing)] {
        let begin = asked(&stand.fleet, state, Vec::new());
        assert_eq!(refused(&mut stand.fleet, at(NOW), &begin), RefusalCode::NeedsApproval);
    }
    let subject = access::override_subject("mine", &service("maip"), &HASH);
    let other_plan = access::override_subject("mine", &service("maip"), &crate::ids::Hash32([1; 32]));
    let other_rule = access::override_subject("another", &service("maip"), &HASH);
    for approvals in [
        vec![approval("k1", &subject, 99_999), approval("k3", &subject, 99_999)],
        vec![approval("k1", &other_plan, 99_999), approval("k2", &other_plan, 99_999)],
        vec![approval("k1", &other_rule, 99_999), approval("k2", &other_rule, 99_999)],
        vec![approval("k1", &subject, 99_999), approval("k2", &subject, NOW)],
    ] {
        let begin = asked(&stand.fleet, Some(RuleState::Blocks), approvals);
        assert_eq!(refused(&mut stand.fleet, at(NOW), &begin), RefusalCode::NeedsApproval);
    }
    let both = vec![approval("k1", &subject, 99_999), approval("k2", &subject, 99_999)];
    let mut aside = stand.fleet.clone();
    let begin = asked(&stand.fleet, Some(RuleState::Blocks), both);
    accepted(&mut aside, at(NOW), &begin);
    assert!(run(&aside, "maip-g1").overrides.contains("mine"));
    let begin = asked(&stand.fleet, Some(RuleState::Held), Vec::new());
    accepted(&mut stand.fleet, at(NOW), &begin);
    assert!(run(&stand.fleet, "maip-g1").overrides.is_empty());
}

#[test]
fn without_two_owners_nobody_sets_a_rule_aside() {
    let mut stand = ruled("lag(database) < 5s");
    let begin = asked(&stand.fleet, Some(RuleState::Blocks), Vec::new());
    assert_eq!(refused(&mut stand.fleet, at(NOW), &begin), RefusalCode::NeedsApproval);
}

#[test]
fn a_gate_holds_back_what_the_plan_would_let_go() {
    let mut stand = ruled("traffic after rds-backup-retention-database");
    let begin = the(stand.starts());
    accepted(&mut stand.fleet, at(NOW), &begin);
    let mut moved = Vec::new();
    play(&mut stand.fleet, NOW + 1, &[], &mut |fleet, view, job| {
        let retention = state_of(fleet, "rds-backup-retention-database") == &WorkState::Done;
        match job.action.name() {
            "route53-replace" => {
                assert!(retention, "traffic moved before the backups were on");
                moved.push(job.step.clone());
            }
            // Long enough that traffic would have overtaken it.
            "rds-backup-retention" if view.now < at(NOW + 120) => return None,
            _ => {}
        }
        Some(outcome(OutcomeResult::Done))
    });
    assert_eq!(moved.len(), 1);
    assert_eq!(run(&stand.fleet, "maip-g1").state, RunState::Done);
}

#[test]
fn an_automatic_start_needs_its_data_rules_evaluated_too() {
    let mut stand = ruled("lag(database) < 5s");
    let begin = the(stand.starts());
    let Command::StartRun { plan, plan_hash, by, cause, .. } = begin.clone() else { panic!("a start") };
    let (safety, approvals) = (Vec::new(), Vec::new());
    let unasked = Command::StartRun { plan, plan_hash, by, cause, safety, approvals };
    assert_eq!(refused(&mut stand.fleet, at(NOW), &unasked), RefusalCode::NeedsApproval);
    accepted(&mut stand.fleet, at(NOW), &begin);
}

// ---- what was lost ----

#[test]
fn a_target_that_had_caught_up_lost_nothing() {
    let mut stand = Stand::outage();
    let begin = the(stand.starts());
    accepted(&mut stand.fleet, at(NOW), &begin);
    play(&mut stand.fleet, NOW + 1, &[], &mut all_done);
    let run = run(&stand.fleet, "maip-g1");
    assert!(matches!(&run.measured, Some(MeasuredLoss::Nothing { .. })), "{:?}", run.measured);
    assert_eq!(run.loss.total(), Some(Duration::from_secs(3)), "beside what was predicted");
}

/// The run of an outage whose old region is beyond reach: two people consent, and every step answers with `read_back`.
fn lost_region(stand: &mut Stand, read_back: &str) -> MeasuredLoss {
    stand.maip().manifest.policy.loss = LossPolicy::Accept;
    enroll(&mut stand.fleet);
    stand.fleet.now = at(NOW);
    let begin = the(stand.starts());
    accepted(&mut stand.fleet, at(NOW), &begin);
    let mut answer = |_: &Fleet, _: &engine::View, job: &crate::execute::Job| {
        let done = crate::run::Outcome { read_back: read_back.to_owned(), ..outcome(OutcomeResult::Done) };
        (job.region.as_str() != EAST).then_some(done)
    };
    let rested = play(&mut stand.fleet, NOW + 1, &[EAST], &mut answer);
    let known = run(&stand.fleet, "maip-g1");
    let subject = access::loss_subject(&known.id, &known.plan_hash, &known.loss);
    let id = known.id.clone();
    for key in ["k1", "k2"] {
        let approve =
            Command::Approve { run: id.clone(), approval: approval(key, &subject, 99_999), by: "x".to_owned() };
        accepted(&mut stand.fleet, at(rested), &approve);
    }
    play(&mut stand.fleet, rested + 1, &[EAST], &mut answer);
    run(&stand.fleet, "maip-g1").measured.clone().expect("the promotion is done")
}

#[test]
fn what_a_promotion_counted_is_kept() {
    let measured = lost_region(&mut Stand::outage(), r#"{"timeline": 2, "measured_loss_ms": 1250}"#);
    let lost = Duration::from_millis(1_250);
    assert_eq!(measured, MeasuredLoss::Time { lost, source: "rds-promote-database".to_owned() });
}

/// `through`, `outage`, `closed`, `bytes_at_least`; and a word of the source.
fn after(measured: &MeasuredLoss) -> ([Option<u64>; 4], &str) {
    let MeasuredLoss::After { through, outage, closed, bytes_at_least, source } = measured else {
        panic!("{measured:?}")
    };
    let ms = |at: &crate::time::Timestamp| at.as_millis();
    ([Some(ms(through)), outage.as_ref().map(ms), closed.as_ref().map(ms), *bytes_at_least], source)
}

#[test]
fn what_cannot_be_counted_is_told_from_the_moment_up_to_which_the_target_has_everything() {
    let broke = BROKE * 1000;
    // By what was measured before the outage: a lag of two seconds, a second before it.
    let measured = lost_region(&mut Stand::outage(), "{}");
    let (known, source) = after(&measured);
    assert_eq!(known, [Some(broke - 3_000), Some(broke), None, None], "consent proves nothing closed");
    assert!(source.contains("ReplicaLag of database") && source.contains("west-a"), "{source}");

    // By the WAL position at which the target was promoted.
    let shown = format!(r#"{{"replicated_through_ms":{},"lost_bytes_at_least":4096}}"#, broke - 700);
    let measured = lost_region(&mut Stand::outage(), &shown);
    let (known, source) = after(&measured);
    assert_eq!(known, [Some(broke - 700), Some(broke), None, Some(4_096)]);
    assert!(source.contains("rds-promote-database"), "{source}");
}

#[test]
fn a_lag_that_was_published_of_the_time_after_the_outage_measures_nothing() {
    let broke = BROKE * 1000;
    let points = format!("{}:1500 {}:0 {}:61000", broke - 1_000, broke + 1, broke + 60_000);
    let measured = lost_region(&mut Stand::outage(), &format!(r#"{{"replica_lag": "{points}"}}"#));
    let (known, source) = after(&measured);
    assert_eq!(known[0], Some(broke - 2_500), "of the last before it: {source}");
    let measured = lost_region(&mut Stand::outage(), &format!(r#"{{"replica_lag": "{}:0"}}"#, broke + 1));
    assert_eq!(after(&measured).0[0], Some(broke - 3_000), "as it was expected");
}

#[test]
fn a_loss_that_nothing_tells_of_is_not_measurable_in_so_many_words() {
    let mut stand = Stand::outage();
    stand.sights.clear();
    let measured = lost_region(&mut stand, "{}");
    let MeasuredLoss::Unknown { reason } = &measured else { panic!("{measured:?}") };
    assert!(reason.contains("not measurable"), "{reason}");
}

#[test]
fn the_notice_says_what_was_expected_to_be_lost_and_what_was_measured() {
    let mut stand = Stand::outage();
    let begin = the(stand.starts());
    accepted(&mut stand.fleet, at(NOW), &begin);
    let mut told = Vec::new();
    play(&mut stand.fleet, NOW + 1, &[], &mut |_, _, job: &crate::execute::Job| {
        let loss = job.evidence.iter().find(|(name, _)| name.as_str() == crate::execute::NOTICE_LOSS);
        told.extend(loss.map(|(_, text)| (job.action.name(), text.clone())));
        Some(outcome(OutcomeResult::Done))
    });
    let [(action, text)] = told.as_slice() else { panic!("one notice: {told:?}") };
    assert_eq!(*action, "sns-notify");
    assert!(text.contains("ReplicaLag of database, measured 1.0 s before by west-a"), "{text}");
    assert!(text.contains("Measured: nothing"), "{text}");
}
