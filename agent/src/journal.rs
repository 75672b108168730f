//! The agent's memory across crashes: one append-only file of records, each synced before what it announces.
//!
//! ```text
//! accepted → (call started → call ended)* → outcome → acknowledged
//! ```
//! After a crash, a call that started without an end may have happened: it is read back before anything else.
//! A torn last record was never announced to anyone and is cut off. Damage before the last record is something else:
//! promises are missing, so the agent does not start again under its name.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use mesh_core::time::Timestamp;
use rustix::fs::FlockOperation;

pub mod book;
pub mod frame;
pub mod log;
pub mod record;
#[cfg(test)]
mod tests;

pub use book::{Book, Entry};
pub use log::{JournalLog, Log};
pub use record::{Event, IntentId, Record};

use frame::Frame;

/// First bytes of the file: what it is, and the version of its form.
const MAGIC: &[u8; 8] = b"meshjnl1";
const FILE_NAME: &str = "journal";
const NEW_FILE_NAME: &str = "journal.new";
const LOCK_NAME: &str = "lock";
/// A file that has grown past this is compacted, unless most of it is still needed.
pub const COMPACT_BYTES: u64 = 4 * 1024 * 1024;
/// A file larger than this is not one of ours: compaction keeps it far smaller.
const FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("{attempted} {path}")]
    Io { attempted: &'static str, path: PathBuf, source: io::Error },
    #[error("{path} is in use by another mesh-agent")]
    InUse { path: PathBuf },
    #[error(
        "{path} is damaged at byte {offset} ({reason}), before its last record: what this agent promised is no longer \
         known. Move the data directory away and give the agent a new name (`agent` in its configuration and a new \
         certificate): a name is never used again after its journal was lost"
    )]
    Damaged { path: PathBuf, offset: u64, reason: String },
    #[error("a record of {bytes} bytes is larger than any that a mesh agent writes")]
    TooLarge { bytes: usize },
    /// After a failed write nobody knows what is on disk.
    #[error("the journal failed before and takes no more records")]
    Failed,
}

/// The open journal. Every method that writes blocks until the disk has it.
#[derive(Debug)]
pub struct Journal {
    directory: PathBuf,
    file: File,
    bytes: u64,
    /// Size after the last compaction.
    compacted_bytes: u64,
    book: Book,
    failed: bool,
    compact_bytes: u64,
    /// Held as long as the journal is open.
    _lock: File,
}

impl Journal {
    /// Opens or creates the journal of `directory`, cuts off a torn tail and compacts it.
    pub fn open(directory: &Path, now: Timestamp) -> Result<Self, JournalError> {
        Self::open_with(directory, now, COMPACT_BYTES)
    }

    fn open_with(directory: &Path, now: Timestamp, compact_bytes: u64) -> Result<Self, JournalError> {
        std::fs::create_dir_all(directory).map_err(io_error("creating", directory))?;
        let lock = lock(directory)?;
        let path = directory.join(FILE_NAME);
        let book = match File::open(&path) {
            Ok(file) => read_book(file, &path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Book::default(),
            Err(error) => return Err(io_error("opening", &path)(error)),
        };
        let (file, bytes) = write_compacted(directory, &book, now)?;
        Ok(Self {
            directory: directory.to_owned(),
            file,
            bytes,
            compacted_bytes: bytes,
            book,
            failed: false,
            compact_bytes,
            _lock: lock,
        })
    }

    pub const fn book(&self) -> &Book {
        &self.book
    }

    /// Returns when the record is on disk. After an error the journal is closed to further records.
    pub fn append(&mut self, record: Record) -> Result<(), JournalError> {
        if self.failed {
            return Err(JournalError::Failed);
        }
        let body = record.encode();
        let frame = frame::encode(&body).ok_or(JournalError::TooLarge { bytes: body.len() })?;
        self.failed = true;
        let path = self.directory.join(FILE_NAME);
        self.file.write_all(&frame).map_err(io_error("appending to", &path))?;
        self.file.sync_data().map_err(io_error("syncing", &path))?;
        self.bytes = self.bytes.saturating_add(u64::try_from(frame.len()).unwrap_or(u64::MAX));
        let at = record.at;
        self.book.apply(record);
        if self.bytes > self.compact_bytes && self.bytes / 2 > self.compacted_bytes {
            (self.file, self.bytes) = write_compacted(&self.directory, &self.book, at)?;
            self.compacted_bytes = self.bytes;
        }
        self.failed = false;
        Ok(())
    }
}

/// Two processes with one journal would each keep half of the promises.
fn lock(directory: &Path) -> Result<File, JournalError> {
    let path = directory.join(LOCK_NAME);
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).open(&path).map_err(io_error("opening", &path))?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
        if error == rustix::io::Errno::WOULDBLOCK {
            JournalError::InUse { path: directory.to_owned() }
        } else {
            io_error("locking", &path)(error.into())
        }
    })?;
    Ok(file)
}

fn read_book(mut file: File, path: &Path) -> Result<Book, JournalError> {
    let damaged = |offset: usize, reason: &str| JournalError::Damaged {
        path: path.to_owned(),
        offset: u64::try_from(offset).unwrap_or(u64::MAX),
        reason: reason.to_owned(),
    };
    let length = file.metadata().map_err(io_error("reading", path))?.len();
    if length > FILE_BYTES_MAX {
        return Err(damaged(0, "it is larger than any journal of this agent"));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(io_error("reading", path))?;
    // The file appears under its name only when its first bytes are synced.
    let mut rest = bytes.strip_prefix(MAGIC).ok_or_else(|| damaged(0, "it does not begin as a journal does"))?;
    let mut book = Book::default();
    loop {
        let offset = bytes.len().saturating_sub(rest.len());
        match frame::decode(rest) {
            Frame::End => return Ok(book),
            Frame::Whole { body, rest: behind } => {
                book.apply(Record::decode(body).map_err(|reason| damaged(offset, &reason))?);
                rest = behind;
            }
            Frame::Broken if frame::holds_a_frame(rest.get(1..).unwrap_or_default()) => {
                return Err(damaged(offset, "a record's checksum is wrong"));
            }
            Frame::Broken => {
                tracing::info!(offset, bytes = rest.len(), "the journal's torn last record is cut off");
                return Ok(book);
            }
        }
    }
}

/// Writes beside, syncs, renames, syncs the directory: a crash leaves the old file or the new one.
fn write_compacted(directory: &Path, book: &Book, now: Timestamp) -> Result<(File, u64), JournalError> {
    let (path, new_path) = (directory.join(FILE_NAME), directory.join(NEW_FILE_NAME));
    let mut bytes = MAGIC.to_vec();
    for record in book.records(now) {
        let body = record.encode();
        bytes.extend(frame::encode(&body).ok_or(JournalError::TooLarge { bytes: body.len() })?);
    }
    let mut file = File::create(&new_path).map_err(io_error("creating", &new_path))?;
    file.write_all(&bytes).map_err(io_error("writing", &new_path))?;
    file.sync_all().map_err(io_error("syncing", &new_path))?;
    std::fs::rename(&new_path, &path).map_err(io_error("renaming to", &path))?;
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(io_error("syncing", directory))?;
    Ok((file, u64::try_from(bytes.len()).unwrap_or(u64::MAX)))
}

fn io_error(attempted: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::Io { attempted, path, source }
}
