//! RDS: instances with their statuses, security groups and events. What is stored in them is in [`data`].

pub mod change;
pub mod create;
pub mod data;
pub mod describe;
pub mod events;
pub mod publication;
pub mod replication;

use std::collections::BTreeMap;
use std::fmt;

use crate::error::ApiError;
use crate::wire::Node;
use crate::wire::request::Call;
use crate::world::World;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InstanceKey {
    pub region: String,
    pub id: String,
}

impl fmt::Display for InstanceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.region, self.id)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Creating,
    Available,
    Modifying,
    Rebooting,
    BackingUp,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Available => "available",
            Self::Modifying => "modifying",
            Self::Rebooting => "rebooting",
            Self::BackingUp => "backing-up",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    Adding,
    Active,
    Removing,
}

impl Attachment {
    pub fn name(self) -> &'static str {
        match self {
            Self::Adding => "adding",
            Self::Active => "active",
            Self::Removing => "removing",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Write {
    pub id: String,
    pub at_ms: u64,
}

#[derive(Clone, Debug)]
pub struct Instance {
    pub key: InstanceKey,
    pub engine: String,
    pub class: String,
    pub resource_id: String,
    pub created_ms: u64,
    pub port: u16,
    pub status: Status,
    /// Until then, describing it still shows `available`.
    pub status_hidden_until_ms: u64,
    pub groups: Vec<(String, Attachment)>,
    pub groups_generation: u64,
    pub backup_retention: u32,
    pub pending_backup_retention: Option<u32>,
    pub source: Option<InstanceKey>,
    pub read_only: bool,
    pub promoting: bool,
    /// False while the server process is down.
    pub serving: bool,
    /// One higher with each start of the server; sessions belong to one start.
    pub boot: u64,
    pub writes: Vec<Write>,
    /// How many of the source's writes have been taken over.
    pub cursor: usize,
    /// The moment of the source that this replica has reached.
    pub applied_through_ms: u64,
    pub link_lost: Option<replication::LinkLost>,
    /// What it replicated until its promotion.
    pub promoted_from: Option<InstanceKey>,
}

impl Instance {
    pub fn shown_status(&self, now_ms: u64) -> Status {
        if now_ms < self.status_hidden_until_ms { Status::Available } else { self.status }
    }
}

#[derive(Clone, Debug)]
pub struct SecurityGroup {
    pub region: String,
    pub open: bool,
}

#[derive(Debug, Default)]
pub struct Rds {
    pub instances: BTreeMap<InstanceKey, Instance>,
    pub groups: BTreeMap<String, SecurityGroup>,
    pub events: Vec<events::Event>,
    /// Replicas whose source restarted at this time, and whose lag was not published since they reached it.
    pub unpublished: BTreeMap<InstanceKey, u64>,
}

impl Rds {
    pub fn find(&self, region: &str, id: &str) -> Result<&Instance, ApiError> {
        self.instances.get(&key(region, id)).ok_or_else(|| not_found(id))
    }

    pub fn find_mut(&mut self, region: &str, id: &str) -> Result<&mut Instance, ApiError> {
        self.instances.get_mut(&key(region, id)).ok_or_else(|| not_found(id))
    }
}

impl Rds {
    /// Databases that nobody listens for yet.
    pub fn without_port(&self) -> Vec<InstanceKey> {
        self.instances.values().filter(|instance| instance.port == 0).map(|instance| instance.key.clone()).collect()
    }

    pub fn set_port(&mut self, key: &InstanceKey, port: u16) {
        if let Some(instance) = self.instances.get_mut(key) {
            instance.port = port;
        }
    }
}

/// Identifiers are stored in lower case, and match in any.
fn key(region: &str, id: &str) -> InstanceKey {
    InstanceKey { region: region.to_owned(), id: id.to_lowercase() }
}

fn not_found(id: &str) -> ApiError {
    ApiError::new(404, "DBInstanceNotFound", format!("DBInstance {id} not found."))
}

pub fn call(world: &mut World, call: &Call) -> Result<Node, ApiError> {
    let (region, input) = (call.region.as_str(), &call.input);
    match call.operation.as_str() {
        "DescribeDBInstances" => {
            allow(input, &["DBInstanceIdentifier", "Filters", "MaxRecords", "Marker"])?;
            describe::instances(world, region, input)
        }
        "DescribeEvents" => {
            let known = ["SourceIdentifier", "SourceType", "StartTime", "EndTime", "Duration", "EventCategories"];
            allow(input, &[&known[..], &["MaxRecords", "Marker"]].concat())?;
            events::describe(world, region, input)
        }
        "ModifyDBInstance" => {
            allow(
                input,
                &["DBInstanceIdentifier", "VpcSecurityGroupIds", "BackupRetentionPeriod", "ApplyImmediately"],
            )?;
            change::modify(world, region, input)
        }
        "RebootDBInstance" => {
            allow(input, &["DBInstanceIdentifier", "ForceFailover"])?;
            change::reboot(world, region, input)
        }
        "PromoteReadReplica" => {
            allow(input, &["DBInstanceIdentifier", "BackupRetentionPeriod", "PreferredBackupWindow"])?;
            change::promote(world, region, input)
        }
        "CreateDBInstanceReadReplica" => {
            let known = ["DBInstanceIdentifier", "SourceDBInstanceIdentifier", "DBInstanceClass"];
            allow(input, &[&known[..], &["VpcSecurityGroupIds", "PreSignedUrl"]].concat())?;
            create::read_replica(world, region, input)
        }
        other => Err(ApiError::unsupported(format!("rds {other}"))),
    }
}

/// A parameter that is not modelled must not be taken as done.
fn allow(input: &Node, known: &[&str]) -> Result<(), ApiError> {
    match input.keys().into_iter().find(|name| !["Action", "Version"].contains(name) && !known.contains(name)) {
        Some(name) => Err(ApiError::unsupported(format!("the parameter {name}"))),
        None => Ok(()),
    }
}
