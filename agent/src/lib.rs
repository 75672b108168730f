//! The agent: watches, measures, and carries out what the coordinators have committed. It decides nothing but whether
//! it may still act.

pub mod agent;
pub mod clock;
pub mod config;
pub mod executor;
#[cfg(test)]
mod fixtures;
pub mod gate;
pub mod journal;
mod outside;
pub mod prober;
pub mod session;
