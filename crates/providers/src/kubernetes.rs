//! Deployments of EKS clusters: what is observed of a namespace, for each action on it, and the guarded patches.

use std::collections::BTreeMap;

use futures::StreamExt;
use mesh_core::execute::{CallResult, Job, Observation};
use mesh_core::ids::{ServiceId, StepId};
use mesh_core::plan::Action;
use serde::{Deserialize, Serialize};

use crate::aws::error::ReadError;
use objects::{Autoscaler, Deployment, Wanted};

pub(crate) use api::Api;

mod api;
mod check;
mod combine;
mod discover;
mod failure;
mod objects;
mod restore;
mod scale;
#[cfg(test)]
mod tests;

/// Deployments of one namespace that one step handles: its read-back must stay a small document.
const DEPLOYMENTS_MAX: usize = 128;
/// Patches under way at once, so that a namespace of many is done within one call's deadline.
const PATCHES_AT_ONCE: usize = 8;

pub(crate) struct Workloads(pub Api);

/// What a look finds, and what another step reads of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Recorded {
    deployments: BTreeMap<String, u32>,
}

/// What a call will patch: written by an observation, carried by the journal, read by the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Before {
    deployments: BTreeMap<String, Change>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Change {
    replicas: u32,
    to: u32,
    resource_version: String,
}

impl Workloads {
    pub(crate) async fn observe(&self, job: &Job) -> Observation {
        self.look(job).await.unwrap_or_else(Observation::from)
    }

    async fn look(&self, job: &Job) -> Result<Observation, ReadError> {
        match &job.action {
            Action::KubernetesCheck { cluster, namespace, deployments } => {
                let found = self.0.deployments(cluster, namespace).await?;
                Ok(bounded(&found).unwrap_or_else(|| check::observe(namespace, &found, deployments)))
            }
            Action::KubernetesScale { cluster, namespace, replicas, deployments } => {
                let (found, autoscalers) = self.deployments(cluster, namespace).await?;
                if let Some(blocked) = bounded(&found) {
                    return Ok(blocked);
                }
                let meant = |name: &str| deployments.is_empty() || deployments.contains_key(name);
                if let Some(blocked) = moved_by_another(&found, &job.service, meant) {
                    return Ok(blocked);
                }
                let floor = scale::Floor { namespace, replicas: *replicas, named: deployments };
                match scale::observe(job.token, &floor, &found, &autoscalers) {
                    scale::Seen::Clear(observation) => Ok(observation),
                    scale::Seen::Unready(unready) => {
                        let pods = self.0.waiting_pods(cluster, namespace).await;
                        Ok(Observation::Pending { note: scale::why(&unready, &pods) })
                    }
                }
            }
            Action::KubernetesRestore { cluster, namespace, as_of } => {
                let Some(recorded) = recorded(job, as_of) else {
                    return Ok(Observation::Blocked {
                        reason: format!("there is no read-back of {as_of}, so the replicas before are not known"),
                    });
                };
                let (found, autoscalers) = self.deployments(cluster, namespace).await?;
                let meant = |name: &str| recorded.deployments.contains_key(name);
                Ok(moved_by_another(&found, &job.service, meant)
                    .unwrap_or_else(|| restore::observe(job, &recorded, &found, &autoscalers)))
            }
            other => Ok(Observation::Blocked { reason: format!("{} is no Kubernetes action", other.name()) }),
        }
    }

    /// A role that may not list autoscalers sees none; that they could not be read now is no such answer.
    async fn deployments(
        &self,
        cluster: &str,
        namespace: &str,
    ) -> Result<(Vec<Deployment>, Vec<Autoscaler>), ReadError> {
        let (found, autoscalers) =
            tokio::join!(self.0.deployments(cluster, namespace), self.0.autoscalers(cluster, namespace));
        let autoscalers = match autoscalers {
            Err(ReadError::Denied(_) | ReadError::NotFound(_)) => Vec::new(),
            read => read?,
        };
        Ok((found?, autoscalers))
    }

    pub(crate) async fn call(&self, job: &Job, before: &str) -> CallResult {
        let (Action::KubernetesScale { cluster, namespace, .. } | Action::KubernetesRestore { cluster, namespace, .. }) =
            &job.action
        else {
            return CallResult::Rejected { reason: format!("{} sends no Kubernetes call", job.action.name()) };
        };
        let before: Before = match serde_json::from_str(before) {
            Ok(before) => before,
            Err(error) => return CallResult::Rejected { reason: format!("what was there before: {error}") },
        };
        let patch = async |deployment: &String, change: &Change| {
            let wanted = Wanted {
                deployment,
                resource_version: &change.resource_version,
                replicas: change.to,
                token: job.token.to_string(),
                run: job.run.as_str(),
            };
            self.0.set_replicas(cluster, namespace, &wanted).await
        };
        let patches: Vec<_> = before.deployments.iter().map(|(name, change)| patch(name, change)).collect();
        let results = futures::stream::iter(patches).buffered(PATCHES_AT_ONCE).collect::<Vec<_>>().await;
        combine::combine(results)
    }
}

fn recorded(job: &Job, as_of: &StepId) -> Option<Recorded> {
    serde_json::from_str(job.evidence.get(as_of)?).ok()
}

fn bounded(found: &[Deployment]) -> Option<Observation> {
    (found.len() > DEPLOYMENTS_MAX).then(|| Observation::Blocked {
        reason: format!("the namespace has {} deployments; at most {DEPLOYMENTS_MAX} are handled", found.len()),
    })
}

/// Tokens of two services say nothing about each other: a deployment belongs to one of them.
fn moved_by_another(found: &[Deployment], service: &ServiceId, meant: impl Fn(&str) -> bool) -> Option<Observation> {
    let other = found.iter().filter(|one| meant(&one.name)).find_map(|one| {
        let run = one.run.as_deref()?;
        let whose = run.rsplit_once("-g").map_or(run, |(service, _)| service);
        (whose != service.as_str()).then_some((one, whose))
    });
    other.map(|(one, whose)| Observation::Blocked {
        reason: format!(
            "deployment {} was last scaled for service {whose}: name each service's own under `deployments`, or, if {whose} \
             has nothing to do with it any more, remove the annotation {}",
            one.name,
            objects::RUN
        ),
    })
}

/// What the token on a deployment says to whoever holds `ours`.
fn fenced(found: &Deployment, ours: mesh_core::ids::Token) -> Option<Observation> {
    let there = found.token.as_ref()?;
    match there.parse::<mesh_core::ids::Token>() {
        Ok(token) if token > ours => Some(Observation::Superseded {
            found: format!("deployment {} carries token {token}, ours is {ours}", found.name),
        }),
        Ok(_) => None,
        Err(_) => Some(Observation::Blocked {
            reason: format!(
                "the annotation {} of deployment {} is {there:?}, which is no token: find out who wrote it, then remove \
                 it",
                objects::TOKEN,
                found.name
            ),
        }),
    }
}

fn ready(changes: BTreeMap<String, Change>) -> Observation {
    match serde_json::to_string(&Before { deployments: changes }) {
        Ok(before) => Observation::Ready { before },
        Err(error) => Observation::Blocked { reason: format!("what is there cannot be written down: {error}") },
    }
}

fn change(found: &Deployment, to: u32) -> (String, Change) {
    let change = Change { replicas: found.replicas, to, resource_version: found.resource_version.clone() };
    (found.name.clone(), change)
}
