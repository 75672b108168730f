//! AWS, one service a file. Each SDK is named in its own file alone; what leaves these files is plain values.

pub(crate) mod apigateway;
pub(crate) mod bearer;
pub(crate) mod cloudwatch;
pub(crate) mod config;
mod date;
pub(crate) mod dynamodb;
pub(crate) mod ecs;
pub(crate) mod eks;
pub(crate) mod error;
mod http;
pub(crate) mod kafka;
pub(crate) mod lists;
pub(crate) mod rds;
pub(crate) mod route53;
pub(crate) mod sns;
pub(crate) mod sts;
