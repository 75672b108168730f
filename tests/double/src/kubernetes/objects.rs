//! The objects as clients see them. Items of a list carry no kind; counts of zero are left out, as Kubernetes does.

use serde_json::{Map, Value, json};

use super::status::Status;
use super::workload::{Counts, Deployment, Machine, Pod, counts};
use crate::eks::describe::VERSION;
use crate::eks::{Cluster, ClusterKey};
use crate::wire::clock;
use crate::world::World;

const UNSCHEDULABLE: &str = "preemption: No preemption victims found for incoming pods.";

/// With its kind in front, as a single object is shown.
pub fn typed(object: Value, kind: &str, version: &str) -> Value {
    let mut fields = Map::new();
    fields.insert("kind".to_owned(), kind.into());
    fields.insert("apiVersion".to_owned(), version.into());
    if let Value::Object(rest) = object {
        fields.extend(rest);
    }
    Value::Object(fields)
}

pub fn nodes(world: &World, key: &ClusterKey) -> Vec<Value> {
    let room = world.settings.pods_per_node.to_string();
    let cluster = world.eks.clusters.get(key);
    cluster
        .map(|cluster| cluster.machines.iter().map(|machine| node(key, machine, &room)).collect())
        .unwrap_or_default()
}

fn node(key: &ClusterKey, machine: &Machine, room: &str) -> Value {
    let zone = format!("{}a", key.region);
    let (status, reason, message) = if machine.ready {
        ("True", "KubeletReady", "kubelet is posting ready status")
    } else {
        ("False", "KubeletNotReady", "container runtime network not ready: NetworkReady=false")
    };
    let condition = json!({
        "type": "Ready",
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": seconds(machine.ready_ms),
        "lastHeartbeatTime": seconds(machine.ready_ms),
    });
    json!({
        "metadata": {
            "name": machine.name,
            "uid": machine.uid,
            "resourceVersion": machine.revision.to_string(),
            "creationTimestamp": seconds(machine.created_ms),
            "labels": {
                "eks.amazonaws.com/nodegroup": machine.group,
                "kubernetes.io/hostname": machine.name,
                "topology.kubernetes.io/region": key.region,
                "topology.kubernetes.io/zone": zone,
            },
        },
        "spec": { "providerID": format!("aws:///{zone}/{}", machine.instance) },
        "status": {
            "capacity": { "cpu": "2", "memory": "7934440Ki", "pods": room },
            "allocatable": { "cpu": "1930m", "memory": "7244264Ki", "pods": room },
            "conditions": [condition],
            "addresses": [{ "type": "Hostname", "address": machine.name }],
            "nodeInfo": {
                "kubeletVersion": format!("v{VERSION}.5-eks-3025e55"),
                "kubeProxyVersion": format!("v{VERSION}.5-eks-3025e55"),
                "operatingSystem": "linux",
                "architecture": "amd64",
                "osImage": "Amazon Linux 2023",
                "kernelVersion": "6.1.0",
                "containerRuntimeVersion": "containerd://2.1.4",
                "machineID": machine.uid,
                "systemUUID": machine.uid,
                "bootID": machine.uid,
            },
        },
    })
}

pub fn namespaces(world: &World, key: &ClusterKey) -> Vec<Value> {
    let Some(cluster) = world.eks.clusters.get(key) else { return Vec::new() };
    let names = ["default", "kube-system"].into_iter().chain(cluster.namespaces.keys().map(String::as_str));
    let object = |name: &str| {
        json!({
            "metadata": {
                "name": name,
                "resourceVersion": "1",
                "creationTimestamp": seconds(cluster.created_ms),
                "labels": { "kubernetes.io/metadata.name": name },
            },
            "spec": { "finalizers": ["kubernetes"] },
            "status": { "phase": "Active" },
        })
    };
    names.map(object).collect()
}

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
    json!({
        "metadata": {
            "name": pod.name,
            "namespace": pod.namespace,
            "uid": pod.uid,
            "resourceVersion": pod.revision.to_string(),
            "creationTimestamp": seconds(pod.created_ms),
            "labels": { "app": pod.deployment },
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

pub fn deployments(world: &World, key: &ClusterKey, namespace: &str) -> Vec<Value> {
    let Some(cluster) = world.eks.clusters.get(key) else { return Vec::new() };
    let of = cluster.namespaces.iter().filter(|(name, _)| namespace.is_empty() || *name == namespace);
    of.flat_map(|(namespace, all)| all.iter().map(move |(name, one)| render(cluster, namespace, name, one))).collect()
}

pub fn deployment(world: &World, key: &ClusterKey, namespace: &str, name: &str) -> Result<Value, Status> {
    let missing = || Status::not_found("apps", "deployments", name);
    let cluster = world.eks.clusters.get(key).ok_or_else(missing)?;
    let found = cluster.namespaces.get(namespace).and_then(|all| all.get(name)).ok_or_else(missing)?;
    Ok(typed(render(cluster, namespace, name, found), "Deployment", "apps/v1"))
}

fn render(cluster: &Cluster, namespace: &str, name: &str, deployment: &Deployment) -> Value {
    json!({
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": deployment.uid,
            "resourceVersion": deployment.revision.to_string(),
            "generation": deployment.generation,
            "creationTimestamp": seconds(deployment.created_ms),
            "labels": deployment.labels,
            "annotations": deployment.annotations,
        },
        "spec": deployment.spec,
        "status": status(cluster, namespace, name, deployment),
    })
}

fn status(cluster: &Cluster, namespace: &str, name: &str, deployment: &Deployment) -> Value {
    let Counts { all, ready } = counts(cluster, namespace, name);
    // Up to a quarter, rounded down, may be missing.
    let enough = ready >= all - all / 4;
    let available = if enough {
        json!({
            "type": "Available",
            "status": "True",
            "reason": "MinimumReplicasAvailable",
            "message": "Deployment has minimum availability.",
        })
    } else {
        json!({
            "type": "Available",
            "status": "False",
            "reason": "MinimumReplicasUnavailable",
            "message": "Deployment does not have minimum availability.",
        })
    };
    let progressing = json!({
        "type": "Progressing",
        "status": "True",
        "reason": "NewReplicaSetAvailable",
        "message": format!("ReplicaSet \"{name}-{}\" has successfully progressed.", deployment.hash),
    });
    let mut status = json!({ "observedGeneration": deployment.observed, "conditions": [progressing, available] });
    let counted = [
        ("replicas", all),
        ("updatedReplicas", all),
        ("readyReplicas", ready),
        ("availableReplicas", ready),
        ("unavailableReplicas", all - ready),
    ];
    if let Some(fields) = status.as_object_mut() {
        for (field, count) in counted.into_iter().filter(|(_, count)| *count > 0) {
            fields.insert(field.to_owned(), count.into());
        }
    }
    status
}

pub fn scale(world: &World, key: &ClusterKey, namespace: &str, name: &str) -> Result<Value, Status> {
    let missing = || Status::not_found("apps", "deployments", name);
    let cluster = world.eks.clusters.get(key).ok_or_else(missing)?;
    let found = cluster.namespaces.get(namespace).and_then(|all| all.get(name)).ok_or_else(missing)?;
    let replicas = found.replicas();
    Ok(json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": found.uid,
            "resourceVersion": found.revision.to_string(),
            "creationTimestamp": seconds(found.created_ms),
        },
        "spec": if replicas == 0 { json!({}) } else { json!({ "replicas": replicas }) },
        "status": { "replicas": counts(cluster, namespace, name).all, "selector": format!("app={name}") },
    }))
}

/// Kubernetes keeps whole seconds.
fn seconds(at_ms: u64) -> Value {
    clock::iso(at_ms - at_ms % 1000).replace(".000Z", "Z").into()
}
