use mesh_double::error::ApiError;
use mesh_double::rds::InstanceKey;
use mesh_double::rds::data;
use mesh_double::wire::Node;
use mesh_double::wire::request::Service;
use mesh_double::world::{RegionState, World};

use crate::asking::{EAST, PRIMARY, REPLICA, START_MS, WEST, WITNESS, ask, code, world};

const NEW: &str = "maip-prod-postgres-new";
const SOURCE: &str = "arn:aws:rds:us-east-1:123456789012:db:maip-prod-postgres";
/// As many of one source as PostgreSQL has.
const REPLICAS_MAX: usize = 15;

fn create(world: &mut World, after_ms: u64, region: &str, id: &str, source: &str) -> Result<Node, ApiError> {
    let input = Node::map().with("DBInstanceIdentifier", id).with("SourceDBInstanceIdentifier", source);
    ask(world, after_ms, (Service::Rds, region), "CreateDBInstanceReadReplica", input)
}

fn status(world: &mut World, after_ms: u64, region: &str, id: &str) -> Option<String> {
    let input = Node::map().with("DBInstanceIdentifier", id);
    let answer = ask(world, after_ms, (Service::Rds, region), "DescribeDBInstances", input).expect("it exists");
    answer.list("DBInstances").first().and_then(|instance| instance.str("DBInstanceStatus"))
}

fn write(world: &mut World, after_ms: u64, id: &str) {
    world.advance(START_MS + after_ms);
    let session = data::open(world, &InstanceKey { region: EAST.to_owned(), id: PRIMARY.to_owned() });
    data::write(world, &session.expect("the primary serves"), id).expect("it takes writes");
}

fn held(world: &World) -> Vec<&str> {
    let key = InstanceKey { region: WEST.to_owned(), id: NEW.to_owned() };
    world.rds.instances.get(&key).expect("it exists").writes.iter().map(|write| write.id.as_str()).collect()
}

#[test]
fn a_new_replica_is_creating_and_then_holds_what_its_source_does() {
    let mut world = world();
    write(&mut world, 100, "before");
    create(&mut world, 1000, WEST, NEW, SOURCE).expect("the source has backups");
    write(&mut world, 2000, "meanwhile");
    assert_eq!(status(&mut world, 3999, WEST, NEW).as_deref(), Some("creating"));
    assert_eq!(status(&mut world, 4000, WEST, NEW).as_deref(), Some("available"));
    assert_eq!(held(&world), ["before", "meanwhile"]);
    write(&mut world, 5000, "after");
    world.advance(START_MS + 5199);
    assert_eq!(held(&world).len(), 2);
    world.advance(START_MS + 5200);
    assert_eq!(held(&world), ["before", "meanwhile", "after"]);
}

#[test]
fn nobody_gets_at_a_replica_that_is_being_made() {
    let mut world = world();
    create(&mut world, 0, WEST, NEW, SOURCE).expect("the source has backups");
    let key = InstanceKey { region: WEST.to_owned(), id: NEW.to_owned() };
    assert!(data::open(&world, &key).is_err());
    for operation in ["PromoteReadReplica", "RebootDBInstance"] {
        let input = Node::map().with("DBInstanceIdentifier", NEW);
        let refused = ask(&mut world, 10, (Service::Rds, WEST), operation, input);
        assert_eq!(code(refused), "InvalidDBInstanceState", "{operation}");
    }
    world.advance(START_MS + 60_000);
    assert!(data::open(&world, &key).is_err(), "without a security group of its own nobody is let in");
}

#[test]
fn a_source_has_backups_and_is_available() {
    let mut world = world();
    assert_eq!(code(create(&mut world, 0, WEST, NEW, REPLICA)), "InvalidDBInstanceState", "no backups");
    assert_eq!(code(create(&mut world, 0, WEST, NEW, PRIMARY)), "DBInstanceNotFound", "not of this region");
    let reboot = Node::map().with("DBInstanceIdentifier", PRIMARY);
    ask(&mut world, 0, (Service::Rds, EAST), "RebootDBInstance", reboot).expect("available");
    assert_eq!(code(create(&mut world, 10, WEST, NEW, SOURCE)), "InvalidDBInstanceState", "rebooting");
}

#[test]
fn an_identifier_is_used_once_in_a_region() {
    let mut world = world();
    assert_eq!(code(create(&mut world, 0, WEST, REPLICA, SOURCE)), "DBInstanceAlreadyExists");
    assert_eq!(code(create(&mut world, 0, WEST, "MAIP-prod-postgres-REPLICA", SOURCE)), "DBInstanceAlreadyExists");
    create(&mut world, 0, WITNESS, REPLICA, SOURCE).expect("another region's names are its own");
}

#[test]
fn a_creation_waits_for_its_source() {
    let mut world = world();
    create(&mut world, 0, WEST, NEW, SOURCE).expect("the source has backups");
    world.set_region(EAST, RegionState::Down);
    assert_eq!(status(&mut world, 100_000, WEST, NEW).as_deref(), Some("creating"));
    world.set_region(EAST, RegionState::Up);
    assert_eq!(status(&mut world, 103_000, WEST, NEW).as_deref(), Some("available"));
}

#[test]
fn a_source_has_fifteen_replicas_at_most() {
    let mut world = world();
    for number in 1..REPLICAS_MAX {
        create(&mut world, 0, WEST, &format!("r{number}"), SOURCE).expect("one more");
    }
    assert_eq!(code(create(&mut world, 0, WEST, NEW, SOURCE)), "InstanceQuotaExceeded");
}
