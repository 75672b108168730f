//! The wire and disk language: nothing gets lost, nothing changes unseen, nothing hostile gets in.

mod chain;
mod golden;
mod refusals;
mod round_trip;
mod values;
