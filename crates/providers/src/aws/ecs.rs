//! ECS services of this region, as plain values.

use aws_config::SdkConfig;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::operation::RequestId;
use aws_sdk_ecs::types::SchedulingStrategy;
use mesh_core::execute::CallResult;

use super::error::{ReadError, call_failure};

#[derive(Clone, Debug)]
pub(crate) struct Ecs(Client);

/// What DescribeServices shows of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    pub status: String,
    pub desired: u32,
    pub running: u32,
    pub pending: u32,
    /// One task an instance: it has no count to set.
    pub daemon: bool,
    pub deployments: Vec<Deployment>,
    /// The newest thing that the service says about itself.
    pub newest_event: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deployment {
    /// `PRIMARY`, `ACTIVE`, `INACTIVE`.
    pub status: String,
    /// `COMPLETED`, `IN_PROGRESS`, `FAILED`; none where ECS itself does not roll out.
    pub rollout: Option<String>,
    pub rollout_reason: Option<String>,
    pub failed_tasks: u32,
}

impl Ecs {
    pub(crate) fn new(config: &SdkConfig) -> Self {
        Self(Client::new(config))
    }

    pub(crate) async fn service(&self, cluster: &str, service: &str) -> Result<Service, ReadError> {
        let operation = "ecs:DescribeServices";
        let output = self
            .0
            .describe_services()
            .cluster(cluster)
            .services(service)
            .send()
            .await
            .map_err(|error| ReadError::of(operation, &error))?;
        let named = |found: &&aws_sdk_ecs::types::Service| {
            found.service_name() == Some(service) || found.service_arn() == Some(service)
        };
        let Some(found) = output.services().iter().find(named) else {
            let reason = output.failures().first().and_then(|failure| failure.reason()).unwrap_or("MISSING");
            let text = format!("{operation}: there is no service {service} in {cluster} ({reason})");
            return Err(ReadError::NotFound(text));
        };
        let count = |n: i32| u32::try_from(n).unwrap_or_default();
        Ok(Service {
            status: found.status().unwrap_or_default().to_owned(),
            desired: count(found.desired_count()),
            running: count(found.running_count()),
            pending: count(found.pending_count()),
            daemon: found.scheduling_strategy() == Some(&SchedulingStrategy::Daemon),
            deployments: found
                .deployments()
                .iter()
                .map(|deployment| Deployment {
                    status: deployment.status().unwrap_or_default().to_owned(),
                    rollout: deployment.rollout_state().map(|state| state.as_str().to_owned()),
                    rollout_reason: deployment.rollout_state_reason().map(str::to_owned),
                    failed_tasks: count(deployment.failed_tasks()),
                })
                .collect(),
            newest_event: found.events().first().and_then(|event| event.message()).map(str::to_owned),
        })
    }

    pub(crate) async fn set_desired(&self, cluster: &str, service: &str, tasks: u32) -> CallResult {
        let sent = self
            .0
            .update_service()
            .cluster(cluster)
            .service(service)
            .desired_count(i32::try_from(tasks).unwrap_or(i32::MAX))
            .send()
            .await;
        match sent {
            Ok(output) => CallResult::Accepted { reference: output.request_id().unwrap_or("accepted").to_owned() },
            Err(error) => call_failure("ecs:UpdateService", &error),
        }
    }
}
