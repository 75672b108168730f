//! ECS services and MSK clusters.

use mesh_double::error::ApiError;
use mesh_double::kafka;
use mesh_double::wire::Node;
use mesh_double::wire::request::Service;
use mesh_double::world::{RegionState, World};

use crate::asking::{EAST, WEST, ask, code, world};

const CLUSTER: &str = "maip-prod-dr-ecs";
const SERVICE: &str = "maip-reports";

fn ecs(world: &mut World, after_ms: u64, operation: &str, input: Node) -> Result<Node, ApiError> {
    ask(world, after_ms, (Service::Ecs, WEST), operation, input)
}

fn scale(world: &mut World, after_ms: u64, desired: i64) -> Result<Node, ApiError> {
    let input = Node::map().with("cluster", CLUSTER).with("service", SERVICE).with("desiredCount", desired);
    ecs(world, after_ms, "UpdateService", input)
}

/// Running, pending, and the state of the one deployment.
fn shown(world: &mut World, after_ms: u64) -> (i64, i64, String) {
    let input = Node::map().with("cluster", CLUSTER).with("services", Node::texts("member", [SERVICE]));
    let answer = ecs(world, after_ms, "DescribeServices", input).expect("it exists");
    let services = answer.list("services");
    let service = services.first().expect("one");
    let count = |name: &str| service.int(name).expect("a number").expect("shown");
    let deployments = service.list("deployments");
    assert_eq!(deployments.len(), 1, "a change of the number starts no deployment");
    let state = deployments.first().and_then(|deployment| deployment.str("rolloutState"));
    (count("runningCount"), count("pendingCount"), state.expect("shown"))
}

#[test]
fn tasks_are_pending_until_their_time_has_come() {
    let mut world = world();
    scale(&mut world, 0, 2).expect("accepted");
    assert_eq!(shown(&mut world, 599), (0, 2, "IN_PROGRESS".to_owned()));
    assert_eq!(shown(&mut world, 600), (2, 0, "COMPLETED".to_owned()));
    scale(&mut world, 700, 3).expect("accepted");
    assert_eq!(shown(&mut world, 700), (2, 1, "IN_PROGRESS".to_owned()));
    scale(&mut world, 701, 1).expect("accepted");
    assert_eq!(shown(&mut world, 60_000), (1, 0, "COMPLETED".to_owned()));
}

#[test]
fn tasks_of_a_dead_region_wait_for_it() {
    let mut world = world();
    scale(&mut world, 0, 2).expect("accepted");
    world.set_region(WEST, RegionState::Down);
    assert_eq!(shown(&mut world, 60_000).1, 2);
    world.set_region(WEST, RegionState::Up);
    assert_eq!(shown(&mut world, 60_001).0, 2);
}

#[test]
fn what_does_not_exist_is_told_apart() {
    let mut world = world();
    let of = |cluster: &str, service: &str| Node::map().with("cluster", cluster).with("service", service);
    assert_eq!(code(ecs(&mut world, 0, "UpdateService", of("gone", SERVICE))), "ClusterNotFoundException");
    assert_eq!(code(ecs(&mut world, 0, "UpdateService", of(CLUSTER, "gone"))), "ServiceNotFoundException");
    assert_eq!(code(scale(&mut world, 0, -1)), "InvalidParameterException");
    let input = Node::map().with("cluster", CLUSTER).with("services", Node::texts("member", ["gone"]));
    let answer = ecs(&mut world, 0, "DescribeServices", input).expect("answered");
    let failures = answer.list("failures");
    assert_eq!(failures[0].str("reason").as_deref(), Some("MISSING"));
}

#[test]
fn an_msk_cluster_is_in_the_state_that_a_test_gives_it() {
    let mut world = world();
    let state = |world: &mut World, region: &str| {
        let answer = ask(world, 0, (Service::Kafka, region), "ListClusters", Node::map()).expect("answered");
        answer.list("clusterInfoList").iter().filter_map(|one| one.str("state")).collect::<Vec<_>>()
    };
    assert_eq!(state(&mut world, WEST), ["ACTIVE"]);
    kafka::set_state(&mut world, WEST, "maip-prod-dr-kafka", "MAINTENANCE").expect("it exists");
    assert_eq!(state(&mut world, WEST), ["MAINTENANCE"]);
    assert_eq!(state(&mut world, EAST), ["ACTIVE"]);
    assert!(kafka::set_state(&mut world, WEST, "maip-prod-dr-kafka", "TIRED").is_err());
    assert!(kafka::set_state(&mut world, WEST, "gone", "ACTIVE").is_err());
}
