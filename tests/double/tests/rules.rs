//! The double's rules, asked directly: the same calls at the same times give the same answers.

#[path = "rules/asking.rs"]
mod asking;
#[path = "rules/clusters.rs"]
mod clusters;
#[path = "rules/databases.rs"]
mod databases;
#[path = "rules/metrics.rs"]
mod metrics;
#[path = "rules/names.rs"]
mod names;
#[path = "rules/notices.rs"]
mod notices;
#[path = "rules/permissions.rs"]
mod permissions;
#[path = "rules/read_replicas.rs"]
mod read_replicas;
#[path = "rules/regions.rs"]
mod regions;
#[path = "rules/services.rs"]
mod services;
#[path = "rules/stages.rs"]
mod stages;
#[path = "rules/tables.rs"]
mod tables;
#[path = "rules/workloads.rs"]
mod workloads;
