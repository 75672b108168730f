//! The audit chain: each record holds the hash of the one before it, so that an edit, a drop, a swap or a truncation
//! below an exported head is found (invariant AuditChain).

use mesh_core::audit::AuditNote;
use mesh_core::ids::Hash32;
use mesh_core::time::Timestamp;
use prost::Message;

use crate::hash::sha256;
use crate::v1::AuditRecord;

/// What the first record holds as `previous`.
pub const GENESIS: Hash32 = Hash32([0; 32]);

/// The last record of a chain that was verified up to it. Kept elsewhere, it proves later that nothing was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainHead {
    /// Records so far.
    pub records: u64,
    /// Log index of the last one; 0 without any.
    pub index: u64,
    pub hash: Hash32,
}

impl Default for ChainHead {
    fn default() -> Self {
        Self { records: 0, index: 0, hash: GENESIS }
    }
}

/// Where a chain is broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainBreak {
    #[error("audit record {index}: its content does not match its hash, so it was edited")]
    Edited { index: u64 },
    #[error("audit record {index}: it does not follow record {after}: one was dropped, swapped or inserted")]
    NotFollowing { index: u64, after: u64 },
    #[error("audit record {index}: its command does not match its command hash")]
    CommandEdited { index: u64 },
    #[error("audit record {index}: {field} has {len} bytes, 32 are needed")]
    Malformed { index: u64, field: &'static str, len: usize },
    #[error("the chain ends at record {index}, before the known head at {known}")]
    Truncated { index: u64, known: u64 },
    #[error("the record at the known head {known} is another one")]
    Forked { known: u64 },
}

/// Makes the next record of a chain. `command` is the encoded `LogCommand` as it stands in the log.
pub fn next_record(
    head: &ChainHead,
    index: u64,
    at: Timestamp,
    note: &AuditNote,
    command: Vec<u8>,
    state_hash: Hash32,
) -> AuditRecord {
    let name = |id: Option<String>| id.unwrap_or_default();
    let mut record = AuditRecord {
        index,
        at: at.as_millis(),
        previous: head.hash.0.to_vec(),
        actor: note.actor.clone(),
        kind: note.kind.clone(),
        service: name(note.service.as_ref().map(ToString::to_string)),
        run: name(note.run.as_ref().map(ToString::to_string)),
        text: note.text.clone(),
        refused: note.refused,
        command_hash: sha256(&command).0.to_vec(),
        state_hash: state_hash.0.to_vec(),
        hash: Vec::new(),
        command,
    };
    record.hash = audit_hash(&record).0.to_vec();
    record
}

/// SHA-256 over the encoding of the record with `hash` empty.
pub fn audit_hash(record: &AuditRecord) -> Hash32 {
    sha256(&AuditRecord { hash: Vec::new(), ..record.clone() }.encode_to_vec())
}

/// Verifies a whole chain, from its first record.
pub fn verify_chain(records: impl IntoIterator<Item = AuditRecord>) -> Result<ChainHead, ChainBreak> {
    records.into_iter().try_fold(ChainHead::default(), |head, record| head.follow(&record))
}

/// Verifies a whole chain and that it reaches, unchanged, a head that was known before.
pub fn verify_chain_beyond(
    known: &ChainHead,
    records: impl IntoIterator<Item = AuditRecord>,
) -> Result<ChainHead, ChainBreak> {
    let mut head = ChainHead::default();
    let mut seen = known.records == 0;
    for record in records {
        head = head.follow(&record)?;
        if head.index == known.index {
            if head.hash != known.hash {
                return Err(ChainBreak::Forked { known: known.index });
            }
            seen = true;
        }
    }
    match seen {
        true => Ok(head),
        false if head.index < known.index => Err(ChainBreak::Truncated { index: head.index, known: known.index }),
        false => Err(ChainBreak::Forked { known: known.index }),
    }
}

impl ChainHead {
    /// The head after `record`, if it is the one that follows.
    pub fn follow(&self, record: &AuditRecord) -> Result<Self, ChainBreak> {
        let index = record.index;
        let hash = bytes32(index, "hash", &record.hash)?;
        let previous = bytes32(index, "previous", &record.previous)?;
        let command_hash = bytes32(index, "command_hash", &record.command_hash)?;
        bytes32(index, "state_hash", &record.state_hash)?;
        if audit_hash(record) != hash {
            return Err(ChainBreak::Edited { index });
        }
        if previous != self.hash || index <= self.index {
            return Err(ChainBreak::NotFollowing { index, after: self.index });
        }
        if sha256(&record.command) != command_hash {
            return Err(ChainBreak::CommandEdited { index });
        }
        Ok(Self { records: self.records.saturating_add(1), index, hash })
    }
}

fn bytes32(index: u64, field: &'static str, given: &[u8]) -> Result<Hash32, ChainBreak> {
    let malformed = |_| ChainBreak::Malformed { index, field, len: given.len() };
    given.try_into().map(Hash32).map_err(malformed)
}
