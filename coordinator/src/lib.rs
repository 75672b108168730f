//! `mesh-coordinator`: one of the 3 or 5 programs that decide. It holds no cloud credentials and calls no cloud.
//!
//! [`consensus`] replicates the state; [`operator`] serves people, [`sessions`] the agents; [`driver`] carries out,
//! while this node leads, what the core's engine decides. All of them see consensus as [`replicated::Replicated`].

pub mod clock;
pub mod config;
pub mod consensus;
pub mod driver;
pub mod node;
pub mod operator;
pub mod peers;
pub mod pki;
pub mod replicated;
pub mod restore;
pub mod serve;
pub mod sessions;
pub mod store;
