//! Snapshot files: `snapshots/<index>.snap`.
//!
//! A header, then records (entities, then the history after the last sealed segment), each a length-delimited mesh.v1
//! message; last the SHA-256 of all that. A backup is the same with the whole history. Written beside, fsynced, renamed, directory fsynced: a file with the final name is whole, or
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
use super::history::{Entry, Point};
use super::machine::{self, Machine, Summary};
pub use read::{Reader, read_first};

mod read;

/// The newest, and one to fall back on should the disk damage that.
pub const KEPT: usize = 2;
/// Of a file that comes over the network.
pub const BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
const CHECKSUM_BYTES: u64 = 32;

#[derive(Debug)]
pub struct Snapshots {
    dir: PathBuf,
    kept: usize,
    parts: AtomicU64,
}

/// A snapshot on disk whose checksum was right when it was looked at.
#[derive(Clone, Debug)]
pub struct SnapshotFile {
    pub path: PathBuf,
    pub summary: Summary,
    /// Where the history in the file begins.
    pub base: Point,
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
    pub fn open(dir: &Path, kept: usize) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "part") {
                fs::remove_file(path)?;
            }
        }
        sync_dir(dir)?;
        Ok(Self { dir: dir.to_owned(), kept: kept.max(KEPT), parts: AtomicU64::new(0) })
    }

    /// Writes the state and the history from `base` on, and keeps the newest files.
    pub fn write(
        &self,
        fleet: &Fleet,
        summary: &Summary,
        base: Point,
        history: impl Iterator<Item = Result<Entry, StoreError>>,
    ) -> Result<SnapshotFile, StoreError> {
        let header = machine::header(summary, base, 0);
        let part = self.write_part(fleet, summary, header, base, history)?;
        self.place(part, summary, base)
    }

    /// As [`Snapshots::write`], into a file that is not put in its place. The header's number of records is set here.
    pub fn write_part(
        &self,
        fleet: &Fleet,
        summary: &Summary,
        mut header: v1::SnapshotHeader,
        base: Point,
        history: impl Iterator<Item = Result<Entry, StoreError>>,
    ) -> Result<Part, StoreError> {
        let mut part = self.begin().map_err(|source| StoreError::io("begin a snapshot in", &self.dir, source))?;
        let file = part.file.take().ok_or_else(|| StoreError::Failed("a snapshot was begun without a file".into()))?;
        let mut writer = Writer::new(file);
        let failed = |source| StoreError::io("write a snapshot in", &self.dir, source);
        let entities: Vec<Record> =
            entities::all(fleet).filter_map(|entity| entities::record(fleet, &entity)).collect();
        // Runs that left the state are not counted: they belong to the audit record before them.
        header.records = summary.audit.records.saturating_sub(base.records) + entities.len() as u64;
        writer.message(&header).map_err(failed)?;
        for record in entities {
            writer.message(&v1::SnapshotRecord { record: Some(record) }).map_err(failed)?;
        }
        let mut head = base.head();
        for entry in history {
            let entry = entry?;
            if entry.audit.index > summary.audit.index {
                break;
            }
            head = head.follow(&entry.audit).map_err(|error| StoreError::Failed(error.to_string()))?;
            writer.entry(&entry).map_err(failed)?;
        }
        if head != summary.audit {
            return Err(StoreError::Failed(format!("the stored audit ends at {head:?}, not at {:?}", summary.audit)));
        }
        part.file = Some(writer.finish().map_err(failed)?);
        Ok(part)
    }

    /// A new file to receive a snapshot into.
    pub fn begin(&self) -> io::Result<Part> {
        let number = self.parts.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(format!("{number}.part"));
        let file = File::options().write(true).create(true).truncate(true).open(&path)?;
        Ok(Part { path, file: Some(file), bytes: 0 })
    }

    /// Puts a finished file in its place, durably, and removes the oldest.
    pub fn place(&self, mut part: Part, summary: &Summary, base: Point) -> Result<SnapshotFile, StoreError> {
        let failed = |source| StoreError::io("finish a snapshot in", &self.dir, source);
        part.sync().map_err(failed)?;
        let path = self.dir.join(format!("{:020}.snap", summary.applied.map_or(0, |place| place.index)));
        fs::rename(&part.path, &path).map_err(failed)?;
        sync_dir(&self.dir).map_err(failed)?;
        for old in self.files().map_err(failed)?.iter().skip(self.kept) {
            fs::remove_file(old).map_err(failed)?;
        }
        Ok(SnapshotFile { path, summary: summary.clone(), base })
    }

    pub fn is_own(&self, path: &Path) -> bool {
        path.parent() == Some(&self.dir) && path.extension().is_some_and(|extension| extension == "snap")
    }

    /// The newest file that is unharmed. Damaged ones are set aside under another name, for people to look at.
    pub fn newest(&self) -> Result<Option<SnapshotFile>, StoreError> {
        for path in self.files().map_err(|source| StoreError::io("list", &self.dir, source))? {
            match inspect(&path) {
                Ok((summary, base)) => return Ok(Some(SnapshotFile { path, summary, base })),
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

/// Reads the whole file: its checksum, its records and its part of the chain.
pub fn inspect(path: &Path) -> Result<(Summary, Point), StoreError> {
    load(path, |_| Ok(())).map(|(machine, base)| (machine.summary, base))
}

/// Reads the whole file into a state, and where its history begins; `history` takes that, in order.
///
/// The checksum is verified before anything is read out of the file.
pub fn load(
    path: &Path,
    mut history: impl FnMut(Entry) -> Result<(), StoreError>,
) -> Result<(Machine, Point), StoreError> {
    let corrupt = |reason: String| StoreError::SnapshotCorrupt { path: path.to_owned(), reason };
    let mut reader = Reader::open(path)?;
    let header: v1::SnapshotHeader = reader.message()?;
    let mut summary = machine::summary(&header).map_err(corrupt)?;
    let base = machine::base(&header).map_err(corrupt)?;
    let (mut fleet, mut head, mut last) = (Fleet::default(), base.head(), None::<Entry>);
    let mut counted = 0;
    while reader.has_more()? {
        let message: v1::SnapshotRecord = reader.message()?;
        counted += 1;
        match message.record.ok_or_else(|| corrupt("a record is of a kind unknown here".to_owned()))? {
            Record::Audit(record) => {
                head = head.follow(&record).map_err(|error| corrupt(error.to_string()))?;
                if let Some(entry) = last.replace(Entry { audit: record, retired: Vec::new() }) {
                    history(entry)?;
                }
            }
            Record::Retired(retired) => match last.as_mut().filter(|entry| entry.audit.index == retired.index) {
                Some(entry) => {
                    entry.retired.push(retired.run.ok_or_else(|| corrupt("a retired run is empty".to_owned()))?);
                    counted -= 1;
                }
                None => return Err(corrupt(format!("a run retired at {} stands elsewhere", retired.index))),
            },
            entity => {
                entities::insert_record(&mut fleet, entity).map_err(|error| corrupt(error.to_string()))?;
            }
        }
    }
    let ends_there = last.as_ref().is_none_or(|entry| entry.audit.state_hash == summary.state_hash.0);
    if head.hash != summary.audit.hash || !ends_there || counted != header.records {
        return Err(corrupt(format!("its audit ends at record {}, elsewhere than its header says", head.index)));
    }
    last.map_or(Ok(()), history)?;
    summary.audit = head;
    Ok((Machine::restore(fleet, summary), base))
}

pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Length-delimited messages, and at the end their checksum.
pub struct Writer {
    out: BufWriter<File>,
    hash: Sha256,
}

impl Writer {
    pub fn new(file: File) -> Self {
        Self { out: BufWriter::new(file), hash: Sha256::new() }
    }

    pub fn message(&mut self, message: &impl Message) -> io::Result<()> {
        let bytes = message.encode_length_delimited_to_vec();
        self.hash.update(&bytes);
        self.out.write_all(&bytes)
    }

    pub fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        self.message(&v1::SnapshotRecord { record: Some(Record::Audit(entry.audit.clone())) })?;
        for run in &entry.retired {
            let retired = v1::RetiredRun { index: entry.audit.index, run: Some(run.clone()) };
            self.message(&v1::SnapshotRecord { record: Some(Record::Retired(retired)) })?;
        }
        Ok(())
    }

    pub fn finish(mut self) -> io::Result<File> {
        let checksum: [u8; 32] = self.hash.finalize().into();
        self.out.write_all(&checksum)?;
        self.out.into_inner().map_err(io::IntoInnerError::into_error)
    }
}
