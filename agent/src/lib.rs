//! The agent: watches, measures, and carries out what the coordinators have committed. It decides nothing but whether
//! it may still act.

pub mod agent;
pub mod clock;
pub mod config;
pub mod executor;
#[cfg(test)]
mod fixtures;
pub mod gate;
pub mod guard;
pub mod journal;
pub mod lease;
mod outside;
pub mod prober;
pub mod session;
pub mod timers;
