use mesh_double::iam;
use mesh_double::wire::Node;
use mesh_double::wire::request::{Call, Protocol, Service};
use mesh_double::world::World;
use serde_json::{Value, json};

use crate::asking::{WEST, world};

fn allowed(world: &World, service: Service, operation: &str, input: Node) -> Result<(), String> {
    let call = Call {
        service,
        region: WEST.to_owned(),
        protocol: Protocol::Query,
        operation: operation.to_owned(),
        input,
        access_key: "test".to_owned(),
    };
    iam::authorize(world, &call).map_err(|error| error.code)
}

fn limited(statement: &Value) -> World {
    let mut world = world();
    let policy = json!({ "Version": "2012-10-17", "Statement": [statement] });
    world.access_keys.get_mut("test").expect("the world has it").policy = Some(policy);
    world
}

#[test]
fn without_a_policy_everything_is_allowed() {
    assert_eq!(allowed(&world(), Service::Ecs, "UpdateService", Node::map()), Ok(()));
}

#[test]
fn every_resource_of_a_call_must_be_allowed() {
    let world = limited(&json!({
        "Effect": "Allow", "Action": "ecs:DescribeServices",
        "Resource": "arn:aws:ecs:us-west-2:123456789012:service/maip-prod-dr-ecs/maip-*",
    }));
    let asked = |names: &[&str]| {
        let names = Node::texts("member", names.iter().copied());
        let input = Node::map().with("cluster", "maip-prod-dr-ecs").with("services", names);
        allowed(&world, Service::Ecs, "DescribeServices", input)
    };
    assert_eq!(asked(&["maip-reports"]), Ok(()));
    assert_eq!(asked(&["maip-reports", "other"]), Err("AccessDeniedException".to_owned()));
}

#[test]
fn a_replica_is_made_by_who_may_use_both_it_and_its_source() {
    let statement = |resource: &str| {
        limited(&json!({ "Effect": "Allow", "Action": "rds:CreateDBInstanceReadReplica", "Resource": resource }))
    };
    let input = Node::map()
        .with("DBInstanceIdentifier", "maip-new")
        .with("SourceDBInstanceIdentifier", "arn:aws:rds:us-east-1:123456789012:db:maip-prod-postgres");
    let asked = |world: &World| allowed(world, Service::Rds, "CreateDBInstanceReadReplica", input.clone());
    assert_eq!(asked(&statement("arn:aws:rds:*:123456789012:db:maip-*")), Ok(()));
    assert_eq!(asked(&statement("arn:aws:rds:us-west-2:123456789012:db:maip-*")), Err("AccessDenied".to_owned()));
}

#[test]
fn a_call_that_names_no_resource_needs_all() {
    let only = |resource: &str| limited(&json!({ "Effect": "Allow", "Action": "eks:*", "Resource": resource }));
    let list = |world: &World| allowed(world, Service::Eks, "ListClusters", Node::map());
    assert_eq!(list(&only("*")), Ok(()));
    assert_eq!(list(&only("arn:aws:eks:*:*:cluster/*")), Err("AccessDeniedException".to_owned()));
}

#[test]
fn a_world_with_a_policy_that_cannot_be_read_does_not_start() {
    let mut file: mesh_double::WorldFile =
        serde_json::from_str(include_str!("../../worlds/maip.json")).expect("the shipped world is well formed");
    file.access_keys[0].policy = Some(json!({ "Version": "2012-10-17" }));
    assert!(World::build(&file, 0).is_err_and(|why| why.contains("Statement")));
}

#[test]
fn a_transaction_needs_what_its_parts_do() {
    let put = Node::map().with("Put", Node::map().with("TableName", "maip-orders"));
    let check = Node::map().with("ConditionCheck", Node::map().with("TableName", "maip-orders"));
    let asked = |actions: Value| {
        let table = "arn:aws:dynamodb:us-west-2:123456789012:table/maip-*";
        let world = limited(&json!({ "Effect": "Allow", "Action": actions, "Resource": table }));
        let items = Node::List("member", vec![put.clone(), check.clone()]);
        allowed(&world, Service::DynamoDb, "TransactWriteItems", Node::map().with("TransactItems", items))
    };
    assert_eq!(asked(json!(["dynamodb:PutItem", "dynamodb:ConditionCheckItem"])), Ok(()));
    for short in [json!(["dynamodb:PutItem"]), json!(["dynamodb:TransactWriteItems"])] {
        assert_eq!(asked(short), Err("AccessDeniedException".to_owned()));
    }
}
