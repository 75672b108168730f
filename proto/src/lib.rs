//! The wire and on-disk language of the mesh: generated messages, services, and conversions that validate.
//!
//! Encoding a core value cannot fail. Decoding refuses whatever a core value could not have produced: unknown enum
//! values, absent oneofs, bad names, doubled set members, and lists and texts above [`bounds`].

pub mod audit;
pub mod bounds;
mod convert;
mod error;
mod fields;
mod hash;

pub use audit::{ChainBreak, ChainHead, audit_hash, verify_chain};
pub use convert::{call_ended, lease_ack, lease_standing, log_command};
pub use error::DecodeError;
pub use hash::{plan_hash, sha256, sha256_of};

/// Messages and services of package `mesh.v1`.
#[allow(clippy::all, clippy::pedantic, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/mesh.v1.rs"));
}

/// All descriptors of the package, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
