//! The applied state on disk: entities by key, the history that is not sealed yet, and where it stands, in sled.
//!
//! sled's flush is no fsync, so nothing whose loss would break a promise may be here alone: all of it can be rebuilt
//! from a snapshot and the log. What is found at start is used only if it is complete by its own account and agrees
//! with the log; in every other case it is thrown away. For the same reason no commit waits for it (`later`).

use std::path::Path;

use mesh_core::fleet::Fleet;
use mesh_core::ids::{Hash32, RunId, ServiceId};
use mesh_proto::{ChainHead, v1};
use prost::Message;

use super::StoreError;
use super::entities;
use super::fatal::Fatal;
use super::history::{Entry, Point, segment};
use super::machine::{self, Changes, Machine, Summary};
use later::{Batch, Later};

mod later;

/// Keys begin with what they hold.
const ENTITY: &[u8] = b"e/";
const AUDIT: &[u8] = b"a/";
/// Runs that left the state: the index of the command, and the run.
const RETIRED: &[u8] = b"p/";
/// The summary, and the digest of the entities that belong to it.
const SUMMARY: &[u8] = b"summary";
const DIGEST: &[u8] = b"digest";

const CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// Entries of the history that are written or dropped at once.
pub const HISTORY_BATCH: usize = 256;

pub struct Applied {
    db: sled::Db,
    later: Later,
    fatal: Fatal,
}

impl Applied {
    /// sled panics on some damaged files; that is an error like any other here.
    pub fn open(dir: &Path, fatal: Fatal) -> Result<Self, String> {
        let config = sled::Config::new().path(dir).cache_capacity(CACHE_BYTES);
        let opened = contained(move || config.open().map_err(|error| error.to_string()))?;
        let (db, failing) = (opened.clone(), fatal.clone());
        let write = move |batch: &Batch| write(&db, batch, &failing);
        Ok(Self { db: opened, later: Later::start(fatal.clone(), write)?, fatal })
    }

    /// Where the history begins that it holds, by its own account.
    pub fn base(&self) -> Result<Point, String> {
        let db = self.db.clone();
        contained(move || header(&db)?.map_or(Ok(Point::default()), |header| machine::base(&header)))
    }

    /// Everything that it holds, if that is complete and unharmed; none if it holds nothing. The history before
    /// `sealed` stands elsewhere.
    pub fn load(&self, sealed: Point) -> Result<Option<Machine>, String> {
        let db = self.db.clone();
        contained(move || load(&db, sealed))
    }

    /// Has a batch of changes written soon, whole or not at all. Whatever is read here afterwards has it.
    pub fn write(&self, changes: Changes, summary: &Summary, base: Point, digest: Hash32) -> Result<(), StoreError> {
        self.later.add(Batch { changes, summary: summary.clone(), base, digest })
    }

    /// Returns when everything that was to be written is.
    pub fn settle(&self) {
        self.later.settle();
    }

    /// History of a snapshot, ahead of the state that it leads to.
    pub fn write_history(&self, entries: &[Entry]) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for Entry { audit, retired } in entries {
            batch.insert(audit_key(audit.index), audit.encode_to_vec());
            for run in retired {
                batch.insert(retired_key(audit.index, &run.id), run.encode_to_vec());
            }
        }
        self.db.apply_batch(batch).map_err(|error| self.fatal.fail("write the audit", error))
    }

    /// Makes the entities exactly those of `machine`, as one batch. Its history after `base` is there already.
    pub fn replace(&self, machine: &Machine, base: Point) -> Result<(), StoreError> {
        self.later.settle();
        let mut changes = Changes::default();
        for key in self.db.scan_prefix(ENTITY).keys() {
            let key = key.map_err(|error| self.fatal.fail("read the applied state", error))?;
            changes.entities.insert(text(key.get(ENTITY.len()..).unwrap_or_default()), None);
        }
        for entity in entities::all(&machine.fleet) {
            changes.entities.insert(entities::key(&entity), entities::encode(&machine.fleet, &entity));
        }
        self.write(changes, &machine.summary, base, machine.digest())?;
        self.later.settle();
        Ok(())
    }

    /// Drops history that is sealed, and in no snapshot that is kept here.
    pub fn drop_history(&self, upto: u64) -> Result<(), StoreError> {
        self.later.settle();
        let failed = |error| self.fatal.fail("drop sealed history", error);
        let end = upto.saturating_add(1);
        for range in [audit_key(0)..audit_key(end), retired_key(0, "")..retired_key(end, "")] {
            loop {
                let keys: Vec<_> = self.db.range(range.clone()).keys().take(HISTORY_BATCH).collect();
                if keys.is_empty() {
                    break;
                }
                let mut batch = sled::Batch::default();
                for key in keys {
                    batch.remove(key.map_err(failed)?);
                }
                self.db.apply_batch(batch).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// The history that is not sealed yet, from index `from` on, in order.
    pub fn history(&self, from: u64) -> impl Iterator<Item = Result<Entry, StoreError>> + '_ {
        self.audit(from).map(|audit| {
            let audit = audit?;
            let runs = self.db.range(retired_key(audit.index, "")..retired_key(audit.index.saturating_add(1), ""));
            let retired = runs.map(|item| self.run(item)).collect::<Result<_, _>>()?;
            Ok(Entry { audit, retired })
        })
    }

    fn run(&self, item: sled::Result<(sled::IVec, sled::IVec)>) -> Result<v1::Run, StoreError> {
        let (_, value) = item.map_err(|error| self.fatal.fail("read a run of the history", error))?;
        v1::Run::decode(value.as_ref()).map_err(|error| self.fatal.fail("read a run of the history", error))
    }

    /// Runs that left the state and are not sealed yet, those first that left last.
    pub fn retired(&self, service: Option<&ServiceId>, limit: usize) -> Result<Vec<v1::RunSummary>, StoreError> {
        self.later.settle();
        let mut found = Vec::new();
        for item in self.db.scan_prefix(RETIRED).rev() {
            let summary = segment::summary(&self.run(item)?);
            if service.is_none_or(|service| summary.service == service.as_str()) {
                found.push(summary);
            }
            if found.len() >= limit {
                break;
            }
        }
        Ok(found)
    }

    pub fn find_run(&self, id: &RunId) -> Result<Option<v1::Run>, StoreError> {
        self.later.settle();
        let named = |key: &[u8]| key.get(RETIRED.len() + 8..) == Some(id.as_str().as_bytes());
        let mut items = self.db.scan_prefix(RETIRED).rev();
        let found = items.find(|item| item.as_ref().map_or(true, |(key, _)| named(key)));
        found.map(|item| self.run(item)).transpose()
    }

    /// Audit records with an index of at least `from`, in order.
    pub fn audit(&self, from: u64) -> impl Iterator<Item = Result<v1::AuditRecord, StoreError>> + '_ {
        self.later.settle();
        self.db.range(audit_key(from)..audit_key(u64::MAX)).values().map(|value| {
            let value = value.map_err(|error| self.fatal.fail("read the audit", error))?;
            v1::AuditRecord::decode(value.as_ref()).map_err(|error| self.fatal.fail("read the audit", error))
        })
    }
}

fn write(db: &sled::Db, written: &Batch, fatal: &Fatal) -> Result<(), StoreError> {
    let Batch { changes, summary, base, digest } = written;
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
    for (index, run) in &changes.retired {
        batch.insert(retired_key(*index, &run.id), run.encode_to_vec());
    }
    batch.insert(SUMMARY, machine::header(summary, *base, summary.audit.records).encode_to_vec());
    batch.insert(DIGEST, digest.0.as_slice());
    db.apply_batch(batch).map_err(|error| fatal.fail("write the applied state", error))
}

fn header(db: &sled::Db) -> Result<Option<v1::SnapshotHeader>, String> {
    let bytes = db.get(SUMMARY).map_err(|error| error.to_string())?;
    bytes.map(|bytes| v1::SnapshotHeader::decode(bytes.as_ref())).transpose().map_err(|error| error.to_string())
}

fn load(db: &sled::Db, sealed: Point) -> Result<Option<Machine>, String> {
    let read = |key: &[u8]| db.get(key).map_err(|error| error.to_string());
    let Some(header) = header(db)? else {
        return if db.is_empty() { Ok(None) } else { Err("it has no summary".to_owned()) };
    };
    let mut summary = machine::summary(&header)?;
    if header.records < sealed.records {
        return Err(format!("it ends at audit record {}, before the sealed history does", header.records));
    }
    let audit = verify_audit(db, sealed, &summary.state_hash)?;
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

fn verify_audit(db: &sled::Db, sealed: Point, state_hash: &Hash32) -> Result<ChainHead, String> {
    let (mut head, mut state) = (sealed.head(), None);
    let from = if sealed.records == 0 { 0 } else { sealed.index.saturating_add(1) };
    for value in db.range(audit_key(from)..audit_key(u64::MAX)).values() {
        let value = value.map_err(|error| error.to_string())?;
        let record = v1::AuditRecord::decode(value.as_ref()).map_err(|error| error.to_string())?;
        head = head.follow(&record).map_err(|error| error.to_string())?;
        state = Some(record.state_hash);
    }
    let begun = || (head.records == 0).then(|| Hash32::default().0.to_vec());
    match state.or_else(begun).is_none_or(|state| state == state_hash.0) {
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

fn retired_key(index: u64, run: &str) -> Vec<u8> {
    [RETIRED, &index.to_be_bytes(), run.as_bytes()].concat()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
