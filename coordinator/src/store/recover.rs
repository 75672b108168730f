//! How the applied state comes back at start.
//!
//! The stored state is taken if it is complete by its own account and agrees with the log: not ahead of it, not behind
//! what the log still holds, and made by the very commands that the log holds. Else it is thrown away and built anew
//! from the newest unharmed snapshot; the entries after it are applied again once they are known to be committed.

use std::fs;
use std::path::Path;

use mesh_proto::v1::raft_entry::Payload;

use super::StoreError;
use super::applied::{Applied, HISTORY_BATCH};
use super::fatal::Fatal;
use super::history::{History, Point};
use super::machine::Machine;
use super::position::{self, LogPosition};
use super::snapshot::{self, SnapshotFile, Snapshots};
use super::wal::Wal;

/// Entries of the log that are compared at once.
const COMPARE_BATCH: u64 = 256;
const COMPARE_BYTES: usize = 4 * 1024 * 1024;

pub struct Recovered {
    pub machine: Machine,
    pub applied: Applied,
    pub snapshot: Option<SnapshotFile>,
}

pub fn recover(
    dir: &Path,
    wal: &Wal,
    snapshots: &Snapshots,
    history: &History,
    fatal: &Fatal,
) -> Result<Recovered, StoreError> {
    let snapshot = snapshots.newest()?;
    history.expect(snapshot.as_ref().map_or(Point::default(), |snapshot| snapshot.base));
    let kept = match stored(dir, wal, snapshot.as_ref(), history, fatal) {
        Ok(found) => found,
        Err(reason) => {
            tracing::info!(reason, "the stored state is not used; it is built from the snapshot and the log");
            None
        }
    };
    let (machine, applied) = match kept {
        Some(kept) => kept,
        None => {
            history.forget_unknown_end()?;
            rebuild(dir, snapshot.as_ref(), fatal)?
        }
    };
    let purged = wal.state().purged;
    if machine.summary.applied < purged {
        return Err(StoreError::StateLost { dir: dir.to_owned(), applied: machine.summary.applied, purged });
    }
    let snapshot = cover_purged(&machine, &applied, snapshots, history, snapshot, purged)?;
    Ok(Recovered { machine, applied, snapshot })
}

/// The state of a snapshot that came over the network or was kept: into the store, entities last.
pub fn restore(applied: &Applied, path: &Path) -> Result<Machine, StoreError> {
    let mut batch = Vec::new();
    let (machine, base) = snapshot::load(path, |entry| {
        batch.push(entry);
        if batch.len() >= HISTORY_BATCH {
            applied.write_history(&std::mem::take(&mut batch))?;
        }
        Ok(())
    })?;
    applied.write_history(&batch)?;
    applied.replace(&machine, base)?;
    Ok(machine)
}

/// The stored state, or why it cannot be used. None if there is none.
fn stored(
    dir: &Path,
    wal: &Wal,
    snapshot: Option<&SnapshotFile>,
    history: &History,
    fatal: &Fatal,
) -> Result<Option<(Machine, Applied)>, String> {
    if !dir.exists() {
        return Ok(None);
    }
    let applied = Applied::open(dir, fatal.clone())?;
    history.expect(applied.base()?);
    history.forget_unknown_end().map_err(|error| error.to_string())?;
    let Some(machine) = applied.load(history.sealed())? else {
        return Ok(None);
    };
    let at = machine.summary.applied;
    if at < snapshot.and_then(|snapshot| snapshot.summary.applied) {
        return Err(format!("it ends at {at:?}, before the newest snapshot"));
    }
    let state = wal.state();
    if at > state.last {
        return Err(format!("it ends at {at:?}, and the log already at {:?}", state.last));
    }
    if let Some(at) = at {
        compare(&applied, wal, history.sealed(), state.purged, at)?;
    }
    Ok(Some((machine, applied)))
}

/// Every command of the log up to `at` is the one that the audit says was applied there.
fn compare(
    applied: &Applied,
    wal: &Wal,
    sealed: Point,
    purged: Option<LogPosition>,
    at: LogPosition,
) -> Result<(), String> {
    // What is sealed was compared when it was not.
    let mut next = purged.map_or(0, |purged| purged.index + 1).max(after(sealed));
    let mut audit = applied.audit(next);
    while next <= at.index {
        let to = at.index.saturating_add(1).min(next.saturating_add(COMPARE_BATCH));
        let entries = wal.read(next, to, COMPARE_BYTES).map_err(|error| error.to_string())?;
        if entries.is_empty() {
            return Err(format!("the log has no entry {next}"));
        }
        for entry in entries {
            let place = position::of_entry(&entry).map_err(|error| error.to_string())?;
            if place.index == at.index && place != at {
                return Err(format!("it ends at {at:?}, where the log has {place:?}"));
            }
            next = place.index + 1;
            let Some(Payload::Command(command)) = entry.payload else { continue };
            let record = audit.next().transpose().map_err(|error| error.to_string())?;
            if !record.is_some_and(|record| record.index == place.index && record.command == command) {
                return Err(format!("another command than the log's was applied at {}", place.index));
            }
        }
    }
    Ok(())
}

fn rebuild(dir: &Path, snapshot: Option<&SnapshotFile>, fatal: &Fatal) -> Result<(Machine, Applied), StoreError> {
    if dir.exists() {
        fs::remove_dir_all(dir).map_err(|source| StoreError::io("remove", dir, source))?;
    }
    let applied = Applied::open(dir, fatal.clone())
        .map_err(|reason| StoreError::Failed(format!("open {}: {reason}", dir.display())))?;
    let machine = match snapshot {
        Some(snapshot) => restore(&applied, &snapshot.path)?,
        None => Machine::default(),
    };
    Ok((machine, applied))
}

/// Whatever is purged from the log must be in a snapshot file. If the one that held it was damaged, and the stored
/// state is good, a new one is written before anything else.
fn cover_purged(
    machine: &Machine,
    applied: &Applied,
    snapshots: &Snapshots,
    history: &History,
    snapshot: Option<SnapshotFile>,
    purged: Option<LogPosition>,
) -> Result<Option<SnapshotFile>, StoreError> {
    if snapshot.as_ref().and_then(|snapshot| snapshot.summary.applied) >= purged {
        return Ok(snapshot);
    }
    tracing::warn!(?purged, "no unharmed snapshot holds what was purged from the log; one is written");
    let base = history.base_of(&machine.summary.audit);
    snapshots.write(&machine.fleet, &machine.summary, base, applied.history(after(base))).map(Some)
}

/// The first index that the history after `base` can have.
pub fn after(base: Point) -> u64 {
    if base.records == 0 { 0 } else { base.index.saturating_add(1) }
}
