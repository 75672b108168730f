//! A whole mesh for one test: three coordinators, six agents and the AWS double as real processes, which a test may
//! kill, restart and disturb, and whose double is the judge.
//!
//! The programs are those beside this test's own executable's directory: `cargo build --workspace --bins` makes them,
//! `make test` does so first.

#![allow(clippy::panic, clippy::indexing_slicing, reason = "a rig that cannot do what it was told fails its test")]

pub mod by_itself;
pub mod clocks;
pub mod ctl;
pub mod fault;
pub mod foreign;
pub mod histories;
pub mod judge;
pub mod many;
pub mod mounts;
pub mod orders;
pub mod power;
pub mod processes;
pub mod relay;
pub mod rig;
pub mod storm;
pub mod terminal;
pub mod wide;
pub mod witness;
pub mod writing;

pub use ctl::Said;
pub use foreign::Foreign;
pub use orders::Orders;
pub use rig::Rig;
pub use terminal::Terminal;
pub use wide::Wide;

use std::path::PathBuf;

/// Where cargo puts binaries: two levels above a test executable, `target/<profile>/deps/<test>`.
pub fn binaries() -> PathBuf {
    let own = std::env::current_exe().expect("a running test has an executable");
    let profile = own.parent().and_then(|deps| deps.parent()).expect("a test lies in target/<profile>/deps");
    profile.to_owned()
}
