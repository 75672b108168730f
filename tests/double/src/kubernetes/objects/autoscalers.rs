use serde_json::{Value, json};

use super::seconds;
use crate::eks::ClusterKey;
use crate::kubernetes::workload::counts;
use crate::world::World;

pub fn autoscalers(world: &World, key: &ClusterKey, namespace: &str) -> Vec<Value> {
    let Some(cluster) = world.eks.clusters.get(key) else { return Vec::new() };
    let of = cluster.autoscalers.iter().filter(|((of, _), _)| namespace.is_empty() || of == namespace);
    let object = |((namespace, name), range): (&(String, String), &crate::kubernetes::workload::autoscaler::Range)| {
        let current = counts(cluster, namespace, name).all;
        json!({
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": format!("hpa-{namespace}-{name}"),
                "resourceVersion": "1",
                "creationTimestamp": seconds(cluster.created_ms),
            },
            "spec": {
                "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": name },
                "minReplicas": range.min,
                "maxReplicas": range.max,
                "metrics": [{
                    "type": "Resource",
                    "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 80 } },
                }],
            },
            "status": {
                "currentReplicas": current,
                "desiredReplicas": current,
                "conditions": [{ "type": "AbleToScale", "status": "True", "reason": "ReadyForNewScale" }],
            },
        })
    };
    of.map(object).collect()
}
