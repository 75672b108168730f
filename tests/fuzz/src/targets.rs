//! The targets, by what they read.

use crate::Target;

mod agent_journal;
mod apply;
mod audit;
mod cli;
mod config;
mod damage;
mod domain;
mod history;
mod manifest;
mod mesh;
mod outside;
mod raft;
mod rpc;
mod state;
mod text;
/// Complete values of every type, as the tests of the wire have them.
#[path = "../../../proto/tests/wire/values.rs"]
#[allow(clippy::cast_possible_truncation, clippy::unwrap_used, dead_code, reason = "another crate's test helper")]
pub mod values;

pub fn all() -> Vec<Target> {
    let mut targets = vec![rpc::target(), domain::target(), domain::command(), apply::target()];
    targets.extend([raft::target(), raft::requests(), state::entities(), state::snapshot(), state::segment()]);
    targets.extend(damage::all());
    targets.extend([agent_journal::target(), agent_journal::damage(), agent_journal::watchlist()]);
    targets.extend([manifest::target(), text::target(), config::target(), cli::arguments()]);
    targets.extend([audit::target(), audit::damage(), cli::plan_file()]);
    targets.extend([outside::certificate(), outside::dns(), outside::answers()]);
    targets
}
