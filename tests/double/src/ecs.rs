//! ECS: services whose number of tasks can be changed, and the tasks' way from pending to running.

pub mod change;
pub mod describe;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::wire::Node;
use crate::wire::request::Call;
use crate::world::World;

pub use change::{Due, due};

/// A cluster in the world file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub region: String,
    pub cluster: String,
    #[serde(default)]
    pub services: Vec<ServiceEntry>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceEntry {
    pub name: String,
    pub desired: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceKey {
    pub region: String,
    pub cluster: String,
    pub service: String,
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.region, self.cluster, self.service)
    }
}

#[derive(Clone, Debug)]
pub struct Task {
    pub id: String,
    pub running: bool,
    pub created_ms: u64,
}

#[derive(Clone, Debug)]
pub struct Service {
    pub desired: u32,
    pub tasks: Vec<Task>,
    pub created_ms: u64,
    pub updated_ms: u64,
    /// Of its one deployment: changing the number of tasks starts no other.
    pub deployment: String,
    pub completed: bool,
    pub events: Vec<(u64, String, String)>,
}

impl Service {
    pub fn running(&self) -> usize {
        self.tasks.iter().filter(|task| task.running).count()
    }

    pub fn pending(&self) -> usize {
        self.tasks.len() - self.running()
    }
}

#[derive(Debug, Default)]
pub struct Ecs {
    /// Region and name.
    pub clusters: BTreeMap<(String, String), u64>,
    pub services: BTreeMap<ServiceKey, Service>,
}

pub fn add(world: &mut World, entry: &Entry) {
    let now_ms = world.now_ms;
    world.ecs.clusters.insert((entry.region.clone(), entry.cluster.clone()), now_ms);
    for service in &entry.services {
        let key =
            ServiceKey { region: entry.region.clone(), cluster: entry.cluster.clone(), service: service.name.clone() };
        let tasks = (0..service.desired)
            .map(|_| Task { id: change::task_id(world), running: true, created_ms: now_ms })
            .collect();
        let deployment = format!("ecs-svc/{:019}", world.next_number());
        let settled = Service {
            desired: service.desired,
            tasks,
            created_ms: now_ms,
            updated_ms: now_ms,
            deployment,
            completed: true,
            events: Vec::new(),
        };
        world.ecs.services.insert(key, settled);
    }
}

pub fn call(world: &mut World, call: &Call) -> Result<Node, ApiError> {
    let (region, input) = (call.region.as_str(), &call.input);
    match call.operation.as_str() {
        "ListClusters" => {
            allow(input, &["maxResults", "nextToken"])?;
            describe::list_clusters(world, region, input)
        }
        "DescribeClusters" => {
            allow(input, &["clusters", "include"])?;
            Ok(describe::clusters(world, region, input))
        }
        "ListServices" => {
            allow(input, &["cluster", "maxResults", "nextToken", "launchType", "schedulingStrategy"])?;
            describe::list_services(world, region, input)
        }
        "DescribeServices" => {
            allow(input, &["cluster", "services", "include"])?;
            describe::services(world, region, input)
        }
        "ListTasks" => {
            allow(input, &["cluster", "serviceName", "desiredStatus", "maxResults", "nextToken"])?;
            describe::list_tasks(world, region, input)
        }
        "UpdateService" => {
            allow(input, &["cluster", "service", "desiredCount"])?;
            change::update(world, region, input)
        }
        other => Err(ApiError::unsupported(format!("ecs {other}"))),
    }
}

/// By name or ARN; without one, the cluster named `default`.
pub fn cluster_of(world: &World, region: &str, input: &Node) -> Result<String, ApiError> {
    let name = short(&input.str("cluster").unwrap_or_else(|| "default".to_owned())).to_owned();
    if world.ecs.clusters.contains_key(&(region.to_owned(), name.clone())) {
        Ok(name)
    } else {
        Err(ApiError::bad("ClusterNotFoundException", "Cluster not found."))
    }
}

/// The name in an ARN, or the name itself.
pub fn short(text: &str) -> &str {
    if text.starts_with("arn:") { text.rsplit_once('/').map_or(text, |(_, name)| name) } else { text }
}

pub fn invalid(why: impl Into<String>) -> ApiError {
    ApiError::bad("InvalidParameterException", why)
}

/// A parameter that is not modelled must not be taken as done.
fn allow(input: &Node, known: &[&str]) -> Result<(), ApiError> {
    match input.keys().into_iter().find(|name| !known.contains(name)) {
        Some(name) => Err(ApiError::unsupported(format!("the parameter {name}"))),
        None => Ok(()),
    }
}
