//! A mesh of fakes for the session's tests: certificates, a coordinator that does as it is told, a scripted outside.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::panic, clippy::indexing_slicing, reason = "only tests use it")]

pub mod coordinator;
pub mod outside;
pub mod pki;
