//! The wire and disk language: nothing gets lost, nothing changes unseen, nothing hostile gets in.
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a helper that cannot go on fails its test")]

mod chain;
mod golden;
mod refusals;
mod round_trip;
mod values;
