//! A small model of leases, promises and revocations, explored to its end.
//!
//! The agents and the leader in it are the core's own [`mesh_core::lease`] types: what is explored is the code. Around them
//! stands a world of a few ticks in which every message may be late or lost, an agent may restart, the leader may change,
//! a run may be aborted and the ask list may change. Every order of all of it is tried, and in every state at most one
//! region may write. [`Rules`] breaks one rule at a time, to show that the model would see it.

pub mod explore;
pub mod rules;
pub mod runs;
pub mod world;

pub use explore::{Found, explore};
pub use rules::Rules;
pub use world::{Scenario, World};
