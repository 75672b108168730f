//! What tests and benchmarks of several crates start for real.

pub mod postgres;
