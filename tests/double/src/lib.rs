//! A strict double of the AWS services that the mesh uses, with regions that fail.
//!
//! It shares no code with the mesh and honours nothing that AWS does not. [`world`] holds the rules, as a function of
//! what is asked and when; [`wire`] the protocols; everything else is listeners around them.

pub mod api;
pub mod apigateway;
pub mod app;
pub mod checkers;
pub mod cloudwatch;
pub mod control;
pub mod database;
pub mod dns;
pub mod double;
pub mod dynamodb;
pub mod ecs;
pub mod eks;
pub mod error;
pub mod faults;
pub mod http;
pub mod iam;
pub mod kafka;
pub mod kubernetes;
pub mod log;
pub mod rds;
pub mod route53;
pub mod running;
pub mod sns;
pub mod sqs;
pub mod sts;
pub mod wire;
pub mod world;

pub use running::{Addresses, Binding, Running};
pub use world::file::WorldFile;
