//! How far the log is known to have reached, in a file of its own.
//!
//! A log that was cut short looks like one whose last write a crash has interrupted: its end is dropped, which harms
//! nobody, unless it had been acknowledged. Only a second file can tell. It says, at most [`EVERY`] later, what had been
//! synced; a log that ends before that has lost what it promised, and is refused.
//!
//! Two slots are written in turn, each with a checksum: one that a power cut has torn leaves the other.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use mesh_proto::v1;
use prost::Message;
use sha2::{Digest, Sha256};

use super::super::fatal::Fatal;
use super::super::position::{Ballot, LogPosition};

/// Beside every commit it would be a second fsync; so late it costs nothing, and what it misses is a second's commits.
const EVERY: Duration = Duration::from_secs(1);
/// A sector, so that a slot is written as a whole or damages no other.
const SLOT_BYTES: usize = 512;
const SLOTS: u64 = 2;
const CHECKSUM_BYTES: usize = 32;
const NUMBER_BYTES: usize = 8;

/// What was synced: everything up to these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    pub vote: Option<Ballot>,
    pub last: Option<LogPosition>,
}

/// When it is noted how far the log was synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noting {
    /// A moment later, on a thread.
    Later,
    /// By whoever tells of it.
    AtOnce,
}

/// Keeps the file; notes what is new once more when dropped.
pub struct Reached {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

/// Passed along with a write, to say when that is synced.
#[derive(Clone)]
pub struct Reaching {
    shared: Arc<Shared>,
    epoch: u64,
    reach: Reach,
}

struct Shared {
    /// Held while the file is written, so that a lower reach is never followed by an older, higher one.
    slots: Mutex<Slots>,
    state: Mutex<State>,
    changed: Condvar,
    noting: Noting,
    fatal: Fatal,
}

struct Slots {
    file: File,
    number: u64,
}

struct State {
    /// One more with every truncation: what was written before that no longer counts.
    epoch: u64,
    synced: Reach,
    noted: Reach,
    ends: bool,
}

impl Reached {
    /// Opens the file or makes it. Returns what the log had reached, by its account.
    pub fn open(path: &Path, fatal: Fatal) -> io::Result<(Self, Reach)> {
        Self::open_noting(path, fatal, Noting::Later)
    }

    pub fn open_noting(path: &Path, fatal: Fatal, noting: Noting) -> io::Result<(Self, Reach)> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        let (number, noted) = read(&file)?;
        file.sync_all()?;
        if let Some(parent) = path.parent() {
            File::open(parent)?.sync_all()?;
        }
        let state = State { epoch: 0, synced: noted, noted, ends: false };
        let shared = Arc::new(Shared {
            slots: Mutex::new(Slots { file, number }),
            state: Mutex::new(state),
            changed: Condvar::new(),
            noting,
            fatal,
        });
        let writer = match noting {
            Noting::AtOnce => None,
            Noting::Later => {
                let shared = Arc::clone(&shared);
                Some(std::thread::Builder::new().name("log-reach".to_owned()).spawn(move || shared.note_on())?)
            }
        };
        Ok((Self { shared, writer }, noted))
    }

    /// For a write that brings the log to `reach`.
    pub fn reaching(&self, reach: Reach) -> Reaching {
        Reaching { epoch: self.shared.state().epoch, shared: Arc::clone(&self.shared), reach }
    }

    /// The log is about to be truncated to `reach`: durable when this returns.
    pub fn lower(&self, reach: Reach) -> io::Result<()> {
        let mut slots = self.shared.slots();
        {
            let mut state = self.shared.state();
            state.epoch += 1;
            (state.synced, state.noted) = (reach, reach);
        }
        slots.write(&reach)
    }
}

impl Drop for Reached {
    fn drop(&mut self) {
        self.shared.state().ends = true;
        self.shared.changed.notify_all();
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has nothing more to say.
            let _ = writer.join();
        }
    }
}

impl Reaching {
    pub fn synced(&self) {
        let mut state = self.shared.state();
        if state.epoch != self.epoch {
            return;
        }
        state.synced = self.reach;
        self.shared.changed.notify_all();
        drop(state);
        if self.shared.noting == Noting::AtOnce {
            self.shared.note_or_end();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_on(&self) {
        loop {
            let news = |state: &mut State| state.synced == state.noted && !state.ends;
            let waited = self.changed.wait_while(self.state(), news).unwrap_or_else(PoisonError::into_inner);
            let rest = self.changed.wait_timeout_while(waited, EVERY, |state| !state.ends);
            let (state, _) = rest.unwrap_or_else(PoisonError::into_inner);
            let ends = state.ends;
            drop(state);
            if !self.note_or_end() || ends {
                return;
            }
        }
    }

    fn note_or_end(&self) -> bool {
        let noted = self.note();
        if let Err(error) = &noted {
            self.fatal.call(&format!("note how far the log reaches: {error}"));
        }
        noted.is_ok()
    }

    fn note(&self) -> io::Result<()> {
        let mut slots = self.slots();
        let reach = {
            let mut state = self.state();
            if state.synced == state.noted {
                return Ok(());
            }
            state.noted = state.synced;
            state.synced
        };
        slots.write(&reach)
    }
}

impl Slots {
    fn write(&mut self, reach: &Reach) -> io::Result<()> {
        self.number += 1;
        let slot = encode(self.number, reach)?;
        let at = self.number % SLOTS * u64::try_from(SLOT_BYTES).map_err(io::Error::other)?;
        self.file.write_all_at(&slot, at)?;
        self.file.sync_data()
    }
}

/// Checksum, number, vote, last: two length-delimited mesh.v1 messages, each left empty where there is none.
fn encode(number: u64, reach: &Reach) -> io::Result<Vec<u8>> {
    let mut body = number.to_be_bytes().to_vec();
    reach.vote.map(v1::RaftVote::from).unwrap_or_default().encode_length_delimited(&mut body)?;
    reach.last.map(v1::RaftLogId::from).unwrap_or_default().encode_length_delimited(&mut body)?;
    body.resize(SLOT_BYTES - CHECKSUM_BYTES, 0);
    let mut slot = Sha256::digest(&body).to_vec();
    slot.append(&mut body);
    Ok(slot)
}

fn decode(slot: &[u8]) -> Option<(u64, Reach)> {
    let (checksum, body) = slot.split_at_checked(CHECKSUM_BYTES)?;
    if Sha256::digest(body).as_slice() != checksum {
        return None;
    }
    let (number, mut messages) = body.split_at_checked(NUMBER_BYTES)?;
    let vote = v1::RaftVote::decode_length_delimited(&mut messages).ok()?;
    let last = v1::RaftLogId::decode_length_delimited(&mut messages).ok()?;
    let number = u64::from_be_bytes(number.try_into().ok()?);
    Some((number, Reach { vote: vote.try_into().ok(), last: last.try_into().ok() }))
}

/// The newer of the good slots. A file that never held one is new; one that holds no good one any more is damaged.
fn read(file: &File) -> io::Result<(u64, Reach)> {
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, (SLOT_BYTES as u64) * SLOTS), &mut bytes)?;
    match bytes.chunks(SLOT_BYTES).filter_map(decode).max_by_key(|(number, _)| *number) {
        Some(newest) => Ok(newest),
        // The first write of all can be torn, too; the log then holds next to nothing.
        None if bytes.len() < 2 * SLOT_BYTES => Ok((0, Reach::default())),
        None => Err(io::Error::new(io::ErrorKind::InvalidData, "both its slots are damaged")),
    }
}

/// Where it lies: beside the directory of the log.
pub fn path(log: &Path) -> PathBuf {
    log.with_extension("reached")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn at(index: u64) -> Reach {
        Reach {
            vote: Some(Ballot { term: 2, node: 1, committed: true }),
            last: Some(LogPosition { term: 2, node: 1, index }),
        }
    }

    fn open(path: &Path) -> (Reached, Reach) {
        Reached::open(path, Fatal::new(|reason| panic!("{reason}"))).expect("it opens")
    }

    #[test]
    fn what_was_synced_is_known_after_a_restart_and_what_was_not_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("reached");
        let (reached, before) = open(&path);
        assert_eq!(before, Reach::default());
        reached.reaching(at(7)).synced();
        let unsynced = reached.reaching(at(8));
        drop(reached);
        drop(unsynced);
        assert_eq!(open(&path).1, at(7));
    }

    #[test]
    fn a_write_from_before_a_truncation_does_not_count_after_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("reached");
        let (reached, _) = open(&path);
        let old = reached.reaching(at(9));
        reached.lower(at(4)).expect("written");
        old.synced();
        drop(reached);
        assert_eq!(open(&path).1, at(4));
    }

    #[test]
    fn a_torn_slot_leaves_the_other_and_two_are_damage() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("reached");
        let (reached, _) = open(&path);
        for index in [3, 4] {
            reached.lower(at(index)).expect("written");
        }
        drop(reached);
        let mut bytes = fs::read(&path).expect("the file");
        // The second write went to slot 0.
        bytes[40] ^= 1;
        fs::write(&path, &bytes).expect("written");
        assert_eq!(open(&path).1, at(3));
        bytes[SLOT_BYTES + 40] ^= 1;
        fs::write(&path, &bytes).expect("written");
        assert!(Reached::open(&path, Fatal::exit_process()).is_err());
    }

    /// The bytes on disk are a format: what one version writes every later one reads.
    #[test]
    fn a_slot_is_what_it_always_was() {
        let slot = encode(5, &at(7)).expect("encoded");
        assert_eq!(slot.len(), SLOT_BYTES);
        assert_eq!(slot[CHECKSUM_BYTES..CHECKSUM_BYTES + NUMBER_BYTES], [0, 0, 0, 0, 0, 0, 0, 5]);
        let vote = [8, 0x0a, 4, 8, 2, 16, 1, 16, 1];
        let from = CHECKSUM_BYTES + NUMBER_BYTES;
        assert_eq!(slot[from..from + vote.len()], vote);
        assert_eq!(decode(&slot), Some((5, at(7))));
    }
}
