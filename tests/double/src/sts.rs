use crate::error::ApiError;
use crate::wire::Node;
use crate::wire::request::Call;
use crate::world::World;

pub fn call(world: &World, call: &Call) -> Result<Node, ApiError> {
    match call.operation.as_str() {
        "GetCallerIdentity" => {
            let name = world.access_keys.get(&call.access_key).map(|key| key.name.clone()).unwrap_or_default();
            Ok(Node::map()
                .with("Arn", format!("arn:aws:iam::{}:user/{name}", world.account))
                .with("UserId", format!("AIDA{}", call.access_key))
                .with("Account", &world.account))
        }
        other => Err(ApiError::unsupported(format!("sts {other}"))),
    }
}
