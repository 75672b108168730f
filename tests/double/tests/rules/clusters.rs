use mesh_double::eks::nodegroup::{self, Order};
use mesh_double::eks::{Cluster, ClusterKey};
use mesh_double::error::ApiError;
use mesh_double::kubernetes;
use mesh_double::kubernetes::request::Ask;
use mesh_double::kubernetes::status::Status;
use mesh_double::kubernetes::workload::{Counts, counts};
use mesh_double::wire::Node;
use mesh_double::wire::request::Service;
use mesh_double::world::{RegionState, World};
use serde_json::{Value, json};

use crate::asking::{EAST, START_MS, WEST, ask, code, world};

const CLUSTER: &str = "maip-prod-dr-eks-cluster";
const GROUP: &str = "maip-prod-dr-nodegroup";
pub const NAMESPACE: &str = "maip-services";
pub const MERGE: &str = "application/merge-patch+json";

pub fn key() -> ClusterKey {
    ClusterKey { region: WEST.to_owned(), name: CLUSTER.to_owned() }
}

pub fn cluster(world: &World) -> &Cluster {
    world.eks.clusters.get(&key()).expect("the world has it")
}

pub fn sizes(min: u32, max: u32, desired: u32) -> Node {
    Node::map().with("minSize", min).with("maxSize", max).with("desiredSize", desired)
}

pub fn update(world: &mut World, after_ms: u64, config: Node, token: Option<&str>) -> Result<Node, ApiError> {
    let input = Node::map()
        .with("clusterName", CLUSTER)
        .with("nodegroupName", GROUP)
        .with("scalingConfig", config)
        .with_some("clientRequestToken", token);
    ask(world, after_ms, (Service::Eks, WEST), "UpdateNodegroupConfig", input)
}

fn update_id(answer: Result<Node, ApiError>) -> String {
    answer.expect("accepted").get("update").and_then(|update| update.str("id")).expect("an update has an id")
}

/// Status, desired size as shown, nodes that are ready.
fn shown(world: &mut World, after_ms: u64) -> (String, u32, usize) {
    world.advance(START_MS + after_ms);
    let cluster = cluster(world);
    let group = cluster.groups.get(GROUP).expect("the world has it");
    let ready = cluster.machines.iter().filter(|machine| machine.ready).count();
    (group.status.clone(), group.sizes.desired, ready)
}

pub fn kube(world: &mut World, after_ms: u64, method: &str, path: &str, body: &Value) -> Result<Value, Status> {
    world.advance(START_MS + after_ms);
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let method = method.parse().expect("a method");
    let ask = Ask::read(&method, path, query, MERGE, body.to_string().as_bytes())?;
    kubernetes::call(world, &key(), &ask)
}

pub fn patch(world: &mut World, after_ms: u64, name: &str, body: &Value) -> Result<Value, Status> {
    kube(world, after_ms, "PATCH", &format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}"), body)
}

pub fn scale(world: &mut World, after_ms: u64, name: &str, replicas: u32) -> Value {
    patch(world, after_ms, name, &json!({ "spec": { "replicas": replicas } })).expect("accepted")
}

pub fn pods(world: &mut World, after_ms: u64, name: &str) -> Counts {
    world.advance(START_MS + after_ms);
    counts(cluster(world), NAMESPACE, name)
}

#[test]
fn a_node_group_is_active_with_its_new_sizes_before_its_nodes_are_ready() {
    let mut world = world();
    update(&mut world, 0, sizes(4, 20, 8), None).expect("accepted");
    for (after_ms, state) in [
        (0, ("UPDATING", 1, 1)),
        (399, ("UPDATING", 1, 1)),
        (400, ("ACTIVE", 8, 1)),
        (999, ("ACTIVE", 8, 1)),
        (1000, ("ACTIVE", 8, 8)),
    ] {
        let (status, desired, ready) = shown(&mut world, after_ms);
        assert_eq!((status.as_str(), desired, ready), state, "{after_ms} ms");
    }
}

#[test]
fn an_update_under_way_keeps_others_out_and_its_own_token_in() {
    let mut world = world();
    let first = update_id(update(&mut world, 0, sizes(1, 20, 2), Some("a")));
    assert_eq!(code(update(&mut world, 1, sizes(1, 20, 3), Some("b"))), "ResourceInUseException");
    assert_eq!(code(update(&mut world, 1, sizes(1, 20, 2), None)), "ResourceInUseException");
    assert_eq!(update_id(update(&mut world, 2, sizes(1, 20, 2), Some("a"))), first);
    assert_eq!(update_id(update(&mut world, 5000, sizes(1, 20, 2), Some("a"))), first);
    assert_eq!(code(update(&mut world, 5001, sizes(1, 20, 3), Some("a"))), "InvalidParameterException");
    assert_ne!(update_id(update(&mut world, 5002, sizes(1, 20, 2), Some("b"))), first, "a new token, a new update");
}

#[test]
fn min_is_not_above_desired_nor_desired_above_max() {
    let mut world = world();
    let alone = |name: &str, size: i64| Node::map().with(name, size);
    for config in [
        sizes(9, 20, 8),
        sizes(1, 7, 8),
        sizes(0, 0, 0),
        sizes(1, 451, 8),
        alone("minSize", 2),
        alone("desiredSize", 21),
        alone("desiredSize", -1),
        Node::map().with("minSize", "many"),
    ] {
        assert_eq!(code(update(&mut world, 0, config.clone(), None)), "InvalidParameterException", "{config:?}");
    }
    assert_eq!(shown(&mut world, 0), ("ACTIVE".to_owned(), 1, 1));
    assert!(update(&mut world, 0, alone("maxSize", 30), None).is_ok(), "a size alone, where it fits");
}

#[test]
fn a_region_out_of_machines_degrades_the_group_until_it_has_them_again() {
    let mut world = world();
    let limit = |count: i64| Order { status: None, issues: None, machines_max: Some(count) };
    nodegroup::order(&mut world, &key(), GROUP, limit(3)).expect("the group exists");
    update(&mut world, 0, sizes(4, 20, 8), None).expect("accepted");
    assert_eq!(shown(&mut world, 5000), ("DEGRADED".to_owned(), 8, 3));
    assert_eq!(cluster(&world).groups[GROUP].issues[0].code, "AsgInstanceLaunchFailures");
    nodegroup::order(&mut world, &key(), GROUP, limit(-1)).expect("the group exists");
    assert_eq!(shown(&mut world, 7000), ("ACTIVE".to_owned(), 8, 8));
}

#[test]
fn fewer_nodes_evict_pods_which_find_room_or_wait() {
    let mut world = world();
    update(&mut world, 0, sizes(1, 20, 3), None).expect("accepted");
    scale(&mut world, 2000, "api", 8);
    assert_eq!(pods(&mut world, 4000, "api"), Counts { all: 8, ready: 8 });
    update(&mut world, 5000, sizes(1, 20, 1), None).expect("accepted");
    world.advance(START_MS + 9000);
    let all: Vec<Counts> =
        ["api", "gateway", "worker"].iter().map(|name| counts(cluster(&world), NAMESPACE, name)).collect();
    assert_eq!(all.iter().map(|one| one.all).sum::<usize>(), 10);
    assert_eq!(all.iter().map(|one| one.ready).sum::<usize>(), 4, "as many as one node holds");
}

#[test]
fn a_dead_regions_pods_and_nodes_stand_still() {
    let mut world = world();
    update(&mut world, 0, sizes(4, 20, 8), None).expect("accepted");
    scale(&mut world, 0, "api", 4);
    world.set_region(WEST, RegionState::Down);
    assert_eq!(shown(&mut world, 60_000), ("UPDATING".to_owned(), 1, 1));
    assert_eq!(pods(&mut world, 60_000, "api"), Counts { all: 1, ready: 1 });
    world.set_region(WEST, RegionState::Up);
    assert_eq!(shown(&mut world, 60_001), ("ACTIVE".to_owned(), 8, 8));
    assert_eq!(pods(&mut world, 62_000, "api"), Counts { all: 4, ready: 4 });
}

#[test]
fn an_eks_cluster_is_of_one_region() {
    let mut world = world();
    let input = Node::map().with("name", CLUSTER);
    assert!(ask(&mut world, 0, (Service::Eks, WEST), "DescribeCluster", input.clone()).is_ok());
    assert_eq!(code(ask(&mut world, 0, (Service::Eks, EAST), "DescribeCluster", input)), "ResourceNotFoundException");
}
