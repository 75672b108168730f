//! Every decision of the mesh, and no effects.
//!
//! State, evidence, policy and `now` come in as values; decisions go out as values. Nothing here reads a clock,
//! draws a random number, opens a file or a socket, or logs. The coordinators replicate [`fleet::Fleet`] through
//! Raft; [`engine`] tells the leader what to propose next; [`execute`] tells an agent what to do next with one intent.

pub mod access;
pub mod audit;
pub mod decide;
pub mod detect;
pub mod engine;
pub mod execute;
#[cfg(test)]
mod fixtures;
pub mod fleet;
pub mod ids;
pub mod lease;
pub mod manifest;
pub mod notice;
pub mod plan;
pub mod planner;
pub mod run;
pub mod seek;
pub mod signal;
pub mod survey;
pub mod time;
