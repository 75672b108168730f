//! Manifests as text: examples, refusals with their places, the schema, hostile input.
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a helper that cannot go on fails its test")]

mod examples;
mod hostile;
mod probes;
mod refusals;
mod schema;
mod support;
