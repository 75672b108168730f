//! `/_double/`: what a test sees and does from outside the pretended world.

pub mod compute;

use axum::body::{Body, Bytes};
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};

use crate::double::Double;
use crate::dynamodb;
use crate::faults::Order;
use crate::http as web;
use crate::rds::{Instance, Write, replication};
use crate::world::{RegionState, World};

pub const PREFIX: &str = "/_double/";

pub fn handle(double: &Double, request: &Request<Bytes>) -> Response<Body> {
    let path = request.uri().path().strip_prefix(PREFIX).unwrap_or_default();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let result = match (request.method().as_str(), parts.as_slice()) {
        ("GET", ["effects"]) => Ok(double.log(|log| json!(log.all()))),
        ("GET", ["activities"]) => Ok(double.world(|world| json!(world.activities.all()))),
        ("GET", ["faults"]) => Ok(double.faults(|faults| json!(faults.all()))),
        ("POST", ["faults"]) => add_fault(double, request.body()),
        ("DELETE", ["faults", id]) => remove_fault(double, id),
        ("POST", ["regions", region]) => set_region(double, region, request.body()),
        ("GET", ["settings"]) => Ok(double.world(|world| json!(world.settings))),
        ("POST", ["settings"]) => change_settings(double, request.body()),
        ("GET", ["state"]) => Ok(double.world(state)),
        ("GET", ["queues", name]) => Ok(double.world(|world| arrived(world, name))),
        ("POST", ["eks", region, cluster, group]) => {
            compute::order_node_group(double, region, cluster, group, request.body())
        }
        ("POST", ["kubernetes", region, cluster, namespace]) => {
            compute::set_quota(double, region, cluster, namespace, request.body())
        }
        ("POST", ["access", region, cluster]) => compute::set_access(double, region, cluster, request.body()),
        ("POST", ["msk", region, name]) => compute::set_msk_state(double, region, name, request.body()),
        ("POST", ["policies", name]) => compute::set_policy(double, name, request.body()),
        ("GET", ["health"]) => Ok(json!({ "status": "UP" })),
        _ => Err((StatusCode::NOT_FOUND, format!("no such control: {} {path}", request.method()))),
    };
    match result {
        Ok(value) => web::json(StatusCode::OK, &value),
        Err((status, why)) => web::json(status, &json!({ "error": why })),
    }
}

type Answer = Result<Value, (StatusCode, String)>;

fn bad(why: impl ToString) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, why.to_string())
}

fn add_fault(double: &Double, body: &[u8]) -> Answer {
    let order: Order = serde_json::from_slice(body).map_err(bad)?;
    double.faults(|faults| faults.add(order)).map(|id| json!({ "id": id })).map_err(bad)
}

fn remove_fault(double: &Double, id: &str) -> Answer {
    let id = id.parse().map_err(bad)?;
    if double.faults(|faults| faults.remove(id)) {
        Ok(json!({ "id": id }))
    } else {
        Err((StatusCode::NOT_FOUND, format!("no fault {id}")))
    }
}

fn set_region(double: &Double, region: &str, body: &[u8]) -> Answer {
    let body: Value = serde_json::from_slice(body).map_err(bad)?;
    let state = body.get("state").cloned().unwrap_or_default();
    let state: RegionState = serde_json::from_value(state).map_err(bad)?;
    if double.world(|world| world.set_region(region, state)) {
        Ok(json!({ "region": region, "state": state }))
    } else {
        Err((StatusCode::NOT_FOUND, format!("no region {region}")))
    }
}

fn change_settings(double: &Double, body: &[u8]) -> Answer {
    let patch: Value = serde_json::from_slice(body).map_err(bad)?;
    double.world(|world| {
        world.settings = world.settings.patched(&patch).map_err(bad)?;
        Ok(json!(world.settings))
    })
}

fn state(world: &mut World) -> Value {
    let instances: Vec<Value> = world
        .rds
        .instances
        .values()
        .map(|instance| {
            let groups: Vec<Value> =
                instance.groups.iter().map(|(id, state)| json!({ "id": id, "status": state.name() })).collect();
            json!({
                "region": instance.key.region,
                "id": instance.key.id,
                "status": instance.status.name(),
                "port": instance.port,
                "read_only": instance.read_only,
                "serving": instance.serving,
                "source": instance.source.as_ref().map(ToString::to_string),
                "security_groups": groups,
                "backup_retention": instance.backup_retention,
                "writes": instance.writes.len(),
                "lost_writes": lost(world, instance),
                "replica_lag_ms": replication::lag_ms(instance, world.now_ms),
            })
        })
        .collect();
    let zones: Vec<Value> = world
        .route53
        .zones
        .values()
        .map(|zone| json!({ "id": zone.id, "name": zone.name, "records": zone.records, "published": zone.published }))
        .collect();
    json!({
        "now_ms": world.now_ms,
        "regions": world.regions,
        "instances": instances,
        "zones": zones,
        "tables": dynamodb::describe::state(world),
        "eks": compute::eks(world),
        "ecs": compute::ecs(world),
        "msk": compute::msk(world),
        "apis": compute::apis(world),
        "settings": world.settings,
    })
}

/// How many, and when the first and the last of them were accepted.
fn lost(world: &World, instance: &Instance) -> Value {
    let lost = replication::lost(world, instance);
    let at = |write: Option<&Write>| write.map(|write| write.at_ms);
    json!({ "count": lost.len(), "first_at_ms": at(lost.first()), "last_at_ms": at(lost.last()) })
}

/// Every message that ever arrived in the queues of that name, also those that a client has deleted.
fn arrived(world: &mut World, name: &str) -> Value {
    let queues = world.sqs.queues.iter().filter(|(key, _)| key.name == name);
    let messages = queues.flat_map(|(key, queue)| {
        queue.arrived.iter().map(|message| {
            json!({
                "region": key.region,
                "message_id": message.id,
                "body": message.body,
                "group": message.group,
                "deduplication_id": message.deduplication,
                "at_ms": message.sent_ms,
            })
        })
    });
    messages.collect()
}
