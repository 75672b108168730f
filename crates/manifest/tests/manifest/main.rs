//! Manifests as text: examples, refusals with their places, the schema, hostile input.

mod examples;
mod hostile;
mod refusals;
mod schema;
mod support;
