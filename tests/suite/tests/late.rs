//! A packet of an executor of an older generation arrives late, when a newer one has already acted; or the executor itself
//! does, having stood still.
//!
//! The double holds the packet back until the test lets it arrive; its sender has given up long before.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that finds something else fails its test"
)]

use std::time::{Duration, Instant};

use aws_sdk_route53::types::RrType;
use mesh_core::run::{Run, RunState, WorkState};
use mesh_suite::foreign::{NEW_ALB, OLD_ALB, set};
use mesh_suite::processes::Signal;
use mesh_suite::rig::{LONG, describe};
use mesh_suite::{Foreign, Rig};
use serde_json::Value;

const OLD: &str = "us-east-1";
const NEW: &str = "us-west-2";
const RECORD: &str = "late.maip.example.com";
const POLL: Duration = Duration::from_millis(50);
/// Many times what the next step of a run needs to begin.
const QUIET: Duration = Duration::from_secs(8);

/// A service that may write everywhere and so may go back as it came.
fn manifest(port: u16) -> String {
    let mut text = format!(
        "apiVersion: mesh/v1\nservice: late\nwriter: multi\nregions: {{ {OLD}: primary, {NEW}: standby }}\n\
         objectives: {{ rto: 2m, rpo: 0s }}\ntraffic:\n  - name: record\n    zone-id: ZMAIP0000000000\n    \
         record: {RECORD}\n    active:\n"
    );
    for (region, alb) in [(OLD, OLD_ALB.1), (NEW, NEW_ALB.1)] {
        text.push_str(&format!("      {region}: [{{ type: CNAME, ttl: 30s, values: [{alb}] }}]\n"));
    }
    text.push_str(&format!(
        "verify:\n  - name: record\n    url: http://{RECORD}:{port}/\n    body-contains: '\"region\":\"{{region}}\"'\n"
    ));
    text
}

/// What became of the packet that the fault held back, once it has arrived.
async fn arrived(rig: &Rig, fault: &str) -> Value {
    let fault: u64 = fault.parse().expect("the double numbers its faults");
    let deadline = Instant::now() + LONG;
    loop {
        let effects = rig.get("effects").await;
        let all = effects.as_array().cloned().unwrap_or_default();
        if let Some(own) = all.into_iter().find(|effect| effect["fault"].as_u64() == Some(fault)) {
            return own;
        }
        assert!(Instant::now() < deadline, "the late packet never arrived");
        tokio::time::sleep(POLL).await;
    }
}

#[tokio::test]
async fn a_late_change_of_records_is_refused_by_route_53() {
    let rig = Rig::raise().await;
    let foreign = Foreign::new(&rig).await;
    foreign.upsert(set(RECORD, RrType::Cname).values(30, &[OLD_ALB.1]).build()).await;
    let port = meshctl::demo::maip::app_port(&rig.stand.ready).expect("the double runs applications");
    rig.adopt("late", &manifest(port)).await;
    rig.ctl(&["traffic", "setup", "--service", "late", "--yes"]).await.expect(0);

    let late = rig.fault("route53", OLD, "ChangeResourceRecordSets", "hold-before").await;
    let there = rig.ctl(&["failover", "--to", NEW, "--service", "late", "--yes"]).await;
    there.expect(0);
    assert_eq!(rig.fired(&late).await, 1, "the first call of the older generation is on its way still");
    assert_eq!(rig.records(RECORD).await[0]["values"][0], NEW_ALB.1, "a repeated call moved the record");
    rig.ctl(&["failover", "--to", OLD, "--service", "late", "--yes"]).await.expect(0);
    let (records, token) = (rig.records(RECORD).await, rig.token(RECORD).await);
    assert_eq!(records[0]["values"][0], OLD_ALB.1);

    rig.release(&late).await;
    let packet = arrived(&rig, &late).await;
    assert_eq!(packet["operation"], "ChangeResourceRecordSets", "{packet}");
    assert_eq!((&packet["outcome"], &packet["error"]), (&"refused".into(), &"InvalidChangeBatch".into()), "{packet}");
    assert_eq!((rig.records(RECORD).await, rig.token(RECORD).await), (records, token), "nothing of it came through");
    rig.ctl(&["audit", "verify"]).await.expect(0);
}

/// RDS compares nothing with what it finds, so the un-fencing of the newer generation is not sent while a closing call
/// of the older one may still arrive: it would be undone.
#[tokio::test]
async fn a_late_closing_of_a_security_group_is_waited_out_before_the_group_is_opened_again() {
    let rig = Rig::raise().await;
    let late = rig.fault("rds", OLD, "ModifyDBInstance", "hold-before").await;
    // The run must not get beyond what can be undone.
    let stop = serde_json::json!({
        "service": "rds", "region": OLD, "operation": "RebootDBInstance", "kind": "throttle", "count": 0,
    });
    rig.post("faults", &stop).await;
    let run = rig.begin_failover().await;
    rig.until_fired(&late).await;
    let fenced = rig.until(&run, "the fence", |run| {
        let fence = run.plan.steps.iter().find(|step| step.action.name() == "rds-fence");
        fence.is_some_and(|step| run.steps[&step.id].forward.state == WorkState::Done)
    });
    fenced.await;
    assert!(!rig.writes(OLD).await, "the old database is closed");
    rig.ctl(&["abort", run.as_str(), "--reason", "a rehearsal", "--yes"]).await.expect(0);

    // The older generation's packet is out, the newer one's opening must wait: before the packet arrives and after.
    let opened = async || {
        let effects = rig.get("effects").await;
        let all = effects.as_array().cloned().unwrap_or_default();
        let opens = |effect: &&Value| {
            effect["operation"] == "ModifyDBInstance" && effect["parameters"].to_string().contains("sg-open-us-east-1")
        };
        all.iter().filter(opens).count()
    };
    tokio::time::sleep(QUIET).await;
    assert_eq!(opened().await, 0, "the group was opened while a closing call was on its way");
    rig.release(&late).await;
    let packet = arrived(&rig, &late).await;
    assert_eq!(packet["outcome"], "applied", "RDS cannot tell that it is late: {packet}");
    tokio::time::sleep(QUIET).await;
    assert_eq!(opened().await, 0, "nobody can know that this was the last packet");
    let now = rig.mesh().run(&run).await.expect("the run");
    assert_eq!(now.state, RunState::Unwinding, "{}", describe(&now));
    assert!(!rig.writes(OLD).await && !rig.writes(NEW).await, "no two writers, whoever comes late");
}

/// It would try its call again, as it did before it was stopped, if it did not ask first whether it still may.
#[tokio::test]
async fn an_executor_that_stood_still_makes_no_late_call() {
    let rig = Rig::raise().await;
    let refused = serde_json::json!({
        "service": "rds", "region": NEW, "operation": "PromoteReadReplica", "kind": "throttle", "count": 0,
    });
    let fault = rig.post("faults", &refused).await["id"].to_string();
    let run = rig.begin_failover().await;
    let deadline = Instant::now() + LONG;
    while rig.fired(&fault).await < 2 {
        assert!(Instant::now() < deadline, "the promotion was never tried twice");
        tokio::time::sleep(POLL).await;
    }
    let executor = |run: &Run| {
        let mut open = run.open_intents().filter(|(step, _, _)| step.action.name() == "rds-promote");
        open.next().map(|(_, _, intent)| format!("agent-{}", intent.agent))
    };
    let now = rig.until(&run, "an executor", |run| executor(run).is_some()).await;
    let still = executor(&now).expect("just seen");
    rig.signal(&still, Signal::STOP);
    rig.until(&run, "another agent's turn", |run| executor(run).is_some_and(|now| now != still)).await;
    rig.release(&fault).await;
    let done = rig.until_settled(&run).await;
    rig.judge_failover(&done).await;

    let calls = async || {
        let effects = rig.get("effects").await;
        let all = effects.as_array().cloned().unwrap_or_default();
        all.iter().filter(|effect| effect["operation"] == "PromoteReadReplica").count()
    };
    let before = calls().await;
    assert!(rig.stands_still(&still), "it slept through everything");
    rig.signal(&still, Signal::CONT);
    rig.until_whole().await;
    tokio::time::sleep(QUIET).await;
    assert_eq!(calls().await, before, "{still} called on a word that is long over");
    rig.judge_failover(&done).await;
}
