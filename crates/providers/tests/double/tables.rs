use std::time::Duration;

use mesh_core::execute::{Job, Observation};
use mesh_core::plan::Action;
use mesh_double::world::RegionState;
use serde_json::json;

use crate::rig::{Rig, job, region};

const TABLE: &str = "maip-prod-merchant-analytics";

fn look(table: &str) -> Job {
    let action = Action::DynamodbCheckReplica { table: table.to_owned(), from: region("us-east-1") };
    job("dynamodb-check-analytics", "7.9", action)
}

fn gate(lag_max: Duration) -> Job {
    let action = Action::DynamodbAwaitLag { table: TABLE.to_owned(), from: region("us-east-1"), lag_max };
    job("dynamodb-await-lag-analytics", "7.10", action)
}

#[tokio::test]
async fn a_replica_beside_the_region_that_is_left_serves() {
    let rig = Rig::start(|_| {}).await;
    let (seen, _) = rig.carry_out(&look(TABLE)).await;
    assert_eq!(seen, json!({ "status": "ACTIVE", "replicas": { "us-east-1": "ACTIVE", "us-west-2": "ACTIVE" } }));
    let seen = rig.observe(&look("gone")).await;
    assert!(matches!(&seen, Observation::Blocked { reason } if reason.contains("ResourceNotFound")), "{seen:?}");
}

#[tokio::test]
async fn the_gate_opens_at_the_allowed_lag_and_tells_the_numbers_until_then() {
    let rig = Rig::start(|_| {}).await;
    let measured =
        |seen: &Observation| matches!(seen, Observation::Satisfied { read_back } if !read_back.contains("unmeasured"));
    rig.until(&gate(Duration::from_secs(60)), measured).await;
    let above = rig.until(&gate(Duration::ZERO), |seen| matches!(seen, Observation::Pending { .. })).await;
    assert!(matches!(&above, Observation::Pending { note } if note.contains("0 ms may be lost")), "{above:?}");
}

#[tokio::test]
async fn a_dead_region_has_no_lag_to_wait_for() {
    let rig = Rig::start(|_| {}).await;
    rig.double.double.world(|world| world.set_region("us-east-1", RegionState::Down));
    let seen = rig.observe(&gate(Duration::ZERO)).await;
    let Observation::Satisfied { read_back } = &seen else { panic!("nothing is waited for: {seen:?}") };
    let read_back: serde_json::Value = serde_json::from_str(read_back).expect("JSON");
    assert_eq!(read_back["lag_ms"], json!(null));
    assert!(read_back["unmeasured"].as_str().expect("why").contains("us-east-1"), "{read_back}");
}

#[tokio::test]
async fn a_request_that_was_lost_once_is_no_dead_region() {
    let rig = Rig::start(|_| {}).await;
    let measured =
        |seen: &Observation| matches!(seen, Observation::Satisfied { read_back } if !read_back.contains("unmeasured"));
    rig.until(&gate(Duration::from_secs(60)), measured).await;
    let fault = rig.fault(json!({ "service": "cloudwatch", "kind": "timeout-not-applied" }));
    let seen = rig.observe(&gate(Duration::from_secs(60))).await;
    assert!(measured(&seen), "{seen:?}");
    assert_eq!(rig.fired(fault), 1);
}

#[tokio::test]
async fn a_throttled_or_forbidden_look_does_not_open_the_gate() {
    let rig = Rig::start(|_| {}).await;
    let throttle = rig.fault(json!({ "service": "cloudwatch", "kind": "throttle" }));
    let seen = rig.observe(&gate(Duration::from_secs(60))).await;
    assert!(matches!(seen, Observation::Unreadable { .. }), "{seen:?}");
    let denied = rig.fault(json!({
        "service": "cloudwatch", "kind": "error", "code": "AccessDenied", "status": 403
    }));
    let seen = rig.observe(&gate(Duration::from_secs(60))).await;
    assert!(matches!(seen, Observation::Blocked { .. }), "{seen:?}");
    assert_eq!((rig.fired(throttle), rig.fired(denied)), (1, 1));
}
