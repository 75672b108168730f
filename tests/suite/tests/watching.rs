//! A person at a terminal: watching, stopping, mending, going on; and what others did to the account meanwhile.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that finds something else fails its test"
)]

use aws_sdk_route53::types::RrType;
use mesh_core::ids::RunId;
use mesh_core::run::{Need, Run, RunState, WorkState};
use mesh_suite::foreign::{NEW_ALB, OLD_ALB, set};
use mesh_suite::processes::Signal;
use mesh_suite::rig::describe;
use mesh_suite::{Foreign, Rig, Terminal};
use serde_json::json;

const RECORD: &str = "api.maip.example.com";

fn state_of<'r>(run: &'r Run, action: &str) -> &'r WorkState {
    let step = run.plan.steps.iter().find(|step| step.action.name() == action).expect("a step of the plan");
    &run.steps[&step.id].forward.state
}

fn held_at(run: &Run, action: &str) -> bool {
    matches!(&run.state, RunState::Held { need: Need::Decision { step }, .. } if step.as_str().starts_with(action))
}

/// The one record set of the demo's name must point at this load balancer.
async fn assert_points_at(rig: &Rig, (zone, name): (&str, &str)) {
    let records = rig.records(RECORD).await;
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0]["type"].as_str().or(records[0]["kind"].as_str()), Some("A"), "{records:?}");
    assert_eq!(records[0]["alias"]["zone"], zone, "{records:?}");
    assert_eq!(records[0]["alias"]["name"], format!("{name}."), "{records:?}");
}

#[tokio::test]
async fn ctrl_c_stops_the_watching_and_not_the_run() {
    let mut rig = Rig::raise().await;
    let hold = rig.fault("rds", "us-west-2", "PromoteReadReplica", "hold-after").await;
    let profile = rig.stand.layout.profile();
    let failover = Terminal::open(&profile, &["failover", "--to", "us-west-2", "--yes"]);
    rig.until_fired(&hold).await;
    let run: RunId = "maip-g2".parse().expect("the first failover after the set-up");
    failover.until_shown(run.as_str()).await;
    failover.ctrl_c();
    let said = failover.ended().await.expect(130);
    assert!(said.stderr.contains(&format!("meshctl watch {run}")), "{}", said.stderr);

    let watch = Terminal::open(&profile, &["watch", run.as_str()]);
    watch.until_shown("rds-promote").await;
    watch.ctrl_c();
    let said = watch.ended().await.expect(130);
    assert!(said.stderr.contains(&format!("meshctl watch {run}")), "{}", said.stderr);
    assert_eq!(rig.mesh().run(&run).await.expect("the run").state, RunState::Running);

    // Every coordinator that this watch could be connected to dies once, one after another.
    let watch = Terminal::open(&profile, &["--json", "watch", run.as_str()]);
    watch.until_shown("rds-promote").await;
    for node in 1..=3 {
        let name = format!("coordinator-{node}");
        rig.kill(&name);
        rig.leader().await;
        rig.restart(&name);
        rig.until_whole().await;
    }
    rig.release(&hold).await;
    let said = watch.ended().await.expect(0);
    assert!(said.stderr.contains("connection lost"), "{}", said.stderr);
    assert_eq!(said.json()["state"], "done", "{}", said.stdout);
    let done = rig.until_settled(&run).await;
    rig.judge_failover(&done).await;
}

#[tokio::test]
async fn a_pause_names_the_executor_that_cannot_answer_and_nothing_more_happens_until_resume() {
    let rig = Rig::raise().await;
    let hold = rig.fault("rds", "us-west-2", "PromoteReadReplica", "hold-after").await;
    let run = rig.begin_failover().await;
    rig.until_fired(&hold).await;
    let now = rig.until(&run, "an executor", |run| run.open_intents().next().is_some()).await;
    let agent = now.open_intents().next().map(|(_, _, intent)| intent.agent.to_string()).expect("an executor");
    let process = format!("agent-{agent}");
    rig.signal(&process, Signal::STOP);
    let paused = rig.ctl(&["--json", "pause", run.as_str()]).await.expect(0).json();
    assert_eq!(paused["unacknowledged"], json!([agent]), "{paused}");
    let said = rig.ctl(&["pause", run.as_str()]).await.expect(0);
    assert!(said.stdout.contains(&agent) && said.stdout.contains("asks again"), "{}", said.stdout);
    rig.signal(&process, Signal::CONT);
    rig.release(&hold).await;
    // The provider finishes what it has begun; nothing new is sent.
    rig.until_state("the promotion's end", |state| {
        state["instances"].as_array().is_some_and(|all| all.iter().all(|one| one["read_only"] == false))
    })
    .await;
    rig.until_whole().await;
    let paused = rig.ctl(&["--json", "pause", run.as_str()]).await.expect(0).json();
    assert_eq!(paused["unacknowledged"], json!([]), "{paused}");
    let records = rig.applied().await.get(&("ChangeResourceRecordSets".to_owned(), "us-east-1".to_owned())).copied();
    assert_eq!(records, Some(1), "only the set-up changed records");
    let now = rig.mesh().run(&run).await.expect("the run");
    assert_eq!(*state_of(&now, "route53-replace"), WorkState::Waiting, "{}", describe(&now));

    rig.ctl(&["resume", run.as_str()]).await.expect(0);
    let done = rig.until_settled(&run).await;
    rig.judge_failover(&done).await;
}

#[tokio::test]
async fn a_held_step_is_mended_and_retried_and_a_promotion_is_not_aborted() {
    let rig = Rig::raise().await;
    let manifest = std::fs::read_to_string(rig.stand.layout.manifest()).expect("the manifest");
    let impatient = rig.path("impatient.yaml").display().to_string();
    std::fs::write(&impatient, format!("{manifest}policy:\n  verify-timeout: 4s\n")).expect("a manifest");
    rig.ctl(&["apply", "-f", &impatient, "--yes"]).await.expect(0);

    let hold = rig.fault("route53", "us-east-1", "ChangeResourceRecordSets", "hold-after").await;
    let failover = Terminal::open(&rig.stand.layout.profile(), &["--json", "failover", "--to", "us-west-2", "--yes"]);
    rig.until_fired(&hold).await;
    let run: RunId = "maip-g2".parse().expect("a run");
    let refused = rig.ctl(&["abort", run.as_str(), "--reason", "second thoughts", "--yes"]).await.expect(3);
    assert!(refused.stderr.contains("rds-promote-database"), "{}", refused.stderr);
    assert!(refused.stderr.contains("cannot be undone"), "{}", refused.stderr);

    // The new application cannot reach its database, until somebody mends it.
    let foreign = Foreign::new(&rig).await;
    foreign.security_groups("us-west-2", "maip-prod-postgres-replica", "sg-closed-us-west-2").await;
    foreign.reboot("us-west-2", "maip-prod-postgres-replica").await;
    rig.until_app("us-west-2", 503).await;
    rig.release(&hold).await;
    let held = rig.until_settled(&run).await;
    assert!(held_at(&held, "http-verify"), "{}", describe(&held));
    let said = failover.ended().await.expect(6);
    assert_eq!(said.json()["runs"][0]["state"], "held", "{}", said.stdout);
    let watched = rig.ctl(&["watch", run.as_str()]).await.expect(6);
    assert!(watched.stderr.contains(&format!("meshctl retry {run}")), "{}", watched.stderr);

    foreign.security_groups("us-west-2", "maip-prod-postgres-replica", "sg-open-us-west-2").await;
    rig.until_app("us-west-2", 200).await;
    rig.ctl(&["retry", run.as_str()]).await.expect(0);
    rig.ctl(&["watch", run.as_str()]).await.expect(0);
    let done = rig.until_settled(&run).await;
    rig.judge_failover(&done).await;
    rig.ctl(&["retry", run.as_str()]).await.expect(3);
}

#[tokio::test]
async fn a_record_that_others_changed_since_the_set_up_is_replaced_by_what_the_plan_says() {
    let rig = Rig::raise().await;
    let foreign = Foreign::new(&rig).await;
    // Changed before the run, and once more between its look and its change.
    foreign.upsert(set(RECORD, RrType::A).values(30, &["192.0.2.7", "192.0.2.8"]).build()).await;
    let hold = rig.fault("route53", "us-east-1", "ChangeResourceRecordSets", "hold-before").await;
    let run = rig.begin_failover().await;
    rig.until_fired(&hold).await;
    foreign.upsert(set(RECORD, RrType::A).values(45, &["192.0.2.9"]).build()).await;
    rig.release(&hold).await;
    let done = rig.until_settled(&run).await;
    assert_eq!(done.state, RunState::Done, "{}", describe(&done));
    assert_points_at(&rig, NEW_ALB).await;
    let report = rig.ctl(&["--json", "report", run.as_str()]).await.expect(0);
    assert!(report.stdout.contains("192.0.2.9"), "the report says what was replaced: {}", report.stdout);
}

#[tokio::test]
async fn a_removed_token_holds_the_run_with_the_command_that_mends_it() {
    let rig = Rig::raise().await;
    let foreign = Foreign::new(&rig).await;
    foreign.remove_token(&rig, RECORD).await;
    let dry = rig.ctl(&["failover", "--to", "us-west-2", "--dry-run"]).await.expect(3);
    assert!(dry.stdout.contains("meshctl traffic setup"), "a rehearsal finds it: {}", dry.stdout);
    let run = rig.begin_failover().await;
    let held = rig.until_settled(&run).await;
    assert!(held_at(&held, "route53-replace"), "{}", describe(&held));
    assert_points_at(&rig, OLD_ALB).await;
    let watched = rig.ctl(&["watch", run.as_str()]).await.expect(6);
    assert!(watched.stderr.contains("has no fencing token"), "{}", watched.stderr);
    assert!(watched.stderr.contains(&format!("meshctl retry {run}")), "{}", watched.stderr);
    // The service is moving already, so this is not the time for a set-up of its own.
    rig.ctl(&["traffic", "setup", "--yes"]).await.expect(3);
    rig.ctl(&["retry", run.as_str()]).await.expect(0);
    let done = rig.until(&run, "an end", |run| run.state.is_terminal()).await;
    assert_eq!(done.state, RunState::Done, "{}", describe(&done));
    assert_points_at(&rig, NEW_ALB).await;
    let token = rig.token(RECORD).await.expect("a token again");
    assert!(token.starts_with("\"2."), "{token}");
}

#[tokio::test]
async fn a_replica_that_somebody_promoted_already_is_a_step_that_is_done() {
    let rig = Rig::raise().await;
    let foreign = Foreign::new(&rig).await;
    foreign.promote("us-west-2", "maip-prod-postgres-replica").await;
    rig.until_state("the promotion's end", |state| {
        state["instances"]
            .as_array()
            .is_some_and(|all| all.iter().all(|one| one["read_only"] == false && one["status"] == "available"))
    })
    .await;
    let run = rig.begin_failover().await;
    let done = rig.until_settled(&run).await;
    // Promoted once, by the other client; everything else as in any failover.
    rig.judge_failover(&done).await;
    let report = rig.ctl(&["report", run.as_str()]).await.expect(0);
    assert!(report.stdout.contains("already as wanted"), "{}", report.stdout);
}
