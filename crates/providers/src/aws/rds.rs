//! RDS instances of this region, as plain values.

use std::collections::{BTreeMap, BTreeSet};

use aws_config::SdkConfig;
use aws_sdk_rds::Client;
use aws_sdk_rds::operation::RequestId;
use aws_sdk_rds::types::{DbInstance, SourceType};
use mesh_core::execute::CallResult;
use mesh_core::time::Timestamp;

use super::date::{ResponseDate, date_time, timestamp};
use super::error::{ReadError, call_failure};

/// Pages of 100 events that are read at most: an instance with more in one run is not well.
const EVENT_PAGES_MAX: usize = 10;

#[derive(Clone, Debug)]
pub(crate) struct Rds(Client);

/// What DescribeDBInstances shows of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instance {
    pub status: String,
    /// VPC security group id and its state: `active`, `adding`, `removing`.
    pub security_groups: BTreeMap<String, String>,
    /// What it replicates from, if it is a replica.
    pub source: Option<String>,
    pub replication: Vec<Replication>,
    pub backup_retention_days: u32,
    pub backup_retention_pending: bool,
    /// The provider's time when it answered, whole seconds.
    pub seen_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Replication {
    pub status: String,
    pub normal: bool,
    pub message: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub at: Timestamp,
    pub message: String,
}

impl Rds {
    pub(crate) fn new(config: &SdkConfig) -> Self {
        Self(Client::new(config))
    }

    pub(crate) async fn describe(&self, instance: &str) -> Result<Instance, ReadError> {
        let operation = "rds:DescribeDBInstances";
        let date = ResponseDate::default();
        let output = self
            .0
            .describe_db_instances()
            .db_instance_identifier(instance)
            .customize()
            .interceptor(date.clone())
            .send()
            .await
            .map_err(|error| ReadError::of(operation, &error))?;
        let found = output
            .db_instances()
            .iter()
            .find(|found| found.db_instance_identifier().is_some_and(|id| id.eq_ignore_ascii_case(instance)))
            .ok_or_else(|| ReadError::NotFound(format!("{operation}: there is no instance {instance}")))?;
        let seen_at =
            date.taken().ok_or_else(|| ReadError::Unreadable(format!("{operation}: the answer carries no Date")))?;
        Ok(plain(found, seen_at))
    }

    /// Events of the instance from `since` on, oldest first.
    pub(crate) async fn events(&self, instance: &str, since: Timestamp) -> Result<Vec<Event>, ReadError> {
        let operation = "rds:DescribeEvents";
        let mut events = Vec::new();
        let mut marker = None;
        for _ in 0..EVENT_PAGES_MAX {
            let output = self
                .0
                .describe_events()
                .source_type(SourceType::DbInstance)
                .source_identifier(instance)
                .start_time(date_time(since))
                .set_marker(marker)
                .send()
                .await
                .map_err(|error| ReadError::of(operation, &error))?;
            events.extend(output.events().iter().filter_map(|event| {
                let at = event.date().and_then(timestamp)?;
                Some(Event { at, message: event.message().unwrap_or_default().to_owned() })
            }));
            marker = output.marker().filter(|marker| !marker.is_empty()).map(str::to_owned);
            if marker.is_none() {
                break;
            }
        }
        events.sort_by_key(|event| event.at);
        Ok(events)
    }

    pub(crate) async fn set_security_groups(&self, instance: &str, groups: &BTreeSet<String>) -> CallResult {
        let sent = self
            .0
            .modify_db_instance()
            .db_instance_identifier(instance)
            .set_vpc_security_group_ids(Some(groups.iter().cloned().collect()))
            .apply_immediately(true)
            .send()
            .await;
        match sent {
            Ok(output) => accepted(output.request_id()),
            Err(error) => call_failure("rds:ModifyDBInstance", &error),
        }
    }

    pub(crate) async fn set_backup_retention(&self, instance: &str, days: u32) -> CallResult {
        let sent = self
            .0
            .modify_db_instance()
            .db_instance_identifier(instance)
            .backup_retention_period(i32::try_from(days).unwrap_or(i32::MAX))
            .apply_immediately(true)
            .send()
            .await;
        match sent {
            Ok(output) => accepted(output.request_id()),
            Err(error) => call_failure("rds:ModifyDBInstance", &error),
        }
    }

    pub(crate) async fn reboot(&self, instance: &str) -> CallResult {
        match self.0.reboot_db_instance().db_instance_identifier(instance).send().await {
            Ok(output) => accepted(output.request_id()),
            Err(error) => call_failure("rds:RebootDBInstance", &error),
        }
    }

    pub(crate) async fn promote(&self, instance: &str, backup_retention_days: u32) -> CallResult {
        let sent = self
            .0
            .promote_read_replica()
            .db_instance_identifier(instance)
            .backup_retention_period(i32::try_from(backup_retention_days).unwrap_or(i32::MAX))
            .send()
            .await;
        match sent {
            Ok(output) => accepted(output.request_id()),
            Err(error) => call_failure("rds:PromoteReadReplica", &error),
        }
    }
}

fn plain(found: &DbInstance, seen_at: Timestamp) -> Instance {
    let text = |given: Option<&str>| given.unwrap_or_default().to_owned();
    let source = found
        .read_replica_source_db_instance_identifier()
        .or_else(|| found.read_replica_source_db_cluster_identifier())
        .filter(|source| !source.is_empty());
    Instance {
        status: text(found.db_instance_status()),
        security_groups: found
            .vpc_security_groups()
            .iter()
            .map(|group| (text(group.vpc_security_group_id()), text(group.status())))
            .collect(),
        source: source.map(str::to_owned),
        replication: found
            .status_infos()
            .iter()
            .map(|info| Replication {
                status: text(info.status()),
                normal: info.normal().unwrap_or(true),
                message: text(info.message()),
            })
            .collect(),
        backup_retention_days: found
            .backup_retention_period()
            .and_then(|days| u32::try_from(days).ok())
            .unwrap_or_default(),
        backup_retention_pending: found
            .pending_modified_values()
            .is_some_and(|pending| pending.backup_retention_period().is_some()),
        seen_at,
    }
}

/// RDS names no change; the request id is what its support and CloudTrail know the call by.
fn accepted(request_id: Option<&str>) -> CallResult {
    CallResult::Accepted { reference: request_id.unwrap_or("accepted").to_owned() }
}
