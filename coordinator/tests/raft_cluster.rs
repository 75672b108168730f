//! Coordinators of one mesh, in one process, over real mutual TLS; links between them can be cut one by one.

#![allow(clippy::panic, clippy::indexing_slicing, reason = "helpers of tests fail by panicking")]

#[path = "raft_cluster/agreement.rs"]
mod agreement;
#[path = "raft_cluster/cluster.rs"]
mod cluster;
#[path = "raft_cluster/founding.rs"]
mod founding;
#[path = "raft_cluster/history.rs"]
mod history;
#[path = "raft_cluster/link.rs"]
mod link;
#[path = "raft_cluster/load.rs"]
mod load;
#[path = "raft_cluster/membership.rs"]
mod membership;
