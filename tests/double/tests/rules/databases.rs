use mesh_double::error::ApiError;
use mesh_double::rds::data::{self, Refusal};
use mesh_double::rds::{InstanceKey, replication};
use mesh_double::wire::Node;
use mesh_double::wire::request::Service;
use mesh_double::world::{RegionState, World};

use crate::asking::{EAST, PRIMARY, REPLICA, START_MS, WEST, ask, code, world};

fn key(region: &str, id: &str) -> InstanceKey {
    InstanceKey { region: region.to_owned(), id: id.to_owned() }
}

fn rds(world: &mut World, after_ms: u64, region: &str, operation: &str, input: Node) -> Result<Node, ApiError> {
    ask(world, after_ms, (Service::Rds, region), operation, input)
}

fn promote(world: &mut World, after_ms: u64) -> Result<Node, ApiError> {
    rds(world, after_ms, WEST, "PromoteReadReplica", Node::map().with("DBInstanceIdentifier", REPLICA))
}

/// Status, and whether a source is shown.
fn shown(world: &mut World, after_ms: u64, region: &str, id: &str) -> (String, bool) {
    let found = rds(world, after_ms, region, "DescribeDBInstances", Node::map().with("DBInstanceIdentifier", id));
    let found = found.expect("the instance exists");
    let instance = found.list("DBInstances").first().copied().cloned().expect("it is described");
    let status = instance.str("DBInstanceStatus").expect("it has a status");
    (status, instance.get("ReadReplicaSourceDBInstanceIdentifier").is_some())
}

fn write(world: &mut World, after_ms: u64, region: &str, id: &str, what: &str) -> Result<usize, Refusal> {
    world.advance(START_MS + after_ms);
    let session = data::open(world, &key(region, id))?;
    data::write(world, &session, what)
}

fn ids(world: &World, region: &str, id: &str) -> Vec<String> {
    let instance = world.rds.instances.get(&key(region, id)).expect("the world has the instance");
    instance.writes.iter().map(|write| write.id.clone()).collect()
}

#[test]
fn a_promotion_shows_available_with_its_source_then_modifying_then_backing_up_then_available_without() {
    let mut world = world();
    promote(&mut world, 0).expect("a replica can be promoted");
    let steps =
        [(50, "available", true), (100, "modifying", true), (2999, "modifying", true), (3000, "backing-up", false)];
    for (after_ms, status, has_source) in steps {
        assert_eq!(shown(&mut world, after_ms, WEST, REPLICA), (status.to_owned(), has_source), "{after_ms} ms");
    }
    assert_eq!(shown(&mut world, 3500, WEST, REPLICA), ("available".to_owned(), false));
}

#[test]
fn a_second_promote_is_refused_while_the_status_still_shows_available_too() {
    let mut world = world();
    promote(&mut world, 0).expect("the first");
    for after_ms in [50, 1000, 3200, 4000] {
        assert_eq!(code(promote(&mut world, after_ms)), "InvalidDBInstanceState", "{after_ms} ms");
    }
}

#[test]
fn a_replica_is_exactly_one_lag_behind() {
    let mut world = world();
    write(&mut world, 1000, EAST, PRIMARY, "a").expect("the primary takes writes");
    world.advance(START_MS + 1199);
    assert!(ids(&world, WEST, REPLICA).is_empty());
    world.advance(START_MS + 1200);
    assert_eq!(ids(&world, WEST, REPLICA), ["a"]);
}

#[test]
fn a_partition_stops_replication_and_the_lag_counts_on() {
    let mut world = world();
    world.advance(START_MS + 1000);
    world.set_region(EAST, RegionState::Partitioned);
    write(&mut world, 1100, EAST, PRIMARY, "a").expect("inside, the primary lives");
    world.advance(START_MS + 60_000);
    let lag = |world: &World| replication::lag_ms(&world.rds.instances[&key(WEST, REPLICA)], world.now_ms);
    assert_eq!(lag(&world), Some(59_200));
    world.set_region(EAST, RegionState::Up);
    world.advance(START_MS + 60_001);
    assert_eq!(ids(&world, WEST, REPLICA), ["a"]);
    assert!(lag(&world).is_some_and(|lag| lag < 400));
}

#[test]
fn writes_on_their_way_are_lost_at_promotion_and_the_old_primary_keeps_them() {
    let mut world = world();
    write(&mut world, 1000, EAST, PRIMARY, "a").expect("writable");
    write(&mut world, 1150, EAST, PRIMARY, "b").expect("writable");
    promote(&mut world, 1250).expect("promotes");
    world.advance(START_MS + 10_000);
    assert_eq!(ids(&world, WEST, REPLICA), ["a"]);
    assert_eq!(ids(&world, EAST, PRIMARY), ["a", "b"]);
    write(&mut world, 10_001, EAST, PRIMARY, "c").expect("the old primary is not fenced by a promotion");
    write(&mut world, 10_002, WEST, REPLICA, "d").expect("the new one takes writes");
}

#[test]
fn a_closed_group_stops_new_sessions_only_once_it_is_active() {
    let mut world = world();
    let session = data::open(&world, &key(EAST, PRIMARY)).expect("open");
    let groups = Node::texts("VpcSecurityGroupId", ["sg-closed-us-east-1"]);
    let input = Node::map().with("DBInstanceIdentifier", PRIMARY).with("VpcSecurityGroupIds", groups);
    rds(&mut world, 0, EAST, "ModifyDBInstance", input).expect("accepted");
    world.advance(START_MS + 399);
    assert!(data::open(&world, &key(EAST, PRIMARY)).is_ok());
    world.advance(START_MS + 400);
    assert_eq!(data::open(&world, &key(EAST, PRIMARY)), Err(Refusal::GroupClosed));
    assert_eq!(data::write(&mut world, &session, "a"), Ok(1), "an open session goes on");
    rds(&mut world, 500, EAST, "RebootDBInstance", Node::map().with("DBInstanceIdentifier", PRIMARY))
        .expect("accepted");
    assert_eq!(data::write(&mut world, &session, "b"), Err(Refusal::NotServing));
    world.advance(START_MS + 2000);
    assert_eq!(data::write(&mut world, &session, "b"), Err(Refusal::SessionEnded));
}

#[test]
fn a_change_in_a_dead_region_goes_on_when_it_lives_again() {
    let mut world = world();
    promote(&mut world, 0).expect("promotes");
    world.advance(START_MS + 1000);
    world.set_region(WEST, RegionState::Down);
    world.advance(START_MS + 60_000);
    assert!(world.rds.instances[&key(WEST, REPLICA)].read_only);
    world.set_region(WEST, RegionState::Up);
    world.advance(START_MS + 60_001);
    assert!(!world.rds.instances[&key(WEST, REPLICA)].read_only);
}
