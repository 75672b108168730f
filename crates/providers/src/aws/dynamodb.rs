//! DynamoDB tables of this region.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::Select;
use mesh_core::ids::RegionId;

use super::error::ReadError;

/// A page is at most a megabyte, which costs 256 read units: a larger table is not counted.
const COUNT_PAGES_MAX: u32 = 32;
/// At most two pages a second of one table are read.
const PAGE_EVERY: Duration = Duration::from_millis(500);

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

    /// Tables of another region, which may be dead.
    pub(crate) fn elsewhere(config: &SdkConfig, region: &RegionId, call_timeout: Duration) -> Self {
        Self::new(&super::config::elsewhere(config, region, call_timeout))
    }

    /// The items of a table, by reading all of it: the number that DescribeTable gives is up to six hours old.
    pub(crate) async fn count(&self, name: &str) -> Result<u64, ReadError> {
        let (mut items, mut start) = (0u64, None);
        for _ in 0..COUNT_PAGES_MAX {
            let page = self.0.scan().table_name(name).select(Select::Count).consistent_read(true);
            let page = page.set_exclusive_start_key(start).send().await;
            let page = page.map_err(|error| ReadError::of("dynamodb:Scan", &error))?;
            items = items.saturating_add(u64::try_from(page.count()).unwrap_or(0));
            start = page.last_evaluated_key().cloned();
            if start.is_none() {
                return Ok(items);
            }
            tokio::time::sleep(PAGE_EVERY).await;
        }
        Err(ReadError::Unreadable(format!("{name} is larger than {COUNT_PAGES_MAX} MB, and so is not counted")))
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
