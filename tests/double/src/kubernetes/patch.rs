//! Writes to a deployment: to its replicas, pause, labels and annotations, guarded by the version where the writer names one.

use serde_json::{Map, Value};

use super::objects::deployments;
use super::request::{Ask, Scope, Target, Verb};
use super::status::Status;
use super::workload::{self, Deployment};
use crate::eks::ClusterKey;
use crate::world::World;

const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

pub fn apply(world: &mut World, key: &ClusterKey, ask: &Ask) -> Result<Value, Status> {
    let Scope { namespace, name } = &ask.scope;
    let shown = |world: &World| match ask.target {
        Target::Scale => deployments::scale(world, key, namespace, name),
        _ => deployments::deployment(world, key, namespace, name),
    };
    let before = shown(world)?;
    let after = wanted(ask, &before)?;
    check_identity(&before, &after, name)?;
    let mut next = current(world, key, namespace, name)?.clone();
    next.spec = replicas_of(ask.target, &before, &after, &next, name)?;
    if ask.target == Target::Deployments {
        next.labels = strings(&after, "labels")?;
        next.annotations = strings(&after, "annotations")?;
    }
    store(world, key, ask, next)?;
    shown(world)
}

fn wanted(ask: &Ask, before: &Value) -> Result<Value, Status> {
    if !ask.body.is_object() {
        return Err(Status::bad_request("the body of the request must be a JSON object"));
    }
    if ask.verb == Verb::Update {
        return Ok(ask.body.clone());
    }
    match ask.content_type.as_str() {
        MERGE => Ok(merged(before.clone(), &ask.body)),
        STRATEGIC => {
            check_strategic(&ask.body)?;
            Ok(merged(before.clone(), &ask.body))
        }
        _ => Err(Status::new(
            415,
            "UnsupportedMediaType",
            format!(
                "the body of the request was in an unknown format - accepted media types include: {MERGE}, {STRATEGIC}"
            ),
        )),
    }
}

/// RFC 7386. Of maps alone, a strategic merge is the same.
fn merged(target: Value, patch: &Value) -> Value {
    let Value::Object(changes) = patch else { return patch.clone() };
    let mut fields = match target {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    for (name, change) in changes {
        if change.is_null() {
            fields.remove(name);
        } else {
            let old = fields.remove(name).unwrap_or(Value::Null);
            fields.insert(name.clone(), merged(old, change));
        }
    }
    Value::Object(fields)
}

fn check_strategic(patch: &Value) -> Result<(), Status> {
    let Value::Object(fields) = patch else { return Ok(()) };
    for (name, value) in fields {
        if name.starts_with('$') || value.is_array() {
            return Err(Status::unsupported(&format!("{name} in a strategic merge patch")));
        }
        check_strategic(value)?;
    }
    Ok(())
}

fn text<'a>(object: &'a Value, at: &str) -> Option<&'a str> {
    object.pointer(at).and_then(Value::as_str)
}

/// A version that is named must be the current one; none is a write come what may.
fn check_identity(before: &Value, after: &Value, name: &str) -> Result<(), Status> {
    if text(after, "/metadata/name") != Some(name) {
        return Err(Status::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({name})",
            text(after, "/metadata/name").unwrap_or_default()
        )));
    }
    let differs = |at: &str| text(after, at).is_some_and(|value| !value.is_empty() && Some(value) != text(before, at));
    if differs("/metadata/resourceVersion") || differs("/metadata/uid") {
        return Err(Status::conflict("apps", "deployments", name));
    }
    if differs("/metadata/namespace") || differs("/kind") || differs("/apiVersion") {
        return Err(Status::bad_request("the object in the request does not match the object at the URL"));
    }
    Ok(())
}

/// The new spec, in which nothing but the number of replicas and the pause may differ.
fn replicas_of(target: Target, before: &Value, after: &Value, now: &Deployment, name: &str) -> Result<Value, Status> {
    let replicas = match after.pointer("/spec/replicas") {
        // A scale leaves zero out; a deployment without a number has one.
        None if target == Target::Scale => 0,
        None => 1,
        Some(value) => {
            let decoded = value.as_i64().and_then(|number| i32::try_from(number).ok()).ok_or_else(|| {
                Status::bad_request(format!("the field spec.replicas cannot be read as an int32: {value}"))
            })?;
            u32::try_from(decoded).map_err(|_| {
                let why = format!("spec.replicas: Invalid value: {decoded}: must be greater than or equal to 0");
                Status::invalid(name, &why)
            })?
        }
    };
    let rest = |object: &Value| {
        let mut spec = object.get("spec").cloned().unwrap_or_default();
        if let Some(fields) = spec.as_object_mut() {
            fields.remove("replicas");
            fields.remove("paused");
        }
        spec
    };
    if rest(before) != rest(after) {
        return Err(Status::unsupported("a change of a deployment's spec beyond its replicas and its pause"));
    }
    let mut spec = now.spec.clone();
    if let Some(fields) = spec.as_object_mut() {
        fields.insert("replicas".to_owned(), replicas.into());
        match after.pointer("/spec/paused") {
            _ if target == Target::Scale => {}
            Some(Value::Bool(true)) => {
                fields.insert("paused".to_owned(), true.into());
            }
            None | Some(Value::Bool(false)) => {
                fields.remove("paused");
            }
            Some(_) => return Err(Status::bad_request("the field spec.paused cannot be read as a bool")),
        }
    }
    Ok(spec)
}

fn strings(after: &Value, field: &str) -> Result<Value, Status> {
    let wrong = || Status::bad_request(format!("metadata.{field} must be a map of strings"));
    match after.pointer(&format!("/metadata/{field}")) {
        None => Ok(Value::Object(Map::new())),
        Some(Value::Object(fields)) if fields.values().all(Value::is_string) => Ok(Value::Object(fields.clone())),
        Some(_) => Err(wrong()),
    }
}

fn current<'a>(world: &'a World, key: &ClusterKey, namespace: &str, name: &str) -> Result<&'a Deployment, Status> {
    let cluster = world.eks.clusters.get(key);
    let found = cluster.and_then(|cluster| cluster.namespaces.get(namespace)).and_then(|all| all.get(name));
    found.ok_or_else(|| Status::not_found("apps", "deployments", name))
}

/// A write that changes nothing leaves the version as it is.
fn store(world: &mut World, key: &ClusterKey, ask: &Ask, mut next: Deployment) -> Result<(), Status> {
    let Scope { namespace, name } = &ask.scope;
    let now = current(world, key, namespace, name)?;
    let rescaled = now.spec != next.spec;
    let annotated = now.labels != next.labels || now.annotations != next.annotations;
    if ask.dry_run || !(rescaled || annotated) {
        return Ok(());
    }
    if let Some(cluster) = world.eks.clusters.get_mut(key) {
        next.revision = cluster.next_revision();
        next.generation += u64::from(rescaled);
        if let Some(all) = cluster.namespaces.get_mut(namespace) {
            all.insert(name.clone(), next);
        }
    }
    if rescaled {
        workload::changed(world, key, namespace, name);
    }
    Ok(())
}
