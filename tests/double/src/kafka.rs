//! MSK: the state of clusters that others run. Only the control API changes it.

use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::wire::request::Call;
use crate::wire::{Node, clock};
use crate::world::World;

const STATES: [&str; 8] =
    ["ACTIVE", "CREATING", "DELETING", "FAILED", "HEALING", "MAINTENANCE", "REBOOTING_BROKER", "UPDATING"];
const BROKERS: i64 = 3;
const PAGE_MAX: usize = 100;

/// A cluster in the world file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub region: String,
    pub name: String,
}

#[derive(Clone, Debug)]
pub struct Cluster {
    pub region: String,
    pub name: String,
    pub arn: String,
    pub state: String,
    pub created_ms: u64,
}

#[derive(Debug, Default)]
pub struct Kafka {
    pub clusters: Vec<Cluster>,
}

pub fn add(world: &mut World, entry: &Entry) {
    let id = world.uuid();
    world.kafka.clusters.push(Cluster {
        region: entry.region.clone(),
        name: entry.name.clone(),
        arn: format!("arn:aws:kafka:{}:{}:cluster/{}/{id}-1", entry.region, world.account, entry.name),
        state: "ACTIVE".to_owned(),
        created_ms: world.now_ms,
    });
}

/// What the control API does to a cluster.
pub fn set_state(world: &mut World, region: &str, name: &str, state: &str) -> Result<(), String> {
    if !STATES.contains(&state) {
        return Err(format!("an MSK cluster's state is one of {}", STATES.join(", ")));
    }
    let cluster = world.kafka.clusters.iter_mut().find(|one| one.region == region && one.name == name);
    state.clone_into(&mut cluster.ok_or_else(|| format!("no MSK cluster {region}/{name}"))?.state);
    Ok(())
}

pub fn call(world: &mut World, call: &Call) -> Result<Node, ApiError> {
    let (region, input) = (call.region.as_str(), &call.input);
    match call.operation.as_str() {
        "ListClusters" => list(world, region, input, described),
        "ListClustersV2" => list(world, region, input, described_v2),
        "DescribeCluster" => Ok(Node::map().with("clusterInfo", described(find(world, region, input)?))),
        "DescribeClusterV2" => Ok(Node::map().with("clusterInfo", described_v2(find(world, region, input)?))),
        other => Err(ApiError::unsupported(format!("kafka {other}"))),
    }
}

/// The filter is a prefix of the name, as on AWS: what it finds need not be what was meant.
fn list(world: &World, region: &str, input: &Node, render: fn(&Cluster) -> Node) -> Result<Node, ApiError> {
    let known = ["clusterNameFilter", "clusterTypeFilter", "maxResults", "nextToken"];
    if let Some(name) = input.keys().into_iter().find(|name| !known.contains(name)) {
        return Err(ApiError::unsupported(format!("the parameter {name}")));
    }
    if let Some(kind) = input.str("clusterTypeFilter").filter(|kind| kind != "PROVISIONED") {
        return Err(ApiError::unsupported(format!("the cluster type {kind}")));
    }
    let prefix = input.str("clusterNameFilter").unwrap_or_default();
    let bad = |what: &str| ApiError::bad("BadRequestException", format!("The parameter value is invalid: {what}."));
    let page = match input.int("maxResults").map_err(|_| bad("maxResults"))? {
        None => PAGE_MAX,
        Some(number) => usize::try_from(number)
            .ok()
            .filter(|number| (1..=PAGE_MAX).contains(number))
            .ok_or_else(|| bad("maxResults"))?,
    };
    let from: usize = match input.str("nextToken") {
        None => 0,
        Some(text) => text.parse().map_err(|_| bad("nextToken"))?,
    };
    let found: Vec<&Cluster> =
        world.kafka.clusters.iter().filter(|one| one.region == region && one.name.starts_with(&prefix)).collect();
    let next = (found.len() > from.saturating_add(page)).then(|| (from + page).to_string());
    let shown = found.into_iter().skip(from).take(page).map(render).collect();
    Ok(Node::map().with("clusterInfoList", Node::List("member", shown)).with_some("nextToken", next))
}

fn find<'a>(world: &'a World, region: &str, input: &Node) -> Result<&'a Cluster, ApiError> {
    let arn = input.str("clusterArn").unwrap_or_default();
    if !arn.starts_with("arn:aws:kafka:") {
        return Err(ApiError::bad("BadRequestException", "One or more of the parameters are not valid."));
    }
    let found = world.kafka.clusters.iter().find(|one| one.region == region && one.arn == arn);
    found.ok_or_else(|| ApiError::new(404, "NotFoundException", "The requested resource doesn't exist."))
}

fn head(cluster: &Cluster) -> Node {
    Node::map()
        .with("clusterArn", &cluster.arn)
        .with("clusterName", &cluster.name)
        .with("creationTime", clock::iso(cluster.created_ms))
        .with("currentVersion", "K3P5ROKL5A1OLE")
        .with("state", &cluster.state)
        .with("tags", Node::map())
}

fn described(cluster: &Cluster) -> Node {
    head(cluster)
        .with("enhancedMonitoring", "DEFAULT")
        .with("numberOfBrokerNodes", BROKERS)
        .with("currentBrokerSoftwareInfo", Node::map().with("kafkaVersion", "3.6.0"))
}

fn described_v2(cluster: &Cluster) -> Node {
    let provisioned = Node::map()
        .with("enhancedMonitoring", "DEFAULT")
        .with("numberOfBrokerNodes", BROKERS)
        .with("currentBrokerSoftwareInfo", Node::map().with("kafkaVersion", "3.6.0"));
    head(cluster).with("clusterType", "PROVISIONED").with("provisioned", provisioned)
}
