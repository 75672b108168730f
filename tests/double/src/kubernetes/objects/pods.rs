use serde_json::{Value, json};

use super::seconds;
use crate::eks::{Cluster, ClusterKey};
use crate::kubernetes::workload::Pod;
use crate::world::World;

const UNSCHEDULABLE: &str = "preemption: No preemption victims found for incoming pods.";

/// Of a namespace, or of all where it is empty.
pub fn pods(world: &World, key: &ClusterKey, namespace: &str) -> Vec<Value> {
    let Some(cluster) = world.eks.clusters.get(key) else { return Vec::new() };
    let of = cluster.pods.iter().filter(|pod| namespace.is_empty() || pod.namespace == namespace);
    of.map(|one| pod(cluster, one)).collect()
}

fn pod(cluster: &Cluster, pod: &Pod) -> Value {
    let yes_no = |yes: bool| if yes { "True" } else { "False" };
    let mut conditions = vec![match &pod.machine {
        Some(_) => json!({ "type": "PodScheduled", "status": "True", "lastTransitionTime": seconds(pod.bound_ms) }),
        None => json!({
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": no_room(cluster),
            "lastTransitionTime": seconds(pod.created_ms),
        }),
    }];
    let mut status = json!({ "phase": if pod.ready { "Running" } else { "Pending" }, "qosClass": "BestEffort" });
    if pod.machine.is_some() {
        for kind in ["Ready", "ContainersReady"] {
            conditions.push(json!({ "type": kind, "status": yes_no(pod.ready) }));
        }
        let state = if pod.ready {
            json!({ "running": { "startedAt": seconds(pod.ready_ms) } })
        } else {
            json!({ "waiting": { "reason": "ContainerCreating" } })
        };
        let container = json!({
            "name": pod.deployment,
            "ready": pod.ready,
            "started": pod.ready,
            "restartCount": 0,
            "image": pod.deployment,
            "imageID": "",
            "state": state,
        });
        if let Some(fields) = status.as_object_mut() {
            fields.insert("containerStatuses".to_owned(), json!([container]));
            fields.insert("startTime".to_owned(), seconds(pod.bound_ms));
        }
    }
    let mut spec = json!({ "containers": [{ "name": pod.deployment, "image": pod.deployment }] });
    if let (Some(machine), Some(fields)) = (&pod.machine, spec.as_object_mut()) {
        fields.insert("nodeName".to_owned(), machine.as_str().into());
    }
    if let Some(fields) = status.as_object_mut() {
        fields.insert("conditions".to_owned(), conditions.into());
    }
    let owner = json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": format!("{}-{}", pod.deployment, pod.hash),
        "uid": pod.owner,
        "controller": true,
        "blockOwnerDeletion": true,
    });
    json!({
        "metadata": {
            "name": pod.name,
            "namespace": pod.namespace,
            "uid": pod.uid,
            "resourceVersion": pod.revision.to_string(),
            "creationTimestamp": seconds(pod.created_ms),
            "labels": { "app": pod.deployment, "pod-template-hash": pod.hash },
            "ownerReferences": [owner],
        },
        "spec": spec,
        "status": status,
    })
}

fn no_room(cluster: &Cluster) -> String {
    let ready = cluster.machines.iter().filter(|machine| machine.ready).count();
    let all = cluster.machines.len();
    let mut reasons = Vec::new();
    if all > ready {
        reasons.push(format!("{} node(s) had untolerated taint {{node.kubernetes.io/not-ready: }}", all - ready));
    }
    if ready > 0 {
        reasons.push(format!("{ready} Too many pods"));
    }
    format!("0/{all} nodes are available: {}. {UNSCHEDULABLE}", reasons.join(", "))
}

/// One for each pod that waits for room.
pub fn events(world: &World, key: &ClusterKey, namespace: &str) -> Vec<Value> {
    let Some(cluster) = world.eks.clusters.get(key) else { return Vec::new() };
    let waiting = cluster.pods.iter().filter(|pod| pod.namespace == namespace && pod.machine.is_none());
    let event = |pod: &Pod| {
        json!({
            "metadata": {
                "name": format!("{}.{:x}", pod.name, pod.created_ms),
                "namespace": pod.namespace,
                "uid": pod.uid,
                "resourceVersion": pod.revision.to_string(),
                "creationTimestamp": seconds(pod.created_ms),
            },
            "involvedObject": { "kind": "Pod", "namespace": pod.namespace, "name": pod.name, "uid": pod.uid },
            "reason": "FailedScheduling",
            "message": no_room(cluster),
            "type": "Warning",
            "source": { "component": "default-scheduler" },
            "firstTimestamp": seconds(pod.created_ms),
            "lastTimestamp": seconds(world.now_ms),
            "count": 1,
        })
    };
    waiting.map(event).collect()
}
