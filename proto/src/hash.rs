//! SHA-256 of bytes and of plans.

use mesh_core::ids::Hash32;
use mesh_core::plan::Plan;
use prost::Message;
use sha2::{Digest, Sha256};

use crate::v1;

pub fn sha256(bytes: &[u8]) -> Hash32 {
    Hash32(Sha256::digest(bytes).into())
}

/// Names a plan in approvals and in the log: SHA-256 of its `mesh.v1.Plan` encoding.
pub fn plan_hash(plan: &Plan) -> Hash32 {
    sha256(&v1::Plan::from(plan).encode_to_vec())
}
