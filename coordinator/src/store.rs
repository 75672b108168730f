//! What a coordinator keeps on disk, and how it comes back from it.
//!
//! ```text
//! data_dir/
//!   identity           whose disk this is, and that it may vote
//!   log/               write-ahead log of entries and votes (raft-log): the truth
//!   snapshots/         the state at an index, with the whole audit chain: the truth about what the log has dropped
//!   state/             the applied state, quick to open (sled): never trusted, always rebuilt from the two others
//! ```
//!
//! Everything is mesh.v1 protobuf. Nothing here knows of consensus: entries come in order, and each once.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use mesh_core::fleet::{Fleet, Reply};
use mesh_proto::v1;
use tokio::sync::watch;

use applied::Applied;
use fatal::Fatal;
use machine::{Changes, Machine, Summary};
use position::LogPosition;
use snapshot::{Part, SnapshotFile, Snapshots};
use wal::Wal;

pub mod applied;
pub mod entities;
pub mod fatal;
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
    #[error("the snapshot {} is damaged: {reason}", path.display())]
    SnapshotCorrupt { path: PathBuf, reason: String },
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
    newest: Mutex<Option<SnapshotFile>>,
    index: watch::Sender<u64>,
    fatal: Fatal,
}

/// The state at one index, detached from what is applied later.
#[derive(Clone, Debug)]
pub struct View {
    fleet: Fleet,
    summary: Summary,
}

impl Store {
    pub fn open(data_dir: &Path, wal: &Wal, fatal: Fatal) -> Result<Arc<Self>, StoreError> {
        let dir = data_dir.join("snapshots");
        let snapshots = Snapshots::open(&dir).map_err(|source| StoreError::io("open", &dir, source))?;
        let recovered = recover::recover(&data_dir.join("state"), wal, &snapshots, &fatal)?;
        let index = recovered.machine.summary.applied.map_or(0, |place| place.index);
        Ok(Arc::new(Self {
            machine: RwLock::new(recovered.machine),
            applied: recovered.applied,
            snapshots,
            newest: Mutex::new(recovered.snapshot),
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
        // Not under the lock: who reads the state does not wait for a disk.
        self.applied.write(&changes, &summary, digest)?;
        self.announce(summary.applied);
        Ok(replies)
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

    /// Writes a snapshot of `view`. It is durable when this returns.
    pub fn build_snapshot(&self, view: &View) -> Result<SnapshotFile, StoreError> {
        let written = self.snapshots.write(&view.fleet, &view.summary, self.applied.audit(0));
        let file = written.map_err(|error| self.fatal.fail("write a snapshot", error))?;
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).replace(file.clone());
        Ok(file)
    }

    pub fn newest_snapshot(&self) -> Option<SnapshotFile> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn receive_snapshot(&self) -> Result<Part, StoreError> {
        self.snapshots.begin().map_err(|error| self.fatal.fail("begin to receive a snapshot", error))
    }

    /// Makes a finished snapshot the state. Its content is verified before it replaces anything.
    pub fn install_snapshot(&self, path: &Path, part: Option<Part>) -> Result<SnapshotFile, StoreError> {
        let summary = snapshot::inspect(path)?;
        let file = match part {
            Some(part) => self.snapshots.place(part, &summary),
            None if self.snapshots.is_own(path) => Ok(SnapshotFile { path: path.to_owned(), summary }),
            None => self.copy(path).and_then(|part| self.snapshots.place(part, &summary)),
        };
        let file = file.map_err(|error| self.fatal.fail("keep a snapshot", error))?;
        let restored = recover::restore(&self.applied, &file.path);
        let machine = restored.map_err(|error| self.fatal.fail("install a snapshot", error))?;
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
        let known = |record: &Result<v1::AuditRecord, _>| record.as_ref().map_or(true, |r| r.index <= applied);
        self.applied.audit(from).take_while(known).take(limit).collect()
    }

    fn announce(&self, applied: Option<LogPosition>) {
        self.index.send_replace(applied.map_or(0, |place| place.index));
    }
}
