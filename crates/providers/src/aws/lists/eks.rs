use aws_config::SdkConfig;
use aws_sdk_eks::Client;
use futures::{StreamExt, TryStreamExt, stream};
use mesh_core::survey::{CLUSTERS_MAX, Cluster, NODE_GROUPS_MAX, NodeGroup};

use super::{AT_ONCE, Listed, PAGES_MAX, next};
use crate::aws::eks::Eks;
use crate::aws::error::ReadError;

/// Clusters with their node groups; their namespaces are not EKS's to tell.
pub(crate) async fn clusters(config: &SdkConfig) -> Result<Listed<Cluster>, ReadError> {
    let client = Client::new(config);
    let eks = Eks::new(config);
    let Listed { items: names, more } = names(&client).await?;
    let described = names.into_iter().map(|name| describe(&client, &eks, name));
    let items = stream::iter(described).buffered(AT_ONCE).try_collect().await?;
    Ok(Listed { items, more })
}

async fn names(client: &Client) -> Result<Listed<String>, ReadError> {
    let mut listed = Listed::new();
    let mut token = None;
    for _ in 0..PAGES_MAX {
        let sent = client.list_clusters().set_next_token(token).send().await;
        let output = sent.map_err(|error| ReadError::of("eks:ListClusters", &error))?;
        token = next(output.next_token());
        if listed.take(output.clusters().iter().cloned(), CLUSTERS_MAX, token.is_none()) {
            return Ok(listed);
        }
    }
    listed.more = true;
    Ok(listed)
}

async fn describe(client: &Client, eks: &Eks, name: String) -> Result<Cluster, ReadError> {
    let sent = client.describe_cluster().name(&name).send().await;
    let output = sent.map_err(|error| ReadError::of("eks:DescribeCluster", &error))?;
    let status = output.cluster().and_then(|cluster| cluster.status()).map_or("", |status| status.as_str());
    let sent = client.list_nodegroups().cluster_name(&name).send().await;
    let groups = sent.map_err(|error| ReadError::of("eks:ListNodegroups", &error))?;
    let mut node_groups = Vec::new();
    for group in groups.nodegroups().iter().take(NODE_GROUPS_MAX) {
        let found = eks.node_group(&name, group).await?;
        node_groups.push(NodeGroup {
            name: group.clone(),
            status: found.status,
            min: found.sizes.min,
            max: found.sizes.max,
            desired: found.sizes.desired,
        });
    }
    Ok(Cluster { status: status.to_owned(), node_groups, name, ..Cluster::default() })
}
