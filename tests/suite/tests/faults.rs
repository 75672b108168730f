//! Each mutating call with each way to fail: the run ends right and every effect happens once.

use mesh_suite::Rig;
use mesh_suite::rig::describe;

const CALLS: [(&str, &str, &str); 5] = [
    ("rds", "us-east-1", "ModifyDBInstance"),
    ("rds", "us-east-1", "RebootDBInstance"),
    ("rds", "us-west-2", "PromoteReadReplica"),
    ("route53", "us-east-1", "ChangeResourceRecordSets"),
    ("sns", "us-west-2", "Publish"),
];

async fn every_call_fails_once(kind: &str) {
    let rig = Rig::raise().await;
    let mut faults = Vec::new();
    for (service, region, operation) in CALLS {
        faults.push(rig.fault(service, region, operation, kind).await);
    }
    let run = rig.begin_failover().await;
    let run = rig.until_settled(&run).await;
    for (fault, (_, _, operation)) in faults.iter().zip(CALLS) {
        assert_eq!(rig.fired(fault).await, 1, "the {kind} of {operation}: {}", describe(&run));
    }
    rig.judge_failover(&run).await;
}

#[tokio::test]
async fn a_call_that_fails_is_repeated() {
    every_call_fails_once("error").await;
}

#[tokio::test]
async fn a_call_that_is_throttled_is_repeated() {
    every_call_fails_once("throttle").await;
}

#[tokio::test]
async fn a_call_that_was_lost_is_repeated() {
    every_call_fails_once("timeout-not-applied").await;
}

#[tokio::test]
async fn a_call_whose_reply_was_lost_is_looked_up_and_not_repeated() {
    every_call_fails_once("timeout-applied").await;
}
