use std::time::Duration;

use super::*;
use crate::fixtures::{EAST, WEST, agent, at, fleet, start, view};
use crate::ids::RunId;
use crate::run::{Direction, Outcome, OutcomeResult, RunState};

fn names(commands: &[Command]) -> Vec<String> {
    let name = |command: &Command| match command {
        Command::OpenIntent { step, .. } => step.to_string(),
        Command::Grant { .. } => "grant".to_owned(),
        other => format!("{other:?}"),
    };
    commands.iter().map(name).collect()
}

fn never(_: &Fleet, _: &Command) -> bool {
    false
}

fn outcome(result: OutcomeResult) -> Outcome {
    Outcome {
        result,
        detail: "as told".to_owned(),
        read_back: "{}".to_owned(),
        before: String::new(),
        calls: 1,
        provider_wait: Duration::ZERO,
    }
}

/// The end of the run's first open intent.
fn ending(fleet: &Fleet, result: OutcomeResult) -> Option<Command> {
    let run = fleet.runs.values().next()?;
    let (step, direction, intent) = run.open_intents().next()?;
    let (step, seq) = (step.id.clone(), intent.seq);
    Some(Command::CloseIntent { run: run.id.clone(), step, direction, seq, outcome: outcome(result) })
}

#[test]
fn a_whole_run_is_foreseen_command_by_command() {
    let mut fleet = fleet();
    let mut command = start(&fleet, WEST);
    let mut rounds = 0;
    loop {
        rounds += 1;
        assert!(rounds <= STEPS_MAX, "every round ends a step");
        let seen = view(&fleet, at(rounds as u64), &[]);
        let foreseen = after(&fleet, &seen, &[], &command, never);
        for command in std::iter::once(&command).chain(&foreseen) {
            let reply = fleet.apply(seen.now, command).reply;
            assert!(!matches!(reply, Reply::Refused(_)), "{command:?}: {reply:?}");
        }
        let due: Vec<Command> = next(&fleet, &seen);
        assert_eq!(names(&due), Vec::<String>::new(), "nothing is left for the ordinary round");
        match ending(&fleet, OutcomeResult::Done) {
            Some(ending) => command = ending,
            None => break,
        }
    }
    assert!(fleet.runs.values().all(|run| run.state == RunState::Done));
}

#[test]
fn what_waits_for_the_grant_is_foreseen_behind_it() {
    let mut fleet = fleet();
    let mut command = start(&fleet, WEST);
    for second in 1..100 {
        let seen = view(&fleet, at(second), &[]);
        let foreseen = after(&fleet, &seen, &[], &command, never);
        let found = names(&foreseen);
        if let Some(grant) = found.iter().position(|name| name == "grant") {
            assert_eq!(found.get(grant + 1).map(String::as_str), Some("rds-promote-database"));
            return;
        }
        for command in std::iter::once(&command).chain(&foreseen) {
            fleet.apply(seen.now, command);
        }
        command = ending(&fleet, OutcomeResult::Done).expect("the run goes on until the grant");
    }
    panic!("nothing was granted");
}

#[test]
fn nothing_is_foreseen_behind_a_step_that_did_not_succeed() {
    let mut fleet = fleet();
    let (begin, seen) = (start(&fleet, WEST), view(&fleet, at(1), &[]));
    let opened = after(&fleet, &seen, &[], &begin, never);
    for command in std::iter::once(&begin).chain(&opened) {
        fleet.apply(seen.now, command);
    }
    for result in
        [OutcomeResult::Unknown, OutcomeResult::Refused { retry: true }, OutcomeResult::Refused { retry: false }]
    {
        let ending = ending(&fleet, result).expect("a step is open");
        assert_eq!(names(&after(&fleet, &seen, &[], &ending, never)), Vec::<String>::new(), "{result:?}");
    }
}

#[test]
fn what_the_leader_keeps_back_is_not_foreseen_and_neither_is_what_stands_behind_it() {
    let fleet = fleet();
    let (begin, seen) = (start(&fleet, WEST), view(&fleet, at(1), &[]));
    let first = after(&fleet, &seen, &[], &begin, never).first().cloned().expect("the first step becomes due");
    let foreseen = after(&fleet, &seen, &[], &begin, |ahead: &Fleet, command: &Command| {
        assert!(!ahead.runs.is_empty(), "it is asked of the state in which the command would be applied");
        opens_same(command, &first)
    });
    assert!(!foreseen.iter().any(|command| opens_same(command, &first)), "{foreseen:?}");
}

#[test]
fn ends_that_are_still_flying_are_foreseen_together() {
    let mut fleet = fleet();
    let mut command = start(&fleet, WEST);
    for second in 1..100 {
        let seen = view(&fleet, at(second), &[]);
        let foreseen = after(&fleet, &seen, &[], &command, never);
        for command in std::iter::once(&command).chain(&foreseen) {
            fleet.apply(seen.now, command);
        }
        let run = fleet.runs.values().next().expect("it was started");
        let endings: Vec<Command> = run
            .open_intents()
            .map(|(step, direction, intent)| Command::CloseIntent {
                run: run.id.clone(),
                step: step.id.clone(),
                direction,
                seq: intent.seq,
                outcome: outcome(OutcomeResult::Done),
            })
            .collect();
        if let [first, second] = endings.as_slice() {
            let mut flying = vec![first.clone()];
            flying.extend(after(&fleet, &seen, &[], first, never));
            let behind = after(&fleet, &seen, &flying, second, never);
            for command in flying.iter().chain([second]).chain(&behind) {
                let reply = fleet.apply(seen.now, command).reply;
                assert!(!matches!(reply, Reply::Refused(_)), "{command:?}: {reply:?}");
            }
            assert_eq!(names(&next(&fleet, &seen)), Vec::<String>::new(), "nothing is left for the ordinary round");
            let again = after(&fleet, &seen, &flying, second, never);
            assert_eq!(names(&again), Vec::<String>::new(), "what was applied meanwhile is not opened again");
            return;
        }
        command = ending(&fleet, OutcomeResult::Done).expect("two steps are open at once before the end");
    }
    panic!("no two steps were open at once");
}

#[test]
fn a_paused_run_is_not_foreseen_and_a_region_without_agents_neither() {
    let mut fleet = fleet();
    let begin = start(&fleet, WEST);
    assert_eq!(names(&after(&fleet, &view(&fleet, at(1), &[EAST, WEST]), &[], &begin, never)), Vec::<String>::new());
    let seen = view(&fleet, at(1), &[]);
    let opened = after(&fleet, &seen, &[], &begin, never);
    for command in std::iter::once(&begin).chain(&opened) {
        fleet.apply(seen.now, command);
    }
    let run = fleet.runs.keys().next().cloned().expect("it was started");
    let ending = ending(&fleet, OutcomeResult::Done).expect("a step is open");
    assert!(!after(&fleet, &seen, &[], &ending, never).is_empty());
    fleet.apply(seen.now, &Command::Pause { run, by: "ann".to_owned() });
    assert_eq!(names(&after(&fleet, &seen, &[], &ending, never)), Vec::<String>::new());
}

#[test]
fn what_was_due_before_is_left_to_the_ordinary_round() {
    let mut fleet = fleet();
    let (begin, seen) = (start(&fleet, WEST), view(&fleet, at(1), &[]));
    fleet.apply(seen.now, &begin);
    let due: Vec<Command> = next(&fleet, &seen);
    let first = due.first().expect("the first step is due").clone();
    fleet.apply(seen.now, &first);
    let others = next(&fleet, &seen);
    let ending = ending(&fleet, OutcomeResult::Done).expect("the first step is open");
    let foreseen = after(&fleet, &seen, &[], &ending, never);
    assert!(foreseen.iter().all(|command| !others.iter().any(|other| opens_same(other, command))), "{foreseen:?}");
}

#[test]
fn steps_that_become_due_together_are_shared_among_a_regions_agents() {
    let mut fleet = fleet();
    let mut command = start(&fleet, WEST);
    let mut shared = 0;
    for second in 1..100 {
        let seen = view(&fleet, at(second), &[]);
        let foreseen = after(&fleet, &seen, &[], &command, never);
        let given = |to: &str| {
            let is =
                |command: &&Command| matches!(command, Command::OpenIntent { agent: one, .. } if *one == agent(to));
            foreseen.iter().filter(is).count()
        };
        let (a, b) = (given("west-a"), given("west-b"));
        assert!(a.abs_diff(b) <= 1, "{foreseen:?}");
        shared += usize::from(a > 0 && b > 0);
        for command in std::iter::once(&command).chain(&foreseen) {
            fleet.apply(seen.now, command);
        }
        match ending(&fleet, OutcomeResult::Done) {
            Some(ending) => command = ending,
            None => break,
        }
    }
    assert!(shared > 0, "retention and traffic become due by the same promotion");
}

#[test]
fn other_commands_are_followed_by_nothing() {
    let fleet = fleet();
    let seen = view(&fleet, at(1), &[]);
    let run = RunId::new("maip-g1").expect("a name");
    assert!(after(&fleet, &seen, &[], &Command::Resume { run: run.clone(), by: "ann".to_owned() }, never).is_empty());
    let outcome = outcome(OutcomeResult::Done);
    let unknown = Command::CloseIntent {
        run,
        step: "rds-promote-database".parse().expect("a name"),
        direction: Direction::Forward,
        seq: crate::ids::IntentSeq(1),
        outcome,
    };
    assert!(after(&fleet, &seen, &[], &unknown, never).is_empty());
}
