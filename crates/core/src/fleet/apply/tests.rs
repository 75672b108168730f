//! Orders, keys and ends of runs where people meet failures that do not go away.

use std::time::Duration;

use crate::access;
use crate::engine;
use crate::fixtures::{EAST, HASH, WEST, agent, at, fleet, region, service, start, view};
use crate::fleet::{Command, Fleet, RefusalCode, Reply};
use crate::ids::{KeyId, RunId, StepId};
use crate::plan::{Action, SecurityGroupPurpose};
use crate::run::{Approval, Direction, INTENTS_MAX, Need, Outcome, OutcomeResult, Run, RunState, WorkState};

fn id() -> RunId {
    RunId::new("maip-g1").expect("a valid name")
}

fn run(fleet: &Fleet) -> &Run {
    &fleet.runs[&id()]
}

fn accept(fleet: &mut Fleet, second: u64, command: &Command) {
    let reply = fleet.apply(at(second), command).reply;
    assert!(!matches!(reply, Reply::Refused(_)), "{command:?} was refused: {reply:?}");
}

fn refuse(fleet: &mut Fleet, second: u64, command: &Command) -> RefusalCode {
    match fleet.apply(at(second), command).reply {
        Reply::Refused(refusal) => refusal.code,
        other => panic!("{command:?} was accepted: {other:?}"),
    }
}

fn begun() -> Fleet {
    let mut fleet = fleet();
    let begin = start(&fleet, WEST);
    accept(&mut fleet, 1, &begin);
    fleet
}

fn outcome(result: OutcomeResult) -> Outcome {
    Outcome {
        result,
        detail: "as told".to_owned(),
        read_back: "{}".to_owned(),
        before: "{}".to_owned(),
        calls: 1,
        provider_wait: Duration::ZERO,
    }
}

/// One round of the leader and of the agents that `answer` gives a word for.
fn turn(fleet: &mut Fleet, second: u64, without: &[&str], answer: &dyn Fn(&Action) -> Option<OutcomeResult>) {
    for command in engine::next(fleet, &view(fleet, at(second), without)) {
        fleet.apply(at(second), &command);
    }
    let open: Vec<_> = fleet
        .runs
        .values()
        .flat_map(|run| {
            run.open_intents().map(|(step, direction, intent)| {
                let action = if direction == Direction::Undo { step.undo.as_ref() } else { Some(&step.action) };
                (run.id.clone(), step.id.clone(), direction, intent.seq, action.and_then(answer))
            })
        })
        .collect();
    for (run, step, direction, seq, result) in open {
        let Some(result) = result else { continue };
        let outcome = outcome(result);
        accept(fleet, second, &Command::CloseIntent { run, step, direction, seq, outcome });
    }
}

fn turns(
    fleet: &mut Fleet,
    from: u64,
    without: &[&str],
    answer: &dyn Fn(&Action) -> Option<OutcomeResult>,
    until: &dyn Fn(&Run) -> bool,
) -> u64 {
    for second in from..from + 4_000 {
        if until(run(fleet)) {
            return second;
        }
        turn(fleet, second, without, answer);
    }
    panic!("it never came to that: {:?}", run(fleet).state)
}

#[expect(clippy::unnecessary_wraps, reason = "one of several answers")]
fn done(_: &Action) -> Option<OutcomeResult> {
    Some(OutcomeResult::Done)
}

fn held(run: &Run) -> bool {
    matches!(run.state, RunState::Held { .. })
}

fn enroll(key: &str, owner: &str, byte: u8, approvals: Vec<Approval>) -> Command {
    let key = KeyId::new(key).expect("a valid name");
    Command::EnrollKey { key, owner: owner.to_owned(), public_key: vec![byte; 32], approvals, by: "admin".to_owned() }
}

fn approval(key: &str, subject: &str) -> Approval {
    Approval {
        key: KeyId::new(key).expect("a valid name"),
        subject: subject.to_owned(),
        expires_at: at(9_999),
        signature: vec![0; 64],
        at: at(0),
    }
}

fn consent(key: &str) -> Command {
    let subject = access::loss_subject(&id(), &HASH, &crate::plan::PredictedLoss::Unknown);
    Command::Approve { run: id(), approval: approval(key, &subject), by: "x".to_owned() }
}

fn abort() -> Command {
    Command::Abort { run: id(), by: "ann".to_owned(), reason: "enough".to_owned() }
}

#[test]
fn two_keys_of_one_person_do_not_lock_everybody_else_out() {
    let mut fleet = fleet();
    accept(&mut fleet, 1, &enroll("k1", "ann", 1, Vec::new()));
    accept(&mut fleet, 1, &enroll("k2", "ann", 2, Vec::new()));
    accept(&mut fleet, 1, &enroll("k3", "bob", 3, Vec::new()));
    assert_eq!(refuse(&mut fleet, 1, &enroll("k4", "eve", 4, Vec::new())), RefusalCode::NeedsApproval);
}

#[test]
fn a_consent_given_with_a_key_that_was_revoked_since_does_not_count() {
    let mut fleet = begun();
    accept(&mut fleet, 1, &enroll("k1", "ann", 1, Vec::new()));
    accept(&mut fleet, 1, &enroll("k2", "bob", 2, Vec::new()));
    // Both consented before the fence had failed; then one key is revoked.
    accept(&mut fleet, 2, &consent("k1"));
    accept(&mut fleet, 2, &consent("k2"));
    let key = KeyId::new("k2").expect("a valid name");
    let subject = access::revoke_subject(&key);
    let approvals = vec![approval("k1", &subject), approval("k2", &subject)];
    accept(&mut fleet, 3, &Command::RevokeKey { key, approvals, by: "admin".to_owned() });
    turns(&mut fleet, 4, &[EAST], &done, &held);
    assert!(matches!(&run(&fleet).state, RunState::Held { need: Need::Consent { .. }, .. }));
}

#[test]
fn a_run_does_not_end_while_a_skipped_step_is_still_out_with_an_agent() {
    let mut fleet = begun();
    accept(&mut fleet, 1, &enroll("k1", "ann", 1, Vec::new()));
    accept(&mut fleet, 1, &enroll("k2", "bob", 2, Vec::new()));
    let fencing = |action: &Action| match action {
        Action::RdsSetSecurityGroups { .. } => None,
        _ => Some(OutcomeResult::Done),
    };
    turns(&mut fleet, 2, &[], &fencing, &|run| {
        run.open_intents().any(|(step, _, _)| matches!(step.action, Action::RdsSetSecurityGroups { .. }))
    });
    // As when another database's fence has failed while this one is being carried out.
    let run = fleet.runs.get_mut(&id()).expect("the run");
    run.state = RunState::Held { reason: "another fence".to_owned(), need: Need::Consent { region: region(EAST) } };
    accept(&mut fleet, 20, &consent("k1"));
    accept(&mut fleet, 20, &consent("k2"));
    for second in 21..60 {
        turn(&mut fleet, second, &[], &fencing);
    }
    let run = self::run(&fleet);
    assert_eq!(run.open_intents().count(), 1);
    assert!(!run.state.is_terminal(), "its call could come at any time after the end");
    assert_eq!(fleet.services[&service("maip")].current_run, Some(id()));
    turns(&mut fleet, 60, &[], &done, &|run| run.state == RunState::Done);
}

#[test]
fn calls_that_may_still_arrive_outlive_a_run_that_is_given_up_after_its_promotion() {
    let mut fleet = begun();
    let unlucky = |action: &Action| match action {
        Action::SnsNotify { .. } => Some(OutcomeResult::Refused { retry: false }),
        Action::RdsSetBackupRetention { .. } => Some(OutcomeResult::Unknown),
        _ => Some(OutcomeResult::Done),
    };
    let now = turns(
        &mut fleet,
        2,
        &[],
        &|action| match action {
            Action::RdsSetBackupRetention { .. } => Some(OutcomeResult::Refused { retry: false }),
            other => unlucky(other),
        },
        &held,
    );
    accept(&mut fleet, now, &Command::Retry { run: id(), by: "ann".to_owned() });
    turn(&mut fleet, now + 1, &[], &unlucky);
    let now = turns(&mut fleet, now + 2, &[], &unlucky, &held);
    accept(&mut fleet, now, &abort());
    assert!(matches!(run(&fleet).state, RunState::Refused { .. }));
    let calls = &fleet.services[&service("maip")].open_calls;
    assert!(calls.iter().any(|call| call.resource.starts_with("rds/us-west-2/")), "{calls:?}");
}

#[test]
fn a_grant_needs_a_step_that_closes_the_region_which_may_write() {
    let mut fleet = fleet();
    let Command::StartRun { mut plan, plan_hash, by, cause, safety, approvals } = start(&fleet, WEST) else {
        panic!("a start")
    };
    plan.steps.retain(|step| step.action == Action::Grant);
    plan.steps.iter_mut().for_each(|step| step.after.clear());
    accept(&mut fleet, 1, &Command::StartRun { plan, plan_hash, by, cause, safety, approvals });
    let grant = Command::Grant { run: id(), step: "grant".parse().expect("a name") };
    assert_eq!(refuse(&mut fleet, 2, &grant), RefusalCode::Precondition);
}

#[test]
fn the_time_of_a_pause_or_of_a_hold_is_not_the_steps_own() {
    let fenced = |run: &Run| {
        run.plan.steps.iter().any(|step| {
            matches!(&step.action, Action::RdsSetSecurityGroups { purpose: SecurityGroupPurpose::Fence, .. })
                && run.steps[&step.id].forward.state == WorkState::Done
        })
    };
    let mut fleet = begun();
    let now = turns(&mut fleet, 2, &[], &done, &fenced);
    accept(&mut fleet, now, &Command::Pause { run: id(), by: "ann".to_owned() });
    let later = now + 24 * 3600;
    accept(&mut fleet, later, &Command::Resume { run: id(), by: "ann".to_owned() });
    turns(&mut fleet, later, &[], &done, &|run| {
        assert!(!held(run), "after the pause: {:?}", run.state);
        run.state == RunState::Done
    });
}

#[test]
fn a_person_can_leave_what_cannot_be_undone_and_the_service_goes_on() {
    let mut fleet = begun();
    let fenced = turns(&mut fleet, 2, &[], &done, &|run| {
        run.open_intents().any(|(step, _, _)| matches!(step.action, Action::RdsReboot { .. }))
            || run.steps.values().filter(|step| step.forward.state == WorkState::Done).count() >= 2
    });
    accept(&mut fleet, fenced, &abort());
    assert_eq!(refuse(&mut fleet, fenced, &abort()), RefusalCode::Precondition, "it is at work");
    let stuck = |_: &Action| Some(OutcomeResult::Refused { retry: false });
    let now = turns(&mut fleet, fenced + 1, &[], &stuck, &held);
    accept(&mut fleet, now, &Command::Retry { run: id(), by: "ann".to_owned() });
    let now = turns(&mut fleet, now + 1, &[], &stuck, &held);
    accept(&mut fleet, now, &abort());
    assert!(
        matches!(&run(&fleet).state, RunState::Refused { reason } if reason.contains("not undone: rds-fence")),
        "{:?}",
        run(&fleet).state
    );
    let service = &fleet.services[&service("maip")];
    assert_eq!((service.current_run.as_ref(), service.active.as_str()), (None, EAST));
}

#[test]
fn a_step_that_was_refused_changed_nothing_and_has_nothing_to_undo() {
    let mut fleet = begun();
    let refuse = |action: &Action| {
        Some(if action.mutates() { OutcomeResult::Refused { retry: false } } else { OutcomeResult::Done })
    };
    let now = turns(&mut fleet, 2, &[], &refuse, &held);
    assert!(run(&fleet).steps.values().any(|step| step.forward.retried_by_person()), "a person has to look");
    accept(&mut fleet, now, &abort());
    assert_eq!(run(&fleet).state, RunState::Compensated);
    assert!(run(&fleet).steps.values().all(|step| step.undo.is_none()));
}

#[test]
fn a_retry_can_always_try_however_many_attempts_there_were() {
    let mut fleet = begun();
    let mut second = 2;
    for _ in 0..4 {
        second = turns(&mut fleet, second, &[], &|_| Some(OutcomeResult::Unknown), &held) + 400;
        accept(&mut fleet, second, &Command::Retry { run: id(), by: "ann".to_owned() });
    }
    let check = run(&fleet).plan.steps[0].clone();
    let place = if check.region.as_str() == WEST { "west-a" } else { "east-a" };
    let step = check.id.clone();
    let open = Command::OpenIntent { run: id(), step, direction: Direction::Forward, agent: agent(place) };
    accept(&mut fleet, second, &open);
    let work = &run(&fleet).steps[&check.id].forward;
    assert!(work.intents.len() < INTENTS_MAX);
    assert!(work.maybe_sent_since().is_some_and(|at| at < self::at(60)), "the first doubt is remembered");
}

fn skip(name: &str, step: &str) -> Command {
    let subject = access::skip_subject(&id(), &StepId::new(step).expect("a step"), &HASH);
    Command::Approve { run: id(), approval: approval(name, &subject), by: name.to_owned() }
}

#[test]
fn two_people_let_a_run_go_on_without_a_step_that_can_never_succeed() {
    let mut fleet = begun();
    accept(&mut fleet, 1, &enroll("ada", "ada", 1, Vec::new()));
    accept(&mut fleet, 1, &enroll("bob", "bob", 2, Vec::new()));
    let traffic_fails = |action: &Action| {
        Some(match action {
            Action::Route53Replace { .. } => OutcomeResult::Refused { retry: false },
            _ => OutcomeResult::Done,
        })
    };
    let second = turns(&mut fleet, 2, &[], &traffic_fails, &held);
    accept(&mut fleet, second, &skip("ada", "route53-replace-api"));
    accept(&mut fleet, second, &skip("ada", "route53-replace-api"));
    assert!(held(run(&fleet)), "one person is not two");
    accept(&mut fleet, second, &skip("bob", "route53-replace-api"));
    turns(&mut fleet, second + 1, &[], &traffic_fails, &|run| run.state == RunState::Done);
    let step = &run(&fleet).steps[&StepId::new("route53-replace-api").expect("a step")];
    assert!(matches!(&step.forward.state, WorkState::Skipped { reason } if reason.contains("ada and bob")));
    assert_eq!(fleet.services[&service("maip")].active, region(WEST));
}

#[test]
fn no_one_skips_what_keeps_one_writer() {
    let mut fleet = begun();
    accept(&mut fleet, 1, &enroll("ada", "ada", 1, Vec::new()));
    for step in
        ["rds-check-replica-database", "rds-fence-database", "rds-reboot-database", "grant", "rds-promote-database"]
    {
        assert_eq!(refuse(&mut fleet, 2, &skip("ada", step)), RefusalCode::Precondition, "{step}");
    }
    assert_eq!(refuse(&mut fleet, 2, &skip("ada", "no-such-step")), RefusalCode::Invalid);
}

#[test]
fn approvals_to_skip_one_step_do_not_skip_another() {
    let mut fleet = begun();
    accept(&mut fleet, 1, &enroll("ada", "ada", 1, Vec::new()));
    accept(&mut fleet, 1, &enroll("bob", "bob", 2, Vec::new()));
    let verify_fails = |action: &Action| {
        Some(match action {
            Action::HttpVerify { .. } => OutcomeResult::Refused { retry: false },
            _ => OutcomeResult::Done,
        })
    };
    let second = turns(&mut fleet, 2, &[], &verify_fails, &held);
    accept(&mut fleet, second, &skip("ada", "sns-notify-oncall"));
    accept(&mut fleet, second, &skip("bob", "http-verify-api"));
    assert!(held(run(&fleet)));
    accept(&mut fleet, second, &skip("ada", "http-verify-api"));
    assert!(!held(run(&fleet)));
}
