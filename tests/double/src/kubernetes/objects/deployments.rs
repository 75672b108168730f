use serde_json::{Value, json};

use super::{seconds, typed};
use crate::eks::{Cluster, ClusterKey};
use crate::kubernetes::status::Status;
use crate::kubernetes::workload::{Counts, Deployment, counts};
use crate::world::World;

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
    let mut conditions = vec![progressing, available];
    if let Some(why) = &deployment.failure {
        conditions
            .push(json!({ "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": why }));
    }
    let mut status = json!({ "observedGeneration": deployment.observed, "conditions": conditions });
    let counted = [
        ("replicas", all),
        ("updatedReplicas", all),
        ("readyReplicas", ready),
        ("availableReplicas", ready),
        ("unavailableReplicas", deployment.replicas().max(all) - ready),
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
