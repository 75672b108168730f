//! The API servers of EKS clusters: nodes, namespaces, pods, deployments and their scale, as far as a failover asks.
//!
//! [`serve`] receives a request, [`token`] says whose it is, [`access`] whether it may, [`request`] what it means;
//! [`workload`] is what the controllers and the scheduler do with it.

pub mod access;
pub mod objects;
pub mod patch;
pub mod request;
pub mod selector;
pub mod serve;
pub mod status;
pub mod tls;
pub mod token;
pub mod workload;

use serde_json::{Value, json};

use crate::eks::ClusterKey;
use crate::eks::describe::VERSION;
use crate::world::World;
use objects::{autoscalers, deployments, nodes, pods};
use request::{Ask, Page, Scope, Target, Verb};
use status::Status;

/// Carries out what an identity that is known and allowed asks.
pub fn call(world: &mut World, key: &ClusterKey, ask: &Ask) -> Result<Value, Status> {
    if !world.eks.clusters.contains_key(key) {
        return Err(Status::internal("the cluster is gone"));
    }
    let Scope { namespace, name } = &ask.scope;
    match (ask.verb, ask.target) {
        (Verb::Get, Target::Version) => Ok(version()),
        (Verb::List, Target::Nodes) => list(world, key, ask, "NodeList", "v1", nodes::nodes(world, key)),
        (Verb::Get, Target::Nodes) => one(nodes::nodes(world, key), name, "Node", "v1", "nodes"),
        (Verb::List, Target::Namespaces) => list(world, key, ask, "NamespaceList", "v1", nodes::namespaces(world, key)),
        (Verb::Get, Target::Namespaces) => one(nodes::namespaces(world, key), name, "Namespace", "v1", "namespaces"),
        (Verb::List, Target::Pods) => list(world, key, ask, "PodList", "v1", pods::pods(world, key, namespace)),
        (Verb::Get, Target::Pods) => one(pods::pods(world, key, namespace), name, "Pod", "v1", "pods"),
        (Verb::List, Target::Events) => list(world, key, ask, "EventList", "v1", pods::events(world, key, namespace)),
        (Verb::List, Target::Deployments) => {
            list(world, key, ask, "DeploymentList", "apps/v1", deployments::deployments(world, key, namespace))
        }
        (Verb::Get, Target::Deployments) => deployments::deployment(world, key, namespace, name),
        (Verb::List, Target::Autoscalers) => {
            let all = autoscalers::autoscalers(world, key, namespace);
            list(world, key, ask, "HorizontalPodAutoscalerList", "autoscaling/v2", all)
        }
        (Verb::Get, Target::Autoscalers) => {
            let all = autoscalers::autoscalers(world, key, namespace);
            one(all, name, "HorizontalPodAutoscaler", "autoscaling/v2", "horizontalpodautoscalers")
        }
        (Verb::Get, Target::Scale) => deployments::scale(world, key, namespace, name),
        (Verb::Patch, Target::Deployments | Target::Scale) | (Verb::Update, Target::Scale) => {
            patch::apply(world, key, ask)
        }
        _ => Err(Status::unsupported(&format!("{} of {:?}", ask.operation(), ask.target))),
    }
}

fn version() -> Value {
    let (major, minor) = VERSION.split_once('.').unwrap_or((VERSION, "0"));
    json!({
        "major": major,
        "minor": minor,
        "gitVersion": format!("v{VERSION}.5-eks-3025e55"),
        "gitCommit": "0000000000000000000000000000000000000000",
        "gitTreeState": "clean",
        "buildDate": "2025-09-01T00:00:00Z",
        "goVersion": "go1.24.6",
        "compiler": "gc",
        "platform": "linux/amd64",
    })
}

/// A namespace that does not exist lists as an empty one, as it does in Kubernetes.
fn list(
    world: &World,
    key: &ClusterKey,
    ask: &Ask,
    kind: &str,
    version: &str,
    all: Vec<Value>,
) -> Result<Value, Status> {
    let all: Vec<Value> = all.into_iter().filter(|object| ask.selector.matches(object)).collect();
    let revision = world.eks.clusters.get(key).map_or(0, |cluster| cluster.revision);
    let mut metadata = json!({ "resourceVersion": revision.to_string() });
    let Page { from, limit } = ask.page;
    let limit = limit.unwrap_or(usize::MAX);
    let rest = all.len().saturating_sub(from.saturating_add(limit));
    if rest > 0 {
        metadata = json!({
            "resourceVersion": revision.to_string(),
            "continue": (from + limit).to_string(),
            "remainingItemCount": rest,
        });
    }
    let items: Vec<Value> = all.into_iter().skip(from).take(limit).collect();
    Ok(json!({ "kind": kind, "apiVersion": version, "metadata": metadata, "items": items }))
}

fn one(all: Vec<Value>, name: &str, kind: &str, version: &str, resource: &str) -> Result<Value, Status> {
    let found = all.into_iter().find(|object| object.pointer("/metadata/name").and_then(Value::as_str) == Some(name));
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let found = found.ok_or_else(|| Status::not_found(group, resource, name))?;
    Ok(objects::typed(found, kind, version))
}
