//! EKS of this region: node groups, and how a cluster's own API is reached.

use aws_config::SdkConfig;
use aws_sdk_eks::Client;
use aws_sdk_eks::types::{NodegroupScalingConfig, UpdateStatus};
use mesh_core::execute::CallResult;

use super::error::{ReadError, call_failure};

#[derive(Clone, Debug)]
pub(crate) struct Eks(Client);

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Sizes {
    pub min: u32,
    pub max: u32,
    pub desired: u32,
}

/// What DescribeNodegroup shows of one node group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeGroup {
    pub status: String,
    pub sizes: Sizes,
    pub issues: Vec<Issue>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Issue {
    pub code: String,
    pub message: String,
}

/// Where a cluster's own API is, and who vouches for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub url: String,
    /// PEM in base64, as DescribeCluster has it.
    pub authority: String,
}

/// What became of an accepted change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Update {
    Passing(String),
    Successful,
    Failed(String),
}

impl Eks {
    pub(crate) fn new(config: &SdkConfig) -> Self {
        Self(Client::new(config))
    }

    pub(crate) async fn node_group(&self, cluster: &str, name: &str) -> Result<NodeGroup, ReadError> {
        let operation = "eks:DescribeNodegroup";
        let output = self
            .0
            .describe_nodegroup()
            .cluster_name(cluster)
            .nodegroup_name(name)
            .send()
            .await
            .map_err(|error| ReadError::of(operation, &error))?;
        let unreadable = |what: &str| ReadError::Unreadable(format!("{operation}: the answer names no {what}"));
        let found = output.nodegroup().ok_or_else(|| unreadable("node group"))?;
        let sizes = found.scaling_config().ok_or_else(|| unreadable("scaling configuration"))?;
        let number = |given: Option<i32>| given.and_then(|n| u32::try_from(n).ok()).ok_or_else(|| unreadable("size"));
        Ok(NodeGroup {
            status: found.status().map(|status| status.as_str().to_owned()).unwrap_or_default(),
            sizes: Sizes {
                min: number(sizes.min_size())?,
                max: number(sizes.max_size())?,
                desired: number(sizes.desired_size())?,
            },
            issues: found
                .health()
                .map(|health| health.issues())
                .unwrap_or_default()
                .iter()
                .map(|issue| Issue {
                    code: issue.code().map(|code| code.as_str().to_owned()).unwrap_or_default(),
                    message: issue.message().unwrap_or_default().to_owned(),
                })
                .collect(),
        })
    }

    /// `token`: the same call with the same token is taken once.
    pub(crate) async fn scale(&self, cluster: &str, name: &str, sizes: Sizes, token: &str) -> CallResult {
        let number = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
        let scaling = NodegroupScalingConfig::builder()
            .min_size(number(sizes.min))
            .max_size(number(sizes.max))
            .desired_size(number(sizes.desired))
            .build();
        let sent = self
            .0
            .update_nodegroup_config()
            .cluster_name(cluster)
            .nodegroup_name(name)
            .scaling_config(scaling)
            .client_request_token(token)
            .send()
            .await;
        match sent {
            Ok(output) => {
                let id = output.update().and_then(|update| update.id()).unwrap_or("accepted");
                CallResult::Accepted { reference: id.to_owned() }
            }
            Err(error) => call_failure("eks:UpdateNodegroupConfig", &error),
        }
    }

    pub(crate) async fn update(&self, cluster: &str, name: &str, id: &str) -> Result<Update, ReadError> {
        let operation = "eks:DescribeUpdate";
        let output = self
            .0
            .describe_update()
            .name(cluster)
            .nodegroup_name(name)
            .update_id(id)
            .send()
            .await
            .map_err(|error| ReadError::of(operation, &error))?;
        let found =
            output.update().ok_or_else(|| ReadError::Unreadable(format!("{operation}: the answer names no update")))?;
        let errors: Vec<_> = found
            .errors()
            .iter()
            .map(|error| {
                let code = error.error_code().map(|code| code.as_str()).unwrap_or("error");
                format!("{code}: {}", error.error_message().unwrap_or_default())
            })
            .collect();
        Ok(match found.status() {
            Some(UpdateStatus::Successful) => Update::Successful,
            Some(status @ (UpdateStatus::Failed | UpdateStatus::Cancelled)) => {
                Update::Failed(format!("{}: {}", status.as_str(), errors.join("; ")))
            }
            Some(status) => Update::Passing(status.as_str().to_owned()),
            None => Update::Passing("without a status".to_owned()),
        })
    }

    pub(crate) async fn cluster_status(&self, cluster: &str) -> Result<String, ReadError> {
        let operation = "eks:DescribeCluster";
        let output =
            self.0.describe_cluster().name(cluster).send().await.map_err(|error| ReadError::of(operation, &error))?;
        let status = output.cluster().and_then(|found| found.status()).map(|status| status.as_str().to_owned());
        status.ok_or_else(|| ReadError::Unreadable(format!("{operation}: the answer names no status")))
    }

    pub(crate) async fn endpoint(&self, cluster: &str) -> Result<Endpoint, ReadError> {
        let operation = "eks:DescribeCluster";
        let output =
            self.0.describe_cluster().name(cluster).send().await.map_err(|error| ReadError::of(operation, &error))?;
        let endpoint = output.cluster().and_then(|found| {
            Some(Endpoint {
                url: found.endpoint()?.to_owned(),
                authority: found.certificate_authority()?.data()?.to_owned(),
            })
        });
        endpoint.ok_or_else(|| {
            let status =
                output.cluster().and_then(|found| found.status()).map_or("not known", |status| status.as_str());
            ReadError::Unreadable(format!("{operation}: {cluster} has no endpoint yet, its status is {status}"))
        })
    }
}
