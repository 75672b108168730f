//! Node groups: what is observed of one, for each action on it. The decisions are functions of plain values.

use mesh_core::execute::{CallResult, Job, Observation};
use mesh_core::plan::Action;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::aws::eks::{Eks, Issue, NodeGroup, Sizes, Update};
use crate::aws::error::ReadError;

mod restore;
mod scale;
#[cfg(test)]
mod tests;

pub(crate) struct NodeGroups(pub Eks);

impl NodeGroups {
    pub(crate) async fn observe(&self, job: &Job, accepted: Option<&str>) -> Observation {
        self.look(job, accepted).await.unwrap_or_else(Observation::from)
    }

    async fn look(&self, job: &Job, accepted: Option<&str>) -> Result<Observation, ReadError> {
        let Some((cluster, name)) = target(&job.action) else {
            return Ok(Observation::Blocked { reason: format!("{} is no node group action", job.action.name()) });
        };
        let found = self.0.node_group(cluster, name).await?;
        let observed = match &job.action {
            Action::EksScaleNodegroup { min, max, desired, .. } => {
                scale::observe(&found, Sizes { min: *min, max: *max, desired: *desired })
            }
            Action::EksRestoreNodegroup { as_of, .. } => {
                restore::observe(&found, sizes(job, as_of), sizes(job, &job.step), job.retried_by_person)
            }
            _ => check(&found),
        };
        match (observed, accepted) {
            // The change was taken and is not in force: is it coming, or did it fail?
            (Observation::Ready { .. }, Some(update)) => self.taken(cluster, name, update).await,
            (observed, _) => Ok(observed),
        }
    }

    async fn taken(&self, cluster: &str, name: &str, update: &str) -> Result<Observation, ReadError> {
        Ok(match self.0.update(cluster, name, update).await {
            Ok(Update::Failed(reason)) => {
                Observation::Blocked { reason: format!("EKS gave update {update} up: {reason}") }
            }
            Ok(Update::Passing(status)) => Observation::Pending { note: format!("update {update} is {status}") },
            Ok(Update::Successful) => {
                Observation::Pending { note: format!("update {update} succeeded, and is not to be seen yet") }
            }
            Err(error) => Observation::Pending {
                note: format!("accepted as update {update}, and not to be seen yet ({})", error.reason()),
            },
        })
    }

    pub(crate) async fn call(&self, job: &Job, before: &str) -> CallResult {
        let Some((cluster, name)) = target(&job.action) else {
            return CallResult::Rejected { reason: format!("{} sends no node group call", job.action.name()) };
        };
        match serde_json::from_str::<Before>(before) {
            Ok(Before { to, .. }) => self.0.scale(cluster, name, to, &request_token(job, to)).await,
            Err(error) => CallResult::Rejected { reason: format!("what was there before: {error}") },
        }
    }
}

/// Written by an observation, carried by the journal, read by the call.
#[derive(serde::Serialize, serde::Deserialize)]
struct Before {
    #[serde(flatten)]
    sizes: Sizes,
    to: Sizes,
}

fn target(action: &Action) -> Option<(&str, &str)> {
    match action {
        Action::EksCheckNodegroup { cluster, node_group }
        | Action::EksScaleNodegroup { cluster, node_group, .. }
        | Action::EksRestoreNodegroup { cluster, node_group, .. } => Some((cluster, node_group)),
        _ => None,
    }
}

/// The sizes that a step's read-back names.
fn sizes(job: &Job, step: &mesh_core::ids::StepId) -> Option<Sizes> {
    serde_json::from_str(job.evidence.get(step)?).ok()
}

/// In the form of a UUID, which is what the SDKs send here. The sizes are part of it, since the same token with other
/// sizes is refused; and EKS answers a repeated token with the first update, even a failed one, so a person's retry has
/// one of its own.
fn request_token(job: &Job, to: Sizes) -> String {
    let mut hash = Sha256::new();
    hash.update(job.key.as_bytes());
    hash.update(format!("/{}/{}/{}", to.min, to.max, to.desired).as_bytes());
    if job.retried_by_person {
        hash.update(format!("/{}", job.token).as_bytes());
    }
    let digits: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

enum Readiness {
    Active,
    Passing,
    /// It will not become active without a person.
    Stuck,
}

fn readiness(found: &NodeGroup) -> Readiness {
    match found.status.as_str() {
        // Degraded: active, with issues; what they are decides.
        "ACTIVE" | "DEGRADED" => match found.issues.iter().any(is_lasting) {
            true => Readiness::Stuck,
            false => Readiness::Active,
        },
        "CREATE_FAILED" | "DELETING" | "DELETE_FAILED" => Readiness::Stuck,
        _ => Readiness::Passing,
    }
}

/// Does it stay until someone mends it? The rest is a lack, a limit or a hiccup, which may pass while it is waited for.
fn is_lasting(issue: &Issue) -> bool {
    !matches!(
        issue.code.as_str(),
        "AsgInstanceLaunchFailures"
            | "AutoScalingGroupInstanceRefreshActive"
            | "AutoScalingGroupRateLimitExceeded"
            | "ClusterUnreachable"
            | "Ec2LaunchTemplateDeletionFailure"
            | "Ec2SecurityGroupDeletionFailure"
            | "IamThrottling"
            | "InstanceLimitExceeded"
            | "InsufficientFreeAddresses"
            | "InternalFailure"
            | "LimitExceeded"
            | "NodeCreationFailure"
            | "NodeTerminationFailure"
            | "PodEvictionFailure"
    )
}

fn issues(found: &NodeGroup) -> String {
    let each: Vec<_> = found.issues.iter().map(|issue| format!("{}: {}", issue.code, issue.message)).collect();
    each.join("; ")
}

fn passing(found: &NodeGroup) -> Observation {
    let issues = match found.issues.is_empty() {
        true => String::new(),
        false => format!(", {}", issues(found)),
    };
    Observation::Pending { note: format!("the node group is {}{issues}", found.status) }
}

fn stuck(found: &NodeGroup) -> Observation {
    let issues = match found.issues.is_empty() {
        true => String::new(),
        false => format!(" ({})", issues(found)),
    };
    Observation::Blocked { reason: format!("the node group is {}{issues}, which does not mend itself", found.status) }
}

fn ready(found: &NodeGroup, to: Sizes) -> Observation {
    match serde_json::to_string(&Before { sizes: found.sizes, to }) {
        Ok(before) => Observation::Ready { before },
        Err(error) => Observation::Blocked { reason: format!("the sizes cannot be written down: {error}") },
    }
}

/// Can it be scaled?
fn check(found: &NodeGroup) -> Observation {
    match readiness(found) {
        Readiness::Active => Observation::Satisfied { read_back: read_back(found).to_string() },
        Readiness::Passing => passing(found),
        Readiness::Stuck => stuck(found),
    }
}

fn read_back(found: &NodeGroup) -> serde_json::Value {
    let Sizes { min, max, desired } = found.sizes;
    json!({ "min": min, "max": max, "desired": desired, "status": found.status })
}
