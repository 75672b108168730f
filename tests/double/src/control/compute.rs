//! What a test sees and does of clusters, and of callers' policies.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Answer, bad};
use crate::double::Double;
use crate::eks::nodegroup::{self, Order};
use crate::eks::{Cluster, ClusterKey};
use crate::kubernetes::access::Access;
use crate::kubernetes::workload::{Counts, counts, quota};
use crate::world::World;
use crate::{iam, kafka};

pub fn order_node_group(double: &Double, region: &str, cluster: &str, group: &str, body: &[u8]) -> Answer {
    let order: Order = serde_json::from_slice(body).map_err(bad)?;
    let key = ClusterKey { region: region.to_owned(), name: cluster.to_owned() };
    double.world(|world| nodegroup::order(world, &key, group, order)).map_err(bad)?;
    Ok(json!({ "node_group": format!("{key}/{group}") }))
}

/// What callers may do in a cluster, by name, as in the world file; null lets all of them edit.
pub fn set_access(double: &Double, region: &str, cluster: &str, body: &[u8]) -> Answer {
    let access: Option<BTreeMap<String, Access>> = serde_json::from_slice(body).map_err(bad)?;
    let key = ClusterKey { region: region.to_owned(), name: cluster.to_owned() };
    double.world(|world| {
        let cluster = world.eks.clusters.get_mut(&key).ok_or_else(|| bad(format!("no cluster {key}")))?;
        cluster.access = access;
        Ok(json!({ "cluster": key.to_string() }))
    })
}

/// `pods_max` of a namespace; -1 takes the quota away.
pub fn set_quota(double: &Double, region: &str, cluster: &str, namespace: &str, body: &[u8]) -> Answer {
    let body: Value = serde_json::from_slice(body).map_err(bad)?;
    let limit = body.get("pods_max").and_then(Value::as_i64).ok_or_else(|| bad("the body needs pods_max"))?;
    let key = ClusterKey { region: region.to_owned(), name: cluster.to_owned() };
    double.world(|world| quota::set(world, &key, namespace, usize::try_from(limit).ok())).map_err(bad)?;
    Ok(json!({ "namespace": format!("{key}/{namespace}"), "pods_max": limit }))
}

pub fn set_msk_state(double: &Double, region: &str, name: &str, body: &[u8]) -> Answer {
    let body: Value = serde_json::from_slice(body).map_err(bad)?;
    let state = body.get("state").and_then(Value::as_str).ok_or_else(|| bad("the body needs state"))?;
    double.world(|world| kafka::set_state(world, region, name, state)).map_err(bad)?;
    Ok(json!({ "cluster": format!("{region}/{name}"), "state": state }))
}

/// Of all keys with that name; null takes the policy away.
pub fn set_policy(double: &Double, name: &str, body: &[u8]) -> Answer {
    let document: Value = serde_json::from_slice(body).map_err(bad)?;
    let policy = if document.is_null() {
        None
    } else {
        iam::Policy::read(&document).map_err(bad)?;
        Some(document)
    };
    double.world(|world| {
        let mut count = 0;
        for key in world.access_keys.values_mut().filter(|key| key.name == name) {
            key.policy.clone_from(&policy);
            count += 1;
        }
        if count == 0 { Err(bad(format!("no access key is named {name}"))) } else { Ok(json!({ "keys": count })) }
    })
}

pub fn eks(world: &World) -> Value {
    world.eks.clusters.iter().map(|(key, cluster)| one_cluster(key, cluster)).collect()
}

fn one_cluster(key: &ClusterKey, cluster: &Cluster) -> Value {
    let groups: Vec<Value> = cluster
        .groups
        .iter()
        .map(|(name, group)| {
            let own = || cluster.machines.iter().filter(|machine| machine.group == *name);
            json!({
                "name": name,
                "status": group.status,
                "min": group.sizes.min,
                "max": group.sizes.max,
                "desired": group.sizes.desired,
                "nodes": own().count(),
                "ready": own().filter(|machine| machine.ready).count(),
                "issues": group.issues,
            })
        })
        .collect();
    let deployments: Vec<Value> = cluster
        .namespaces
        .iter()
        .flat_map(|(namespace, all)| all.iter().map(move |(name, deployment)| (namespace, name, deployment)))
        .map(|(namespace, name, deployment)| {
            let Counts { all, ready } = counts(cluster, namespace, name);
            json!({
                "namespace": namespace,
                "name": name,
                "replicas": deployment.replicas(),
                "pods": all,
                "ready": ready,
                "generation": deployment.generation,
                "observed_generation": deployment.observed,
                "annotations": deployment.annotations,
            })
        })
        .collect();
    json!({ "region": key.region, "cluster": key.name, "node_groups": groups, "deployments": deployments })
}

pub fn ecs(world: &World) -> Value {
    let one = world.ecs.services.iter().map(|(key, service)| {
        json!({
            "region": key.region,
            "cluster": key.cluster,
            "service": key.service,
            "desired": service.desired,
            "running": service.running(),
            "pending": service.pending(),
        })
    });
    one.collect()
}

pub fn apis(world: &World) -> Value {
    let each = world.apigateway.apis.iter().flat_map(|(key, api)| api.stages.iter().map(move |stage| (key, stage)));
    let one = each.map(|((region, id), (name, stage))| {
        json!({
            "region": region,
            "api": id,
            "stage": name,
            "default": stage.default,
            "routes": stage.routes,
            "variables": stage.variables,
        })
    });
    one.collect()
}

pub fn msk(world: &World) -> Value {
    let one = world.kafka.clusters.iter().map(
        |cluster| json!({ "region": cluster.region, "name": cluster.name, "arn": cluster.arn, "state": cluster.state }),
    );
    one.collect()
}
