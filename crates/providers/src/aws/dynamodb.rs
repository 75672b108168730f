//! DynamoDB tables of this region.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;

use super::error::ReadError;

#[derive(Clone, Debug)]
pub(crate) struct Dynamodb(Client);

/// What DescribeTable shows of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub status: String,
    /// Status of the replicas in other regions, and of this region's own where DynamoDB lists it.
    pub replicas: BTreeMap<String, String>,
}

impl Dynamodb {
    pub(crate) fn new(config: &SdkConfig) -> Self {
        Self(Client::new(config))
    }

    pub(crate) async fn table(&self, name: &str) -> Result<Table, ReadError> {
        let operation = "dynamodb:DescribeTable";
        let output =
            self.0.describe_table().table_name(name).send().await.map_err(|error| ReadError::of(operation, &error))?;
        let found =
            output.table().ok_or_else(|| ReadError::Unreadable(format!("{operation}: the answer names no table")))?;
        let replicas = found.replicas().iter().filter_map(|replica| {
            let status = replica.replica_status().map_or("", |status| status.as_str());
            Some((replica.region_name()?.to_owned(), status.to_owned()))
        });
        Ok(Table {
            status: found.table_status().map(|status| status.as_str().to_owned()).unwrap_or_default(),
            replicas: replicas.collect(),
        })
    }
}
