//! The log and the vote: one write-ahead log, one writer, one queue.
//!
//! raft-log hands every write to one thread, which appends to the open chunk, calls fdatasync and only then runs the
//! callback; a new chunk's directory entry is fsynced before anything is written to it. Nothing here is acknowledged
//! but from that callback. A write that fails ends the process. It syncs once for every flush that it is asked for,
//! so what is written while a sync is under way is flushed together after it (`group`).
//!
//! After a crash the kernel may still hold what was written and never synced. It would be read back as if it were on
//! disk, acted upon, and lost in a power cut later; so everything is synced once before it is read.
//!
//! A simulation has a [`Disk`] of its own, which says when a sync happens: then no thread but raft-log's is needed, and
//! that one is waited for.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use mesh_proto::v1;
use prost::Message;
use raft_log::api::raft_log_writer::RaftLogWriter;
use raft_log::{Callback, ChunkId, RaftLog, Types};
use rustix::fs::FallocateFlags;

use super::StoreError;
use super::fatal::Fatal;
use super::position::{self, Ballot, LogPosition};
use codec::{EntryBytes, NoUserData};
use group::{Group, Turn};
use reach::{Noting, Reach, Reached, Reaching};

mod codec;
mod group;
pub mod reach;

/// A chunk is read into memory as a whole when the log opens, and removed as a whole once it is purged.
const CHUNK_BYTES_MAX: usize = 16 * 1024 * 1024;
const CHUNK_RECORDS_MAX: usize = 64 * 1024;
const READ_BUFFER_BYTES: usize = 1024 * 1024;
/// What has not been written yet waits in memory, and beyond this the writer waits.
const QUEUE_BYTES_MAX: usize = 32 * 1024 * 1024;
const CACHE_BYTES_MAX: usize = 64 * 1024 * 1024;
const CACHE_ENTRIES_MAX: usize = 20_000;

/// The open chunk is looked up once in so many writes, to reserve its blocks.
const WRITES_PER_LOOK: u64 = 64;

/// Called after fdatasync, and not at all when that failed.
pub type Synced = Box<dyn FnOnce() + Send>;

/// Decides when what was written to the log is synced.
pub trait Disk: Send + Sync {
    /// The log has been opened, and all that stands in it is synced.
    fn opened(&self);

    /// The log was written to. `sync`, once called, syncs what stands in it and tells the writers.
    fn written(&self, sync: Box<dyn FnOnce() + Send>);
}

pub struct Wal {
    shared: Arc<Shared>,
    /// Syncs what was written while another sync was under way.
    follower: Option<JoinHandle<()>>,
}

struct Shared {
    log: Mutex<RaftLog<MeshLog>>,
    group: Arc<Group>,
    reserved: Mutex<Reserved>,
    /// Dropped after the log, whose last writes it notes.
    reached: Reached,
    /// In place of the threads that sync.
    disk: Option<Arc<dyn Disk>>,
    fatal: Fatal,
}

#[derive(Default)]
struct Reserved {
    writes: u64,
    chunk: Option<ChunkId>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalState {
    pub vote: Option<Ballot>,
    /// Everything up to here is gone from the log, and in a snapshot.
    pub purged: Option<LogPosition>,
    /// The last entry; equals `purged` if there is none after it.
    pub last: Option<LogPosition>,
    pub committed: Option<LogPosition>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct MeshLog;

impl Types for MeshLog {
    type LogId = LogPosition;
    type LogPayload = EntryBytes;
    type Vote = Ballot;
    type Callback = Flushed;
    type UserData = NoUserData;

    fn log_index(position: &LogPosition) -> u64 {
        position.index
    }

    fn payload_size(payload: &EntryBytes) -> u64 {
        payload.0.len() as u64
    }
}

/// One sync, and everyone whose write it covers.
struct Flushed {
    synced: Vec<Synced>,
    group: Arc<Group>,
    reaching: Reaching,
    fatal: Fatal,
}

impl Callback for Flushed {
    fn send(mut self, result: io::Result<()>) {
        let synced = std::mem::take(&mut self.synced);
        match result {
            Ok(()) => {
                self.group.ended();
                self.reaching.synced();
                synced.into_iter().for_each(|synced| synced());
            }
            Err(error) => self.fatal.call(&format!("write the log: {error}")),
        }
    }
}

impl Drop for Flushed {
    fn drop(&mut self) {
        if !self.synced.is_empty() {
            self.fatal.call("write the log: the writer stopped before it got there");
        }
    }
}

impl Wal {
    /// Opens the log, or begins one. With `must_exist` an empty directory is a lost log, which is refused.
    ///
    /// The end of a write that was never acknowledged is cut off; any other damage is refused, and so is a log that ends
    /// before what it is known to have reached.
    pub fn open(dir: &Path, must_exist: bool, fatal: Fatal) -> Result<Self, StoreError> {
        Self::open_on(dir, must_exist, fatal, None)
    }

    /// As [`Wal::open`], synced when `disk` says so.
    pub fn open_on(
        dir: &Path,
        must_exist: bool,
        fatal: Fatal,
        disk: Option<Arc<dyn Disk>>,
    ) -> Result<Self, StoreError> {
        let chunks = sync_all(dir).map_err(|source| StoreError::io("sync the log in", dir, source))?;
        if must_exist && chunks == 0 {
            return Err(StoreError::LogLost { dir: dir.to_owned() });
        }
        let corrupt = |reason: String| StoreError::log_corrupt(dir, &reason);
        let log = RaftLog::<MeshLog>::open(Arc::new(config(dir))).map_err(|error| match is_damage(&error) {
            true => corrupt(error.to_string()),
            false => StoreError::io("open the log in", dir, error),
        })?;
        check(&log).map_err(corrupt)?;
        let reach_file = reach::path(dir);
        let noting = if disk.is_some() { Noting::AtOnce } else { Noting::Later };
        let (reached, reach) =
            Reached::open_noting(&reach_file, fatal.clone(), noting).map_err(|error| match is_damage(&error) {
                true => corrupt(format!("{}: {error}", reach_file.display())),
                false => StoreError::io("open", &reach_file, error),
            })?;
        reaches(&log, &reach).map_err(corrupt)?;
        let (group, reserved) = (Arc::default(), Mutex::default());
        let shared = Arc::new(Shared { log: Mutex::new(log), group, reserved, reached, disk, fatal });
        let follower = match shared.disk {
            Some(_) => None,
            None => {
                Some(follower(&shared).map_err(|source| StoreError::io("start a thread for the log in", dir, source))?)
            }
        };
        shared.reserve(true);
        let wal = Self { shared, follower };
        wal.sync_now()?;
        if let Some(disk) = &wal.shared.disk {
            disk.opened();
        }
        Ok(wal)
    }

    pub fn state(&self) -> WalState {
        let Ok(log) = self.shared.lock() else { return WalState::default() };
        let state = log.log_state();
        WalState {
            vote: state.vote().copied(),
            purged: state.purged().copied(),
            last: state.last().copied(),
            committed: state.committed().copied(),
        }
    }

    /// Entries of `from..to` that are there, in order; stops after the one with which `bytes_max` is reached.
    pub fn read(&self, from: u64, to: u64, bytes_max: usize) -> Result<Vec<v1::RaftEntry>, StoreError> {
        let log = self.shared.lock()?;
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for item in log.read(from, to.max(from)) {
            let (_, payload) = item.map_err(|error| self.shared.fatal.fail("read the log", error))?;
            bytes += payload.0.len();
            let entry =
                v1::RaftEntry::decode(payload.0).map_err(|error| self.shared.fatal.fail("read the log", error))?;
            entries.push(entry);
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(entries)
    }

    pub fn append(&self, entries: Vec<v1::RaftEntry>, synced: Synced) -> Result<(), StoreError> {
        let mut encoded = Vec::with_capacity(entries.len());
        for entry in entries {
            let position =
                position::of_entry(&entry).map_err(|error| self.shared.fatal.fail("append to the log", error))?;
            encoded.push((position, EntryBytes(Bytes::from(entry.encode_to_vec()))));
        }
        self.write("append to the log", synced, |log| log.append(encoded).map(drop))
    }

    pub fn save_vote(&self, vote: Ballot, synced: Synced) -> Result<(), StoreError> {
        self.write("save a vote", synced, |log| log.save_vote(vote).map(drop))
    }

    /// Drops every entry after `keep`, or all.
    pub fn truncate_after(&self, keep: Option<LogPosition>, synced: Synced) -> Result<(), StoreError> {
        let from = keep.map_or(0, |keep| keep.index + 1);
        self.write("truncate the log", synced, |log| {
            let state = log.log_state();
            if state.last().is_none_or(|last| last.index < from) {
                return Ok(());
            }
            self.shared.reached.lower(Reach { vote: state.vote().copied(), last: keep })?;
            log.truncate(from).map(drop)
        })
    }

    /// Drops every entry up to `upto`, which may lie beyond the last.
    pub fn purge(&self, upto: LogPosition, synced: Synced) -> Result<(), StoreError> {
        self.write("purge the log", synced, |log| log.purge(upto).map(drop))
    }

    /// A note of what is committed, to apply it at once after a restart. It reaches the disk with the next write, and
    /// needs to no sooner: without it the entries are applied as soon as a leader says again that they are committed.
    pub fn note_committed(&self, committed: LogPosition) -> Result<(), StoreError> {
        let mut log = self.shared.lock()?;
        let state = log.log_state();
        if Some(&committed) <= state.committed() || Some(&committed) > state.last() {
            return Ok(());
        }
        log.commit(committed).map(drop).map_err(|error| self.shared.fatal.fail("note what is committed", error))
    }

    fn write(
        &self,
        attempted: &str,
        synced: Synced,
        write: impl FnOnce(&mut RaftLog<MeshLog>) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        let shared = &self.shared;
        let mut log = shared.lock()?;
        let written = write(&mut log).and_then(|()| match shared.group.join(synced) {
            Turn::Sync(synced) => match &shared.disk {
                None => shared.sync(&mut log, synced),
                Some(disk) => {
                    shared.sync_by(disk, synced);
                    Ok(())
                }
            },
            Turn::Wait => Ok(()),
        });
        drop(log);
        written.map_err(|error| shared.fatal.fail(attempted, error))?;
        shared.reserve(false);
        Ok(())
    }

    fn sync_now(&self) -> Result<(), StoreError> {
        let synced = self.shared.lock().and_then(|mut log| self.shared.sync_within(&mut log));
        synced.map_err(|error| self.shared.fatal.fail("sync the log", error))
    }
}

impl Drop for Wal {
    /// What was written is synced, and its writers are told.
    fn drop(&mut self) {
        self.shared.group.close();
        if let Some(follower) = self.follower.take() {
            // Its panic has ended the process, or is the failing test's.
            let _ = follower.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> Result<MutexGuard<'_, RaftLog<MeshLog>>, StoreError> {
        self.log.lock().map_err(|_| self.fatal.fail("use the log", "a thread panicked while it wrote"))
    }

    /// Has everything that was written so far synced.
    fn sync(&self, log: &mut RaftLog<MeshLog>, synced: Vec<Synced>) -> io::Result<()> {
        let reaching = self.reached.reaching(reach_of(log));
        let flushed = Flushed { synced, group: Arc::clone(&self.group), reaching, fatal: self.fatal.clone() };
        log.flush(true, Some(flushed))
    }

    /// Has everything that was written so far synced, and waits for it.
    fn sync_within(&self, log: &mut RaftLog<MeshLog>) -> Result<(), StoreError> {
        let (tell, told) = std::sync::mpsc::channel::<()>();
        let synced: Synced = Box::new(move || tell.send(()).unwrap_or_default());
        let failed = |error: &dyn std::fmt::Display| StoreError::Failed(error.to_string());
        self.sync(log, vec![synced]).map_err(|error| failed(&error))?;
        told.recv().map_err(|error| failed(&error))
    }

    /// Lets `disk` say when it is synced. What is written until it has ended is covered by the next sync.
    fn sync_by(self: &Arc<Self>, disk: &Arc<dyn Disk>, synced: Vec<Synced>) {
        let (shared, again) = (Arc::clone(self), Arc::clone(disk));
        disk.written(Box::new(move || {
            let ended = shared.lock().and_then(|mut log| shared.sync_within(&mut log));
            if let Err(error) = ended {
                shared.fatal.fail("sync the log", error);
                return;
            }
            synced.into_iter().for_each(|synced| synced());
            let waiting = shared.group.take();
            if !waiting.is_empty() {
                shared.sync_by(&again, waiting);
            }
        }));
    }

    /// Whoever waits has written under the log's lock: the sync that is asked for under the same lock covers it.
    fn follow(&self) {
        while self.group.wait() {
            let Ok(mut log) = self.lock() else { return };
            let synced = self.group.take();
            if synced.is_empty() {
                continue;
            }
            if let Err(error) = self.sync(&mut log, synced) {
                self.fatal.fail("sync the log", error);
                return;
            }
        }
    }

    /// Reserves blocks for the open chunk, beyond its end, so that an fdatasync seldom waits for the file system to
    /// find some and journal them. Without them writes are slower and no less safe.
    fn reserve(&self, now: bool) {
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        reserved.writes += 1;
        if !now && !reserved.writes.is_multiple_of(WRITES_PER_LOOK) {
            return;
        }
        let Ok(log) = self.log.lock() else { return };
        let open = log.stat().open_chunk.chunk_id;
        let path = log.config().wal.chunk_path(open);
        drop(log);
        if reserved.chunk != Some(open) {
            reserved.chunk = Some(open);
            if let Err(error) = allocate(Path::new(&path)) {
                tracing::info!(path, %error, "no blocks are reserved for the log");
            }
        }
    }
}

fn follower(shared: &Arc<Shared>) -> io::Result<JoinHandle<()>> {
    let following = Arc::clone(shared);
    std::thread::Builder::new().name("log-sync".to_owned()).spawn(move || following.follow())
}

fn allocate(chunk: &Path) -> io::Result<()> {
    let file = File::options().write(true).open(chunk)?;
    Ok(rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, CHUNK_BYTES_MAX as u64)?)
}

/// Not a lock held by another process, or a disk that refuses.
fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, Other, UnexpectedEof};
    matches!(error.kind(), InvalidData | UnexpectedEof | Other)
}

fn config(dir: &Path) -> raft_log::Config {
    let mut config = raft_log::Config::new(dir.display());
    config.wal.read_buffer_size = Some(READ_BUFFER_BYTES);
    config.wal.chunk_max_records = Some(CHUNK_RECORDS_MAX);
    config.wal.chunk_max_size = Some(CHUNK_BYTES_MAX);
    config.wal.truncate_incomplete_record = Some(true);
    config.wal.flush_batch_wait = Some(Duration::ZERO);
    config.wal.flush_queue_max_bytes = Some(QUEUE_BYTES_MAX);
    config.log_cache_max_items = Some(CACHE_ENTRIES_MAX);
    config.log_cache_capacity = Some(CACHE_BYTES_MAX);
    config
}

/// Syncs every file of the log and the directory, makes the latter if it is not there, and counts the chunks.
fn sync_all(dir: &Path) -> io::Result<usize> {
    fs::create_dir_all(dir)?;
    let mut chunks = 0;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wal") {
            File::open(path)?.sync_all()?;
            chunks += 1;
        }
    }
    File::open(dir)?.sync_all()?;
    if let Some(parent) = dir.parent() {
        File::open(parent)?.sync_all()?;
    }
    Ok(chunks)
}

fn reach_of(log: &RaftLog<MeshLog>) -> Reach {
    let state = log.log_state();
    Reach { vote: state.vote().copied(), last: state.last().copied() }
}

/// Whatever was synced once is there.
fn reaches(log: &RaftLog<MeshLog>, reach: &Reach) -> Result<(), String> {
    let found = reach_of(log);
    match found.last < reach.last || found.vote < reach.vote {
        true => Err(format!("it was cut short: it ends at {found:?} and had reached {reach:?}")),
        false => Ok(()),
    }
}

/// The entries follow one another from what is purged to the last, and each is what its place says.
fn check(log: &RaftLog<MeshLog>) -> Result<(), String> {
    let state = log.log_state();
    let mut last = state.purged().copied();
    for item in log.read(0, u64::MAX) {
        let (place, payload) = item.map_err(|error| error.to_string())?;
        let entry = v1::RaftEntry::decode(payload.0).map_err(|error| format!("entry {}: {error}", place.index))?;
        let written = position::of_entry(&entry).map_err(|error| format!("entry {}: {error}", place.index))?;
        let next = last.map_or(0, |last| last.index + 1);
        if written != place || place.index != next || Some(place) < last {
            return Err(format!("where entry {next} belongs stands {written:?} as {place:?}"));
        }
        last = Some(place);
    }
    match last == state.last().copied() {
        true => Ok(()),
        false => Err(format!("its entries end at {last:?} and not at {:?}", state.last())),
    }
}
