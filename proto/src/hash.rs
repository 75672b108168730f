//! SHA-256 of bytes and of plans.

use std::io::{self, Read};

use mesh_core::ids::Hash32;
use mesh_core::plan::Plan;
use prost::Message;
use sha2::{Digest, Sha256};

use crate::v1;

const BLOCK_BYTES: usize = 256 * 1024;

pub fn sha256(bytes: &[u8]) -> Hash32 {
    Hash32(Sha256::digest(bytes).into())
}

/// Of all that a reader gives.
pub fn sha256_of(mut reader: impl Read) -> io::Result<Hash32> {
    let mut hash = Sha256::new();
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        match reader.read(&mut block)? {
            0 => return Ok(Hash32(hash.finalize().into())),
            read => hash.update(block.get(..read).unwrap_or_default()),
        }
    }
}

/// Names a plan in approvals and in the log: SHA-256 of its `mesh.v1.Plan` encoding.
pub fn plan_hash(plan: &Plan) -> Hash32 {
    sha256(&v1::Plan::from(plan).encode_to_vec())
}
