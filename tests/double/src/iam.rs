//! What a caller's own policy lets it do. Without a policy, everything.

pub mod actions;
pub mod policy;
pub mod resources;

use crate::error::ApiError;
use crate::wire::request::{Call, Service};
use crate::world::World;
pub use policy::Policy;

/// Every resource that a call touches must be allowed, and none denied.
pub fn authorize(world: &World, call: &Call) -> Result<(), ApiError> {
    let Some(key) = world.access_keys.get(&call.access_key) else { return Ok(()) };
    let Some(document) = &key.policy else { return Ok(()) };
    // Needs no permission, and cannot be denied.
    if call.service == Service::Sts && call.operation == "GetCallerIdentity" {
        return Ok(());
    }
    let policy = Policy::read(document).map_err(|why| ApiError::new(500, "InternalFailure", why))?;
    let user = format!("arn:aws:iam::{}:user/{}", world.account, key.name);
    let context = resources::context(world, call, &user);
    for action in actions::of(call) {
        for resource in resources::of(world, call) {
            policy
                .check(&action, &resource, &context)
                .map_err(|verdict| denied(call, &user, &action, &resource, verdict))?;
        }
    }
    Ok(())
}

fn denied(call: &Call, user: &str, action: &str, resource: &str, verdict: policy::Refusal) -> ApiError {
    let why = match verdict {
        policy::Refusal::NotAllowed => format!("because no identity-based policy allows the {action} action"),
        policy::Refusal::Denied => "with an explicit deny in an identity-based policy".to_owned(),
    };
    let on = if resource == "*" { String::new() } else { format!(" on resource: {resource}") };
    let message = format!("User: {user} is not authorized to perform: {action}{on} {why}");
    match call.service {
        Service::Sns => ApiError::new(403, "AuthorizationError", message),
        Service::Route53 | Service::Rds | Service::Sts => ApiError::new(403, "AccessDenied", message),
        Service::CloudWatch => ApiError::new(403, "AccessDenied", message),
        Service::Eks | Service::Kafka | Service::ApiGateway => ApiError::new(403, "AccessDeniedException", message),
        _ => ApiError::new(400, "AccessDeniedException", message),
    }
}
