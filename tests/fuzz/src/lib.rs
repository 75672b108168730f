//! Whatever reads bytes from outside is given bytes that nobody meant: one target for each decoder and parser.
//!
//! A target is a function of bytes that panics where a rule is broken. The short run (`tests/short.rs`) feeds it mutated
//! copies of its seeds and of its corpus, the same ones each time; the long run (`make fuzz`) has libFuzzer look for
//! inputs that reach new code. docs/fuzzing.md lists the targets and what each promises.
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a rule that is broken is reported by a panic")]

pub mod corpus;
pub mod edits;
pub mod examine;
pub mod mutate;
pub mod planted;
pub mod rng;
pub mod scratch;
pub mod session;
pub mod target;
mod targets;

pub use target::{Shape, Target};

/// Every target; `planted` ones apart, which are wrong on purpose.
pub fn all() -> Vec<Target> {
    targets::all()
}

/// Also those that are wrong on purpose.
pub fn find(name: &str) -> Option<Target> {
    all().into_iter().chain(planted::all()).find(|target| target.name == name)
}
