//! What runs in a cluster, and what its controllers and its scheduler do: a deployment's change is seen a moment later,
//! its pods are bound where there is room and become ready some time after that.

pub mod autoscaler;
pub mod quota;
pub mod scheduler;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::eks::{Cluster, ClusterKey, Due, What};
use crate::wire::digest;
use crate::world::World;
use crate::world::timers::Timer;

pub const SCALING: &str = "deployment-scaling";
/// Pods of a deployment beyond these are not made: a test that asks for more has a mistake in it.
const REPLICAS_MAX: usize = 10_000;

/// A node of the cluster.
#[derive(Clone, Debug)]
pub struct Machine {
    pub name: String,
    pub instance: String,
    pub uid: String,
    pub group: String,
    pub ready: bool,
    pub created_ms: u64,
    pub ready_ms: u64,
    pub revision: u64,
}

#[derive(Clone, Debug)]
pub struct Pod {
    pub name: String,
    pub uid: String,
    pub namespace: String,
    pub deployment: String,
    /// Of its replica set.
    pub hash: String,
    pub owner: String,
    /// None while there is no room anywhere.
    pub machine: Option<String>,
    pub ready: bool,
    pub created_ms: u64,
    pub bound_ms: u64,
    pub ready_ms: u64,
    pub revision: u64,
}

#[derive(Clone, Debug)]
pub struct Deployment {
    pub uid: String,
    pub created_ms: u64,
    pub generation: u64,
    pub observed: u64,
    pub revision: u64,
    pub labels: Value,
    pub annotations: Value,
    pub spec: Value,
    /// Of the pod template, as it appears in the names of pods.
    pub hash: String,
    /// Why pods cannot be made, while that is so.
    pub failure: Option<String>,
}

impl Deployment {
    pub fn replicas(&self) -> usize {
        let count = self.spec.get("replicas").and_then(Value::as_u64).unwrap_or(1);
        usize::try_from(count).unwrap_or(REPLICAS_MAX).min(REPLICAS_MAX)
    }
}

pub fn add(world: &mut World, key: &ClusterKey, namespace: &str, deployments: &BTreeMap<String, u32>) {
    if let Some(cluster) = world.eks.clusters.get_mut(key) {
        cluster.namespaces.entry(namespace.to_owned()).or_default();
    }
    for (name, replicas) in deployments {
        let deployment = fresh(world, key, name, *replicas);
        if let Some(cluster) = world.eks.clusters.get_mut(key) {
            cluster.namespaces.entry(namespace.to_owned()).or_default().insert(name.clone(), deployment);
        }
        fill(world, key, namespace, name);
    }
    let (now_ms, bound) = (world.now_ms, scheduler::bind(world, key));
    let Some(cluster) = world.eks.clusters.get_mut(key) else { return };
    for pod in cluster.pods.iter_mut().filter(|pod| bound.contains(&pod.uid)) {
        (pod.ready, pod.ready_ms) = (true, now_ms);
    }
}

fn fresh(world: &mut World, key: &ClusterKey, name: &str, replicas: u32) -> Deployment {
    let image = format!("{}.dkr.ecr.{}.amazonaws.com/{name}:1", world.account, key.region);
    let spec = json!({
        "replicas": replicas,
        "selector": { "matchLabels": { "app": name } },
        "template": {
            "metadata": { "labels": { "app": name } },
            "spec": { "containers": [{ "name": name, "image": image }], "restartPolicy": "Always" },
        },
        "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": "25%", "maxSurge": "25%" } },
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
    });
    let digest =
        digest::hex(&digest::sha256(spec.pointer("/template").map(Value::to_string).unwrap_or_default().as_bytes()));
    Deployment {
        uid: world.uuid(),
        created_ms: world.now_ms,
        generation: 1,
        observed: 1,
        revision: world.eks.clusters.get_mut(key).map_or(0, Cluster::next_revision),
        labels: json!({ "app": name }),
        annotations: json!({ "deployment.kubernetes.io/revision": "1" }),
        spec,
        hash: digest.chars().take(10).collect(),
        failure: None,
    }
}

/// Something about the deployment was changed; its controller will see it.
pub fn changed(world: &mut World, key: &ClusterKey, namespace: &str, name: &str) {
    let resource = format!("{key}/{namespace}/{name}");
    world.activities.end(&resource, SCALING, world.now_ms);
    world.activities.start(resource, SCALING, world.now_ms);
    let what = What::Observed { namespace: namespace.to_owned(), deployment: name.to_owned() };
    let at_ms = world.now_ms + world.settings.controller_ms;
    world.timers.set(at_ms, Timer::Eks(Due { cluster: key.clone(), what }));
    autoscaler::watch(world, key, namespace, name);
}

pub fn observe(world: &mut World, key: &ClusterKey, namespace: &str, name: &str) {
    let Some(cluster) = world.eks.clusters.get_mut(key) else { return };
    let revision = cluster.next_revision();
    let Some(deployment) = cluster.namespaces.get_mut(namespace).and_then(|all| all.get_mut(name)) else { return };
    if deployment.observed == deployment.generation {
        return;
    }
    (deployment.observed, deployment.revision) = (deployment.generation, revision);
    fill(world, key, namespace, name);
    quota::retry(world, key, namespace);
    scheduler::schedule(world, key);
    settle(world, key, namespace, name);
}

/// As many pods as the deployment wants: of too many, those go first that are not ready, then the newest.
fn fill(world: &mut World, key: &ClusterKey, namespace: &str, name: &str) {
    let now_ms = world.now_ms;
    let Some(cluster) = world.eks.clusters.get(key) else { return };
    let Some(deployment) = cluster.namespaces.get(namespace).and_then(|all| all.get(name)) else { return };
    let (wanted, hash, owner) = (deployment.replicas(), deployment.hash.clone(), format!("rs-{}", deployment.uid));
    let is_own = |pod: &Pod| pod.namespace == namespace && pod.deployment == name;
    let mut own: Vec<(bool, bool, u64, String)> = cluster
        .pods
        .iter()
        .filter(|pod| is_own(pod))
        .map(|pod| (!pod.ready, pod.machine.is_none(), pod.created_ms, pod.uid.clone()))
        .collect();
    own.sort();
    let there = own.len();
    let gone: Vec<String> = own.into_iter().skip(wanted).map(|(.., uid)| uid).collect();
    if let Some(cluster) = world.eks.clusters.get_mut(key) {
        cluster.pods.retain(|pod| !gone.contains(&pod.uid));
    }
    let allowed = quota::admit(world, key, namespace, name, there, wanted);
    for _ in there..allowed {
        let suffix: String = world.random_id(5).to_lowercase();
        let uid = world.uuid();
        let Some(cluster) = world.eks.clusters.get_mut(key) else { return };
        let revision = cluster.next_revision();
        cluster.pods.push(Pod {
            name: format!("{name}-{hash}-{suffix}"),
            uid,
            namespace: namespace.to_owned(),
            deployment: name.to_owned(),
            hash: hash.clone(),
            owner: owner.clone(),
            machine: None,
            ready: false,
            created_ms: now_ms,
            bound_ms: 0,
            ready_ms: 0,
            revision,
        });
    }
}

/// The status of a deployment is part of it: when it changes, so does its version.
fn touch(cluster: &mut Cluster, namespace: &str, name: &str) {
    let revision = cluster.next_revision();
    if let Some(deployment) = cluster.namespaces.get_mut(namespace).and_then(|all| all.get_mut(name)) {
        deployment.revision = revision;
    }
}

fn settle(world: &mut World, key: &ClusterKey, namespace: &str, name: &str) {
    let Some(cluster) = world.eks.clusters.get(key) else { return };
    let Some(deployment) = cluster.namespaces.get(namespace).and_then(|all| all.get(name)) else { return };
    let Counts { all, ready } = counts(cluster, namespace, name);
    if deployment.observed == deployment.generation && all == deployment.replicas() && ready == all {
        world.activities.end(&format!("{key}/{namespace}/{name}"), SCALING, world.now_ms);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    pub all: usize,
    pub ready: usize,
}

pub fn counts(cluster: &Cluster, namespace: &str, name: &str) -> Counts {
    let own = cluster.pods.iter().filter(|pod| pod.namespace == namespace && pod.deployment == name);
    own.fold(Counts { all: 0, ready: 0 }, |counts, pod| Counts {
        all: counts.all + 1,
        ready: counts.ready + usize::from(pod.ready),
    })
}
