//! The mesh decides by itself, or does not, on real processes.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that finds something else fails its test"
)]

use std::time::Duration;

use mesh_core::run::{Cause, RunState};
use mesh_suite::Rig;
use mesh_suite::by_itself::{WEB, blocking, policy};
use mesh_suite::rig::describe;
use meshctl::demo::maip::{NEW, WITNESS};
use meshctl::demo::region_loss::LOST;

/// Several times the policy's `sustained`: what has not begun by then is not about to.
const QUIET: Duration = Duration::from_secs(10);

async fn raise(mode: &str) -> Rig {
    let rig = Rig::raise_by_itself("").await;
    rig.adopt_web(&rig.stand.ready.apps, &policy(mode)).await;
    rig
}

/// The service moves, and says by itself why.
async fn moves(rig: &Rig, nth: usize, to: &str) {
    let run = rig.until_failover(WEB, nth).await;
    let done = rig.until_settled(&run).await;
    assert_eq!(done.state, RunState::Done, "{}", describe(&done));
    assert_eq!(done.plan.to.as_str(), to);
    assert!(matches!(done.cause, Cause::Automatic { .. }), "{:?}", done.cause);
    let why = rig.ctl(&["--json", "why", run.as_str()]).await.expect(0).json();
    assert_eq!(why["judgement"]["conclusion"], "act", "{why}");
    assert_eq!(why["judgement"]["regions"][done.plan.from.as_str()]["verdict"], "down", "{why}");
}

#[tokio::test]
async fn a_region_s_death_moves_the_service_without_a_command() {
    let mut rig = raise("full").await;
    rig.lead_from(WITNESS).await;
    rig.lose(LOST).await;
    moves(&rig, 1, NEW).await;
    rig.ctl(&["audit", "verify"]).await.expect(0);
}

#[tokio::test]
async fn a_leader_that_dies_with_the_primary_does_not_block_the_next() {
    let mut rig = raise("full").await;
    rig.lead_from(LOST).await;
    rig.lose(LOST).await;
    moves(&rig, 1, NEW).await;
}

#[tokio::test]
async fn notify_only_tells() {
    let mut rig = raise("notify").await;
    let before = rig.applied().await;
    rig.lose(LOST).await;
    let noted = |rig: &Rig| {
        let mesh = rig.mesh();
        async move { mesh.find_service(&WEB.parse().expect("a name")).await.ok().flatten()?.noted }
    };
    let deadline = std::time::Instant::now() + mesh_suite::rig::LONG;
    let noted = loop {
        if let Some(noted) = noted(&rig).await {
            break noted;
        }
        assert!(std::time::Instant::now() < deadline, "nobody was told");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(noted.to.as_str(), NEW);
    tokio::time::sleep(QUIET).await;
    assert!(rig.failovers(WEB).await.is_empty());
    assert_eq!(rig.applied().await, before, "something was changed");
    let shown = rig.ctl(&["service", WEB]).await.expect(0);
    assert!(shown.stdout.contains("it should have been moved to us-west-2"), "{}", shown.stdout);
}

#[tokio::test]
async fn a_failure_that_only_the_region_itself_sees_moves_nothing() {
    let rig = Rig::raise_by_itself("").await;
    let network = rig.network().await;
    rig.adopt_web(&network.addresses, &policy("full")).await;
    network.cut(LOST, LOST);
    let judged = rig.until_judged(WEB, "local-only", |judged| judged["regions"][LOST]["pattern"] == "local-only").await;
    assert_eq!(judged["regions"][LOST]["verdict"], "suspect", "{judged}");
    assert!(blocking(&judged).contains(&"verdict".to_owned()), "{judged}");
    tokio::time::sleep(QUIET).await;
    assert!(rig.failovers(WEB).await.is_empty());
    assert!(network.take_lost() > 0, "nothing was lost: the cut showed nothing");
}

#[tokio::test]
async fn a_freeze_blocks_and_its_expiry_releases() {
    let mut rig = raise("full").await;
    let frozen = rig.ctl(&["--json", "freeze", WEB, "--for", "25s", "--reason", "a release"]).await.expect(0).json();
    rig.lose(LOST).await;
    let judged = rig
        .until_judged(WEB, "down, and frozen", |judged| {
            judged["regions"][LOST]["verdict"] == "down" && judged["conclusion"] == "blocked"
        })
        .await;
    assert_eq!(blocking(&judged), ["freeze"], "{judged}");
    assert!(rig.failovers(WEB).await.is_empty());
    let run = rig.until_failover(WEB, 1).await;
    let run = rig.mesh().run(&run).await.expect("the run");
    assert!(run.started_at.as_millis() >= frozen["until"].as_u64().expect("a time"), "it began while it was frozen");
    moves(&rig, 1, NEW).await;
}

#[tokio::test]
async fn a_freeze_of_the_whole_mesh_is_ended_by_a_person() {
    let mut rig = raise("full").await;
    rig.ctl(&["freeze", "--for", "1h", "--reason", "an exercise"]).await.expect(0);
    rig.lose(LOST).await;
    let judged = rig.until_judged(WEB, "down", |judged| judged["regions"][LOST]["verdict"] == "down").await;
    assert_eq!(blocking(&judged), ["freeze"], "{judged}");
    tokio::time::sleep(QUIET).await;
    assert!(rig.failovers(WEB).await.is_empty());
    rig.ctl(&["unfreeze"]).await.expect(0);
    moves(&rig, 1, NEW).await;
}

#[tokio::test]
async fn a_cool_down_survives_a_restart_of_all_coordinators_and_ends_with_a_person_s_word() {
    let mut rig = raise("full").await;
    // Its application only: the agents of the region go on, and so can see it come back.
    rig.region(LOST, "down").await;
    moves(&rig, 1, NEW).await;
    rig.region(LOST, "up").await;
    for node in 1..=3 {
        rig.kill(&format!("coordinator-{node}"));
    }
    for node in 1..=3 {
        rig.restart(&format!("coordinator-{node}"));
    }
    rig.until_whole().await;
    rig.until_judged(WEB, "every region is healthy", |judged| {
        judged["regions"].as_object().is_some_and(|all| all.values().all(|one| one["verdict"] == "healthy"))
    })
    .await;
    rig.region(NEW, "down").await;
    let judged = rig.until_judged(WEB, "down", |judged| judged["regions"][NEW]["verdict"] == "down").await;
    assert_eq!(blocking(&judged), ["cool-down"], "{judged}");
    tokio::time::sleep(QUIET).await;
    assert_eq!(rig.failovers(WEB).await.len(), 1, "it moved within its cool-down");
    rig.ctl(&["ack", WEB]).await.expect(0);
    moves(&rig, 2, LOST).await;
}
