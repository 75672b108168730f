//! A run carried out under faults, every one of them at every place.
//!
//! What decides is the core's own code: [`mesh_core::fleet`] applies commands, [`mesh_core::engine`] proposes them,
//! [`mesh_core::execute`] leads each call. Around them stand a leader that may change, agents with a journal that may
//! crash or stand still, and a provider that may lose calls and answers or carry a call out late. One [`Fault`] strikes one
//! step at one [`Point`] of its carrying out.

#![allow(clippy::panic, clippy::indexing_slicing, reason = "a model that cannot go on fails its test")]

pub mod agent;
pub mod cloud;
pub mod fault;
pub mod judge;
pub mod mesh;

pub use fault::{Armed, Call, Fault, Place, Point, Who, places};
pub use judge::{Broken, judge};
pub use mesh::{Abort, Mesh, runbook};
