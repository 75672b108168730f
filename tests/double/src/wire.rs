//! The wire protocols of AWS, each read into and written from one tree ([`Node`]), so that a service holds rules only.

pub mod cbor;
pub mod clock;
pub mod digest;
pub mod json;
pub mod node;
pub mod query;
pub mod reply;
pub mod request;
pub mod rest_json;
pub mod sigv4;
pub mod xml;

pub use node::Node;
