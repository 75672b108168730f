//! Managed node groups. An update shows UPDATING and the old sizes until it is over; machines join later than that, so
//! that ACTIVE alone does not mean room for pods.

pub mod machines;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ClusterKey, Due, NodeGroupEntry, What, describe, find, invalid, not_found};
use crate::error::ApiError;
use crate::kubernetes::workload::scheduler;
use crate::wire::Node;
use crate::world::World;
use crate::world::timers::Timer;

pub const UPDATE: &str = "node-group-update";
const UPDATES_MAX: usize = 1000;
/// AWS's quota of nodes in a managed node group.
const MACHINES_MAX: u32 = 450;

/// The sizes that a call names, as an update shows them.
pub type Params = Vec<(&'static str, u32)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    pub min: u32,
    pub max: u32,
    pub desired: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issue {
    pub code: String,
    pub message: String,
}

#[derive(Clone, Debug)]
pub struct NodeGroup {
    pub id: String,
    pub created_ms: u64,
    pub modified_ms: u64,
    pub sizes: Sizes,
    pub status: String,
    pub issues: Vec<Issue>,
    /// How many machines the region has to give; without a number, as many as are wanted.
    pub machines_max: Option<usize>,
    /// What was asked with each client request token, and the update that it began.
    tokens: BTreeMap<String, (Params, String)>,
}

#[derive(Clone, Debug)]
pub struct Update {
    pub id: String,
    pub group: String,
    pub status: &'static str,
    pub sizes: Sizes,
    pub params: Params,
    pub created_ms: u64,
}

/// What the control API sets; what it leaves out stays.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    #[serde(default)]
    pub status: Option<String>,
    #[serde(default)]
    pub issues: Option<Vec<Issue>>,
    /// -1 takes the limit away.
    #[serde(default)]
    pub machines_max: Option<i64>,
}

pub fn add(world: &mut World, key: &ClusterKey, entry: &NodeGroupEntry) -> Result<(), String> {
    let sizes = Sizes { min: entry.min, max: entry.max, desired: entry.desired };
    check(sizes).map_err(|error| format!("{key}/{}: {}", entry.name, error.message))?;
    let now_ms = world.now_ms;
    let group = NodeGroup {
        id: world.uuid(),
        created_ms: now_ms,
        modified_ms: now_ms,
        sizes,
        status: "ACTIVE".to_owned(),
        issues: Vec::new(),
        machines_max: None,
        tokens: BTreeMap::new(),
    };
    for _ in 0..sizes.desired {
        let machine = machines::machine(world, key, &entry.name, true);
        if let Some(cluster) = world.eks.clusters.get_mut(key) {
            cluster.machines.push(machine);
        }
    }
    if let Some(cluster) = world.eks.clusters.get_mut(key) {
        cluster.groups.insert(entry.name.clone(), group);
    }
    Ok(())
}

pub fn update_config(world: &mut World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let cluster_name = input.str("clusterName").unwrap_or_default();
    let name = input.str("nodegroupName").unwrap_or_default();
    let (key, cluster) = find(world, region, &cluster_name)?;
    let group = cluster.groups.get(&name).ok_or_else(|| missing(&name))?;
    let (sizes, params) = wanted(group.sizes, input)?;
    let token = input.str("clientRequestToken").filter(|token| !token.is_empty());
    if let Some((earlier, update)) = token.as_ref().and_then(|token| group.tokens.get(token)) {
        if *earlier != params {
            return Err(invalid("The clientRequestToken was used before, with other parameters."));
        }
        return describe::known_update(cluster, update);
    }
    check(sizes)?;
    if !matches!(group.status.as_str(), "ACTIVE" | "DEGRADED") {
        return Err(ApiError::new(
            409,
            "ResourceInUseException",
            "Nodegroup cannot be updated as it is currently not in Active State",
        ));
    }
    if params.is_empty() {
        return Err(ApiError::unsupported("an update that names no size"));
    }
    let update = begin(world, &key, &name, sizes, params.clone());
    let cluster = world.eks.clusters.get_mut(&key).ok_or_else(|| not_found(cluster_name))?;
    if let (Some(token), Some(group)) = (token, cluster.groups.get_mut(&name)) {
        group.tokens.insert(token, (params, update.clone()));
    }
    describe::known_update(cluster, &update)
}

pub fn missing(name: &str) -> ApiError {
    not_found(format!("No node group found for name: {name}."))
}

/// What the call asks for, where sizes that it leaves out stay as they are.
fn wanted(now: Sizes, input: &Node) -> Result<(Sizes, Params), ApiError> {
    let config = input.get("scalingConfig").ok_or_else(|| ApiError::unsupported("an update that names no size"))?;
    let known = ["minSize", "maxSize", "desiredSize"];
    if let Some(name) = config.keys().into_iter().find(|name| !known.contains(name)) {
        return Err(ApiError::unsupported(format!("scalingConfig.{name}")));
    }
    let mut params = Vec::new();
    let mut size = |name: &'static str, shown: &'static str, now: u32| -> Result<u32, ApiError> {
        let wrong = || invalid(format!("{name} is not valid"));
        let Some(number) = config.int(name).map_err(|_| wrong())? else { return Ok(now) };
        let number = u32::try_from(number).map_err(|_| wrong())?;
        params.push((shown, number));
        Ok(number)
    };
    let sizes = Sizes {
        min: size("minSize", "MinSize", now.min)?,
        max: size("maxSize", "MaxSize", now.max)?,
        desired: size("desiredSize", "DesiredSize", now.desired)?,
    };
    Ok((sizes, params))
}

fn check(sizes: Sizes) -> Result<(), ApiError> {
    let Sizes { min, max, desired } = sizes;
    if max == 0 || max > MACHINES_MAX {
        return Err(invalid("maxSize is not valid"));
    }
    if desired > max {
        return Err(invalid(format!("desired capacity {desired} can't be greater than max size {max}")));
    }
    if min > desired {
        return Err(invalid(format!("Minimum capacity {min} can't be greater than desired size {desired}")));
    }
    Ok(())
}

fn begin(world: &mut World, key: &ClusterKey, name: &str, sizes: Sizes, params: Params) -> String {
    let (now_ms, id) = (world.now_ms, world.uuid());
    if let Some(cluster) = world.eks.clusters.get_mut(key) {
        if cluster.updates.len() >= UPDATES_MAX {
            let oldest = cluster.updates.remove(0);
            cluster.groups.values_mut().for_each(|group| group.tokens.retain(|_, (_, update)| *update != oldest.id));
        }
        if let Some(group) = cluster.groups.get_mut(name) {
            "UPDATING".clone_into(&mut group.status);
        }
        cluster.updates.push(Update {
            id: id.clone(),
            group: name.to_owned(),
            status: "InProgress",
            sizes,
            params,
            created_ms: now_ms,
        });
    }
    world.activities.start(format!("{key}/{name}"), UPDATE, now_ms);
    machines::launch(world, key, name, sizes.desired);
    let what = What::GroupUpdated { group: name.to_owned(), update: id.clone() };
    let at_ms = now_ms + world.settings.nodegroup_update_ms;
    world.timers.set(at_ms, Timer::Eks(Due { cluster: key.clone(), what }));
    id
}

/// The update is over: the new sizes show, and machines that are too many are gone with their pods.
pub fn updated(world: &mut World, key: &ClusterKey, name: &str, id: &str) {
    let now_ms = world.now_ms;
    world.activities.end(&format!("{key}/{name}"), UPDATE, now_ms);
    let Some(cluster) = world.eks.clusters.get_mut(key) else { return };
    let Some(update) = cluster.updates.iter_mut().find(|update| update.id == id) else { return };
    update.status = "Successful";
    let sizes = update.sizes;
    if let Some(group) = cluster.groups.get_mut(name) {
        group.sizes = sizes;
        group.modified_ms = now_ms;
    }
    let gone = machines::remove_surplus(cluster, name, sizes.desired);
    machines::end_of_joining(world, key, name);
    machines::settle(world, key, name);
    scheduler::evict(world, key, &gone);
}

/// What the control API does to a group.
pub fn order(world: &mut World, key: &ClusterKey, name: &str, order: Order) -> Result<(), String> {
    let unknown = || format!("no node group {key}/{name}");
    let cluster = world.eks.clusters.get_mut(key).ok_or_else(unknown)?;
    let group = cluster.groups.get_mut(name).ok_or_else(unknown)?;
    if let Some(issues) = order.issues {
        group.issues = issues;
        let status = if group.issues.is_empty() { "ACTIVE" } else { "DEGRADED" };
        status.clone_into(&mut group.status);
    }
    if let Some(status) = order.status {
        group.status = status;
    }
    if let Some(limit) = order.machines_max {
        group.machines_max = usize::try_from(limit).ok();
        let (desired, updating) = (group.sizes.desired, group.status == "UPDATING");
        if !updating {
            machines::launch(world, key, name, desired);
            machines::settle(world, key, name);
        }
    }
    Ok(())
}
