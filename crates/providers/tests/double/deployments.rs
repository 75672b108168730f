use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mesh_core::execute::{CallResult, Job, Observation};
use mesh_core::plan::Action;
use mesh_double::WorldFile;
use mesh_providers::Provider;
use mesh_providers::permit::while_permitted;
use serde_json::{Value, json};

use crate::rig::{CLUSTER, NAMESPACE, Rig, job, providers, step, undo};

/// Room for all pods, from the start.
fn roomy(file: &mut WorldFile) {
    file.settings.pods_per_node = 100;
}

fn look() -> Job {
    let action = Action::KubernetesCheck {
        cluster: CLUSTER.to_owned(),
        namespace: NAMESPACE.to_owned(),
        deployments: BTreeSet::new(),
    };
    job("kubernetes-check-platform", "7.2", action)
}

fn scale_with(token: &str, replicas: u32, named: &[(&str, u32)]) -> Job {
    let deployments: BTreeMap<_, _> = named.iter().map(|(name, replicas)| ((*name).to_owned(), *replicas)).collect();
    let (cluster, namespace) = (CLUSTER.to_owned(), NAMESPACE.to_owned());
    job("kubernetes-scale-platform", token, Action::KubernetesScale { cluster, namespace, replicas, deployments })
}

fn scale(replicas: u32) -> Job {
    scale_with("7.6", replicas, &[])
}

fn restore(looked: &Value) -> Job {
    let action = Action::KubernetesRestore {
        cluster: CLUSTER.to_owned(),
        namespace: NAMESPACE.to_owned(),
        as_of: step("kubernetes-check-platform"),
    };
    undo(&scale(4), action, &[("kubernetes-check-platform", looked)])
}

#[tokio::test]
async fn every_deployment_is_scaled_in_one_call_and_restored_to_what_was_looked_at() {
    let rig = Rig::start(roomy).await;
    let (looked, _) = rig.carry_out(&look()).await;
    assert_eq!(looked, json!({ "deployments": { "api": 1, "gateway": 1, "worker": 1 } }));
    let (scaled, sent) = rig.carry_out(&scale(4)).await;
    assert!(matches!(sent.as_slice(), [CallResult::Accepted { .. }]), "{sent:?}");
    for name in ["api", "gateway", "worker"] {
        assert_eq!(scaled["deployments"][name], json!({ "replicas": 4, "ready": 4 }));
    }
    let patches = rig.applied("PatchDeployment");
    assert_eq!(patches.len(), 3);
    for patch in &patches {
        let patch = &patch["parameters"];
        assert_eq!(patch["metadata"]["annotations"]["failover-mesh/token"], "7.6");
        assert!(patch["metadata"]["resourceVersion"].is_string(), "{patch}");
    }
    let (_, sent) = rig.carry_out(&scale(4)).await;
    assert!(sent.is_empty(), "it is as wanted already");
    let (restored, sent) = rig.carry_out(&restore(&looked)).await;
    assert_eq!((restored, sent.len()), (looked, 1));
}

#[tokio::test]
async fn only_what_is_named_is_scaled_and_nothing_is_lowered() {
    let rig = Rig::start(roomy).await;
    rig.carry_out(&scale_with("7.6", 9, &[("api", 3), ("worker", 5)])).await;
    let (scaled, _) = rig.carry_out(&scale_with("7.7", 9, &[("api", 4), ("worker", 2)])).await;
    assert_eq!(scaled["deployments"]["api"]["replicas"], 4);
    assert_eq!(scaled["deployments"]["worker"]["replicas"], 5);
    let (looked, _) = rig.carry_out(&look()).await;
    assert_eq!(looked["deployments"]["gateway"], 1);
}

#[tokio::test]
async fn pods_without_room_are_pending_with_the_schedulers_words_until_there_are_nodes() {
    let rig = Rig::start(|_| {}).await;
    let before = rig.before(&scale(4)).await;
    assert!(matches!(rig.providers.call(&scale(4), &before).await, CallResult::Accepted { .. }));
    let told = |seen: &Observation| {
        matches!(seen, Observation::Pending { note }
            if note.contains("not scheduled") && note.contains("capacity") && note.contains("nodes are available"))
    };
    rig.until(&scale(4), told).await;
    let nodes = Action::EksScaleNodegroup {
        cluster: CLUSTER.to_owned(),
        node_group: crate::rig::NODE_GROUP.to_owned(),
        min: 4,
        max: 20,
        desired: 4,
    };
    rig.carry_out(&job("eks-scale-nodegroup-platform", "7.5", nodes)).await;
    let (_, sent) = rig.carry_out(&scale(4)).await;
    assert!(sent.is_empty(), "the pods were asked for already");
}

#[tokio::test]
async fn a_lost_reply_is_looked_up_before_it_is_repeated() {
    let rig = Rig::start(roomy).await;
    let fault = rig.fault(json!({
        "service": "kubernetes", "operation": "PatchDeployment", "kind": "timeout-applied", "count": 3
    }));
    let (_, sent) = rig.carry_out(&scale(4)).await;
    assert!(matches!(sent.as_slice(), [CallResult::Unknown { .. }]), "{sent:?}");
    assert_eq!((rig.fired(fault), rig.applied("PatchDeployment").len()), (3, 3));
}

#[tokio::test]
async fn a_deployment_that_changed_since_it_was_looked_at_is_a_conflict_and_not_applied() {
    let rig = Rig::start(roomy).await;
    let before = rig.before(&scale(4)).await;
    rig.carry_out(&scale(2)).await;
    let result = rig.providers.call(&scale(4), &before).await;
    let CallResult::NotApplied { reason } = &result else { panic!("{result:?}") };
    assert!(reason.contains("409"), "{reason}");
    let (scaled, _) = rig.carry_out(&scale(4)).await;
    assert_eq!(scaled["deployments"]["api"]["replicas"], 4, "the next look decides anew");
}

#[tokio::test]
async fn a_throttled_patch_leaves_the_call_in_doubt_only_when_others_were_applied() {
    let rig = Rig::start(roomy).await;
    let fault = |count: u64| {
        rig.fault(
            json!({ "service": "kubernetes", "operation": "PatchDeployment", "kind": "throttle", "count": count }),
        )
    };
    let all = fault(3);
    let before = rig.before(&scale(4)).await;
    let result = rig.providers.call(&scale(4), &before).await;
    assert!(matches!(result, CallResult::NotApplied { .. }), "{result:?}");
    let one = fault(1);
    let result = rig.providers.call(&scale(4), &before).await;
    assert!(matches!(result, CallResult::Unknown { .. }), "{result:?}");
    assert_eq!((rig.fired(all), rig.fired(one)), (3, 1));
    let (_, sent) = rig.carry_out(&scale(4)).await;
    assert!(matches!(sent.as_slice(), [CallResult::Accepted { .. }]), "the rest: {sent:?}");
    assert_eq!(rig.applied("PatchDeployment").len(), 3, "each once");
}

#[tokio::test]
async fn a_late_patch_of_an_older_run_does_not_pass_a_newer_one() {
    let rig = Rig::start(roomy).await;
    let late = rig.fault(json!({
        "service": "kubernetes", "operation": "PatchDeployment", "kind": "late", "delay_ms": 400, "count": 3
    }));
    let older = scale(6);
    let before = rig.before(&older).await;
    let result = rig.providers.call(&older, &before).await;
    assert!(matches!(result, CallResult::Unknown { .. }), "{result:?}");
    assert_eq!(rig.fired(late), 3);
    let newer = scale_with("8.1", 2, &[]);
    rig.carry_out(&newer).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    let (looked, _) = rig.carry_out(&look()).await;
    assert_eq!(looked["deployments"], json!({ "api": 2, "gateway": 2, "worker": 2 }));
    let seen = rig.observe(&older).await;
    assert!(matches!(&seen, Observation::Superseded { found } if found.contains("8.1")), "{seen:?}");
}

#[tokio::test]
async fn replicas_that_someone_set_since_are_not_undone() {
    let rig = Rig::start(roomy).await;
    let (looked, _) = rig.carry_out(&look()).await;
    rig.carry_out(&scale(4)).await;
    let mut newer = scale_with("9.1", 6, &[("api", 6)]);
    newer.run = mesh_core::ids::RunId::new("maip-g9").expect("a name");
    rig.carry_out(&newer).await;
    let seen = rig.observe(&restore(&looked)).await;
    assert!(matches!(&seen, Observation::Superseded { found } if found.contains("9.1")), "{seen:?}");
}

#[tokio::test]
async fn what_is_not_there_blocks() {
    let rig = Rig::start(roomy).await;
    let seen = rig.observe(&scale_with("7.6", 4, &[("gone", 1)])).await;
    assert!(matches!(&seen, Observation::Blocked { reason } if reason.contains("no deployment gone")), "{seen:?}");
    let mut elsewhere = look();
    elsewhere.action = Action::KubernetesCheck {
        cluster: CLUSTER.to_owned(),
        namespace: "empty".to_owned(),
        deployments: BTreeSet::new(),
    };
    let seen = rig.observe(&elsewhere).await;
    assert!(matches!(&seen, Observation::Blocked { reason } if reason.contains("no deployments")), "{seen:?}");
}

#[tokio::test]
async fn a_role_that_may_not_is_told_what_it_lacks() {
    let rig = Rig::start(|file| {
        let cluster = file.eks.iter_mut().find(|entry| entry.cluster == CLUSTER).expect("it is in the world");
        let access = serde_json::from_value(json!({ "usw2-a": "view" })).expect("access entries");
        cluster.access = Some(access);
    })
    .await;
    let before = rig.before(&scale(4)).await;
    let result = rig.providers.call(&scale(4), &before).await;
    assert!(matches!(&result, CallResult::Rejected { reason } if reason.contains("403")), "{result:?}");
    let stranger = providers(&rig.double, ("AKIAMESHUSW2B", "secret-of-usw2-b")).await;
    let seen = stranger.observe(&look(), None).await;
    assert!(matches!(&seen, Observation::Blocked { reason } if reason.contains("access entry")), "{seen:?}");
}

#[tokio::test]
async fn nothing_is_patched_once_permission_has_ended() {
    let rig = Rig::start(roomy).await;
    let before = rig.before(&scale(4)).await;
    let result = while_permitted(Arc::new(|| false), rig.providers.call(&scale(4), &before)).await;
    let CallResult::NotApplied { reason } = &result else { panic!("{result:?}") };
    assert!(reason.contains("permission ended"), "{reason}");
    assert!(rig.applied("PatchDeployment").is_empty());
}

#[tokio::test]
async fn a_dead_api_server_is_unreadable_and_a_call_to_it_is_unknown() {
    let rig = Rig::start(roomy).await;
    let before = rig.before(&scale(4)).await;
    let fault = rig.fault(json!({ "service": "kubernetes", "kind": "timeout-not-applied", "count": 0 }));
    assert!(matches!(rig.observe(&scale(4)).await, Observation::Unreadable { .. }));
    assert!(matches!(rig.providers.call(&scale(4), &before).await, CallResult::Unknown { .. }));
    assert!(rig.fired(fault) > 0);
}
