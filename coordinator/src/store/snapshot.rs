//! Snapshot files: `snapshots/<index>.snap`.
//!
//! A header, then records (entities, then the whole audit chain), each a length-delimited mesh.v1 message; last the
//! SHA-256 of all that. Written beside, fsynced, renamed, directory fsynced: a file with the final name is whole, or
//! the disk has damaged it, which the checksum tells. The log is purged only up to what such a file holds.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use mesh_core::fleet::Fleet;
use mesh_proto::v1;
use mesh_proto::v1::snapshot_record::Record;
use prost::Message;
use sha2::{Digest, Sha256};

use super::StoreError;
use super::entities;
use super::machine::{self, Machine, Summary};
use read::Reader;

mod read;

/// The newest, and one to fall back on should the disk damage that.
const KEPT: usize = 2;
/// Of a file that comes over the network.
pub const BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
const CHECKSUM_BYTES: u64 = 32;

#[derive(Debug)]
pub struct Snapshots {
    dir: PathBuf,
    parts: AtomicU64,
}

/// A snapshot on disk whose checksum was right when it was looked at.
#[derive(Clone, Debug)]
pub struct SnapshotFile {
    pub path: PathBuf,
    pub summary: Summary,
}

/// A file under a name that nothing reads, until it is put in its place. Removed when dropped before that.
#[derive(Debug)]
pub struct Part {
    path: PathBuf,
    file: Option<File>,
    bytes: u64,
}

impl Snapshots {
    /// Removes what was never finished.
    pub fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "part") {
                fs::remove_file(path)?;
            }
        }
        sync_dir(dir)?;
        Ok(Self { dir: dir.to_owned(), parts: AtomicU64::new(0) })
    }

    /// Writes the state and its whole audit chain, and keeps the two newest files.
    pub fn write(
        &self,
        fleet: &Fleet,
        summary: &Summary,
        audit: impl Iterator<Item = Result<v1::AuditRecord, StoreError>>,
    ) -> Result<SnapshotFile, StoreError> {
        let mut part = self.begin().map_err(|source| StoreError::io("begin a snapshot in", &self.dir, source))?;
        let file = part.file.take().ok_or_else(|| StoreError::Failed("a snapshot was begun without a file".into()))?;
        let mut writer = Writer { out: BufWriter::new(file), hash: Sha256::new() };
        let failed = |source| StoreError::io("write a snapshot in", &self.dir, source);
        let entities: Vec<Record> =
            entities::all(fleet).filter_map(|entity| entities::record(fleet, &entity)).collect();
        let records = summary.audit.records + entities.len() as u64;
        writer.message(&machine::header(summary, records)).map_err(failed)?;
        for record in entities {
            writer.message(&v1::SnapshotRecord { record: Some(record) }).map_err(failed)?;
        }
        let mut head = mesh_proto::ChainHead::default();
        for record in audit {
            let record = record?;
            if record.index > summary.audit.index {
                break;
            }
            head = head.follow(&record).map_err(|error| StoreError::Failed(error.to_string()))?;
            writer.message(&v1::SnapshotRecord { record: Some(Record::Audit(record)) }).map_err(failed)?;
        }
        if head != summary.audit {
            return Err(StoreError::Failed(format!("the stored audit ends at {head:?}, not at {:?}", summary.audit)));
        }
        part.file = Some(writer.finish().map_err(failed)?);
        self.place(part, summary)
    }

    /// A new file to receive a snapshot into.
    pub fn begin(&self) -> io::Result<Part> {
        let number = self.parts.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(format!("{number}.part"));
        let file = File::options().write(true).create(true).truncate(true).open(&path)?;
        Ok(Part { path, file: Some(file), bytes: 0 })
    }

    /// Puts a finished file in its place, durably, and removes the oldest.
    pub fn place(&self, mut part: Part, summary: &Summary) -> Result<SnapshotFile, StoreError> {
        let failed = |source| StoreError::io("finish a snapshot in", &self.dir, source);
        part.sync().map_err(failed)?;
        let path = self.dir.join(format!("{:020}.snap", summary.applied.map_or(0, |place| place.index)));
        fs::rename(&part.path, &path).map_err(failed)?;
        sync_dir(&self.dir).map_err(failed)?;
        for old in self.files().map_err(failed)?.iter().skip(KEPT) {
            fs::remove_file(old).map_err(failed)?;
        }
        Ok(SnapshotFile { path, summary: summary.clone() })
    }

    pub fn is_own(&self, path: &Path) -> bool {
        path.parent() == Some(&self.dir) && path.extension().is_some_and(|extension| extension == "snap")
    }

    /// The newest file that is unharmed. Damaged ones are set aside under another name, for people to look at.
    pub fn newest(&self) -> Result<Option<SnapshotFile>, StoreError> {
        for path in self.files().map_err(|source| StoreError::io("list", &self.dir, source))? {
            match inspect(&path) {
                Ok(summary) => return Ok(Some(SnapshotFile { path, summary })),
                Err(StoreError::SnapshotCorrupt { reason, .. }) => {
                    tracing::warn!(path = %path.display(), reason, "a snapshot is damaged and set aside");
                    let aside = path.with_extension("damaged");
                    fs::rename(&path, &aside).map_err(|source| StoreError::io("set aside", &path, source))?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Newest first.
    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if self.is_own(&path) {
                files.push(path);
            }
        }
        files.sort_unstable_by(|a, b| b.cmp(a));
        Ok(files)
    }
}

impl Part {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends what came over the network.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        if self.bytes > BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("a snapshot of over {BYTES_MAX} bytes")));
        }
        self.file.as_mut().ok_or_else(|| io::Error::other("the part is closed"))?.write_all(bytes)
    }

    pub fn sync(&mut self) -> io::Result<()> {
        self.file.as_ref().ok_or_else(|| io::Error::other("the part is closed"))?.sync_all()
    }
}

impl Drop for Part {
    /// After `place` there is nothing under this name any more.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Reads the whole file: its checksum, its records and its audit chain.
pub fn inspect(path: &Path) -> Result<Summary, StoreError> {
    load(path, |_| Ok(())).map(|machine| machine.summary)
}

/// Reads the whole file into a state; `audit` takes the records of the chain, in order.
///
/// The checksum is verified before anything is read out of the file.
pub fn load(
    path: &Path,
    mut audit: impl FnMut(v1::AuditRecord) -> Result<(), StoreError>,
) -> Result<Machine, StoreError> {
    let corrupt = |reason: String| StoreError::SnapshotCorrupt { path: path.to_owned(), reason };
    let mut reader = Reader::open(path)?;
    let header: v1::SnapshotHeader = reader.message()?;
    let mut summary = machine::summary(&header).map_err(corrupt)?;
    let (mut fleet, mut head) = (Fleet::default(), mesh_proto::ChainHead::default());
    let mut state_hash = vec![0; 32];
    for number in 0..header.records {
        let message: v1::SnapshotRecord = reader.message()?;
        match message.record.ok_or_else(|| corrupt(format!("record {number} is of a kind unknown here")))? {
            Record::Audit(record) => {
                head = head.follow(&record).map_err(|error| corrupt(error.to_string()))?;
                state_hash.clone_from(&record.state_hash);
                audit(record)?;
            }
            Record::Retired(_) => {}
            entity => {
                entities::insert_record(&mut fleet, entity).map_err(|error| corrupt(error.to_string()))?;
            }
        }
    }
    reader.end()?;
    if head.hash != summary.audit.hash || state_hash != summary.state_hash.0 {
        return Err(corrupt(format!("its audit ends at record {} with another hash than the header's", head.index)));
    }
    summary.audit = head;
    Ok(Machine::restore(fleet, summary))
}

pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

struct Writer {
    out: BufWriter<File>,
    hash: Sha256,
}

impl Writer {
    fn message(&mut self, message: &impl Message) -> io::Result<()> {
        let bytes = message.encode_length_delimited_to_vec();
        self.hash.update(&bytes);
        self.out.write_all(&bytes)
    }

    fn finish(mut self) -> io::Result<File> {
        let checksum: [u8; 32] = self.hash.finalize().into();
        self.out.write_all(&checksum)?;
        self.out.into_inner().map_err(io::IntoInnerError::into_error)
    }
}
