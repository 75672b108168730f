//! What leaves the state, and what a restored state assumes.

use super::{accepted, outcome, refused};
use crate::engine;
use crate::fixtures::{HASH, WEST, agent, at, fleet, service, start, view};
use crate::fleet::apply::{CALL_LIFETIME, ENDED_RUNS_KEPT, GENERATION_MARGIN, INTENT_MARGIN};
use crate::fleet::{Command, Fleet, OpenCall, RefusalCode};
use crate::ids::{Generation, RunId};
use crate::run::{Direction, INTENTS_MAX, Intent, OutcomeResult, Run, RunState, WorkState};

fn current(fleet: &Fleet) -> RunId {
    fleet.services[&service("maip")].current_run.clone().expect("a run goes on")
}

fn abort(run: RunId) -> Command {
    Command::Abort { run, by: "ann".to_owned(), reason: "a rehearsal".to_owned() }
}

fn restored() -> Command {
    Command::Restored { backup: HASH, made_at: at(50), lost_at: at(90), by: "root".to_owned() }
}

#[test]
fn only_the_last_ended_runs_of_a_service_stay_and_the_others_leave_whole() {
    let mut fleet = fleet();
    let (mut begun, mut retired): (Vec<RunId>, Vec<Run>) = (Vec::new(), Vec::new());
    for round in 0..10 {
        let start = start(&fleet, WEST);
        retired.extend(fleet.apply(at(round + 1), &start).retired);
        begun.push(current(&fleet));
        let abort = abort(current(&fleet));
        accepted(&mut fleet, at(round + 1), &abort);
    }
    let left = begun.len() - ENDED_RUNS_KEPT - 1;
    assert_eq!(retired.iter().map(|run| &run.id).collect::<Vec<_>>(), begun[..left].iter().collect::<Vec<_>>());
    assert!(retired.iter().all(|run| run.state == RunState::Compensated && !run.timeline.is_empty()), "they are whole");
    let kept: Vec<&RunId> = begun[left..].iter().collect();
    assert!(kept.iter().all(|run| fleet.runs.contains_key(*run)) && fleet.runs.len() == kept.len());
}

#[test]
fn a_run_that_goes_on_never_leaves() {
    let mut fleet = fleet();
    let begin = start(&fleet, WEST);
    accepted(&mut fleet, at(1), &begin);
    let applied = fleet.apply(at(2), &start(&fleet, WEST));
    assert!(applied.retired.is_empty());
    assert!(fleet.runs.contains_key(&current(&fleet)));
}

#[test]
fn after_a_restore_nothing_is_armed_and_every_number_is_beyond_what_was_given_out() {
    let mut fleet = fleet();
    let begin = start(&fleet, WEST);
    accepted(&mut fleet, at(1), &begin);
    let (run, before) = (current(&fleet), fleet.services[&service("maip")].clone());
    accepted(&mut fleet, at(100), &restored());
    let after = fleet.services[&service("maip")].clone();
    assert!(!after.armed && after.current_run.is_none());
    assert_eq!(after.generation.0, before.generation.0 + GENERATION_MARGIN);
    assert_eq!(after.intent.0, before.intent.0 + INTENT_MARGIN);
    assert!(matches!(&fleet.runs[&run].state, RunState::Refused { reason } if reason.contains("backup")));
    let begin = start(&fleet, WEST);
    assert_eq!(refused(&mut fleet, at(101), &begin), RefusalCode::Precondition);
}

#[test]
fn after_a_restore_no_change_is_made_before_what_may_have_been_sent_has_run_out() {
    let mut fleet = fleet();
    accepted(&mut fleet, at(100), &restored());
    accepted(&mut fleet, at(101), &Command::SetArmed { service: service("maip"), armed: true, by: "ann".to_owned() });
    let begin = start(&fleet, WEST);
    accepted(&mut fleet, at(102), &begin);
    let end = 90 + CALL_LIFETIME.as_secs();
    let (mut looks, mut changes) = (0, 0);
    for second in 103..end + 30 {
        if fleet.services[&service("maip")].current_run.is_none() {
            break;
        }
        for command in engine::next(&fleet, &view(&fleet, at(second), &[])) {
            if let Command::OpenIntent { run, step, .. } = &command {
                let action = fleet.runs[run].plan.step(step).expect("a step").action.clone();
                if action.mutates() {
                    changes += 1;
                    assert!(second >= end, "{} at {second}", action.name());
                } else {
                    looks += 1;
                }
            }
            accepted(&mut fleet, at(second), &command);
        }
        let view = view(&fleet, at(second), &[]);
        let open: Vec<_> = fleet.runs[&current(&fleet)]
            .open_intents()
            .map(|(step, direction, intent)| (step.id.clone(), direction, intent.seq))
            .collect();
        for (step, direction, seq) in open {
            let run = current(&fleet);
            let outcome = outcome(OutcomeResult::Done);
            accepted(&mut fleet, view.now, &Command::CloseIntent { run, step, direction, seq, outcome });
        }
    }
    assert!(looks > 0 && changes > 0, "{looks} looks, {changes} changes");
}

#[test]
fn a_step_that_has_used_its_intents_fails_instead_of_asking_for_what_is_refused() {
    let mut fleet = fleet();
    let begin = start(&fleet, WEST);
    accepted(&mut fleet, at(1), &begin);
    let id = current(&fleet);
    let run = fleet.runs.get_mut(&id).expect("there");
    let step = run.plan.steps.iter().find(|step| step.after.is_empty()).expect("a first step").id.clone();
    let work = &mut run.steps.get_mut(&step).expect("there").forward;
    work.state = WorkState::Backoff { until: at(1), reason: "again".to_owned() };
    work.started_at = Some(at(1));
    work.intents = (1..=INTENTS_MAX as u64)
        .map(|seq| Intent {
            seq: crate::ids::IntentSeq(seq),
            key: "k".to_owned(),
            generation: Generation(1),
            agent: agent("east-a"),
            opened_at: at(1),
            closed_at: Some(at(1)),
            outcome: Some(outcome(OutcomeResult::Unknown)),
        })
        .collect();
    let commands = engine::next(&fleet, &view(&fleet, at(2), &[]));
    let failed = commands.iter().find(|command| {
        matches!(command, Command::FailStep { step: failed, reason, direction: Direction::Forward, .. }
            if *failed == step && reason.contains("64 intents"))
    });
    let failed = failed.unwrap_or_else(|| panic!("{commands:?}")).clone();
    accepted(&mut fleet, at(2), &failed);
    assert!(matches!(fleet.runs[&id].state, RunState::Held { .. }));
}

#[test]
fn an_open_call_for_anything_bars_whatever_is_newer() {
    let call = OpenCall { resource: OpenCall::ANYTHING.to_owned(), generation: Generation(5), until: at(9) };
    assert!(call.bars("rds/us-east-1/x", Generation(6)) && !call.bars("rds/us-east-1/x", Generation(5)));
}
