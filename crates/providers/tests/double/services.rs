use mesh_core::execute::{CallResult, Job, Observation};
use mesh_core::plan::Action;
use serde_json::{Value, json};

use crate::rig::{Rig, job, step, undo};

const CLUSTER: &str = "maip-prod-dr-ecs";
const SERVICE: &str = "maip-reports";

fn look() -> Job {
    job(
        "ecs-check-reports",
        "7.3",
        Action::EcsCheckService { cluster: CLUSTER.to_owned(), service: SERVICE.to_owned() },
    )
}

fn scale(tasks: u32) -> Job {
    let (cluster, service) = (CLUSTER.to_owned(), SERVICE.to_owned());
    job("ecs-scale-reports", "7.8", Action::EcsScaleService { cluster, service, tasks })
}

fn restore(looked: &Value, left: &Value) -> Job {
    let (cluster, service) = (CLUSTER.to_owned(), SERVICE.to_owned());
    let action = Action::EcsRestoreService { cluster, service, as_of: step("ecs-check-reports") };
    undo(&scale(4), action, &[("ecs-check-reports", looked), ("ecs-scale-reports", left)])
}

#[tokio::test]
async fn a_service_is_scaled_once_until_it_is_steady_and_restored_to_what_was_looked_at() {
    let rig = Rig::start(|_| {}).await;
    let (looked, _) = rig.carry_out(&look()).await;
    assert_eq!(looked, json!({ "desired": 0, "running": 0, "status": "ACTIVE" }));
    let (scaled, sent) = rig.carry_out(&scale(4)).await;
    assert_eq!(scaled, json!({ "desired": 4, "running": 4, "status": "ACTIVE" }));
    assert!(matches!(sent.as_slice(), [CallResult::Accepted { .. }]), "{sent:?}");
    let (_, sent) = rig.carry_out(&scale(2)).await;
    assert!(sent.is_empty(), "nothing is lowered");
    let (restored, sent) = rig.carry_out(&restore(&looked, &scaled)).await;
    assert_eq!((restored["desired"].as_u64(), sent.len()), (Some(0), 1));
}

#[tokio::test]
async fn a_lost_reply_is_looked_up_before_it_is_repeated() {
    let rig = Rig::start(|_| {}).await;
    let fault = rig.fault(json!({ "service": "ecs", "operation": "UpdateService", "kind": "timeout-applied" }));
    let (_, sent) = rig.carry_out(&scale(4)).await;
    assert!(matches!(sent.as_slice(), [CallResult::Unknown { .. }]), "{sent:?}");
    assert_eq!((rig.fired(fault), rig.applied("UpdateService").len()), (1, 1));
}

#[tokio::test]
async fn a_throttled_call_is_certainly_not_applied() {
    let rig = Rig::start(|_| {}).await;
    let fault = rig.fault(json!({ "service": "ecs", "operation": "UpdateService", "kind": "throttle" }));
    let (_, sent) = rig.carry_out(&scale(4)).await;
    assert!(matches!(sent.as_slice(), [CallResult::NotApplied { .. }, CallResult::Accepted { .. }]), "{sent:?}");
    assert_eq!(rig.fired(fault), 1);
}

#[tokio::test]
async fn what_is_not_there_blocks() {
    let rig = Rig::start(|_| {}).await;
    for (cluster, service, words) in [(CLUSTER, "gone", "MISSING"), ("gone", SERVICE, "ClusterNotFoundException")] {
        let mut missing = look();
        missing.action = Action::EcsCheckService { cluster: cluster.to_owned(), service: service.to_owned() };
        let seen = rig.observe(&missing).await;
        assert!(matches!(&seen, Observation::Blocked { reason } if reason.contains(words)), "{seen:?}");
    }
}

#[tokio::test]
async fn a_count_that_someone_set_since_is_not_undone() {
    let rig = Rig::start(|_| {}).await;
    let (looked, _) = rig.carry_out(&look()).await;
    let (scaled, _) = rig.carry_out(&scale(4)).await;
    rig.carry_out(&scale(6)).await;
    let seen = rig.observe(&restore(&looked, &scaled)).await;
    assert!(matches!(&seen, Observation::Blocked { reason } if reason.contains("wants 6 tasks")), "{seen:?}");
}

#[tokio::test]
async fn a_broker_cluster_is_found_by_its_whole_name() {
    let rig = Rig::start(|_| {}).await;
    let check = |cluster: &str| job("msk-check-events", "7.4", Action::MskCheckCluster { cluster: cluster.to_owned() });
    let (seen, _) = rig.carry_out(&check("maip-prod-dr-kafka")).await;
    assert_eq!(seen["state"], "ACTIVE");
    assert!(seen["arn"].as_str().expect("an ARN").contains(":cluster/maip-prod-dr-kafka/"), "{seen}");
    let seen = rig.observe(&check("maip-prod-dr")).await;
    assert!(matches!(&seen, Observation::Blocked { reason } if reason.contains("no cluster")), "{seen:?}");
}
