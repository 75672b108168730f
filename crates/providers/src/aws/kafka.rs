//! MSK clusters of this region.

use aws_config::SdkConfig;
use aws_sdk_kafka::Client;

use super::error::ReadError;

/// Pages of clusters whose names begin alike: more in one region is no MSK account that there is.
const PAGES_MAX: usize = 10;

#[derive(Clone, Debug)]
pub(crate) struct Kafka(Client);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cluster {
    pub arn: String,
    pub state: String,
}

impl Kafka {
    pub(crate) fn new(config: &SdkConfig) -> Self {
        Self(Client::new(config))
    }

    pub(crate) async fn cluster(&self, name: &str) -> Result<Cluster, ReadError> {
        let operation = "kafka:ListClustersV2";
        let mut next = None;
        for _ in 0..PAGES_MAX {
            let output = self
                .0
                .list_clusters_v2()
                .cluster_name_filter(name)
                .set_next_token(next)
                .send()
                .await
                .map_err(|error| ReadError::of(operation, &error))?;
            // The filter is a prefix.
            let found = output.cluster_info_list().iter().find(|found| found.cluster_name() == Some(name));
            if let Some(found) = found {
                return Ok(Cluster {
                    arn: found.cluster_arn().unwrap_or_default().to_owned(),
                    state: found.state().map(|state| state.as_str().to_owned()).unwrap_or_default(),
                });
            }
            next = output.next_token().filter(|token| !token.is_empty()).map(str::to_owned);
            if next.is_none() {
                return Err(ReadError::NotFound(format!("{operation}: there is no cluster {name}")));
            }
        }
        Err(ReadError::Unreadable(format!("{operation}: {PAGES_MAX} pages, and {name} is on none of them")))
    }
}
