//! Undo of a scaling: the replicas of before, where they are still what this run set. Who set them since is not undone.

use std::collections::BTreeMap;

use mesh_core::execute::{Job, Observation};
use serde_json::json;

use super::objects::{Autoscaler, Deployment, by_deployment};
use super::{Recorded, change, fenced, ready};

pub(super) fn observe(job: &Job, recorded: &Recorded, found: &[Deployment], autoscalers: &[Autoscaler]) -> Observation {
    let autoscalers = by_deployment(autoscalers);
    let other: Vec<_> = found
        .iter()
        .filter_map(|deployment| Some((deployment, *recorded.deployments.get(&deployment.name)?)))
        .filter(|(deployment, replicas)| deployment.replicas != *replicas)
        .collect();
    if let Some(observation) = other.iter().find_map(|(deployment, _)| fenced(deployment, job.token)) {
        return observation;
    }
    let mut changes = BTreeMap::new();
    let mut left = BTreeMap::new();
    for (deployment, replicas) in other {
        let autoscaled = autoscalers.contains_key(deployment.name.as_str());
        match whose(job, deployment, replicas, autoscaled) {
            Whose::Ours => changes.extend([change(deployment, replicas)]),
            Whose::NeverOurs | Whose::RestoredAndMoved => {
                left.insert(&deployment.name, deployment.replicas);
            }
            Whose::ChangedSince if job.retried_by_person => {
                left.insert(&deployment.name, deployment.replicas);
            }
            Whose::ChangedSince => return changed_since(deployment, replicas),
        }
    }
    if !changes.is_empty() {
        return ready(changes);
    }
    if let Some(unseen) = found.iter().find(|one| recorded.deployments.contains_key(&one.name) && !one.observed) {
        return Observation::Pending { note: format!("{} is not yet seen by its controller", unseen.name) };
    }
    let replicas: BTreeMap<_, _> = found
        .iter()
        .filter(|deployment| recorded.deployments.contains_key(&deployment.name))
        .map(|deployment| (&deployment.name, deployment.replicas))
        .collect();
    let gone: Vec<_> = recorded.deployments.keys().filter(|name| !replicas.contains_key(name)).collect();
    let mut read_back = json!({ "deployments": replicas });
    if let Some(object) = read_back.as_object_mut() {
        if !left.is_empty() {
            object.insert("left_as_others_set_it".to_owned(), json!(left));
        }
        if !gone.is_empty() {
            object.insert("gone".to_owned(), json!(gone));
        }
    }
    Observation::Satisfied { read_back: read_back.to_string() }
}

enum Whose {
    Ours,
    /// This run never patched it.
    NeverOurs,
    /// It was restored, and moved again after that.
    RestoredAndMoved,
    ChangedSince,
}

/// What an autoscaler made of our number is not a person's decision.
fn whose(job: &Job, deployment: &Deployment, before: u32, autoscaled: bool) -> Whose {
    if deployment.token.is_none() || deployment.run.as_deref() != Some(job.run.as_str()) {
        return Whose::NeverOurs;
    }
    if deployment.set_by_run == Some(before) {
        return Whose::RestoredAndMoved;
    }
    match deployment.set_by_run == Some(deployment.replicas) || autoscaled {
        true => Whose::Ours,
        false => Whose::ChangedSince,
    }
}

fn changed_since(deployment: &Deployment, before: u32) -> Observation {
    let set = deployment.set_by_run.map_or_else(|| "another number".to_owned(), |set| set.to_string());
    Observation::Blocked {
        reason: format!(
            "deployment {} has {} replicas, and this run set {set}: someone changed it since. Set it to {before}, as it \
             was before, or retry to leave it as it is",
            deployment.name, deployment.replicas
        ),
    }
}
