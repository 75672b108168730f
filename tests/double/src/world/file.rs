//! The world file: what exists in the pretended account when the double starts.

use serde::{Deserialize, Serialize};

use super::settings::Settings;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorldFile {
    pub account: String,
    #[serde(default = "seed")]
    pub seed: u64,
    pub access_keys: Vec<AccessKey>,
    pub regions: Vec<String>,
    #[serde(default)]
    pub hosted_zones: Vec<ZoneEntry>,
    #[serde(default)]
    pub security_groups: Vec<GroupEntry>,
    #[serde(default)]
    pub rds: Vec<InstanceEntry>,
    #[serde(default)]
    pub topics: Vec<TopicEntry>,
    #[serde(default)]
    pub queues: Vec<QueueEntry>,
    #[serde(default)]
    pub dynamodb: Vec<TableEntry>,
    #[serde(default)]
    pub apps: Vec<AppEntry>,
    #[serde(default)]
    pub eks: Vec<crate::eks::Entry>,
    #[serde(default)]
    pub ecs: Vec<crate::ecs::Entry>,
    #[serde(default)]
    pub msk: Vec<crate::kafka::Entry>,
    #[serde(default)]
    pub apis: Vec<crate::apigateway::Entry>,
    #[serde(default)]
    pub settings: Settings,
}

/// A caller. One with a region calls from inside it, and so still reaches it when it is partitioned.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessKey {
    pub id: String,
    pub secret: String,
    pub name: String,
    #[serde(default)]
    pub region: Option<String>,
    /// An IAM policy document. Without one the caller may do everything.
    #[serde(default)]
    pub policy: Option<serde_json::Value>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneEntry {
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub records: Vec<RecordEntry>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordEntry {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub ttl: Option<u32>,
    #[serde(default)]
    pub values: Vec<String>,
    #[serde(default)]
    pub alias: Option<AliasEntry>,
    #[serde(default)]
    pub set_identifier: Option<String>,
    #[serde(default)]
    pub weight: Option<u32>,
    #[serde(default)]
    pub failover: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AliasEntry {
    pub zone: String,
    pub name: String,
    pub evaluate_target_health: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupEntry {
    pub id: String,
    pub region: String,
    pub open: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceEntry {
    pub region: String,
    pub id: String,
    pub engine: String,
    pub security_groups: Vec<String>,
    /// `region/id`.
    #[serde(default)]
    pub replica_of: Option<String>,
    #[serde(default)]
    pub backup_retention: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicEntry {
    pub region: String,
    pub name: String,
    /// `region/queue`.
    #[serde(default)]
    pub subscriptions: Vec<String>,
    #[serde(default)]
    pub content_based_deduplication: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueEntry {
    pub region: String,
    pub name: String,
    #[serde(default = "visibility_timeout_ms")]
    pub visibility_timeout_ms: u64,
    #[serde(default)]
    pub content_based_deduplication: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppEntry {
    pub region: String,
    pub database: String,
    pub alb_name: String,
    pub alb_zone: String,
    /// `api/stage` of the HTTP API that its orders come through.
    #[serde(default)]
    pub gateway: Option<String>,
}

/// A table: of one region, or global with a replica in each of several.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableEntry {
    pub table: String,
    pub regions: Vec<String>,
    /// Keys are strings.
    #[serde(default = "hash_key")]
    pub hash_key: String,
    #[serde(default)]
    pub range_key: Option<String>,
}

fn hash_key() -> String {
    "pk".to_owned()
}

fn seed() -> u64 {
    1
}

fn visibility_timeout_ms() -> u64 {
    30_000
}
