//! What people decide: consent, pause, abort; and what they are refused.

use std::time::Instant;

use mesh_core::run::{Need, RunState, WorkState};
use mesh_suite::Rig;
use mesh_suite::rig::LONG;

#[tokio::test]
async fn a_dead_region_moves_only_with_the_consent_of_two_people() {
    let mut rig = Rig::raise().await;
    rig.region("us-east-1", "down").await;
    rig.kill("agent-use1-a");
    rig.kill("agent-use1-b");
    rig.kill("coordinator-1");
    let said = rig.ctl_as("operator", &["--json", "failover", "--to", "us-west-2", "--yes"]).await.expect(6);
    let run = said.json()["runs"][0]["run"].as_str().expect("a run").parse().expect("its name");
    let held = rig.until_settled(&run).await;
    assert!(
        matches!(&held.state, RunState::Held { need: Need::Consent { region }, .. } if region.as_str() == "us-east-1")
    );
    assert_eq!(rig.applied().await.get(&("PromoteReadReplica".to_owned(), "us-west-2".to_owned())), None);

    let approve = |person: &'static str| {
        let key = rig.stand.layout.key(person).display().to_string();
        let rig = &rig;
        let run = run.to_string();
        async move { rig.ctl_as(person, &["approve", &run, "--key", &key, "--yes"]).await }
    };
    approve("ann").await.expect(0);
    let still = rig.until_settled(&run).await;
    assert!(matches!(still.state, RunState::Held { .. }), "one person is not two");
    // The Route 53 control plane died with us-east-1: it comes back, as the plan warned it must.
    rig.post("settings", &serde_json::json!({ "route53_control_plane_region": "us-west-2" })).await;
    approve("bob").await.expect(0);
    // On a busy machine more is expected to be lost by now than ann accepted: hers has lapsed, and both look again.
    let deadline = Instant::now() + LONG;
    let mut done = rig.until_settled(&run).await;
    while matches!(done.state, RunState::Held { need: Need::Consent { .. }, .. }) && Instant::now() < deadline {
        for person in ["ann", "bob"] {
            approve(person).await;
        }
        done = rig.until_settled(&run).await;
    }
    assert_eq!(done.state, RunState::Done, "{}", mesh_suite::rig::describe(&done));
    assert!(rig.writes("us-west-2").await);
    let report = rig.ctl(&["report", run.as_str()]).await.expect(0);
    assert!(report.stdout.contains("ann") && report.stdout.contains("bob"), "{}", report.stdout);
}

#[tokio::test]
async fn an_abort_before_the_promotion_gives_the_old_region_back() {
    let rig = Rig::raise().await;
    // The replica never catches up, so the run stays before the promotion.
    rig.post("settings", &serde_json::json!({ "replication_lag_ms": 600_000 })).await;
    let run = rig.begin_failover().await;
    rig.until(&run, "the wait for the replica", |run| {
        run.steps
            .iter()
            .any(|(id, step)| id.as_str().starts_with("rds-await-caught-up") && step.forward.state == WorkState::Open)
    })
    .await;
    assert!(!rig.writes("us-east-1").await, "the old database is fenced by now");
    let paused = rig.ctl(&["--json", "pause", run.as_str()]).await.expect(0).json();
    assert_eq!(paused["unacknowledged"].as_array().map(Vec::len), Some(0), "{paused}");
    rig.ctl(&["resume", run.as_str()]).await.expect(0);
    rig.ctl(&["abort", run.as_str(), "--reason", "the replica lags", "--yes"]).await;
    // The gate that is still being waited at ends with its own time; retrying is not needed for the undo.
    let ended = rig.until(&run, "the end of the undo", |run| run.state.is_terminal()).await;
    assert_eq!(ended.state, RunState::Compensated, "{}", mesh_suite::rig::describe(&ended));
    assert!(rig.writes("us-east-1").await, "the old database takes writes again");
    let service = rig.ctl(&["--json", "status"]).await.expect(0).stdout;
    assert!(service.contains("us-east-1"), "{service}");
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_a_reason_and_changes_nothing() {
    let rig = Rig::raise().await;
    let before = rig.ctl(&["--json", "history"]).await.expect(0).json();

    let unknown = rig.ctl(&["failover", "--to", "eu-west-9", "--yes"]).await.expect(3);
    assert!(unknown.stderr.contains("eu-west-9"), "{}", unknown.stderr);
    let active = rig.ctl(&["failover", "--to", "us-east-1", "--yes"]).await.expect(3);
    assert!(active.stderr.contains("active"), "{}", active.stderr);
    let nobody = rig.ctl(&["failover", "--to", "us-west-2", "--service", "nobody", "--yes"]).await.expect(3);
    assert!(nobody.stderr.contains("nobody"), "{}", nobody.stderr);
    rig.ctl(&["failover", "--to", "us-west-2"]).await.expect(2);
    rig.ctl(&["watch", "maip-g99"]).await.expect(3);
    let role = rig.ctl_as("ann", &["failover", "--to", "us-west-2", "--yes"]).await.expect(4);
    assert!(role.stderr.contains("approver"), "{}", role.stderr);
    let stranger = rig
        .ctl_as(
            "operator",
            &["keys", "generate", "--name", "x", "--owner", "x", "-o", &rig.path("x.key").display().to_string()],
        )
        .await;
    stranger.expect(0);
    let enroll =
        rig.ctl_as("operator", &["keys", "enroll", &rig.path("x.key.pub").display().to_string(), "--yes"]).await;
    assert_eq!(enroll.expect(4).code, 4);

    std::fs::write(rig.path("bad.yaml"), "apiVersion: mesh/v1\nservice: Maip\nwriter: sometimes\nextra: 1\n")
        .expect("a file");
    let bad = rig.ctl(&["validate", "-f", &rig.path("bad.yaml").display().to_string()]).await;
    assert_eq!(bad.code, 1, "{bad:?}");
    for line in ["bad.yaml:2:", "bad.yaml:3:", "bad.yaml:4:"] {
        assert!(bad.stdout.contains(line) || bad.stderr.contains(line), "{line} is missing: {bad:?}");
    }
    rig.ctl(&["apply", "-f", &rig.path("bad.yaml").display().to_string(), "--yes"]).await.expect(3);

    let after = rig.ctl(&["--json", "history"]).await.expect(0).json();
    assert_eq!(before, after);
    assert!(rig.applied().await.keys().all(|(operation, _)| operation == "ChangeResourceRecordSets"));
}

#[tokio::test]
async fn the_same_command_twice_is_the_same_run_and_another_target_is_refused() {
    let rig = Rig::raise().await;
    let hold = rig.fault("rds", "us-west-2", "PromoteReadReplica", "hold-before").await;
    let first = rig.begin_failover().await;
    let second = rig.begin_failover().await;
    assert_eq!(first, second);
    rig.until_fired(&hold).await;
    let other = rig.ctl(&["traffic", "setup", "--yes"]).await.expect(3);
    assert!(other.stderr.contains(first.as_str()), "{}", other.stderr);
    rig.release(&hold).await;
    let run = rig.until_settled(&first).await;
    rig.judge_failover(&run).await;
    rig.ctl(&["failover", "--to", "us-west-2", "--yes"]).await.expect(3);
}

#[tokio::test]
async fn a_dry_run_asks_every_provider_and_changes_nothing() {
    let rig = Rig::raise().await;
    let before = rig.applied().await;
    rig.ctl(&["failover", "--to", "us-west-2", "--dry-run"]).await.expect(0);
    let plan = rig.ctl(&["--json", "plan", "failover", "--to", "us-west-2"]).await.expect(0);
    assert!(plan.stdout.contains("rds-promote"), "{}", plan.stdout);
    assert_eq!(before, rig.applied().await);
    rig.region("us-west-2", "down").await;
    rig.ctl(&["failover", "--to", "us-west-2", "--dry-run"]).await.expect(3);
}

#[tokio::test]
async fn a_region_with_the_old_data_is_no_target_and_nothing_is_fenced_for_it() {
    let rig = Rig::raise().await;
    let run = rig.begin_failover().await;
    let run = rig.until_settled(&run).await;
    rig.judge_failover(&run).await;
    let before = rig.applied().await;
    let back = rig.ctl(&["failover", "--to", "us-east-1", "--yes"]).await.expect(6);
    assert!(back.stdout.contains("fenced") || back.stderr.contains("fenced"), "{back:?}");
    assert!(rig.writes("us-west-2").await, "the active database must stay open");
    assert_eq!(before, rig.applied().await, "nothing was changed");
    let held = rig.ctl(&["--json", "history"]).await.expect(0).json();
    let name = held[0]["run"].as_str().or_else(|| held["runs"][0]["run"].as_str()).expect("the newest run").to_owned();
    rig.ctl(&["abort", &name, "--reason", "no replica there", "--yes"]).await.expect(0);
}
