//! The core simulator: the decision code that runs in production, in a model of everything around it.
//!
//! One thread, one seed, the same bytes each time. What decides is `mesh-core` itself: the agents' hysteresis and lease
//! holders, the leader's verdicts, judgements, engine and lease book, the replicated state, the executor's rules. What is
//! modelled is the world: links between regions and parts of them, clocks, processes, disks, a replicated log, databases.
//! The judges see all of it, and share nothing with what they judge. docs/simulation.md says what is covered.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a model that contradicts itself must stop, and its indexes are its own"
)]

pub mod agent;
pub mod aim;
pub mod audit;
pub mod clock;
pub mod cloud;
pub mod consensus;
pub mod coordinator;
pub mod desk;
pub mod event;
pub mod fault;
pub mod judge;
pub mod minimise;
pub mod mix;
pub mod net;
pub mod noise;
pub mod people;
pub mod plant;
pub mod planted;
pub mod queue;
pub mod report;
pub mod rng;
pub mod rows;
pub mod scenario;
pub mod setting;
pub mod swarm;
pub mod trace;
pub mod world;
pub mod zone;

/// True time, since the world began.
pub type Micros = u64;

pub const MILLI: Micros = 1_000;
pub const SECOND: Micros = 1_000_000;
pub const MINUTE: Micros = 60 * SECOND;
