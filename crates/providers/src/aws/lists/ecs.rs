use aws_config::SdkConfig;
use aws_sdk_ecs::Client;
use mesh_core::survey::{CLUSTERS_MAX, TASK_SERVICES_MAX, TaskService};

use super::{Listed, PAGES_MAX, next};
use crate::aws::error::ReadError;

/// DescribeServices takes no more at a time.
const DESCRIBED_AT_ONCE: usize = 10;

pub(crate) async fn services(config: &SdkConfig) -> Result<Listed<TaskService>, ReadError> {
    let client = Client::new(config);
    let Listed { items: clusters, mut more } = clusters(&client).await?;
    let mut items = Vec::new();
    for cluster in &clusters {
        let arns = services_of(&client, cluster).await?;
        more |= arns.more;
        for some in arns.items.chunks(DESCRIBED_AT_ONCE) {
            items.extend(describe(&client, cluster, some).await?);
        }
        if items.len() >= TASK_SERVICES_MAX {
            items.truncate(TASK_SERVICES_MAX);
            return Ok(Listed { items, more: true });
        }
    }
    Ok(Listed { items, more })
}

async fn clusters(client: &Client) -> Result<Listed<String>, ReadError> {
    let mut listed = Listed::new();
    let mut token = None;
    for _ in 0..PAGES_MAX {
        let sent = client.list_clusters().set_next_token(token).send().await;
        let output = sent.map_err(|error| ReadError::of("ecs:ListClusters", &error))?;
        token = next(output.next_token());
        if listed.take(output.cluster_arns().iter().cloned(), CLUSTERS_MAX, token.is_none()) {
            return Ok(listed);
        }
    }
    listed.more = true;
    Ok(listed)
}

async fn services_of(client: &Client, cluster: &str) -> Result<Listed<String>, ReadError> {
    let mut listed = Listed::new();
    let mut token = None;
    for _ in 0..PAGES_MAX {
        let sent = client.list_services().cluster(cluster).set_next_token(token).send().await;
        let output = sent.map_err(|error| ReadError::of("ecs:ListServices", &error))?;
        token = next(output.next_token());
        if listed.take(output.service_arns().iter().cloned(), TASK_SERVICES_MAX, token.is_none()) {
            return Ok(listed);
        }
    }
    listed.more = true;
    Ok(listed)
}

async fn describe(client: &Client, cluster: &str, services: &[String]) -> Result<Vec<TaskService>, ReadError> {
    let sent = client.describe_services().cluster(cluster).set_services(Some(services.to_vec())).send().await;
    let output = sent.map_err(|error| ReadError::of("ecs:DescribeServices", &error))?;
    let count = |n: i32| u32::try_from(n).unwrap_or_default();
    let plain = |found: &aws_sdk_ecs::types::Service| TaskService {
        // An ARN ends in `cluster/NAME`.
        cluster: cluster.rsplit('/').next().unwrap_or(cluster).to_owned(),
        service: found.service_name().unwrap_or_default().to_owned(),
        status: found.status().unwrap_or_default().to_owned(),
        desired: count(found.desired_count()),
        running: count(found.running_count()),
    };
    Ok(output.services().iter().map(plain).collect())
}
