//! The providers against the double: node groups, deployments, services, brokers and tables as AWS and Kubernetes have
//! them, with replies that are lost, conflicts and throttles.

#![allow(clippy::panic, clippy::indexing_slicing, reason = "what fails here fails a test")]

#[path = "double/deployments.rs"]
mod deployments;
#[path = "double/health.rs"]
mod health;
#[path = "double/node_groups.rs"]
mod node_groups;
#[path = "double/rig.rs"]
mod rig;
#[path = "double/services.rs"]
mod services;
#[path = "double/stages.rs"]
mod stages;
#[path = "double/tables.rs"]
mod tables;
