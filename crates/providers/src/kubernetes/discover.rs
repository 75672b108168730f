//! Every deployment of a cluster, for a survey.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment as ApiDeployment;
use kube::Resource;
use kube::api::ListParams;
use kube::core::{ObjectList, Request};
use mesh_core::survey::{DEPLOYMENTS_MAX, NAMESPACES_MAX};

use super::api::Api;
use crate::aws::error::ReadError;

/// One page of so many: a cluster with more is drafted by hand.
const LISTED_MAX: u32 = 500;

impl Api {
    /// Replicas by name, by namespace; `kube-*` namespaces are Kubernetes' own and left out.
    pub(crate) async fn all_deployments(
        &self,
        cluster: &str,
    ) -> Result<BTreeMap<String, BTreeMap<String, u32>>, ReadError> {
        let what = format!("kubernetes: list deployments of {cluster}");
        let unreadable = |error: &dyn std::fmt::Display| ReadError::Unreadable(format!("{what}: {error}"));
        let request = Request::new(ApiDeployment::url_path(&(), None));
        let built = request.list(&ListParams::default().limit(LISTED_MAX)).map_err(|error| unreadable(&error))?;
        let answer = self.send(cluster, built).await?.map_err(|failure| failure.read_error(&what))?;
        let page: ObjectList<ApiDeployment> = serde_json::from_slice(&answer).map_err(|error| unreadable(&error))?;
        let mut namespaces: BTreeMap<String, BTreeMap<String, u32>> = BTreeMap::new();
        for found in page.items {
            let (Some(namespace), Some(name)) = (found.metadata.namespace, found.metadata.name) else { continue };
            if namespace.starts_with("kube-")
                || (namespaces.len() >= NAMESPACES_MAX && !namespaces.contains_key(&namespace))
            {
                continue;
            }
            let deployments = namespaces.entry(namespace).or_default();
            if deployments.len() < DEPLOYMENTS_MAX {
                let replicas = found.spec.replicas.unwrap_or(1);
                deployments.insert(name, u32::try_from(replicas).unwrap_or_default());
            }
        }
        Ok(namespaces)
    }
}
