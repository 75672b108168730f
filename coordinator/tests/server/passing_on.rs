use mesh_core::access::Role;
use mesh_core::run::RunState;
use mesh_proto::v1;
use tonic::Code;

use crate::fixture::{maip, run, start_failover};
use crate::world::World;

#[tokio::test]
async fn a_request_to_a_follower_reaches_the_leader_in_the_callers_name() {
    let world = World::start(2).await;
    let mut manifest = maip();
    manifest.description = "changed".to_owned();
    let request = v1::ApplyManifestRequest {
        manifest: Some(v1::Manifest::from(&manifest)),
        source: "changed".to_owned(),
        expected_version: 1,
    };
    let answer = world.operator(2, Role::Admin, "ann").apply_manifest(request).await.expect("applied").into_inner();
    assert_eq!(answer.version, 2);
    let by = world.shared.with_fleet(|fleet| fleet.services[&maip().service].applied_by.clone());
    assert_eq!(by, "spiffe://test/region/us-east-1/admin/ann");
}

#[tokio::test]
async fn a_follower_gives_the_leaders_refusal_unchanged() {
    let world = World::start(2).await;
    let request = v1::GetServiceRequest { service: "unheard".to_owned() };
    let here = world.operator(1, Role::Viewer, "vic").get_service(request.clone()).await.expect_err("refused");
    let there = world.operator(2, Role::Viewer, "vic").get_service(request).await.expect_err("refused");
    assert_eq!((here.code(), here.message()), (there.code(), there.message()));
    assert_eq!(here.code(), Code::NotFound);
}

#[tokio::test]
async fn a_request_that_was_passed_on_goes_no_further() {
    let world = World::start(2).await;
    // What a follower sees that was told of a leader which no longer leads.
    let mut passed_on = tonic::Request::new(v1::GetServiceRequest { service: "maip".to_owned() });
    let ann = "spiffe://test/region/us-east-1/admin/ann".parse().expect("an identity");
    mesh_runtime::identity::speak_for(&mut passed_on, &ann);
    let status = world.operator(2, Role::Coordinator, "c9").get_service(passed_on).await.expect_err("refused");
    assert_eq!(status.code(), Code::Unavailable, "{status}");
}

#[tokio::test]
async fn a_viewer_cannot_act_through_a_follower() {
    let world = World::start(2).await;
    let request = v1::ControlRunRequest {
        run: "maip-g1".to_owned(),
        order: Some(v1::control_run_request::Order::Pause(v1::Nothing {})),
    };
    let status = world.operator(2, Role::Viewer, "vic").control_run(request).await.expect_err("refused");
    assert_eq!(status.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn without_a_leader_or_a_quorum_a_read_is_unavailable_and_a_stale_one_says_so() {
    let world = World::start(1).await;
    world.shared.set_quorum(false);
    let mut operator = world.operator(1, Role::Viewer, "vic");
    let status = operator.get_status(v1::GetStatusRequest { stale: false }).await.expect_err("no quorum");
    assert_eq!(status.code(), Code::Unavailable);
    let stale = operator.get_status(v1::GetStatusRequest { stale: true }).await.expect("answered").into_inner();
    assert!(stale.stale);
    assert_eq!(stale.answered_by, 1);
    assert_eq!(stale.services.len(), 1);
}

#[tokio::test]
async fn a_watch_on_a_follower_shows_each_change_and_outlives_the_leader() {
    let world = World::start(3).await;
    world.shared.apply(&world.shared.with_fleet(start_failover));
    let request = v1::GetRunRequest { run: "maip-g1".to_owned() };
    let mut watch = world.operator(2, Role::Viewer, "vic").watch_run(request).await.expect("watched").into_inner();
    let state = |shown: Option<v1::GetRunResponse>| shown.and_then(|shown| shown.run).expect("a run");
    assert!(state(watch.message().await.expect("shown")).paused.is_none());
    world.shared.elect(3);
    world.shared.apply(&mesh_core::fleet::Command::Pause { run: run("maip-g1"), by: "ann".to_owned() });
    while state(watch.message().await.expect("shown")).paused.is_none() {}
    world.shared.apply(&mesh_core::fleet::Command::Abort {
        run: run("maip-g1"),
        by: "ann".to_owned(),
        reason: "test".to_owned(),
    });
    world.shared.until("the run has ended", |fleet| fleet.runs[&run("maip-g1")].state == RunState::Compensated).await;
    while watch.message().await.expect("shown").is_some() {}
}
