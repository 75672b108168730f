use mesh_core::execute::{CallResult, Job, Observation};
use mesh_core::plan::Action;
use mesh_providers::Provider;
use serde_json::{Value, json};

use crate::rig::{CLUSTER, NODE_GROUP, Rig, job, step, undo};

fn look() -> Job {
    let action = Action::EksCheckNodegroup { cluster: CLUSTER.to_owned(), node_group: NODE_GROUP.to_owned() };
    job("eks-check-nodegroup-platform", "7.1", action)
}

fn scale(min: u32, max: u32, desired: u32) -> Job {
    let (cluster, node_group) = (CLUSTER.to_owned(), NODE_GROUP.to_owned());
    job("eks-scale-nodegroup-platform", "7.5", Action::EksScaleNodegroup { cluster, node_group, min, max, desired })
}

fn restore(looked: &Value, left: Option<&Value>) -> Job {
    let action = Action::EksRestoreNodegroup {
        cluster: CLUSTER.to_owned(),
        node_group: NODE_GROUP.to_owned(),
        as_of: step("eks-check-nodegroup-platform"),
    };
    let mut evidence = vec![("eks-check-nodegroup-platform", looked)];
    evidence.extend(left.map(|left| ("eks-scale-nodegroup-platform", left)));
    undo(&scale(4, 20, 8), action, &evidence)
}

#[tokio::test]
async fn a_node_group_is_scaled_once_and_restored_to_what_was_looked_at() {
    let rig = Rig::start(|_| {}).await;
    let (looked, _) = rig.carry_out(&look()).await;
    assert_eq!(looked, json!({ "min": 1, "max": 20, "desired": 1, "status": "ACTIVE" }));
    let (scaled, sent) = rig.carry_out(&scale(4, 12, 8)).await;
    assert_eq!(scaled, json!({ "min": 4, "max": 20, "desired": 8, "status": "ACTIVE" }), "the greatest is not lowered");
    assert!(matches!(sent.as_slice(), [CallResult::Accepted { .. }]), "{sent:?}");
    let (again, sent) = rig.carry_out(&scale(4, 12, 8)).await;
    assert_eq!((again, sent.len()), (scaled.clone(), 0), "it is as wanted already");
    let (restored, sent) = rig.carry_out(&restore(&looked, Some(&scaled))).await;
    assert_eq!((restored, sent.len()), (looked, 1));
}

#[tokio::test]
async fn a_lost_reply_is_looked_up_before_it_is_repeated() {
    let rig = Rig::start(|_| {}).await;
    let fault = rig.fault(json!({ "service": "eks", "operation": "UpdateNodegroupConfig", "kind": "timeout-applied" }));
    let (_, sent) = rig.carry_out(&scale(4, 20, 8)).await;
    assert!(matches!(sent.as_slice(), [CallResult::Unknown { .. }]), "{sent:?}");
    assert_eq!(rig.fired(fault), 1);
    assert_eq!(rig.applied("UpdateNodegroupConfig").len(), 1);
}

#[tokio::test]
async fn a_repeated_call_is_the_same_call_to_eks() {
    let rig = Rig::start(|_| {}).await;
    let before = rig.before(&scale(4, 20, 8)).await;
    let first = rig.providers.call(&scale(4, 20, 8), &before).await;
    let second = rig.providers.call(&scale(4, 20, 8), &before).await;
    assert!(matches!(first, CallResult::Accepted { .. }), "{first:?}");
    assert_eq!(first, second, "one update");
}

#[tokio::test]
async fn throttled_and_busy_are_certainly_not_applied() {
    let rig = Rig::start(|_| {}).await;
    let fault = rig.fault(json!({ "service": "eks", "operation": "UpdateNodegroupConfig", "kind": "throttle" }));
    let before = rig.before(&scale(4, 20, 8)).await;
    let throttled = rig.providers.call(&scale(4, 20, 8), &before).await;
    assert!(matches!(throttled, CallResult::NotApplied { .. }), "{throttled:?}");
    assert_eq!(rig.fired(fault), 1);
    assert!(matches!(rig.providers.call(&scale(4, 20, 8), &before).await, CallResult::Accepted { .. }));
    let other = r#"{"min":1,"max":20,"desired":1,"to":{"min":5,"max":20,"desired":9}}"#;
    let busy = rig.providers.call(&scale(5, 20, 9), other).await;
    let CallResult::NotApplied { reason } = busy else { panic!("it is updating: {busy:?}") };
    assert!(reason.contains("ResourceInUseException"), "{reason}");
}

#[tokio::test]
async fn a_region_without_machines_is_told_of_and_not_done() {
    let rig = Rig::start(|_| {}).await;
    let url = format!("{}/_double/eks/us-west-2/{CLUSTER}/{NODE_GROUP}", rig.double.addresses.aws);
    let order = reqwest::Client::new().post(url).json(&json!({ "machines_max": 2 })).send().await;
    assert!(order.expect("an answer").status().is_success());
    let before = rig.before(&scale(4, 20, 8)).await;
    assert!(matches!(rig.providers.call(&scale(4, 20, 8), &before).await, CallResult::Accepted { .. }));
    let lacks = |seen: &Observation| matches!(seen, Observation::Pending { note } if note.contains("InsufficientInstanceCapacity"));
    rig.until(&scale(4, 20, 8), lacks).await;
}

#[tokio::test]
async fn what_is_not_there_blocks() {
    let rig = Rig::start(|_| {}).await;
    let mut missing = look();
    missing.action = Action::EksCheckNodegroup { cluster: CLUSTER.to_owned(), node_group: "gone".to_owned() };
    let Observation::Blocked { reason } = rig.observe(&missing).await else { panic!("there is none") };
    assert!(reason.contains("ResourceNotFoundException") && reason.contains("manifest"), "{reason}");
}

#[tokio::test]
async fn sizes_that_someone_set_since_are_not_undone() {
    let rig = Rig::start(|_| {}).await;
    let (looked, _) = rig.carry_out(&look()).await;
    let (scaled, _) = rig.carry_out(&scale(4, 20, 8)).await;
    rig.carry_out(&scale(6, 25, 9)).await;
    let Observation::Blocked { reason } = rig.observe(&restore(&looked, Some(&scaled))).await else {
        panic!("it is another's");
    };
    assert!(reason.contains("min 6, max 25, desired 9") && reason.contains("min 4, max 20, desired 8"), "{reason}");
}
