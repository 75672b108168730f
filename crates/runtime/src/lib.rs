//! Plumbing shared by the programs: TLS and identity, gRPC serving and calling, certificates and their renewal,
//! configuration, telemetry, time, backoff, shutdown. It decides nothing about services and regions.

pub mod access;
pub mod backoff;
pub mod blocking;
pub mod client;
pub mod clock;
pub mod config;
pub mod connect_error;
pub mod files;
pub mod grpc;
pub mod identity;
pub mod pki;
pub mod renew;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
