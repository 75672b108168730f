use serde_json::{Value, json};

use super::seconds;
use crate::eks::ClusterKey;
use crate::eks::describe::VERSION;
use crate::kubernetes::workload::Machine;
use crate::world::World;

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
