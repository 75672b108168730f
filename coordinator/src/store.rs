//! What a coordinator keeps on disk, and how it comes back from it.
//!
//! ```text
//! data_dir/
//!   identity           whose disk this is, and that it may vote
//!   log/               write-ahead log of entries and votes (raft-log): the truth
//!   log.reached        how far the log was synced, a second late: a log that ends before that was cut short
//!   snapshots/         the state at an index, and the history since the last sealed segment: the truth about what the
//!                      log has dropped
//!   history/           sealed segments of the audit and of ended runs: the same files on every coordinator
//!   state/             the applied state, quick to open (sled): never trusted, always rebuilt from the others
//! ```
//!
//! Everything is mesh.v1 protobuf. Nothing here knows of consensus: entries come in order, and each once.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use mesh_core::fleet::{Fleet, Reply};
use mesh_core::ids::{RunId, ServiceId};
use mesh_proto::v1;
use tokio::sync::watch;

use applied::Applied;
use fatal::Fatal;
use history::{Cut, History};
use machine::{Changes, Machine, Summary};
use position::LogPosition;
use snapshot::{Part, SnapshotFile, Snapshots};
use wal::Wal;

pub mod applied;
pub mod backup;
pub mod entities;
pub mod fatal;
pub mod history;
pub mod identity;
pub mod machine;
pub mod position;
pub mod recover;
pub mod snapshot;
pub mod wal;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{attempted} {}: {source}", path.display())]
    Io { attempted: &'static str, path: PathBuf, source: io::Error },
    #[error("the log in {} is corrupt ({reason}): this node must not vote. Remove it from the mesh, empty its data \
             directory and add it again under a new id", dir.display())]
    LogCorrupt { dir: PathBuf, reason: String },
    #[error("the log in {} is gone, and with it the votes of this node: it must not vote again. Remove it from the \
             mesh, empty its data directory and add it again under a new id", dir.display())]
    LogLost { dir: PathBuf },
    #[error("{} is damaged: {reason}", path.display())]
    SnapshotCorrupt { path: PathBuf, reason: String },
    #[error("the history in {} cannot be served by this coordinator ({reason}). It takes the file from another one by \
             itself; if none has it whole, copy it from a backup of the disk", path.display())]
    HistoryDamaged { path: PathBuf, reason: String },
    #[error("the state in {} is lost: the log holds only what comes after {purged:?}, and the newest unharmed state \
             is at {applied:?}. Remove this node from the mesh, empty its data directory and add it again under a \
             new id", dir.display())]
    StateLost { dir: PathBuf, applied: Option<LogPosition>, purged: Option<LogPosition> },
    /// A committed entry that this version cannot apply. Going on would make the replicas differ.
    #[error("cannot apply: {0}")]
    Unreadable(String),
    #[error("{0}")]
    Identity(String),
    #[error("{0}")]
    Failed(String),
}

impl StoreError {
    pub fn io(attempted: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { attempted, path: path.to_owned(), source }
    }

    /// raft-log names a chunk by its number; people look for a file.
    pub fn log_corrupt(dir: &Path, reason: &str) -> Self {
        let chunk = reason.split_once("ChunkId(").and_then(|(_, rest)| rest.split_once(')')).map(|(number, _)| number);
        let reason = match chunk {
            Some(number) => format!("file {}: {reason}", dir.join(format!("r-{number}.wal")).display()),
            None => reason.to_owned(),
        };
        Self::LogCorrupt { dir: dir.to_owned(), reason }
    }
}

impl From<StoreError> for io::Error {
    fn from(error: StoreError) -> Self {
        Self::other(error)
    }
}

/// The applied state: in memory for reading, and what brings it back.
pub struct Store {
    machine: RwLock<Machine>,
    applied: Applied,
    snapshots: Snapshots,
    history: History,
    newest: Mutex<Option<SnapshotFile>>,
    /// History moves from the applied state to segments; who reads both must not fall between.
    moving: RwLock<()>,
    /// One at a time seals, and writes or installs a snapshot.
    snapshotting: Mutex<()>,
    index: watch::Sender<u64>,
    fatal: Fatal,
}

/// What an operator can set, and tests.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// Snapshot files that are kept; at least two.
    pub snapshots_kept: usize,
    pub cut: Cut,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { snapshots_kept: snapshot::KEPT, cut: history::CUT }
    }
}

/// The state at one index, detached from what is applied later.
#[derive(Clone, Debug)]
pub struct View {
    fleet: Fleet,
    summary: Summary,
}

impl Store {
    pub fn open(data_dir: &Path, wal: &Wal, options: StoreOptions, fatal: Fatal) -> Result<Arc<Self>, StoreError> {
        let dir = data_dir.join("snapshots");
        let snapshots = Snapshots::open(&dir, options.snapshots_kept);
        let snapshots = snapshots.map_err(|source| StoreError::io("open", &dir, source))?;
        let history = History::open(&data_dir.join("history"), options.cut)?;
        let recovered = recover::recover(&data_dir.join("state"), wal, &snapshots, &history, &fatal)?;
        let index = recovered.machine.summary.applied.map_or(0, |place| place.index);
        Ok(Arc::new(Self {
            machine: RwLock::new(recovered.machine),
            applied: recovered.applied,
            snapshots,
            history,
            newest: Mutex::new(recovered.snapshot),
            moving: RwLock::default(),
            snapshotting: Mutex::default(),
            index: watch::Sender::new(index),
            fatal,
        }))
    }

    /// Applies committed entries in order; the replies are in the same order.
    pub fn apply(&self, entries: Vec<v1::RaftEntry>) -> Result<Vec<Option<Reply>>, StoreError> {
        let (mut changes, mut replies) = (Changes::default(), Vec::with_capacity(entries.len()));
        let (summary, digest) = {
            let mut machine = self.machine.write().unwrap_or_else(PoisonError::into_inner);
            for entry in entries {
                let reply = machine.apply(entry, &mut changes);
                replies.push(reply.map_err(|error| self.fatal.fail("apply an entry", error))?);
            }
            (machine.summary.clone(), machine.digest())
        };
        self.applied.write(changes, &summary, self.history.sealed(), digest)?;
        self.announce(summary.applied);
        Ok(replies)
    }

    /// Returns when everything that was applied is on disk as far as sled goes: what opens the directory then has it.
    pub fn settle(&self) {
        self.applied.settle();
    }

    /// `read` holds up the next apply.
    pub fn with_machine<T>(&self, read: impl FnOnce(&Machine) -> T) -> T {
        read(&self.machine.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn summary(&self) -> Summary {
        self.with_machine(|machine| machine.summary.clone())
    }

    pub fn index(&self) -> watch::Receiver<u64> {
        self.index.subscribe()
    }

    pub fn view(&self) -> View {
        self.with_machine(|machine| View { fleet: machine.fleet.clone(), summary: machine.summary.clone() })
    }

    /// Seals the history that is due, and writes a snapshot of `view`. Both are durable when this returns.
    pub fn build_snapshot(&self, view: &View) -> Result<SnapshotFile, StoreError> {
        let _one = self.snapshotting.lock().unwrap_or_else(PoisonError::into_inner);
        let sealed = self.seal(&view.summary);
        sealed.map_err(|error| self.fatal.fail("seal the history", error))?;
        let base = self.history.base_of(&view.summary.audit);
        let written =
            self.snapshots.write(&view.fleet, &view.summary, base, self.applied.history(recover::after(base)));
        let file = written.map_err(|error| self.fatal.fail("write a snapshot", error))?;
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).replace(file.clone());
        let _moving = self.moving.write().unwrap_or_else(PoisonError::into_inner);
        self.applied.drop_history(base.index)?;
        Ok(file)
    }

    fn seal(&self, summary: &Summary) -> Result<(), StoreError> {
        let sealed = self.history.sealed();
        if summary.audit.records <= sealed.records {
            return Ok(());
        }
        let last = summary.audit.index;
        let unsealed = self.applied.history(recover::after(sealed));
        self.history.seal(unsealed.take_while(|entry| entry.as_ref().map_or(true, |entry| entry.audit.index <= last)))
    }

    pub fn history(&self) -> &History {
        &self.history
    }

    pub fn newest_snapshot(&self) -> Option<SnapshotFile> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn receive_snapshot(&self) -> Result<Part, StoreError> {
        self.snapshots.begin().map_err(|error| self.fatal.fail("begin to receive a snapshot", error))
    }

    /// Makes a finished snapshot the state. Its content is verified before it replaces anything.
    pub fn install_snapshot(&self, path: &Path, part: Option<Part>) -> Result<SnapshotFile, StoreError> {
        let (summary, base) = snapshot::inspect(path)?;
        let _one = self.snapshotting.lock().unwrap_or_else(PoisonError::into_inner);
        // What this node has itself, it need not ask others for.
        self.seal(&self.summary()).map_err(|error| self.fatal.fail("seal the history", error))?;
        let file = match part {
            Some(part) => self.snapshots.place(part, &summary, base),
            None if self.snapshots.is_own(path) => Ok(SnapshotFile { path: path.to_owned(), summary, base }),
            None => self.copy(path).and_then(|part| self.snapshots.place(part, &summary, base)),
        };
        let file = file.map_err(|error| self.fatal.fail("keep a snapshot", error))?;
        let restored = recover::restore(&self.applied, &file.path);
        let machine = restored.map_err(|error| self.fatal.fail("install a snapshot", error))?;
        let moving = self.moving.write().unwrap_or_else(PoisonError::into_inner);
        self.history.expect(base);
        self.applied.drop_history(base.index)?;
        drop(moving);
        let applied = machine.summary.applied;
        *self.machine.write().unwrap_or_else(PoisonError::into_inner) = machine;
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).replace(file.clone());
        self.announce(applied);
        Ok(file)
    }

    fn copy(&self, path: &Path) -> Result<Part, StoreError> {
        let part = self.receive_snapshot()?;
        std::fs::copy(path, part.path()).map_err(|source| StoreError::io("copy", path, source))?;
        Ok(part)
    }

    /// At most `limit` audit records with an index of at least `from`, in order.
    pub fn audit(&self, from: u64, limit: usize) -> Result<Vec<v1::AuditRecord>, StoreError> {
        let applied = self.summary().audit.index;
        let _here = self.moving.read().unwrap_or_else(PoisonError::into_inner);
        let mut records = self.history.audit(from, limit)?;
        records.retain(|record| record.index <= applied);
        let from = from.max(recover::after(self.history.sealed()));
        let known = |record: &Result<v1::AuditRecord, _>| record.as_ref().map_or(true, |r| r.index <= applied);
        let unsealed = self.applied.audit(from).take_while(known).take(limit.saturating_sub(records.len()));
        records.extend(unsealed.collect::<Result<Vec<_>, _>>()?);
        Ok(records)
    }

    /// A run that left the state.
    pub fn retired_run(&self, id: &RunId) -> Result<Option<v1::Run>, StoreError> {
        let _here = self.moving.read().unwrap_or_else(PoisonError::into_inner);
        match self.applied.find_run(id)? {
            Some(run) => Ok(Some(run)),
            None => self.history.find_run(id),
        }
    }

    /// At most `limit` runs that left the state, those first that left last.
    pub fn retired_runs(&self, service: Option<&ServiceId>, limit: usize) -> Result<Vec<v1::RunSummary>, StoreError> {
        let _here = self.moving.read().unwrap_or_else(PoisonError::into_inner);
        let mut runs = self.applied.retired(service, limit)?;
        let known: std::collections::BTreeSet<String> = runs.iter().map(|run| run.run.clone()).collect();
        let sealed = self.history.retired(service, limit)?;
        runs.extend(sealed.into_iter().filter(|run| !known.contains(&run.run)));
        runs.truncate(limit);
        Ok(runs)
    }

    fn announce(&self, applied: Option<LogPosition>) {
        self.index.send_replace(applied.map_or(0, |place| place.index));
    }
}
