//! The applied state on disk: entities by key, audit records by index, and where it stands, in sled.
//!
//! sled's flush is no fsync, so nothing whose loss would break a promise may be here alone: all of it can be rebuilt
//! from a snapshot and the log. What is found at start is used only if it is complete by its own account and agrees
//! with the log; in every other case it is thrown away.

use std::path::Path;

use mesh_core::fleet::Fleet;
use mesh_core::ids::Hash32;
use mesh_proto::{ChainHead, v1};
use prost::Message;

use super::StoreError;
use super::entities;
use super::fatal::Fatal;
use super::machine::{self, Changes, Machine, Summary};

/// Keys begin with what they hold.
const ENTITY: &[u8] = b"e/";
const AUDIT: &[u8] = b"a/";
/// The summary, and the digest of the entities that belong to it.
const SUMMARY: &[u8] = b"summary";
const DIGEST: &[u8] = b"digest";

const CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// Audit records that are written at once while the store is rebuilt.
pub const AUDIT_BATCH: usize = 256;

pub struct Applied {
    db: sled::Db,
    fatal: Fatal,
}

impl Applied {
    /// sled panics on some damaged files; that is an error like any other here.
    pub fn open(dir: &Path, fatal: Fatal) -> Result<Self, String> {
        let config = sled::Config::new().path(dir).cache_capacity(CACHE_BYTES);
        let opened = contained(move || config.open().map_err(|error| error.to_string()))?;
        Ok(Self { db: opened, fatal })
    }

    /// Everything that it holds, if that is complete and unharmed; none if it holds nothing.
    pub fn load(&self) -> Result<Option<Machine>, String> {
        let db = self.db.clone();
        contained(move || load(&db))
    }

    /// Writes a batch of changes, whole or not at all.
    pub fn write(&self, changes: &Changes, summary: &Summary, digest: Hash32) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for (key, value) in &changes.entities {
            match value {
                Some(value) => batch.insert(entity_key(key), value.as_slice()),
                None => batch.remove(entity_key(key)),
            }
        }
        for record in &changes.audit {
            batch.insert(audit_key(record.index), record.encode_to_vec());
        }
        batch.insert(SUMMARY, machine::header(summary, summary.audit.records).encode_to_vec());
        batch.insert(DIGEST, digest.0.as_slice());
        self.db.apply_batch(batch).map_err(|error| self.fatal.fail("write the applied state", error))
    }

    /// Audit records of a snapshot, ahead of the state that they lead to.
    pub fn write_audit(&self, records: &[v1::AuditRecord]) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for record in records {
            batch.insert(audit_key(record.index), record.encode_to_vec());
        }
        self.db.apply_batch(batch).map_err(|error| self.fatal.fail("write the audit", error))
    }

    /// Makes the entities exactly those of `machine`, as one batch. Its audit records are there already.
    pub fn replace(&self, machine: &Machine) -> Result<(), StoreError> {
        let mut changes = Changes::default();
        for key in self.db.scan_prefix(ENTITY).keys() {
            let key = key.map_err(|error| self.fatal.fail("read the applied state", error))?;
            changes.entities.insert(text(key.get(ENTITY.len()..).unwrap_or_default()), None);
        }
        for entity in entities::all(&machine.fleet) {
            changes.entities.insert(entities::key(&entity), entities::encode(&machine.fleet, &entity));
        }
        self.write(&changes, &machine.summary, machine.digest())
    }

    /// Audit records with an index of at least `from`, in order.
    pub fn audit(&self, from: u64) -> impl Iterator<Item = Result<v1::AuditRecord, StoreError>> + '_ {
        self.db.range(audit_key(from)..audit_key(u64::MAX)).values().map(|value| {
            let value = value.map_err(|error| self.fatal.fail("read the audit", error))?;
            v1::AuditRecord::decode(value.as_ref()).map_err(|error| self.fatal.fail("read the audit", error))
        })
    }
}

fn load(db: &sled::Db) -> Result<Option<Machine>, String> {
    let read = |key: &[u8]| db.get(key).map_err(|error| error.to_string());
    let Some(bytes) = read(SUMMARY)? else {
        return if db.is_empty() { Ok(None) } else { Err("it has no summary".to_owned()) };
    };
    let header = v1::SnapshotHeader::decode(bytes.as_ref()).map_err(|error| error.to_string())?;
    let mut summary = machine::summary(&header)?;
    let audit = verify_audit(db, &summary.state_hash)?;
    if audit.hash != summary.audit.hash || audit.records != header.records {
        return Err(format!("the audit chain ends at record {}, not where the summary says", audit.index));
    }
    summary.audit = audit;
    let mut fleet = Fleet::default();
    for item in db.scan_prefix(ENTITY) {
        let (key, value) = item.map_err(|error| error.to_string())?;
        let key = text(key.get(ENTITY.len()..).unwrap_or_default());
        entities::insert(&mut fleet, &key, &value).map_err(|error| error.to_string())?;
    }
    let machine = Machine::restore(fleet, summary);
    match read(DIGEST)?.as_deref() == Some(machine.digest().0.as_slice()) || header.records == 0 {
        true => Ok(Some(machine)),
        false => Err("its entities are not those of its summary".to_owned()),
    }
}

fn verify_audit(db: &sled::Db, state_hash: &Hash32) -> Result<ChainHead, String> {
    let (mut head, mut state) = (ChainHead::default(), Hash32::default().0.to_vec());
    for value in db.scan_prefix(AUDIT).values() {
        let value = value.map_err(|error| error.to_string())?;
        let record = v1::AuditRecord::decode(value.as_ref()).map_err(|error| error.to_string())?;
        head = head.follow(&record).map_err(|error| error.to_string())?;
        state = record.state_hash;
    }
    match state == state_hash.0 {
        true => Ok(head),
        false => Err(format!("audit record {} leads to another state than the summary's", head.index)),
    }
}

/// Runs `work` where its panic ends nothing but itself.
fn contained<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    let thread = std::thread::Builder::new().name("applied-state".to_owned()).spawn(work);
    let thread = thread.map_err(|error| error.to_string())?;
    thread.join().unwrap_or_else(|_| Err("it is damaged beyond reading".to_owned()))
}

fn entity_key(key: &str) -> Vec<u8> {
    [ENTITY, key.as_bytes()].concat()
}

fn audit_key(index: u64) -> Vec<u8> {
    [AUDIT, &index.to_be_bytes()].concat()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
