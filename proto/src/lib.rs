//! The wire and on-disk language of the mesh: generated messages, services, and conversions that validate.

/// Messages and services of package `mesh.v1`.
#[allow(clippy::all, clippy::pedantic, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
pub mod v1 {
    tonic::include_proto!("mesh.v1");
}

/// All descriptors of the package, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
