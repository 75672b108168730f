//! The rules of the replicated state, each by its name. [`walk`] breaks them at random.

use std::time::Duration;

use crate::access;
use crate::engine;
use crate::fixtures::{EAST, HASH, WEST, agent, at, fleet, region, service, start, view};
use crate::fleet::apply::{CALL_LIFETIME, writers};
use crate::fleet::{AuthorityState, Command, Fleet, RefusalCode, Reply};
use crate::ids::{Generation, KeyId, RunId};
use crate::plan::Action;
use crate::run::{Approval, Direction, Need, Outcome, OutcomeResult, Run, RunState, WorkState};
use crate::time::Timestamp;

mod automatic;
mod despite;
mod history;
mod leases;
mod notices;
mod plans;
mod walk;

pub fn outcome(result: OutcomeResult) -> Outcome {
    Outcome {
        result,
        detail: "as told".to_owned(),
        read_back: "{}".to_owned(),
        before: "{}".to_owned(),
        calls: 1,
        provider_wait: Duration::ZERO,
    }
}

fn run_id() -> RunId {
    RunId::new("maip-g1").expect("a valid name")
}

fn run(fleet: &Fleet) -> &Run {
    &fleet.runs[&run_id()]
}

fn accepted(fleet: &mut Fleet, now: Timestamp, command: &Command) -> Reply {
    let reply = fleet.apply(now, command).reply;
    assert!(!matches!(reply, Reply::Refused(_)), "{command:?} was refused: {reply:?}");
    reply
}

fn refused(fleet: &mut Fleet, now: Timestamp, command: &Command) -> RefusalCode {
    let before = fleet.clone();
    let Reply::Refused(refusal) = fleet.apply(now, command).reply else { panic!("{command:?} was accepted") };
    fleet.now = before.now;
    assert_eq!(*fleet, before, "a refused command changes nothing but the time");
    refusal.code
}

/// Lets leader and agents work, one second a round, until nothing is left to do; `answer` plays the agents.
fn play(
    fleet: &mut Fleet,
    from: u64,
    without: &[&str],
    answer: &mut dyn FnMut(&Fleet, &engine::View, &crate::execute::Job) -> Option<Outcome>,
) -> u64 {
    for second in from..from + 4000 {
        let view = view(fleet, at(second), without);
        let commands = engine::next(fleet, &view);
        for command in &commands {
            fleet.apply(at(second), command);
        }
        let open: Vec<_> = fleet
            .runs
            .values()
            .flat_map(|run| {
                run.open_intents().map(|(step, direction, intent)| {
                    (run.id.clone(), step.id.clone(), direction, intent.seq, intent.agent.clone())
                })
            })
            .collect();
        let mut answered = false;
        for (run, step, direction, seq, agent) in open {
            if !view.agents.contains_key(&agent) {
                continue;
            }
            let job = engine::job(fleet, &run, &step, direction, at(second)).expect("an open intent has a job");
            if let Some(outcome) = answer(fleet, &view, &job) {
                answered = true;
                accepted(fleet, at(second), &Command::CloseIntent { run, step, direction, seq, outcome });
            }
        }
        if commands.is_empty() && !answered && engine::next_wakeup(fleet, &view).is_none() {
            return second;
        }
    }
    panic!("it never came to rest")
}

fn all_done(_: &Fleet, _: &engine::View, _: &crate::execute::Job) -> Option<Outcome> {
    Some(outcome(OutcomeResult::Done))
}

fn enroll(fleet: &mut Fleet) {
    for (i, (key, owner)) in [("k1", "ann"), ("k2", "bob"), ("k3", "ann")].into_iter().enumerate() {
        let key = KeyId::new(key).expect("a valid name");
        let public_key = vec![u8::try_from(i).expect("small"); 32];
        let approvals = if i < 2 {
            Vec::new()
        } else {
            let hex: String = public_key.iter().map(|byte| format!("{byte:02x}")).collect();
            let subject = access::enroll_subject(&key, owner, &hex);
            vec![approval("k1", &subject, 9_999), approval("k2", &subject, 9_999)]
        };
        let by = "admin".to_owned();
        accepted(fleet, at(0), &Command::EnrollKey { key, owner: owner.to_owned(), public_key, approvals, by });
    }
}

fn approval(key: &str, subject: &str, until: u64) -> Approval {
    Approval {
        key: KeyId::new(key).expect("a valid name"),
        subject: subject.to_owned(),
        expires_at: at(until),
        signature: vec![0; 64],
        at: at(0),
    }
}

fn approve(key: &str) -> Command {
    let subject = access::loss_subject(&run_id(), &HASH, &crate::plan::PredictedLoss::Unknown);
    Command::Approve { run: run_id(), approval: approval(key, &subject, 9_999), by: "x".to_owned() }
}

#[test]
fn a_failover_fences_promotes_moves_traffic_verifies_and_tells_in_this_order() {
    let mut fleet = fleet();
    let begin = start(&fleet, WEST);
    accepted(&mut fleet, at(1), &begin);
    let mut order = Vec::new();
    play(&mut fleet, 2, &[], &mut |_, _, job| {
        order.push(job.action.name());
        Some(outcome(OutcomeResult::Done))
    });
    let place = |name: &str| order.iter().position(|seen| *seen == name).expect("every step was carried out");
    let chain = [
        "rds-check-replica",
        "rds-fence",
        "rds-reboot",
        "rds-await-caught-up",
        "rds-promote",
        "route53-replace",
        "http-verify",
        "sns-notify",
    ];
    assert!(chain.windows(2).all(|pair| place(pair[0]) < place(pair[1])), "wrong order: {order:?}");
    assert_eq!(run(&fleet).state, RunState::Done);
    let service = &fleet.services[&service("maip")];
    assert_eq!((service.active.as_str(), &service.current_run), (WEST, &None));
    assert_eq!(writers(&service.authority), vec![&region(WEST)]);
    assert!(matches!(service.authority[&region(EAST)].state, AuthorityState::Closed { .. }));
}

#[test]
fn the_same_command_twice_is_the_same_run() {
    let mut fleet = fleet();
    let begin = start(&fleet, WEST);
    accepted(&mut fleet, at(1), &begin);
    let reply = accepted(&mut fleet, at(2), &begin);
    assert_eq!(reply, Reply::RunStarted { run: run_id(), existing: true });
    assert_eq!(fleet.runs.len(), 1);
}

#[test]
fn a_plan_made_before_something_changed_is_refused() {
    let mut fleet = fleet();
    let stale = start(&fleet, WEST);
    accepted(&mut fleet, at(1), &stale);
    play(&mut fleet, 2, &[], &mut all_done);
    let code = refused(&mut fleet, at(900), &stale);
    assert_eq!(code, RefusalCode::Precondition, "the target is active already");
    let back = start(&fleet, EAST);
    let Command::StartRun { mut plan, plan_hash, by, cause, safety, approvals } = back else { panic!("a start") };
    plan.generation = Generation(9);
    let code = refused(&mut fleet, at(901), &Command::StartRun { plan, plan_hash, by, cause, safety, approvals });
    assert_eq!(code, RefusalCode::Conflict);
}

#[test]
fn a_region_that_cannot_be_fenced_waits_for_two_different_people() {
    let mut fleet = fleet();
    enroll(&mut fleet);
    let begin = start(&fleet, WEST);
    accepted(&mut fleet, at(1), &begin);
    let now = play(&mut fleet, 2, &[EAST], &mut all_done);
    assert!(
        matches!(&run(&fleet).state, RunState::Held { need: Need::Consent { region }, .. } if region.as_str() == EAST)
    );
    accepted(&mut fleet, at(now + 1), &approve("k1"));
    accepted(&mut fleet, at(now + 1), &approve("k3"));
    play(&mut fleet, now + 2, &[EAST], &mut all_done);
    assert!(matches!(run(&fleet).state, RunState::Held { .. }), "two keys of one person are one person");
    assert_eq!(writers(&fleet.services[&service("maip")].authority), vec![&region(EAST)]);
    accepted(&mut fleet, at(now + 3), &approve("k2"));
    play(&mut fleet, now + 4, &[EAST], &mut all_done);
    assert_eq!(run(&fleet).state, RunState::Done);
    let authority = &fleet.services[&service("maip")].authority[&region(EAST)];
    assert!(matches!(&authority.state, AuthorityState::ClosedByConsent { keys, .. } if keys.len() == 2));
}

#[test]
fn an_approval_that_has_expired_or_is_for_another_plan_does_not_count() {
    let mut fleet = fleet();
    enroll(&mut fleet);
    let begin = start(&fleet, WEST);
    accepted(&mut fleet, at(1), &begin);
    let subject = access::loss_subject(&run_id(), &HASH, &crate::plan::PredictedLoss::Unknown);
    let late = Command::Approve { run: run_id(), approval: approval("k1", &subject, 5), by: "x".to_owned() };
    assert_eq!(refused(&mut fleet, at(6), &late), RefusalCode::NeedsApproval);
    let other = access::loss_subject(&run_id(), &crate::ids::Hash32([1; 32]), &crate::plan::PredictedLoss::Unknown);
    let wrong = Command::Approve { run: run_id(), approval: approval("k1", &other, 99), by: "x".to_owned() };
    assert_eq!(refused(&mut fleet, at(6), &wrong), RefusalCode::Invalid);
    let unknown = Command::Approve { run: run_id(), approval: approval("k9", &subject, 99), by: "x".to_owned() };
    assert_eq!(refused(&mut fleet, at(6), &unknown), RefusalCode::NeedsApproval);
}

#[test]
fn an_abort_before_the_promotion_gives_the_old_region_back_at_a_higher_generation() {
    let mut fleet = fleet();
    let begin = start(&fleet, WEST);
    accepted(&mut fleet, at(1), &begin);
    play(&mut fleet, 2, &[], &mut |_, _, job| match job.action {
        Action::RdsAwaitCaughtUp { .. } => Some(outcome(OutcomeResult::Refused { retry: false })),
        _ => Some(outcome(OutcomeResult::Done)),
    });
    assert!(matches!(run(&fleet).state, RunState::Held { .. }));
    let by = "operator".to_owned();
    accepted(&mut fleet, at(600), &Command::Abort { run: run_id(), by, reason: "lag".to_owned() });
    let mut undone = Vec::new();
    play(&mut fleet, 601, &[], &mut |_, _, job| {
        undone.push((job.action.name(), job.token.generation));
        Some(outcome(OutcomeResult::Done))
    });
    assert_eq!(undone, vec![("rds-unfence", Generation(2))]);
    assert_eq!(run(&fleet).state, RunState::Compensated);
    let service = &fleet.services[&service("maip")];
    assert_eq!((service.active.as_str(), service.generation), (EAST, Generation(2)));
    assert_eq!(writers(&service.authority), vec![&region(EAST)]);
}

#[test]
fn an_abort_after_the_promotion_may_have_been_sent_is_refused() {
    for result in [OutcomeResult::Unknown, OutcomeResult::Done] {
        let mut fleet = fleet();
        let begin = start(&fleet, WEST);
        accepted(&mut fleet, at(1), &begin);
        let mut promotions = 0;
        play(&mut fleet, 2, &[], &mut |_, _, job| match job.action {
            Action::RdsPromote { .. } if promotions == 0 => {
                promotions += 1;
                Some(outcome(result))
            }
            // What follows the promotion is refused for good, so that the run is held there.
            Action::RdsPromote { .. } | Action::Route53Replace { .. } | Action::RdsSetBackupRetention { .. } => {
                Some(outcome(OutcomeResult::Refused { retry: false }))
            }
            _ => Some(outcome(OutcomeResult::Done)),
        });
        assert_eq!(promotions, 1);
        assert!(matches!(run(&fleet).state, RunState::Held { .. }));
        let abort = Command::Abort { run: run_id(), by: "operator".to_owned(), reason: "fear".to_owned() };
        assert_eq!(refused(&mut fleet, at(9_000), &abort), RefusalCode::Precondition, "after {result:?}");
    }
}

#[test]
fn a_lost_executor_is_followed_by_the_other_agent_of_its_region_who_is_told_to_look_first() {
    let mut fleet = fleet();
    let begin = start(&fleet, WEST);
    accepted(&mut fleet, at(1), &begin);
    let mut promoters = Vec::new();
    play(&mut fleet, 2, &[], &mut |_, view, job| {
        let Action::RdsPromote { .. } = job.action else { return Some(outcome(OutcomeResult::Done)) };
        promoters.push((view.now, job.maybe_sent_since, job.key.clone()));
        let first = job.maybe_sent_since.is_none();
        Some(outcome(if first { OutcomeResult::Unknown } else { OutcomeResult::Done }))
    });
    assert_eq!(run(&fleet).state, RunState::Done);
    assert!(promoters[0].1.is_none() && promoters[1].1.is_some());
    assert_eq!(promoters[0].2, promoters[1].2, "all attempts share the idempotency key");
    let step = run(&fleet).plan.steps.iter().find(|step| matches!(step.action, Action::RdsPromote { .. }));
    let intents = &run(&fleet).steps[&step.expect("a promotion").id].forward.intents;
    assert_ne!(intents[0].agent, intents[1].agent);
}

#[test]
fn an_agent_that_falls_silent_leaves_an_unknown_outcome() {
    let mut fleet = fleet();
    let begin = start(&fleet, WEST);
    accepted(&mut fleet, at(1), &begin);
    for command in engine::next(&fleet, &view(&fleet, at(2), &[])) {
        accepted(&mut fleet, at(2), &command);
    }
    assert_eq!(run(&fleet).open_intents().count(), 1);
    assert!(engine::next(&fleet, &view(&fleet, at(3), &[WEST])).is_empty(), "not before the silence has lasted");
    for command in engine::next(&fleet, &view(&fleet, at(8), &[WEST])) {
        accepted(&mut fleet, at(8), &command);
    }
    let (_, step) = run(&fleet).step(&run(&fleet).plan.steps[0].id).expect("the first step");
    assert_eq!(step.forward.intents[0].outcome.as_ref().map(|o| o.result), Some(OutcomeResult::Unknown));
}

#[test]
fn what_a_leader_heard_in_an_earlier_term_of_its_own_makes_no_agent_silent() {
    let mut fleet = fleet();
    let begin = start(&fleet, WEST);
    accepted(&mut fleet, at(101), &begin);
    for command in engine::next(&fleet, &view(&fleet, at(102), &[])) {
        accepted(&mut fleet, at(102), &command);
    }
    // It led until 10, and again from 103 on. The agents are on their way from the leader in between.
    let again = |now| {
        let mut view = view(&fleet, at(now), &[]);
        view.agents.values_mut().for_each(|agent| agent.last_heard = at(10));
        view.led_since = at(103);
        engine::next(&fleet, &view)
    };
    assert_eq!(again(104), Vec::new(), "another leader may have let them call a moment ago");
    assert_eq!(again(108), Vec::new());
    assert!(matches!(again(109).as_slice(), [Command::CloseIntent { .. }]), "it has run out since");
}

#[test]
fn the_agents_own_word_replaces_the_unknown_that_a_leader_assumed() {
    let mut fleet = fleet();
    let begin = start(&fleet, WEST);
    accepted(&mut fleet, at(1), &begin);
    for command in engine::next(&fleet, &view(&fleet, at(2), &[])) {
        accepted(&mut fleet, at(2), &command);
    }
    let (step, seq) = {
        let (step, _, intent) = run(&fleet).open_intents().next().expect("an open intent");
        (step.id.clone(), intent.seq)
    };
    let close = |result| Command::CloseIntent {
        run: run_id(),
        step: step.clone(),
        direction: Direction::Forward,
        seq,
        outcome: outcome(result),
    };
    accepted(&mut fleet, at(3), &close(OutcomeResult::Unknown));
    accepted(&mut fleet, at(4), &close(OutcomeResult::Done));
    assert_eq!(run(&fleet).steps[&step].forward.state, WorkState::Done);
    accepted(&mut fleet, at(5), &close(OutcomeResult::Refused { retry: false }));
    assert_eq!(run(&fleet).steps[&step].forward.state, WorkState::Done, "a repeated report changes nothing");
}

#[test]
fn a_paused_run_opens_no_intent() {
    let mut fleet = fleet();
    let begin = start(&fleet, WEST);
    accepted(&mut fleet, at(1), &begin);
    accepted(&mut fleet, at(2), &Command::Pause { run: run_id(), by: "ann".to_owned() });
    assert!(engine::next(&fleet, &view(&fleet, at(3), &[])).is_empty());
    let step = run(&fleet).plan.steps[0].id.clone();
    let open = Command::OpenIntent { run: run_id(), step, direction: Direction::Forward, agent: agent("west-a") };
    assert_eq!(refused(&mut fleet, at(3), &open), RefusalCode::Precondition);
    accepted(&mut fleet, at(4), &Command::Resume { run: run_id(), by: "ann".to_owned() });
    accepted(&mut fleet, at(5), &open);
}

#[test]
fn an_intent_for_a_step_whose_turn_it_is_not_is_refused() {
    let mut fleet = fleet();
    let begin = start(&fleet, WEST);
    accepted(&mut fleet, at(1), &begin);
    let promote = run(&fleet).plan.steps.iter().find(|s| matches!(s.action, Action::RdsPromote { .. }));
    let step = promote.expect("a promotion").id.clone();
    let open = Command::OpenIntent { run: run_id(), step, direction: Direction::Forward, agent: agent("west-a") };
    assert_eq!(refused(&mut fleet, at(2), &open), RefusalCode::Precondition);
    let grant = Command::Grant { run: run_id(), step: "grant".parse().expect("a name") };
    assert_eq!(refused(&mut fleet, at(2), &grant), RefusalCode::Precondition);
    let first = run(&fleet).plan.steps[0].id.clone();
    let foreign =
        Command::OpenIntent { run: run_id(), step: first, direction: Direction::Forward, agent: agent("east-a") };
    assert_eq!(refused(&mut fleet, at(2), &foreign), RefusalCode::Invalid, "an agent of another region");
}

#[test]
fn an_undo_waits_until_a_doubtful_call_of_the_older_generation_can_no_longer_arrive() {
    let mut fleet = fleet();
    let begin = start(&fleet, WEST);
    accepted(&mut fleet, at(1), &begin);
    // The fence is unknown, then its agents are gone.
    let now = play(&mut fleet, 2, &[], &mut |_, _, job| match (&job.action, job.maybe_sent_since) {
        (Action::RdsSetSecurityGroups { .. }, None) => Some(outcome(OutcomeResult::Unknown)),
        (Action::RdsSetSecurityGroups { .. }, Some(_)) => Some(outcome(OutcomeResult::Refused { retry: false })),
        _ => Some(outcome(OutcomeResult::Done)),
    });
    let by = "operator".to_owned();
    accepted(&mut fleet, at(now + 1), &Command::Abort { run: run_id(), by, reason: "no".to_owned() });
    let mut undone_at = None;
    play(&mut fleet, now + 2, &[], &mut |_, view, _| {
        undone_at.get_or_insert(view.now);
        Some(outcome(OutcomeResult::Done))
    });
    let unknown_at = run(&fleet).steps.values().find_map(|s| s.forward.intents.first()?.closed_at);
    let waited = undone_at.expect("it was undone").since(unknown_at.expect("the fence was closed as unknown"));
    assert!(waited >= CALL_LIFETIME, "undone after {waited:?}");
    assert_eq!(run(&fleet).state, RunState::Compensated);
}

#[test]
fn with_two_keys_enrolled_a_third_and_a_change_of_membership_need_both() {
    let mut fleet = fleet();
    enroll(&mut fleet);
    let key = KeyId::new("k4").expect("a valid name");
    let enroll = Command::EnrollKey {
        key,
        owner: "eve".to_owned(),
        public_key: vec![9; 32],
        approvals: Vec::new(),
        by: "admin".to_owned(),
    };
    assert_eq!(refused(&mut fleet, at(1), &enroll), RefusalCode::NeedsApproval);
    let subject = access::membership_subject("remove 3");
    let change = |keys: &[&str]| Command::NoteMembership {
        text: "remove 3".to_owned(),
        approvals: keys.iter().map(|key| approval(key, &subject, 99)).collect(),
        by: "admin".to_owned(),
    };
    assert_eq!(refused(&mut fleet, at(1), &change(&["k1"])), RefusalCode::NeedsApproval);
    assert_eq!(refused(&mut fleet, at(1), &change(&["k1", "k3"])), RefusalCode::NeedsApproval, "one owner");
    accepted(&mut fleet, at(1), &change(&["k1", "k2"]));
}

#[test]
fn time_never_runs_backwards() {
    let mut fleet = fleet();
    fleet.apply(at(100), &Command::NameMesh { mesh: "other".to_owned() });
    fleet.apply(at(50), &Command::NameMesh { mesh: "other".to_owned() });
    assert_eq!(fleet.now, at(100));
}

#[test]
fn a_grant_needs_the_proof_whatever_order_the_plan_has() {
    let mut fleet = fleet();
    let Command::StartRun { mut plan, plan_hash, by, cause, safety, approvals } = start(&fleet, WEST) else {
        panic!("a start")
    };
    for step in &mut plan.steps {
        if step.action == Action::Grant {
            step.after.clear();
        }
    }
    accepted(&mut fleet, at(1), &Command::StartRun { plan, plan_hash, by, cause, safety, approvals });
    let grant = Command::Grant { run: run_id(), step: "grant".parse().expect("a name") };
    assert_eq!(refused(&mut fleet, at(2), &grant), RefusalCode::Precondition);
    assert_eq!(writers(&fleet.services[&service("maip")].authority), vec![&region(EAST)]);
}

#[test]
fn no_mutation_is_begun_on_a_resource_where_an_older_call_may_still_arrive() {
    let mut fleet = fleet();
    let begin = start(&fleet, WEST);
    accepted(&mut fleet, at(1), &begin);
    let resource = "rds/us-east-1/maip-prod-postgres".to_owned();
    let call = crate::fleet::OpenCall { resource, generation: Generation(0), until: at(100) };
    fleet.services.get_mut(&service("maip")).expect("there").open_calls.push(call);
    let check = run(&fleet).plan.steps[0].id.clone();
    let open = |step, agent_name| Command::OpenIntent {
        run: run_id(),
        step,
        direction: Direction::Forward,
        agent: agent(agent_name),
    };
    accepted(&mut fleet, at(2), &open(check.clone(), "west-a"));
    let seq = run(&fleet).open_intents().next().expect("the look at the target").2.seq;
    let outcome = outcome(OutcomeResult::Done);
    let close = Command::CloseIntent { run: run_id(), step: check, direction: Direction::Forward, seq, outcome };
    accepted(&mut fleet, at(3), &close);
    let fence = run(&fleet).plan.steps[1].id.clone();
    assert!(engine::next(&fleet, &view(&fleet, at(99), &[])).is_empty(), "the leader waits it out");
    assert_eq!(refused(&mut fleet, at(99), &open(fence.clone(), "east-a")), RefusalCode::Precondition);
    accepted(&mut fleet, at(100), &open(fence, "east-a"));
}

#[test]
fn a_step_that_waited_for_an_older_call_has_its_whole_time() {
    let mut fleet = fleet();
    let begin = start(&fleet, WEST);
    accepted(&mut fleet, at(1), &begin);
    let resource = "rds/us-east-1/maip-prod-postgres".to_owned();
    let call = crate::fleet::OpenCall { resource, generation: Generation(0), until: at(1000) };
    fleet.services.get_mut(&service("maip")).expect("there").open_calls.push(call);
    for command in engine::next(&fleet, &view(&fleet, at(2), &[])) {
        accepted(&mut fleet, at(2), &command);
    }
    let (check, seq) = {
        let (step, _, intent) = run(&fleet).open_intents().next().expect("the look at the target");
        (step.id.clone(), intent.seq)
    };
    let outcome = outcome(OutcomeResult::Done);
    let close = Command::CloseIntent { run: run_id(), step: check, direction: Direction::Forward, seq, outcome };
    accepted(&mut fleet, at(3), &close);
    // A person's word begins a new window, for the step that waits too.
    accepted(&mut fleet, at(50), &Command::Pause { run: run_id(), by: "ann".to_owned() });
    accepted(&mut fleet, at(60), &Command::Resume { run: run_id(), by: "ann".to_owned() });
    for command in engine::next(&fleet, &view(&fleet, at(1000), &[])) {
        accepted(&mut fleet, at(1000), &command);
    }
    let fence = run(&fleet).plan.steps[1].clone();
    let job = engine::job(&fleet, &run_id(), &fence.id, Direction::Forward, at(1000)).expect("it is open");
    assert_eq!(job.time_left, fence.timeout);
}

#[test]
fn an_abort_does_not_wait_for_a_look_that_is_still_out() {
    let mut fleet = fleet();
    let begin = start(&fleet, WEST);
    accepted(&mut fleet, at(1), &begin);
    let now = play_until_looking(&mut fleet);
    accepted(&mut fleet, at(now), &Command::Abort { run: run_id(), by: "ann".to_owned(), reason: "lag".to_owned() });
    let commands = engine::next(&fleet, &view(&fleet, at(now), &[]));
    assert!(
        matches!(commands.as_slice(), [Command::OpenIntent { direction: Direction::Undo, .. }]),
        "the undo begins at once: {commands:?}"
    );
}

/// Plays until the gate that waits for the replica has its intent out.
fn play_until_looking(fleet: &mut Fleet) -> u64 {
    for second in 2..100 {
        for command in engine::next(fleet, &view(fleet, at(second), &[])) {
            accepted(fleet, at(second), &command);
        }
        let open: Vec<_> =
            run(fleet).open_intents().map(|(s, d, i)| (s.id.clone(), d, i.seq, s.action.clone())).collect();
        for (step, direction, seq, action) in open {
            if matches!(action, Action::RdsAwaitCaughtUp { .. }) {
                return second;
            }
            let outcome = outcome(OutcomeResult::Done);
            accepted(fleet, at(second), &Command::CloseIntent { run: run_id(), step, direction, seq, outcome });
        }
    }
    panic!("the gate was never reached")
}
