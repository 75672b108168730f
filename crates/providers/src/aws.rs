//! AWS, one service a file. Each SDK is named in its own file alone; what leaves these files is plain values.

pub(crate) mod cloudwatch;
pub(crate) mod config;
mod date;
pub(crate) mod error;
mod http;
pub(crate) mod rds;
pub(crate) mod route53;
pub(crate) mod sns;
pub(crate) mod sts;
