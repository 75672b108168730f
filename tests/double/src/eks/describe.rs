use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::nodegroup::{NodeGroup, Sizes, Update, missing};
use super::{Cluster, ClusterKey, find, invalid, not_found};
use crate::error::ApiError;
use crate::wire::Node;
use crate::world::World;

const PAGE_MAX: usize = 100;
pub const VERSION: &str = "1.33";

pub fn list_clusters(world: &World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let here = world.eks.clusters.keys().filter(|key| key.region == region);
    page(here.map(|key| key.name.clone()).collect(), input, "clusters")
}

pub fn cluster(world: &World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let (key, cluster) = find(world, region, &input.str("name").unwrap_or_default())?;
    let authority = Node::map().with("data", STANDARD.encode(&cluster.authority_pem));
    let network = Node::map().with("endpointPublicAccess", true).with("endpointPrivateAccess", true);
    let described = Node::map()
        .with("name", &key.name)
        .with("arn", arn(world, &key))
        .with("createdAt", Node::Time(cluster.created_ms))
        .with("version", VERSION)
        .with("platformVersion", "eks.1")
        .with("endpoint", &cluster.endpoint)
        .with("roleArn", format!("arn:aws:iam::{}:role/eks-cluster", world.account))
        .with("resourcesVpcConfig", network)
        .with("status", "ACTIVE")
        .with("certificateAuthority", authority)
        .with("health", Node::map().with("issues", Node::List("member", Vec::new())))
        .with("accessConfig", Node::map().with("authenticationMode", "API"))
        .with("tags", Node::map());
    Ok(Node::map().with("cluster", described))
}

pub fn arn(world: &World, key: &ClusterKey) -> String {
    format!("arn:aws:eks:{}:{}:cluster/{}", key.region, world.account, key.name)
}

pub fn group_arn(world: &World, key: &ClusterKey, name: &str) -> String {
    let id = world.eks.clusters.get(key).and_then(|cluster| cluster.groups.get(name)).map(|group| group.id.as_str());
    format!("arn:aws:eks:{}:{}:nodegroup/{}/{name}/{}", key.region, world.account, key.name, id.unwrap_or("unknown"))
}

pub fn list_groups(world: &World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let (_, cluster) = find(world, region, &input.str("clusterName").unwrap_or_default())?;
    page(cluster.groups.keys().cloned().collect(), input, "nodegroups")
}

pub fn group(world: &World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let (key, cluster) = find(world, region, &input.str("clusterName").unwrap_or_default())?;
    let name = input.str("nodegroupName").unwrap_or_default();
    let group = cluster.groups.get(&name).ok_or_else(|| missing(&name))?;
    Ok(Node::map().with("nodegroup", render_group(world, &key, &name, group)))
}

fn render_group(world: &World, key: &ClusterKey, name: &str, group: &NodeGroup) -> Node {
    let issues = group.issues.iter().map(|issue| {
        let resources = Node::texts("member", [format!("eks-{name}")]);
        Node::map().with("code", &issue.code).with("message", &issue.message).with("resourceIds", resources)
    });
    let health = Node::map().with("issues", Node::List("member", issues.collect()));
    Node::map()
        .with("nodegroupName", name)
        .with("nodegroupArn", group_arn(world, key, name))
        .with("clusterName", &key.name)
        .with("version", VERSION)
        .with("createdAt", Node::Time(group.created_ms))
        .with("modifiedAt", Node::Time(group.modified_ms))
        .with("status", &group.status)
        .with("capacityType", "ON_DEMAND")
        .with("scalingConfig", scaling(group.sizes))
        .with("instanceTypes", Node::texts("member", ["m5.large"]))
        .with("amiType", "AL2023_x86_64_STANDARD")
        .with("nodeRole", format!("arn:aws:iam::{}:role/eks-node", world.account))
        .with("health", health)
        .with("updateConfig", Node::map().with("maxUnavailable", 1u32))
        .with("tags", Node::map())
}

fn scaling(sizes: Sizes) -> Node {
    Node::map().with("minSize", sizes.min).with("maxSize", sizes.max).with("desiredSize", sizes.desired)
}

pub fn list_updates(world: &World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let (_, cluster) = find(world, region, &input.str("name").unwrap_or_default())?;
    let group = input.str("nodegroupName");
    if let Some(name) = group.as_ref().filter(|name| !cluster.groups.contains_key(*name)) {
        return Err(missing(name));
    }
    // The cluster's own updates are none: only those of a node group are modelled.
    let of_group = cluster.updates.iter().filter(|update| Some(&update.group) == group.as_ref());
    page(of_group.map(|update| update.id.clone()).collect(), input, "updateIds")
}

pub fn update(world: &World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let (_, cluster) = find(world, region, &input.str("name").unwrap_or_default())?;
    let id = input.str("updateId").unwrap_or_default();
    let group = input.str("nodegroupName");
    match cluster.updates.iter().find(|update| update.id == id && Some(&update.group) == group.as_ref()) {
        Some(update) => Ok(Node::map().with("update", render_update(update))),
        None => Err(no_update(&id)),
    }
}

pub fn known_update(cluster: &Cluster, id: &str) -> Result<Node, ApiError> {
    let update = cluster.updates.iter().find(|update| update.id == id).ok_or_else(|| no_update(id))?;
    Ok(Node::map().with("update", render_update(update)))
}

fn no_update(id: &str) -> ApiError {
    not_found(format!("No update found for ID: {id}"))
}

fn render_update(update: &Update) -> Node {
    let params =
        update.params.iter().map(|(name, value)| Node::map().with("type", *name).with("value", value.to_string()));
    Node::map()
        .with("id", &update.id)
        .with("status", update.status)
        .with("type", "ConfigUpdate")
        .with("params", Node::List("member", params.collect()))
        .with("createdAt", Node::Time(update.created_ms))
        .with("errors", Node::List("member", Vec::new()))
}

fn page(all: Vec<String>, input: &Node, member: &str) -> Result<Node, ApiError> {
    let wanted = input.int("maxResults").map_err(|_| invalid("maxResults must be an integer."))?;
    let size = match wanted {
        None => PAGE_MAX,
        Some(number) => usize::try_from(number)
            .ok()
            .filter(|number| (1..=PAGE_MAX).contains(number))
            .ok_or_else(|| invalid("maxResults must be from 1 to 100."))?,
    };
    let from: usize = match input.str("nextToken") {
        None => 0,
        Some(text) => text.parse().map_err(|_| invalid("nextToken is not valid."))?,
    };
    let next = (all.len() > from.saturating_add(size)).then(|| (from + size).to_string());
    let shown: Vec<String> = all.into_iter().skip(from).take(size).collect();
    Ok(Node::map().with(member, Node::texts("member", shown)).with_some("nextToken", next))
}
