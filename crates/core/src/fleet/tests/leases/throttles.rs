//! Stopping requests proves nothing and holds nothing up: what closes the region stands beside it.

use super::*;
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

#[test]
fn two_people_who_give_the_region_up_give_up_its_requests_too() {
    let mut mesh = Mesh::new(vec![throttle()], LossPolicy::Block);
    mesh.cut.push(EAST);
    mesh.start();
    assert!(mesh.play_until(2000, is_held));
    assert!(matches!(run(&mesh.fleet).state, RunState::Held { need: Need::Consent { .. }, .. }));
    enroll(&mut mesh.fleet);
    for key in ["k1", "k2"] {
        accepted(&mut mesh.fleet, at(mesh.second), &approve(key));
    }
    assert_eq!(run(&mesh.fleet).state, RunState::Running);
    assert!(matches!(state_of(&mesh, CLOSE), WorkState::Skipped { .. }), "{:?}", state_of(&mesh, CLOSE));
}

#[test]
fn a_throttle_alone_never_leads_to_a_grant() {
    let mut fleet = fleet();
    let service = fleet.services.get_mut(&service("maip")).expect("it was applied");
    service.manifest.fence = Fencing { fences: vec![throttle()], ..Fencing::default() };
    service.manifest.resources.clear();
    let command = start(&fleet, WEST);
    accepted(&mut fleet, at(10), &command);
    for second in 11..200 {
        for command in engine::next(&fleet, &view(&fleet, at(second), &[])) {
            let is_grant = matches!(command, Command::Grant { .. });
            let reply = fleet.apply(at(second), &command).reply;
            assert_eq!(matches!(reply, Reply::Refused(_)), is_grant, "{command:?}: {reply:?}");
            if is_grant {
                assert!(state_is_done(&fleet, CLOSE), "everything before it is done");
                return;
            }
        }
        let open: Vec<Command> = run(&fleet)
            .open_intents()
            .map(|(step, direction, intent)| Command::CloseIntent {
                run: run(&fleet).id.clone(),
                step: step.id.clone(),
                direction,
                seq: intent.seq,
                outcome: outcome(OutcomeResult::Done),
            })
            .collect();
        open.iter().for_each(|command| drop(fleet.apply(at(second), command)));
    }
    panic!("the grant never became due");
}

fn state_is_done(fleet: &Fleet, id: &str) -> bool {
    run(fleet).steps[&StepId::new(id).expect("a name")].forward.state == WorkState::Done
}
