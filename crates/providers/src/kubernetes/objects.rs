//! Deployments, and what tells why their pods are not ready, as plain values.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment as ApiDeployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::core::Request;
use kube::{Resource, ResourceExt};
use mesh_core::execute::CallResult;
use serde_json::json;

use super::api::Api;
use crate::aws::error::ReadError;

/// Whose mutation was the last, as `GENERATION.INTENT`: a fencing token.
pub(super) const TOKEN: &str = "failover-mesh/token";
/// The run that made it.
pub(super) const RUN: &str = "failover-mesh/run";
/// The replicas that it set.
pub(super) const REPLICAS: &str = "failover-mesh/replicas";
const FIELD_MANAGER: &str = "failover-mesh";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deployment {
    pub name: String,
    /// As asked for.
    pub replicas: u32,
    pub paused: bool,
    /// The controller has seen what is asked for.
    pub observed: bool,
    pub updated: u32,
    pub ready: u32,
    pub resource_version: String,
    /// The annotations of the last mutation of a mesh, as they stand there.
    pub token: Option<String>,
    pub run: Option<String>,
    pub set_by_run: Option<u32>,
    /// Why no pods can be made, if so: a quota, an admission rule.
    pub replica_failure: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Autoscaler {
    pub name: String,
    pub deployment: String,
    pub min: u32,
    pub max: u32,
}

/// A pod that does not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WaitingPod {
    /// Of which deployment, as far as its owner tells.
    pub deployment: Option<String>,
    pub unschedulable: bool,
    pub reason: String,
}

/// One deployment's part of a call.
pub(super) struct Wanted<'a> {
    pub deployment: &'a str,
    /// The patch is refused when this is not the present one.
    pub resource_version: &'a str,
    pub replicas: u32,
    pub token: String,
    pub run: &'a str,
}

impl Api {
    pub(super) async fn deployments(&self, cluster: &str, namespace: &str) -> Result<Vec<Deployment>, ReadError> {
        Ok(self.list::<ApiDeployment>(cluster, namespace, "").await?.iter().map(deployment).collect())
    }

    pub(super) async fn autoscalers(&self, cluster: &str, namespace: &str) -> Result<Vec<Autoscaler>, ReadError> {
        let found = self.list::<HorizontalPodAutoscaler>(cluster, namespace, "").await?;
        Ok(found.iter().filter_map(autoscaler).collect())
    }

    pub(super) async fn waiting_pods(&self, cluster: &str, namespace: &str) -> Result<Vec<WaitingPod>, ReadError> {
        let found = self.list::<Pod>(cluster, namespace, "status.phase=Pending").await?;
        Ok(found.iter().filter_map(waiting).collect())
    }

    pub(super) async fn set_replicas(&self, cluster: &str, namespace: &str, wanted: &Wanted<'_>) -> CallResult {
        let what = format!("kubernetes: patch deployment {}", wanted.deployment);
        let patch = json!({
            "metadata": {
                "resourceVersion": wanted.resource_version,
                "annotations": { TOKEN: wanted.token, RUN: wanted.run, REPLICAS: wanted.replicas.to_string() },
            },
            "spec": { "replicas": wanted.replicas },
        });
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let path = ApiDeployment::url_path(&(), Some(namespace));
        let request = match Request::new(path).patch(wanted.deployment, &params, &Patch::Merge(patch)) {
            Ok(request) => request,
            Err(error) => return CallResult::Rejected { reason: format!("{what}: {error}") },
        };
        match self.send(cluster, request).await {
            Ok(Ok(_)) => CallResult::Accepted { reference: format!("{}={}", wanted.deployment, wanted.replicas) },
            Ok(Err(failure)) => failure.call_result(&what),
            Err(error) => CallResult::NotApplied { reason: format!("{what}: {}", error.reason()) },
        }
    }
}

fn count(n: Option<i32>) -> u32 {
    n.and_then(|n| u32::try_from(n).ok()).unwrap_or_default()
}

fn deployment(found: &ApiDeployment) -> Deployment {
    let spec = &found.spec;
    let status = found.status.as_ref();
    let annotation = |name: &str| found.annotations().get(name).cloned();
    let generation = found.meta().generation.unwrap_or_default();
    let failure = status.and_then(|status| {
        let conditions = status.conditions.as_deref().unwrap_or_default();
        conditions.iter().find(|condition| {
            condition.type_.as_deref() == Some("ReplicaFailure") && condition.status.as_deref() == Some("True")
        })
    });
    Deployment {
        name: found.name_any(),
        // Kubernetes' own default.
        replicas: spec.replicas.map_or(1, |n| count(Some(n))),
        paused: spec.paused.unwrap_or_default(),
        observed: status.and_then(|status| status.observed_generation).unwrap_or_default() >= generation,
        updated: count(status.and_then(|status| status.updated_replicas)),
        ready: count(status.and_then(|status| status.ready_replicas)),
        resource_version: found.resource_version().unwrap_or_default(),
        token: annotation(TOKEN),
        run: annotation(RUN),
        set_by_run: annotation(REPLICAS).and_then(|replicas| replicas.parse().ok()),
        replica_failure: failure.and_then(|condition| condition.message.clone()),
    }
}

fn autoscaler(found: &HorizontalPodAutoscaler) -> Option<Autoscaler> {
    let spec = &found.spec;
    (spec.scale_target_ref.kind == "Deployment").then(|| Autoscaler {
        name: found.name_any(),
        deployment: spec.scale_target_ref.name.clone(),
        min: spec.min_replicas.map_or(1, |n| count(Some(n))),
        max: count(Some(spec.max_replicas)),
    })
}

fn waiting(found: &Pod) -> Option<WaitingPod> {
    let status = found.status.as_ref()?;
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let unscheduled =
        conditions.iter().find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    let text = |reason: Option<&str>, message: Option<&str>| match (reason, message) {
        (Some(reason), Some(message)) => format!("{reason}: {message}"),
        (Some(text), None) | (None, Some(text)) => text.to_owned(),
        (None, None) => "not ready".to_owned(),
    };
    let reason = match unscheduled {
        // What the scheduler says names what is lacking; its reason is always the same word.
        Some(condition) => text(None, condition.message.as_deref().or(condition.reason.as_deref())),
        None => {
            let containers = status.container_statuses.as_deref().unwrap_or_default();
            let waiting = containers.iter().find_map(|container| container.state.as_ref()?.waiting.as_ref())?;
            text(waiting.reason.as_deref(), waiting.message.as_deref())
        }
    };
    Some(WaitingPod { deployment: owner(found), unschedulable: unscheduled.is_some(), reason })
}

/// A deployment's replica set is named `<deployment>-<hash>`, and its pods carry the hash as a label.
fn owner(pod: &Pod) -> Option<String> {
    let set = pod.owner_references().iter().find(|owner| owner.kind == "ReplicaSet")?;
    let hash = pod.labels().get("pod-template-hash")?;
    Some(set.name.strip_suffix(hash)?.strip_suffix('-')?.to_owned())
}

/// By the deployment that each one sets the replicas of.
pub(super) fn by_deployment(autoscalers: &[Autoscaler]) -> BTreeMap<&str, &Autoscaler> {
    autoscalers.iter().map(|autoscaler| (autoscaler.deployment.as_str(), autoscaler)).collect()
}
