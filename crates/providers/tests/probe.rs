//! Each kind of probe against a server of its kind: what passes, what fails and in which words, and what is the prober's
//! own trouble.

#![allow(clippy::panic, clippy::indexing_slicing, reason = "what fails here fails a test")]

#[path = "probe/grpc.rs"]
mod grpc;
#[path = "probe/http.rs"]
mod http;
#[path = "probe/names.rs"]
mod names;
#[path = "probe/prometheus.rs"]
mod prometheus;
#[path = "probe/rig.rs"]
mod rig;
#[path = "probe/tls.rs"]
mod tls;
