//! A mesh of fakes for the session's tests: certificates, a coordinator that does as it is told, a scripted outside.
#![allow(dead_code)]

pub mod coordinator;
pub mod outside;
pub mod pki;
