//! Are the deployments there, and how many replicas has each? Asked before anything is touched.

use std::collections::{BTreeMap, BTreeSet};

use mesh_core::execute::Observation;
use serde_json::json;

use super::objects::Deployment;

pub(super) fn observe(namespace: &str, found: &[Deployment], named: &BTreeSet<String>) -> Observation {
    if let Some(blocked) = missing(namespace, found, named.iter()) {
        return blocked;
    }
    let meant = || found.iter().filter(|deployment| named.is_empty() || named.contains(&deployment.name));
    let replicas: BTreeMap<_, _> = meant().map(|deployment| (&deployment.name, deployment.replicas)).collect();
    let paused: Vec<_> = meant().filter(|deployment| deployment.paused).map(|deployment| &deployment.name).collect();
    let mut read_back = json!({ "deployments": replicas });
    if let (false, Some(object)) = (paused.is_empty(), read_back.as_object_mut()) {
        object.insert("paused".to_owned(), json!(paused));
    }
    Observation::Satisfied { read_back: read_back.to_string() }
}

/// Scaling nothing at all must not pass for having scaled everything.
pub(super) fn missing<'a>(
    namespace: &str,
    found: &[Deployment],
    named: impl Iterator<Item = &'a String>,
) -> Option<Observation> {
    if found.is_empty() {
        let reason = format!(
            "namespace {namespace} has no deployments (or is not there): deploy the service, or correct the manifest"
        );
        return Some(Observation::Blocked { reason });
    }
    let missing: Vec<_> =
        named.filter(|name| !found.iter().any(|deployment| deployment.name == **name)).map(String::as_str).collect();
    (!missing.is_empty()).then(|| Observation::Blocked {
        reason: format!(
            "namespace {namespace} has no deployment {}: create it, or correct the manifest",
            missing.join(", ")
        ),
    })
}
