//! Stopping requests proves nothing and holds nothing up: what closes the region stands beside it.

use super::*;
use crate::ids::StepId;
use crate::lease::{ApiStage, Throttle};

const CLOSE: &str = "api-gateway-close-web";

fn throttle() -> Fence {
    let stage = |api: &str| ApiStage {
        api: api.to_owned(),
        stage: "prod".to_owned(),
        open: Throttle { rate: 1000, burst: 500 },
    };
    let stages = BTreeMap::from([(region(EAST), stage("aeast")), (region(WEST), stage("awest"))]);
    Fence::ApiGatewayThrottle { name: "web".to_owned(), stages }
}

/// A service without a database, which a proxy closes by itself.
fn behind_a_proxy() -> Mesh {
    let mut fences = fences(true);
    fences.push(throttle());
    let mut mesh = Mesh::new(fences, LossPolicy::Block);
    let service = mesh.fleet.services.get_mut(&service("maip")).expect("it was applied");
    service.manifest.resources.clear();
    mesh
}

fn state_of(mesh: &Mesh, id: &str) -> WorkState {
    run(&mesh.fleet).steps[&StepId::new(id).expect("a name")].forward.state.clone()
}

#[test]
fn a_region_whose_requests_are_stopped_is_not_closed_by_that() {
    let mut mesh = behind_a_proxy();
    mesh.start();
    let stopped =
        |fleet: &Fleet| run(fleet).steps[&StepId::new(CLOSE).expect("a name")].forward.state == WorkState::Done;
    assert!(mesh.play_until(20, stopped), "{:?}", run(&mesh.fleet).state);
    assert!(mesh.state(EAST).may_write(), "the proxy may not have cut its sessions yet: {:?}", mesh.state(EAST));
    assert!(matches!(state_of(&mesh, "grant"), WorkState::Waiting), "and nobody else is granted");
    assert!(mesh.play_until(200, has_ended), "{:?}", run(&mesh.fleet).state);
    assert!(matches!(mesh.state(EAST), AuthorityState::Proven { proof: Proof::Fenced { .. }, .. }));
    assert_eq!(state_of(&mesh, "api-gateway-open-web"), WorkState::Done);
}

#[test]
fn a_dead_region_is_not_waited_for_to_stop_its_requests() {
    let mut mesh = behind_a_proxy();
    mesh.cut.push(EAST);
    mesh.start();
    assert!(mesh.play_until(200, has_ended), "{:#?}", run(&mesh.fleet).timeline);
    assert_eq!(run(&mesh.fleet).state, RunState::Done);
    assert!(matches!(mesh.state(EAST), AuthorityState::Proven { proof: Proof::LeaseEnded { .. }, .. }));
    assert!(matches!(state_of(&mesh, CLOSE), WorkState::Skipped { .. }), "{:?}", state_of(&mesh, CLOSE));
}

/// The fixture's database has a fence of its own.
fn beside_a_database() -> Fleet {
    let mut fleet = fleet();
    let service = fleet.services.get_mut(&service("maip")).expect("it was applied");
    service.manifest.fence = Fencing { fences: vec![throttle()], ..Fencing::default() };
    enroll(&mut fleet);
    let begin = start(&fleet, WEST);
    accepted(&mut fleet, at(1), &begin);
    fleet
}

#[test]
fn two_people_who_give_the_region_up_give_up_its_requests_too() {
    let mut fleet = beside_a_database();
    let now = play(&mut fleet, 2, &[EAST], &mut all_done);
    assert!(matches!(run(&fleet).state, RunState::Held { need: Need::Consent { .. }, .. }));
    for key in ["k1", "k2"] {
        accepted(&mut fleet, at(now + 1), &approve(key));
    }
    play(&mut fleet, now + 2, &[EAST], &mut all_done);
    assert_eq!(run(&fleet).state, RunState::Done);
    let close = &run(&fleet).steps[&StepId::new(CLOSE).expect("a name")].forward.state;
    assert!(matches!(close, WorkState::Skipped { .. }), "{close:?}");
}

#[test]
fn a_throttle_that_failed_is_given_up_with_a_region_that_is_lost_after_it() {
    let mut mesh = behind_a_proxy();
    mesh.start();
    let offered = |fleet: &Fleet| run(fleet).open_intents().any(|(step, _, _)| step.id.as_str() == CLOSE);
    mesh.silent = true;
    assert!(mesh.play_until(30, offered));
    let open = run(&mesh.fleet).clone();
    for (step, direction, intent) in open.open_intents().filter(|(step, _, _)| step.id.as_str() == CLOSE) {
        let outcome = outcome(OutcomeResult::Refused { retry: false });
        let (run, step) = (open.id.clone(), step.id.clone());
        let close = Command::CloseIntent { run, step, direction, seq: intent.seq, outcome };
        accepted(&mut mesh.fleet, at(mesh.second), &close);
    }
    assert!(is_held(&mesh.fleet));
    mesh.silent = false;
    mesh.cut.push(EAST);
    assert!(mesh.play_until(300, has_ended), "{:#?}", run(&mesh.fleet).timeline);
    assert_eq!(run(&mesh.fleet).state, RunState::Done);
}

#[test]
fn a_throttle_that_fails_leaves_the_proof_of_the_fence_as_it_is() {
    let mut fleet = beside_a_database();
    let mut refuses = |_: &Fleet, _: &engine::View, job: &Job| {
        let throttled = matches!(job.action, Action::ApiGatewayClose { .. });
        Some(outcome(if throttled { OutcomeResult::Refused { retry: false } } else { OutcomeResult::Done }))
    };
    let now = play(&mut fleet, 2, &[], &mut refuses);
    let close = StepId::new(CLOSE).expect("a name");
    assert!(matches!(&run(&fleet).state, RunState::Held { need: Need::Decision { step }, .. } if *step == close));
    let subject = access::skip_subject(&run_id(), &close, &HASH);
    for key in ["k1", "k2"] {
        let approval = approval(key, &subject, 9_999);
        accepted(&mut fleet, at(now + 1), &Command::Approve { run: run_id(), approval, by: "x".to_owned() });
    }
    play(&mut fleet, now + 2, &[], &mut refuses);
    assert_eq!(run(&fleet).state, RunState::Done);
    let authority = &fleet.services[&service("maip")].authority[&region(EAST)];
    assert!(matches!(authority.state, AuthorityState::Closed { .. }), "nobody consented to more: {authority:?}");
}

#[test]
fn a_throttle_alone_never_leads_to_a_grant() {
    let mut fleet = fleet();
    let service = fleet.services.get_mut(&service("maip")).expect("it was applied");
    service.manifest.fence = Fencing { fences: vec![throttle()], ..Fencing::default() };
    service.manifest.resources.clear();
    let Command::StartRun { plan, .. } = start(&fleet, WEST) else { panic!("a start") };
    let grants = |step: &crate::plan::Step| step.action == Action::Grant || step.action.name().starts_with("api-");
    assert!(!plan.steps.iter().any(grants), "{:?}", plan.steps);
}
