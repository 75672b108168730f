use mesh_double::eks::nodegroup::{self, Order};
use mesh_double::eks::{Cluster, ClusterKey};
use mesh_double::error::ApiError;
use mesh_double::kubernetes::access::Identity;
use mesh_double::kubernetes::request::Ask;
use mesh_double::kubernetes::status::Status;
use mesh_double::kubernetes::workload::{Counts, counts};
use mesh_double::kubernetes::{self, access};
use mesh_double::wire::Node;
use mesh_double::wire::request::Service;
use mesh_double::world::{RegionState, World};
use serde_json::{Value, json};

use crate::asking::{EAST, START_MS, WEST, ask, code, world};

const CLUSTER: &str = "maip-prod-dr-eks-cluster";
const GROUP: &str = "maip-prod-dr-nodegroup";
const NAMESPACE: &str = "maip-services";
const MERGE: &str = "application/merge-patch+json";

fn key() -> ClusterKey {
    ClusterKey { region: WEST.to_owned(), name: CLUSTER.to_owned() }
}

fn cluster(world: &World) -> &Cluster {
    world.eks.clusters.get(&key()).expect("the world has it")
}

fn sizes(min: u32, max: u32, desired: u32) -> Node {
    Node::map().with("minSize", min).with("maxSize", max).with("desiredSize", desired)
}

fn update(world: &mut World, after_ms: u64, config: Node, token: Option<&str>) -> Result<Node, ApiError> {
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

fn kube(world: &mut World, after_ms: u64, method: &str, path: &str, body: &Value) -> Result<Value, Status> {
    world.advance(START_MS + after_ms);
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let method = method.parse().expect("a method");
    let ask = Ask::read(&method, path, query, MERGE, body.to_string().as_bytes())?;
    kubernetes::call(world, &key(), &ask)
}

fn patch(world: &mut World, after_ms: u64, name: &str, body: &Value) -> Result<Value, Status> {
    kube(world, after_ms, "PATCH", &format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}"), body)
}

fn scale(world: &mut World, after_ms: u64, name: &str, replicas: u32) -> Value {
    patch(world, after_ms, name, &json!({ "spec": { "replicas": replicas } })).expect("accepted")
}

fn pods(world: &mut World, after_ms: u64, name: &str) -> Counts {
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
fn a_deployment_is_seen_filled_and_ready_in_that_order() {
    let mut world = world();
    let answer = scale(&mut world, 0, "api", 2);
    assert_eq!(answer.pointer("/status/observedGeneration"), Some(&json!(1)));
    assert_eq!(pods(&mut world, 19, "api"), Counts { all: 1, ready: 1 });
    assert_eq!(pods(&mut world, 20, "api"), Counts { all: 2, ready: 1 });
    assert_eq!(pods(&mut world, 519, "api"), Counts { all: 2, ready: 1 });
    assert_eq!(pods(&mut world, 520, "api"), Counts { all: 2, ready: 2 });
    let activity = world.activities.all().last().expect("an activity");
    assert_eq!((activity.started_ms, activity.ended_ms), (START_MS, Some(START_MS + 520)));
}

#[test]
fn pods_wait_for_nodes_and_then_are_ready() {
    let mut world = world();
    scale(&mut world, 0, "api", 4);
    assert_eq!(pods(&mut world, 60_000, "api"), Counts { all: 4, ready: 2 });
    update(&mut world, 60_000, sizes(1, 20, 2), None).expect("accepted");
    assert_eq!(pods(&mut world, 61_499, "api").ready, 2);
    assert_eq!(pods(&mut world, 61_500, "api").ready, 4);
}

#[test]
fn every_change_takes_a_new_version_and_nothing_else_does() {
    let mut world = world();
    let version = |value: &Value| value.pointer("/metadata/resourceVersion").cloned();
    let first = scale(&mut world, 0, "api", 2);
    let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/api");
    let mut read = |after_ms| kube(&mut world, after_ms, "GET", &path, &Value::Null).expect("it exists");
    assert_eq!(version(&read(10)), version(&first));
    let seen = read(20);
    assert_ne!(version(&seen), version(&first), "its controller has written its status");
    let ready = read(520);
    assert_ne!(version(&ready), version(&seen), "a pod became ready");
    assert_eq!(version(&read(60_000)), version(&ready));
}

#[test]
fn a_write_with_an_older_version_is_a_conflict_and_changes_nothing() {
    let mut world = world();
    let old = scale(&mut world, 0, "api", 2).pointer("/metadata/resourceVersion").cloned();
    world.advance(START_MS + 1000);
    let guarded = json!({ "metadata": { "resourceVersion": old }, "spec": { "replicas": 3 } });
    let refused = patch(&mut world, 1000, "api", &guarded).expect_err("older");
    assert_eq!((refused.code, refused.reason.as_str()), (409, "Conflict"));
    assert_eq!(pods(&mut world, 3000, "api"), Counts { all: 2, ready: 2 });
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

#[test]
fn a_caller_without_entry_is_unknown_and_one_without_role_is_forbidden() {
    let mut world = world();
    let entries = json!({ "reader": "view", "writer": "edit", "nobody": "none" });
    let cluster = world.eks.clusters.get_mut(&key()).expect("the world has it");
    cluster.access = Some(serde_json::from_value(entries).expect("access"));
    let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/api");
    let asked = |method: &str| {
        let method = method.parse().expect("a method");
        Ask::read(&method, &path, "", MERGE, b"{}").expect("understood")
    };
    let user = |name: &str| Identity::User { name: name.to_owned(), arn: format!("arn:aws:iam::1:user/{name}") };
    let code = |identity: &Identity, method: &str| {
        access::authorize(cluster, identity, &asked(method)).map_err(|refused| refused.code)
    };
    assert_eq!(code(&user("writer"), "PATCH"), Ok(()));
    assert_eq!(code(&user("reader"), "GET"), Ok(()));
    assert_eq!(code(&user("reader"), "PATCH"), Err(403));
    assert_eq!(code(&user("nobody"), "GET"), Err(403));
    assert_eq!(code(&user("stranger"), "GET"), Err(401));
    assert_eq!(code(&Identity::Anonymous, "GET"), Err(403));
}
