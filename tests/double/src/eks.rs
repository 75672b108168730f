//! EKS: clusters with managed node groups. What runs in them is in [`crate::kubernetes`].

pub mod describe;
pub mod nodegroup;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::kubernetes::access::Access;
use crate::kubernetes::workload::autoscaler::Range;
use crate::kubernetes::workload::{self, Deployment, Machine, Pod};
use crate::wire::Node;
use crate::wire::request::Call;
use crate::world::World;
use nodegroup::{NodeGroup, Update};

/// A cluster in the world file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub region: String,
    pub cluster: String,
    #[serde(default)]
    pub node_groups: Vec<NodeGroupEntry>,
    /// Of each namespace, the deployments and how many replicas they have.
    #[serde(default)]
    pub namespaces: BTreeMap<String, BTreeMap<String, u32>>,
    /// Of each namespace, the deployments that an autoscaler keeps within a range.
    #[serde(default)]
    pub autoscalers: BTreeMap<String, BTreeMap<String, Range>>,
    /// How many pods a namespace may have.
    #[serde(default)]
    pub quotas: BTreeMap<String, usize>,
    /// What callers, by name, may do in the cluster. Without it every caller may edit.
    #[serde(default)]
    pub access: Option<BTreeMap<String, Access>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeGroupEntry {
    pub name: String,
    pub min: u32,
    pub max: u32,
    pub desired: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClusterKey {
    pub region: String,
    pub name: String,
}

impl fmt::Display for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.region, self.name)
    }
}

#[derive(Debug)]
pub struct Cluster {
    pub created_ms: u64,
    pub endpoint: String,
    pub authority_pem: String,
    pub groups: BTreeMap<String, NodeGroup>,
    pub updates: Vec<Update>,
    pub access: Option<BTreeMap<String, Access>>,
    /// The last resourceVersion given out; each change of any object takes the next.
    pub revision: u64,
    pub machines: Vec<Machine>,
    pub namespaces: BTreeMap<String, BTreeMap<String, Deployment>>,
    pub pods: Vec<Pod>,
    /// By namespace and deployment.
    pub autoscalers: BTreeMap<(String, String), Range>,
    /// Of pods, by namespace.
    pub quotas: BTreeMap<String, usize>,
}

impl Cluster {
    pub fn next_revision(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }
}

#[derive(Debug, Default)]
pub struct Eks {
    pub clusters: BTreeMap<ClusterKey, Cluster>,
}

/// What happens in a cluster by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub cluster: ClusterKey,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    GroupUpdated { group: String, update: String },
    MachineReady { machine: String },
    Observed { namespace: String, deployment: String },
    PodReady { uid: String },
    Autoscaled { namespace: String, deployment: String },
}

pub fn due(world: &mut World, due: Due) {
    match due.what {
        What::GroupUpdated { group, update } => nodegroup::updated(world, &due.cluster, &group, &update),
        What::MachineReady { machine } => nodegroup::machines::joined(world, &due.cluster, &machine),
        What::Observed { namespace, deployment } => workload::observe(world, &due.cluster, &namespace, &deployment),
        What::Autoscaled { namespace, deployment } => {
            workload::autoscaler::adjust(world, &due.cluster, &namespace, &deployment);
        }
        What::PodReady { uid } => workload::scheduler::pod_ready(world, &due.cluster, &uid),
    }
}

/// The cluster as it is when all its machines are there and all pods that have room are ready.
pub fn add(world: &mut World, entry: &Entry) -> Result<(), String> {
    let key = ClusterKey { region: entry.region.clone(), name: entry.cluster.clone() };
    let autoscalers = entry
        .autoscalers
        .iter()
        .flat_map(|(namespace, all)| all.iter().map(|(name, range)| ((namespace.clone(), name.clone()), *range)));
    let cluster = Cluster {
        created_ms: world.now_ms,
        endpoint: String::new(),
        authority_pem: String::new(),
        groups: BTreeMap::new(),
        updates: Vec::new(),
        access: entry.access.clone(),
        revision: 1000,
        machines: Vec::new(),
        namespaces: BTreeMap::new(),
        pods: Vec::new(),
        autoscalers: autoscalers.collect(),
        quotas: entry.quotas.clone(),
    };
    world.eks.clusters.insert(key.clone(), cluster);
    for group in &entry.node_groups {
        nodegroup::add(world, &key, group)?;
    }
    for (namespace, deployments) in &entry.namespaces {
        workload::add(world, &key, namespace, deployments);
    }
    Ok(())
}

pub fn find<'a>(world: &'a World, region: &str, name: &str) -> Result<(ClusterKey, &'a Cluster), ApiError> {
    let key = ClusterKey { region: region.to_owned(), name: name.to_owned() };
    match world.eks.clusters.get(&key) {
        Some(cluster) => Ok((key, cluster)),
        None => Err(not_found(format!("No cluster found for name: {name}."))),
    }
}

pub fn not_found(why: String) -> ApiError {
    ApiError::new(404, "ResourceNotFoundException", why)
}

pub fn invalid(why: impl Into<String>) -> ApiError {
    ApiError::bad("InvalidParameterException", why)
}

pub fn call(world: &mut World, call: &Call) -> Result<Node, ApiError> {
    let (region, input) = (call.region.as_str(), &call.input);
    match call.operation.as_str() {
        "ListClusters" => {
            allow(input, &["maxResults", "nextToken", "include"])?;
            describe::list_clusters(world, region, input)
        }
        "DescribeCluster" => {
            allow(input, &["name"])?;
            describe::cluster(world, region, input)
        }
        "ListNodegroups" => {
            allow(input, &["clusterName", "maxResults", "nextToken"])?;
            describe::list_groups(world, region, input)
        }
        "DescribeNodegroup" => {
            allow(input, &["clusterName", "nodegroupName"])?;
            describe::group(world, region, input)
        }
        "ListUpdates" => {
            allow(input, &["name", "nodegroupName", "maxResults", "nextToken"])?;
            describe::list_updates(world, region, input)
        }
        "DescribeUpdate" => {
            allow(input, &["name", "updateId", "nodegroupName"])?;
            describe::update(world, region, input)
        }
        "UpdateNodegroupConfig" => {
            allow(input, &["clusterName", "nodegroupName", "scalingConfig", "clientRequestToken"])?;
            nodegroup::update_config(world, region, input)
        }
        other => Err(ApiError::unsupported(format!("eks {other}"))),
    }
}

/// A parameter that is not modelled must not be taken as done.
fn allow(input: &Node, known: &[&str]) -> Result<(), ApiError> {
    match input.keys().into_iter().find(|name| !known.contains(name)) {
        Some(name) => Err(ApiError::unsupported(format!("the parameter {name}"))),
        None => Ok(()),
    }
}
