use aws_config::SdkConfig;
use aws_sdk_kafka::Client;
use mesh_core::survey::{CLUSTERS_MAX, Kafka};

use super::{Listed, PAGES_MAX, next};
use crate::aws::error::ReadError;

pub(crate) async fn clusters(config: &SdkConfig) -> Result<Listed<Kafka>, ReadError> {
    let client = Client::new(config);
    let mut listed = Listed::new();
    let mut token = None;
    for _ in 0..PAGES_MAX {
        let sent = client.list_clusters_v2().set_next_token(token).send().await;
        let output = sent.map_err(|error| ReadError::of("kafka:ListClustersV2", &error))?;
        token = next(output.next_token());
        let page = output.cluster_info_list().iter().map(|found| Kafka {
            name: found.cluster_name().unwrap_or_default().to_owned(),
            state: found.state().map(|state| state.as_str().to_owned()).unwrap_or_default(),
        });
        if listed.take(page, CLUSTERS_MAX, token.is_none()) {
            return Ok(listed);
        }
    }
    listed.more = true;
    Ok(listed)
}
