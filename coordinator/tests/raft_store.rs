//! What is on disk, and what comes back from it after every kind of loss.

#![allow(clippy::panic, clippy::indexing_slicing, reason = "helpers of tests fail by panicking")]

#[path = "raft_store/crash.rs"]
mod crash;
#[path = "raft_store/damage.rs"]
mod damage;
#[path = "raft_store/fixture.rs"]
mod fixture;
#[path = "raft_store/history.rs"]
mod history;
#[path = "raft_store/paced.rs"]
mod paced;
#[path = "raft_store/recovery.rs"]
mod recovery;
#[path = "raft_store/suite.rs"]
mod suite;
