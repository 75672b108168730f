use std::collections::BTreeMap;

use mesh_double::error::ApiError;
use mesh_double::wire::Node;
use mesh_double::wire::request::Service;
use mesh_double::world::{RegionState, World};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::asking::{EAST, START_MS, WEST, WITNESS, ask, code, world};

const TABLE: &str = "maip-prod-merchant-analytics";
const SEEDS: u64 = 40;
const STEPS: u64 = 200;

fn call(world: &mut World, after_ms: u64, region: &str, operation: &str, input: Node) -> Result<Node, ApiError> {
    ask(world, after_ms, (Service::DynamoDb, region), operation, input.with("TableName", TABLE))
}

fn text(value: &str) -> Node {
    Node::map().with("S", value)
}

fn key(id: &str) -> Node {
    Node::map().with("merchant_id", text(id))
}

fn put(world: &mut World, after_ms: u64, region: &str, id: &str, value: &str) {
    let item = key(id).with("v", text(value));
    call(world, after_ms, region, "PutItem", Node::map().with("Item", item)).expect("the table takes writes");
}

fn delete(world: &mut World, after_ms: u64, region: &str, id: &str) {
    call(world, after_ms, region, "DeleteItem", Node::map().with("Key", key(id))).expect("the table takes writes");
}

/// Each item's value, as the region sees it.
fn seen(world: &mut World, after_ms: u64, region: &str) -> BTreeMap<String, String> {
    let answer = call(world, after_ms, region, "Scan", Node::map()).expect("the table can be read");
    let value = |item: &Node, name: &str| item.get(name).and_then(|value| value.str("S")).expect("a text");
    answer.list("Items").into_iter().map(|item| (value(item, "merchant_id"), value(item, "v"))).collect()
}

fn one(id: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(id.to_owned(), value.to_owned())])
}

fn replica(world: &mut World, after_ms: u64, by: &str, action: &str, region: &str) -> Result<Node, ApiError> {
    let update = Node::map().with(action, Node::map().with("RegionName", region));
    let input = Node::map().with("ReplicaUpdates", Node::List("member", vec![update]));
    call(world, after_ms, by, "UpdateTable", input)
}

/// The table's status, and that of each other replica.
fn shown(world: &mut World, after_ms: u64, region: &str) -> (String, Vec<(String, String)>) {
    let answer = call(world, after_ms, region, "DescribeTable", Node::map()).expect("the table is there");
    let table = answer.get("Table").expect("it is described");
    let name = |node: &Node, name: &str| node.str(name).expect("named");
    let replicas = table.list("Replicas").into_iter().map(|one| (name(one, "RegionName"), name(one, "ReplicaStatus")));
    (name(table, "TableStatus"), replicas.collect())
}

#[test]
fn a_write_arrives_exactly_one_lag_later() {
    let mut world = world();
    put(&mut world, 1000, EAST, "m", "a");
    assert_eq!(seen(&mut world, 1299, WEST), BTreeMap::new());
    assert_eq!(seen(&mut world, 1300, WEST), one("m", "a"));
}

#[test]
fn a_shorter_lag_holds_for_what_is_on_its_way() {
    let mut world = world();
    world.settings.dynamodb_replication_lag_ms = 60_000;
    put(&mut world, 1000, EAST, "m", "a");
    assert_eq!(seen(&mut world, 2000, WEST), BTreeMap::new());
    world.settings.dynamodb_replication_lag_ms = 100;
    assert_eq!(seen(&mut world, 2001, WEST), one("m", "a"));
}

#[test]
fn an_older_write_that_arrives_late_changes_nothing() {
    let mut world = world();
    put(&mut world, 1000, EAST, "m", "tail");
    put(&mut world, 1000, EAST, "deleted", "tail");
    world.set_region(EAST, RegionState::Down);
    put(&mut world, 2000, WEST, "m", "newer");
    delete(&mut world, 2000, WEST, "deleted");
    put(&mut world, 2001, WEST, "deleted", "made");
    delete(&mut world, 2002, WEST, "deleted");
    world.set_region(EAST, RegionState::Up);
    assert_eq!(seen(&mut world, 60_000, WEST), one("m", "newer"));
    assert_eq!(seen(&mut world, 60_000, EAST), one("m", "newer"));
}

#[test]
fn what_was_not_sent_before_a_death_arrives_after_it() {
    let mut world = world();
    put(&mut world, 1000, EAST, "m", "tail");
    world.advance(START_MS + 1100);
    world.set_region(EAST, RegionState::Down);
    assert_eq!(seen(&mut world, 3_600_000, WEST), BTreeMap::new());
    world.set_region(EAST, RegionState::Up);
    assert_eq!(seen(&mut world, 3_600_001, WEST), one("m", "tail"));
}

#[test]
fn a_new_replica_has_what_was_on_its_way_to_its_source() {
    let mut world = world();
    world.settings.dynamodb_replication_lag_ms = 5000;
    put(&mut world, 1000, WEST, "m", "on its way");
    replica(&mut world, 1500, EAST, "Create", WITNESS).expect("a third region");
    assert_eq!(shown(&mut world, 1600, EAST).0, "UPDATING");
    assert_eq!(shown(&mut world, 3100, EAST).0, "ACTIVE");
    assert_eq!(seen(&mut world, 5999, WITNESS), BTreeMap::new());
    assert_eq!(seen(&mut world, 6000, WITNESS), one("m", "on its way"));
}

#[test]
fn a_replica_is_not_made_while_its_region_cannot_be_reached() {
    let mut world = world();
    put(&mut world, 1000, EAST, "m", "a");
    replica(&mut world, 1000, EAST, "Create", WITNESS).expect("a third region");
    world.set_region(WITNESS, RegionState::Partitioned);
    let creating = vec![(WITNESS.to_owned(), "CREATING".to_owned()), (WEST.to_owned(), "ACTIVE".to_owned())];
    assert_eq!(shown(&mut world, 100_000, EAST), ("UPDATING".to_owned(), creating));
    world.set_region(WITNESS, RegionState::Up);
    assert_eq!(shown(&mut world, 101_600, EAST).0, "ACTIVE");
    assert_eq!(seen(&mut world, 101_600, WITNESS), one("m", "a"));
}

#[test]
fn a_replica_goes_only_when_it_has_sent_what_it_held() {
    let mut world = world();
    put(&mut world, 1000, EAST, "m", "a");
    world.settings.dynamodb_replication_lag_ms = 10_000;
    replica(&mut world, 1001, WEST, "Delete", EAST).expect("a replica");
    assert_eq!(shown(&mut world, 8000, WEST).1, [(EAST.to_owned(), "DELETING".to_owned())]);
    assert_eq!(
        code(call(&mut world, 8000, EAST, "GetItem", Node::map().with("Key", key("m")))),
        "ResourceNotFoundException"
    );
    assert_eq!(shown(&mut world, 20_000, WEST), ("ACTIVE".to_owned(), Vec::new()));
    assert_eq!(seen(&mut world, 20_000, WEST), one("m", "a"));
    assert_eq!(code(call(&mut world, 20_000, EAST, "DescribeTable", Node::map())), "ResourceNotFoundException");
}

#[test]
fn the_source_of_a_replica_may_go_after_a_day() {
    let mut world = world();
    world.settings.metric_period_ms = 60_000;
    replica(&mut world, 0, EAST, "Create", WITNESS).expect("a third region");
    let day = 24 * 3600 * 1000;
    assert_eq!(code(replica(&mut world, day - 1, WEST, "Delete", EAST)), "ValidationException");
    replica(&mut world, day, WEST, "Delete", EAST).expect("a day has gone by");
}

#[test]
fn a_table_of_one_region_replicates_nowhere() {
    let mut world = world();
    let name = Node::map().with("AttributeName", "pk");
    let input = Node::map()
        .with("TableName", "orders")
        .with("AttributeDefinitions", Node::List("member", vec![name.clone().with("AttributeType", "S")]))
        .with("KeySchema", Node::List("member", vec![name.with("KeyType", "HASH")]))
        .with("BillingMode", "PAY_PER_REQUEST");
    ask(&mut world, 0, (Service::DynamoDb, EAST), "CreateTable", input).expect("a new table");
    let described = |world: &mut World, after_ms| {
        let input = Node::map().with("TableName", "orders");
        let answer = ask(world, after_ms, (Service::DynamoDb, EAST), "DescribeTable", input).expect("it is there");
        answer.get("Table").and_then(|table| table.str("TableStatus"))
    };
    assert_eq!(described(&mut world, 499).as_deref(), Some("CREATING"));
    assert_eq!(described(&mut world, 500).as_deref(), Some("ACTIVE"));
    let input = Node::map().with("TableName", "orders");
    assert_eq!(
        code(ask(&mut world, 600, (Service::DynamoDb, WEST), "DescribeTable", input)),
        "ResourceNotFoundException"
    );
}

#[test]
fn the_item_count_is_that_of_its_period_s_beginning() {
    let mut world = world();
    let count = |world: &mut World, after_ms| {
        let answer = call(world, after_ms, EAST, "DescribeTable", Node::map()).expect("it is there");
        answer.get("Table").and_then(|table| table.int("ItemCount").expect("a number"))
    };
    put(&mut world, 100, EAST, "a", "1");
    assert_eq!(count(&mut world, 4999), Some(0));
    put(&mut world, 5100, EAST, "b", "1");
    assert_eq!(count(&mut world, 5200), Some(1));
    assert_eq!(count(&mut world, 10_000), Some(2));
}

/// Whatever fails and heals in between: in the end every region holds the last write to each item.
#[test]
fn replicas_end_up_with_the_last_write_to_each_item() {
    for seed in 0..SEEDS {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = world();
        replica(&mut world, 0, EAST, "Create", WITNESS).expect("a third region");
        let regions = [EAST, WEST, WITNESS];
        let (mut at, mut last, mut faults) = (10_000, BTreeMap::new(), 0);
        for step in 0..STEPS {
            at += rng.random_range(0..300);
            let region = regions[rng.random_range(0..regions.len())];
            world.advance(START_MS + at);
            match rng.random_range(0..10) {
                0 => {
                    let states = [RegionState::Up, RegionState::Down, RegionState::Partitioned];
                    world.set_region(region, states[rng.random_range(0..states.len())]);
                    faults += 1;
                }
                1 => world.settings.dynamodb_replication_lag_ms = rng.random_range(0..2000),
                // The world itself does not ask who calls: a partitioned region takes writes from inside.
                _ if world.is_alive(region) => {
                    let id = format!("m{}", rng.random_range(0..5));
                    // A deletion of what is not there, as the region sees it, is no write.
                    let there = seen(&mut world, at, region).contains_key(&id);
                    if rng.random_range(0..4) > 0 {
                        put(&mut world, at, region, &id, &step.to_string());
                        last.insert(id, Some(step));
                    } else if there {
                        delete(&mut world, at, region, &id);
                        last.insert(id, None);
                    }
                }
                _ => {}
            }
        }
        assert!(faults > 0, "seed {seed}: nothing failed");
        regions.iter().for_each(|region| assert!(world.set_region(region, RegionState::Up)));
        let views: Vec<_> = regions.iter().map(|region| seen(&mut world, at + 10_000, region)).collect();
        assert!(views.windows(2).all(|pair| pair[0] == pair[1]), "seed {seed}: {views:?}");
        let last: BTreeMap<String, String> =
            last.into_iter().filter_map(|(id, step)| Some((id, step?.to_string()))).collect();
        assert_eq!(views[0], last, "seed {seed}");
    }
}
