//! Stages of HTTP APIs.

use mesh_double::apigateway::admits;
use mesh_double::error::ApiError;
use mesh_double::wire::Node;
use mesh_double::wire::request::Service;
use mesh_double::world::World;

use crate::asking::{EAST, WEST, ask, code, world};

const API: &str = "aeast12345";
const ORDER: &str = "POST /orders";

fn gateway(world: &mut World, after_ms: u64, operation: &str, input: Node) -> Result<Node, ApiError> {
    ask(world, after_ms, (Service::ApiGateway, EAST), operation, input)
}

fn named() -> Node {
    Node::map().with("apiId", API).with("stageName", "prod")
}

fn limits(rate: f64, burst: i64) -> Node {
    Node::map().with("throttlingRateLimit", rate).with("throttlingBurstLimit", burst)
}

fn update(world: &mut World, after_ms: u64, member: &str, value: Node) -> Result<Node, ApiError> {
    gateway(world, after_ms, "UpdateStage", named().with(member, value))
}

fn shown(world: &mut World, after_ms: u64) -> Node {
    gateway(world, after_ms, "GetStage", named()).expect("it exists")
}

#[test]
fn settings_are_replaced_as_a_whole_and_other_routes_and_variables_stay() {
    let mut world = world();
    update(&mut world, 0, "defaultRouteSettings", limits(0.0, 0)).expect("accepted");
    let stage = shown(&mut world, 0);
    let default = stage.get("defaultRouteSettings").expect("shown");
    assert_eq!(default.float("throttlingRateLimit"), Ok(Some(0.0)));
    assert_eq!(default.bool("detailedMetricsEnabled"), Ok(Some(false)), "it was not sent again");
    let own = stage.get("routeSettings").and_then(|routes| routes.get(ORDER)).expect("it stays");
    assert_eq!(own.float("throttlingRateLimit"), Ok(Some(200.5)));
    let stage = update(&mut world, 0, "stageVariables", Node::map().with("note", "a-1")).expect("accepted");
    let variables = stage.get("stageVariables").expect("shown");
    assert_eq!((variables.str("color").as_deref(), variables.str("note").as_deref()), (Some("blue"), Some("a-1")));
    let stage = update(&mut world, 0, "stageVariables", Node::map().with("note", "")).expect("accepted");
    assert_eq!(stage.get("stageVariables").map(Node::keys), Some(vec!["color"]), "an empty value takes it away");
}

#[test]
fn what_aws_would_refuse_is_refused_and_nothing_of_it_is_done() {
    let mut world = world();
    let unknown = Node::map().with("GET /nowhere", limits(1.0, 1));
    let both = named().with("defaultRouteSettings", limits(0.0, 0)).with("routeSettings", unknown);
    assert_eq!(code(gateway(&mut world, 0, "UpdateStage", both)), "NotFoundException");
    for (member, value) in [
        ("defaultRouteSettings", limits(-1.0, 1)),
        ("defaultRouteSettings", limits(1.0, -1)),
        ("defaultRouteSettings", Node::map().with("loggingLevel", "INFO")),
        ("stageVariables", Node::map().with("note", "{\"a\":1}")),
        ("stageVariables", Node::map().with("a-b", "1")),
        ("stageVariables", Node::map().with("note", "a".repeat(2049))),
    ] {
        assert_eq!(code(update(&mut world, 0, member, value.clone())), "BadRequestException", "{value:?}");
    }
    assert_eq!(code(update(&mut world, 0, "autoDeploy", true.into())), "UnsupportedByDouble");
    let default = shown(&mut world, 0).get("defaultRouteSettings").cloned().expect("shown");
    assert_eq!(default.float("throttlingRateLimit"), Ok(Some(1000.0)));
}

#[test]
fn an_api_belongs_to_its_region() {
    let mut world = world();
    let elsewhere = ask(&mut world, 0, (Service::ApiGateway, WEST), "GetStage", named());
    assert_eq!(code(elsewhere), "NotFoundException");
    let other = Node::map().with("apiId", API).with("stageName", "test");
    assert_eq!(code(gateway(&mut world, 0, "GetStage", other)), "NotFoundException");
}

#[test]
fn a_changed_limit_reaches_requests_later() {
    let mut world = world();
    let closed = |world: &World| !admits(world, EAST, API, "prod", "GET /orders");
    update(&mut world, 0, "defaultRouteSettings", limits(0.0, 0)).expect("accepted");
    assert!(!closed(&world), "the reply comes before the effect");
    shown(&mut world, 499);
    assert!(!closed(&world));
    shown(&mut world, 500);
    assert!(closed(&world));
    assert!(admits(&world, EAST, API, "prod", ORDER), "a route with limits of its own is not stopped by the default");
    assert!(!admits(&world, WEST, "awest12345", "prod", ORDER));
}
