//! At least so many replicas of each deployment, updated and ready. Nothing is ever lowered.

use std::collections::BTreeMap;

use mesh_core::execute::Observation;
use mesh_core::ids::Token;
use serde_json::json;

use super::check::missing;
use super::objects::{Autoscaler, Deployment, WaitingPod, by_deployment};
use super::{change, fenced, ready};
use crate::aws::error::ReadError;

pub(super) struct Floor<'a> {
    pub namespace: &'a str,
    /// Of every deployment, if none is named.
    pub replicas: u32,
    pub named: &'a BTreeMap<String, u32>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen<'a> {
    Clear(Observation),
    /// Asked for, and not there yet: the pods tell why.
    Unready(Vec<Unready<'a>>),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unready<'a> {
    deployment: &'a Deployment,
    floor: u32,
    autoscaler: Option<&'a Autoscaler>,
}

pub(super) fn observe<'a>(
    token: Token,
    floor: &Floor<'_>,
    found: &'a [Deployment],
    autoscalers: &'a [Autoscaler],
) -> Seen<'a> {
    if let Some(blocked) = missing(floor.namespace, found, floor.named.keys()) {
        return Seen::Clear(blocked);
    }
    let autoscalers = by_deployment(autoscalers);
    let meant: Vec<Unready<'_>> = found
        .iter()
        .filter_map(|deployment| {
            let floor = match floor.named.is_empty() {
                true => floor.replicas,
                false => *floor.named.get(&deployment.name)?,
            };
            Some(Unready { deployment, floor, autoscaler: autoscalers.get(deployment.name.as_str()).copied() })
        })
        .collect();
    let not_ours = meant.iter().find_map(|one| fenced(one.deployment, token));
    if let Some(observation) = not_ours.or_else(|| meant.iter().find_map(capped)) {
        return Seen::Clear(observation);
    }
    let below: BTreeMap<_, _> = meant
        .iter()
        .filter(|one| one.deployment.replicas < one.floor)
        .map(|one| change(one.deployment, one.floor))
        .collect();
    if !below.is_empty() {
        return Seen::Clear(ready(below));
    }
    if let Some(paused) = meant.iter().find(|one| is_stopped(one)) {
        return Seen::Clear(Observation::Blocked {
            reason: format!(
                "deployment {} is paused with {} of {} replicas updated: its rollout goes no further until it is resumed",
                paused.deployment.name, paused.deployment.updated, paused.floor
            ),
        });
    }
    let (there, unready): (Vec<_>, Vec<_>) = meant.into_iter().partition(is_there);
    match unready.is_empty() {
        true => Seen::Clear(satisfied(&there)),
        false => Seen::Unready(unready),
    }
}

fn is_there(one: &Unready<'_>) -> bool {
    one.deployment.observed && one.deployment.updated >= one.floor && one.deployment.ready >= one.floor
}

fn is_stopped(one: &Unready<'_>) -> bool {
    one.deployment.paused && one.deployment.observed && one.deployment.updated < one.floor
}

/// An autoscaler takes back at once what is above its maximum.
fn capped(one: &Unready<'_>) -> Option<Observation> {
    let autoscaler = one.autoscaler.filter(|autoscaler| autoscaler.max < one.floor)?;
    Some(Observation::Blocked {
        reason: format!(
            "autoscaler {} allows deployment {} at most {} replicas, the manifest wants {}: raise its maxReplicas",
            autoscaler.name, one.deployment.name, autoscaler.max, one.floor
        ),
    })
}

fn satisfied(there: &[Unready<'_>]) -> Observation {
    let deployments: BTreeMap<_, _> = there
        .iter()
        .map(|one| {
            let mut seen = json!({ "replicas": one.deployment.replicas, "ready": one.deployment.ready });
            if let (Some(autoscaler), Some(object)) = (one.autoscaler, seen.as_object_mut()) {
                object.insert("autoscaler".to_owned(), json!(range(autoscaler)));
            }
            (&one.deployment.name, seen)
        })
        .collect();
    Observation::Satisfied { read_back: json!({ "deployments": deployments }).to_string() }
}

fn range(autoscaler: &Autoscaler) -> String {
    format!("{} ({} to {})", autoscaler.name, autoscaler.min, autoscaler.max)
}

/// Why the pods are not there, as the scheduler and the kubelets say.
pub(super) fn why(unready: &[Unready<'_>], pods: &Result<Vec<WaitingPod>, ReadError>) -> String {
    let each: Vec<_> = unready.iter().map(|one| why_one(one, pods.as_deref().unwrap_or_default())).collect();
    let mut note = each.join("; ");
    if let Err(error) = pods {
        note.push_str(&format!("; why is not known: {}", error.clone().reason()));
    }
    note
}

fn why_one(one: &Unready<'_>, pods: &[WaitingPod]) -> String {
    let deployment = one.deployment;
    let mut note = format!("{}: {} of {} ready", deployment.name, deployment.ready.min(one.floor), one.floor);
    let mut say = |text: String| {
        note.push_str(", ");
        note.push_str(&text);
    };
    if !deployment.observed {
        say("not yet seen by its controller".to_owned());
    }
    if deployment.updated < one.floor {
        say(format!("{} updated", deployment.updated));
    }
    if deployment.paused {
        say("paused".to_owned());
    }
    if let Some(failure) = &deployment.replica_failure {
        say(format!("no pods can be made: {failure}"));
    }
    let mine = || pods.iter().filter(|pod| pod.deployment.as_deref() == Some(&deployment.name));
    let unscheduled = mine().filter(|pod| pod.unschedulable).count();
    if let Some(pod) = mine().find(|pod| pod.unschedulable) {
        say(format!("{unscheduled} not scheduled, the nodes lack capacity: {}", pod.reason));
    }
    if let Some(pod) = mine().find(|pod| !pod.unschedulable) {
        say(format!("starting: {}", pod.reason));
    }
    if let Some(autoscaler) = one.autoscaler {
        say(format!("autoscaler {} sets its replicas too", range(autoscaler)));
    }
    note
}
