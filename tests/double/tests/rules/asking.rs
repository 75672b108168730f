use mesh_double::WorldFile;
use mesh_double::error::ApiError;
use mesh_double::wire::Node;
use mesh_double::wire::request::{Call, Protocol, Service};
use mesh_double::world::World;

pub const START_MS: u64 = 1_800_000_000_000;
pub const EAST: &str = "us-east-1";
pub const WEST: &str = "us-west-2";
pub const WITNESS: &str = "eu-central-1";
pub const PRIMARY: &str = "maip-prod-postgres";
pub const REPLICA: &str = "maip-prod-postgres-replica";

/// The shipped world, with its default delays and no lag of acceptance.
pub fn world() -> World {
    let mut file: WorldFile =
        serde_json::from_str(include_str!("../../worlds/maip.json")).expect("the shipped world is well formed");
    file.settings.route53_accept_ms = 0;
    World::build(&file, START_MS).expect("the shipped world fits together")
}

/// Asks so many milliseconds after the start.
pub fn ask(
    world: &mut World,
    after_ms: u64,
    (service, region): (Service, &str),
    operation: &str,
    input: Node,
) -> Result<Node, ApiError> {
    world.advance(START_MS + after_ms);
    let call = Call {
        service,
        region: region.to_owned(),
        protocol: Protocol::Query,
        operation: operation.to_owned(),
        input,
        access_key: "test".to_owned(),
    };
    world.call(&call)
}

pub fn code(result: Result<Node, ApiError>) -> String {
    result.expect_err("the call must be refused").code
}
