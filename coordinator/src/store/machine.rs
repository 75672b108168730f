//! The applied state in memory, and what one entry does to it.
//!
//! `state_hash` after entry i is SHA-256(hash before ‖ i ‖ for each touched entity in order: key ‖ value or tombstone);
//! an entry that touches nothing leaves it as it is. Replicas at the same index hold the same hash (invariant
//! ReplicaAgreement). It covers the history, so it cannot be computed from the entities alone; `digest`, the exclusive
//! or of the hashes of all entities, can, and tells whether a set of entities is complete.

use std::collections::BTreeMap;

use mesh_core::fleet::{Command, Fleet, Reply};
use mesh_core::ids::Hash32;
use mesh_core::time::Timestamp;
use mesh_proto::v1::raft_entry::Payload;
use mesh_proto::{ChainHead, v1};
use prost::Message;
use sha2::{Digest, Sha256};

use super::StoreError;
use super::entities;
use super::history::Point;
use super::position::{self, LogPosition};

/// What is known of the applied state beside its entities.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    pub applied: Option<LogPosition>,
    pub membership_at: Option<LogPosition>,
    pub membership: v1::RaftMembership,
    pub state_hash: Hash32,
    pub audit: ChainHead,
}

#[derive(Clone, Debug, Default)]
pub struct Machine {
    pub fleet: Fleet,
    pub summary: Summary,
    hashes: BTreeMap<String, Hash32>,
    digest: Hash32,
}

/// What a batch of entries changed, to be written as one.
#[derive(Debug, Default)]
pub struct Changes {
    /// The last value of each touched entity; none if it is gone.
    pub entities: BTreeMap<String, Option<Vec<u8>>>,
    pub audit: Vec<v1::AuditRecord>,
    /// Runs that left the state, each with the index of the command that made them leave.
    pub retired: Vec<(u64, v1::Run)>,
}

impl Machine {
    /// The state that a snapshot or a store holds.
    pub fn restore(fleet: Fleet, summary: Summary) -> Self {
        let mut machine = Self { summary, ..Self::default() };
        for entity in entities::all(&fleet) {
            let value = entities::encode(&fleet, &entity);
            machine.note_value(&entities::key(&entity), value.as_deref());
        }
        machine.fleet = fleet;
        machine
    }

    pub fn digest(&self) -> Hash32 {
        self.digest
    }

    pub fn keys(&self) -> impl Iterator<Item = &String> {
        self.hashes.keys()
    }

    /// Applies one committed entry. Blank entries and changes of membership have no reply.
    pub fn apply(&mut self, entry: v1::RaftEntry, changes: &mut Changes) -> Result<Option<Reply>, StoreError> {
        let place = position::of_entry(&entry).map_err(|error| StoreError::Unreadable(error.to_string()))?;
        if self.summary.applied >= Some(place) {
            let applied = self.summary.applied;
            return Err(StoreError::Unreadable(format!("entry {place:?} comes after {applied:?} was applied")));
        }
        let reply = match entry.payload {
            Some(Payload::Blank(_)) => None,
            Some(Payload::Membership(membership)) => {
                self.summary.membership = membership;
                self.summary.membership_at = Some(place);
                None
            }
            Some(Payload::Command(bytes)) => Some(self.apply_command(place.index, bytes, changes)?),
            None => return Err(StoreError::Unreadable(format!("entry {} has no payload known here", place.index))),
        };
        self.summary.applied = Some(place);
        Ok(reply)
    }

    fn apply_command(&mut self, index: u64, bytes: Vec<u8>, changes: &mut Changes) -> Result<Reply, StoreError> {
        let (at, command) = decode_command(&bytes).map_err(|reason| {
            StoreError::Unreadable(format!("command {index}: {reason}; a newer version wrote it?"))
        })?;
        let applied = self.fleet.apply(at, &command);
        let mut hash = Sha256::new();
        hash.update(self.summary.state_hash.0);
        hash.update(index.to_be_bytes());
        for entity in &applied.touched {
            let key = entities::key(entity);
            let value = entities::encode(&self.fleet, entity);
            hash_value(&mut hash, &key, value.as_deref());
            self.note_value(&key, value.as_deref());
            changes.entities.insert(key, value);
        }
        self.summary.state_hash = Hash32(hash.finalize().into());
        let record = mesh_proto::audit::next_record(
            &self.summary.audit,
            index,
            self.fleet.now,
            &applied.note,
            bytes,
            self.summary.state_hash,
        );
        self.summary.audit =
            self.summary.audit.follow(&record).map_err(|error| StoreError::Failed(error.to_string()))?;
        changes.audit.push(record);
        changes.retired.extend(applied.retired.iter().map(|run| (index, v1::Run::from(run))));
        Ok(applied.reply)
    }

    fn note_value(&mut self, key: &str, value: Option<&[u8]>) {
        let before = match value {
            None => self.hashes.remove(key),
            Some(_) => {
                let mut hash = Sha256::new();
                hash_value(&mut hash, key, value);
                let hash = Hash32(hash.finalize().into());
                toggle(&mut self.digest, &hash);
                self.hashes.insert(key.to_owned(), hash)
            }
        };
        if let Some(before) = before {
            toggle(&mut self.digest, &before);
        }
    }
}

/// Lengths come before bytes, so that no two sequences of entities have the same hash input.
fn hash_value(hash: &mut Sha256, key: &str, value: Option<&[u8]>) {
    hash.update((key.len() as u64).to_be_bytes());
    hash.update(key);
    match value {
        None => hash.update([0]),
        Some(value) => {
            hash.update([1]);
            hash.update((value.len() as u64).to_be_bytes());
            hash.update(value);
        }
    }
}

fn toggle(digest: &mut Hash32, hash: &Hash32) {
    digest.0.iter_mut().zip(hash.0).for_each(|(digest, hash)| *digest ^= hash);
}

pub fn encode_command(at: Timestamp, command: &Command) -> Vec<u8> {
    mesh_proto::log_command(at, command).encode_to_vec()
}

pub fn decode_command(bytes: &[u8]) -> Result<(Timestamp, Command), String> {
    let message = v1::LogCommand::decode(bytes).map_err(|error| error.to_string())?;
    message.try_into().map_err(|error: mesh_proto::DecodeError| error.to_string())
}

/// The header of a snapshot, which is also how the store of applied state keeps its summary. `base` is where the
/// history begins that stands beside it.
pub fn header(summary: &Summary, base: Point, records: u64) -> v1::SnapshotHeader {
    let meta = v1::RaftSnapshotMeta {
        last_log_id: summary.applied.map(Into::into),
        membership_log_id: summary.membership_at.map(Into::into),
        membership: Some(summary.membership.clone()),
        snapshot_id: String::new(),
    };
    v1::SnapshotHeader {
        format: FORMAT,
        meta: meta.encode_to_vec(),
        state_hash: summary.state_hash.0.to_vec(),
        audit_head: summary.audit.hash.0.to_vec(),
        records,
        base: Some(base.into()),
        ..Default::default()
    }
}

/// Of snapshot files and of the summary in the store. The first held the whole history, and no base.
pub const FORMAT: u32 = 2;
const FORMAT_OLDEST: u32 = 1;

/// The summary that a header holds, but for the number of audit records and the index of the last.
pub fn summary(header: &v1::SnapshotHeader) -> Result<Summary, String> {
    if !(FORMAT_OLDEST..=FORMAT).contains(&header.format) {
        return Err(format!("format {}, where {FORMAT_OLDEST} to {FORMAT} are known", header.format));
    }
    let meta = v1::RaftSnapshotMeta::decode(header.meta.as_slice()).map_err(|error| error.to_string())?;
    let place = |id: Option<v1::RaftLogId>| id.map(LogPosition::try_from).transpose().map_err(|e| e.to_string());
    let hash = |bytes: &[u8]| bytes.try_into().map(Hash32).map_err(|_| "a hash has not 32 bytes".to_owned());
    Ok(Summary {
        applied: place(meta.last_log_id)?,
        membership_at: place(meta.membership_log_id)?,
        membership: meta.membership.unwrap_or_default(),
        state_hash: hash(&header.state_hash)?,
        audit: ChainHead { hash: hash(&header.audit_head)?, ..ChainHead::default() },
    })
}

/// Where the history begins that stands beside a header.
pub fn base(header: &v1::SnapshotHeader) -> Result<Point, String> {
    header.base.clone().map_or(Ok(Point::default()), Point::try_from)
}
