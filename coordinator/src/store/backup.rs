//! A backup: the whole state and the whole history in one file, and a new group that is founded from one.
//!
//! The file is a snapshot that holds everything (see [`super::snapshot`]), with the mesh's name and the time in its
//! header. Whoever restores it knows nothing of what was committed after it; the first command of the new group says
//! so ([`Command::Restored`]), and stands in the audit.

use std::fs;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use mesh_core::fleet::Command;
use mesh_core::ids::Hash32;
use mesh_core::run::Run;
use mesh_core::time::Timestamp;
use mesh_proto::v1;

use super::fatal::Fatal;
use super::history::{self, Cut, Entry, History, Point};
use super::identity::{self, DiskIdentity};
use super::machine::{self, Changes, Machine, Summary};
use super::position::{Ballot, LogPosition};
use super::snapshot::{self, Part, Reader, Snapshots};
use super::wal::Wal;
use super::{Store, StoreError, StoreOptions, View, recover};

/// There until every founder of the restored group has its place in it.
pub const FOUNDING: &str = "restored";
/// Restored groups begin with a term that none of the old group's can reach in practice; ids differ in any case.
const TERMS_SKIPPED: u64 = 1_000;

/// What a backup says of itself, verified.
#[derive(Clone, Debug, PartialEq)]
pub struct Contents {
    pub mesh: String,
    pub made_at: Timestamp,
    pub summary: Summary,
    /// SHA-256 over all of the file before its last 32 bytes, which are it.
    pub checksum: Hash32,
    pub services: usize,
    pub runs: usize,
    pub retired: usize,
}

/// One coordinator of the new group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMember {
    pub id: u64,
    pub address: String,
    pub region: String,
}

pub struct Restore<'a> {
    pub file: &'a Path,
    pub data_dir: &'a Path,
    pub mesh: &'a str,
    pub own: NewMember,
    /// Ids of all that will be in the new group.
    pub founders: Vec<u64>,
    /// Who did it, for the audit.
    pub by: String,
    pub now: Timestamp,
    /// Since when the old group had no majority.
    pub lost_at: Timestamp,
    pub options: StoreOptions,
}

impl Store {
    /// Writes a backup of `view` to a file that is removed when dropped.
    pub fn write_backup(&self, view: &View, mesh: &str, made_at: Timestamp) -> Result<Part, StoreError> {
        let mut header = machine::header(&view.summary, Point::default(), 0);
        header.base = None;
        mesh.clone_into(&mut header.mesh);
        header.made_at = made_at.as_millis();
        let _here = self.moving.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let sealed = self.history.base_of(&view.summary.audit);
        let segments = (0..sealed.segments).flat_map(|number| match self.history.segment(number) {
            Ok(segment) => segment.entries.iter().cloned().map(Ok).collect::<Vec<_>>(),
            Err(error) => vec![Err(error)],
        });
        let unsealed = self.applied.history(recover::after(sealed));
        self.snapshots.write_part(&view.fleet, &view.summary, header, Point::default(), segments.chain(unsealed))
    }
}

/// Reads and verifies all of a backup; `history` takes the history, in order.
pub fn read(
    path: &Path,
    history: impl FnMut(Entry) -> Result<(), StoreError>,
) -> Result<(Machine, Contents), StoreError> {
    let mut retired = 0;
    let mut history = history;
    let corrupt = |reason: &str| StoreError::SnapshotCorrupt { path: path.to_owned(), reason: reason.to_owned() };
    let (machine, base) = snapshot::load(path, |entry| {
        // The state's own are decoded anyway; these would be missed when somebody asks for them.
        for run in &entry.retired {
            Run::try_from(run.clone()).map_err(|error| corrupt(&error.to_string()))?;
        }
        retired += entry.retired.len();
        history(entry)
    })?;
    let header: v1::SnapshotHeader = Reader::open(path)?.message()?;
    if base != Point::default() || header.mesh.is_empty() {
        return Err(corrupt(
            "it is a coordinator's own snapshot, not a backup: `meshctl coordinator backup` makes one",
        ));
    }
    let contents = Contents {
        mesh: header.mesh,
        made_at: Timestamp::from_millis(header.made_at),
        summary: machine.summary.clone(),
        checksum: checksum(path)?,
        services: machine.fleet.services.len(),
        runs: machine.fleet.runs.len(),
        retired,
    };
    Ok((machine, contents))
}

fn checksum(path: &Path) -> Result<Hash32, StoreError> {
    let failed = |source| StoreError::io("read", path, source);
    let mut bytes = [0; 32];
    let mut file = File::open(path).map_err(failed)?;
    file.seek(SeekFrom::End(-32)).map_err(failed)?;
    file.read_exact(&mut bytes).map_err(failed)?;
    Ok(Hash32(bytes))
}

/// Makes `data_dir` the disk of the first coordinator of a new group. Nothing may be in it.
pub fn restore(restore: &Restore<'_>) -> Result<Contents, StoreError> {
    let dir = restore.data_dir;
    fs::create_dir_all(dir).map_err(|source| StoreError::io("make", dir, source))?;
    let mut held = fs::read_dir(dir).map_err(|source| StoreError::io("list", dir, source))?;
    if held.next().is_some() {
        return Err(StoreError::Identity(format!(
            "{} is not empty: a backup is restored to an empty data directory only",
            dir.display()
        )));
    }
    // All of the file is verified before anything is written.
    let (_, contents) = read(restore.file, |_| Ok(()))?;
    check(restore, &contents)?;
    let history = History::open(&dir.join("history"), restore.options.cut)?;
    let mut unsealed = Unsealed { history: &history, cut: restore.options.cut, entries: Vec::new(), bytes: 0 };
    let (mut machine, _) = read(restore.file, |entry| unsealed.take(entry))?;
    unsealed.entries.extend(first_commands(&mut machine, restore, &contents)?);
    let snapshots_dir = dir.join("snapshots");
    let snapshots = Snapshots::open(&snapshots_dir, restore.options.snapshots_kept);
    let snapshots = snapshots.map_err(|source| StoreError::io("open", &snapshots_dir, source))?;
    let base = history.sealed();
    let tail = unsealed.entries.into_iter().map(Ok);
    snapshots.write(&machine.fleet, &machine.summary, base, tail)?;
    save_vote(dir, &machine)?;
    identity::write_file(&dir.join(FOUNDING), &format!("{}\n", contents.checksum))?;
    // Last: without it the directory is one that was never finished.
    identity::write(dir, &DiskIdentity { mesh: restore.mesh.to_owned(), node: restore.own.id })?;
    Ok(contents)
}

/// The group's terms go on from where its state stands, not from the beginning.
fn save_vote(dir: &Path, machine: &Machine) -> Result<(), StoreError> {
    let Some(place) = machine.summary.applied else { return Ok(()) };
    let wal = Wal::open(&dir.join("log"), false, Fatal::new(|_| {}))?;
    let (tell, told) = std::sync::mpsc::channel::<()>();
    let ballot = Ballot { term: place.term, node: place.node, committed: false };
    wal.save_vote(ballot, Box::new(move || tell.send(()).unwrap_or_default()))?;
    told.recv().map_err(|_| StoreError::Failed("the vote could not be written".to_owned()))
}

fn check(restore: &Restore<'_>, contents: &Contents) -> Result<(), StoreError> {
    if contents.mesh != restore.mesh {
        return Err(StoreError::Identity(format!(
            "the backup is of mesh {:?}, the configuration of {:?}",
            contents.mesh, restore.mesh
        )));
    }
    let known = |id: &&u64| contents.summary.membership.nodes.contains_key(id);
    match restore.founders.iter().chain([&restore.own.id]).find(known) {
        None => Ok(()),
        Some(id) => Err(StoreError::Identity(format!(
            "node id {id} was in the group that the backup is of: give every coordinator of the new group an id that \
             was never used (`node_id` and [[bootstrap]])"
        ))),
    }
}

/// The new group's membership, and the command that says what happened.
fn first_commands(machine: &mut Machine, restore: &Restore<'_>, contents: &Contents) -> Result<Vec<Entry>, StoreError> {
    let last = contents.summary.applied.map_or(0, |place| place.index);
    let term = contents.summary.applied.map_or(0, |place| place.term).saturating_add(TERMS_SKIPPED);
    let own = &restore.own;
    let place = |index| v1::RaftLogId::from(LogPosition { term, node: own.id, index });
    let membership = v1::RaftMembership {
        configs: vec![v1::RaftVoters { ids: vec![own.id] }],
        nodes: [(own.id, v1::RaftNode { address: own.address.clone(), region: own.region.clone() })].into(),
    };
    let command = Command::Restored {
        backup: contents.checksum,
        made_at: contents.made_at,
        // By the clock of the state, where that is ahead of this host's: what is waited out is counted by it.
        lost_at: restore.lost_at.plus(machine.fleet.now.since(restore.now)),
        by: restore.by.clone(),
    };
    let payloads = [
        v1::raft_entry::Payload::Membership(membership),
        v1::raft_entry::Payload::Command(machine::encode_command(restore.now, &command)),
    ];
    let mut changes = Changes::default();
    for (payload, index) in payloads.into_iter().zip(last.saturating_add(1)..) {
        machine.apply(v1::RaftEntry { log_id: Some(place(index)), payload: Some(payload) }, &mut changes)?;
    }
    Ok(changes.audit.into_iter().map(|audit| Entry { audit, retired: Vec::new() }).collect())
}

/// Seals the history as it comes, and keeps the rest.
struct Unsealed<'a> {
    history: &'a History,
    cut: Cut,
    entries: Vec<Entry>,
    bytes: u64,
}

impl Unsealed<'_> {
    fn take(&mut self, entry: Entry) -> Result<(), StoreError> {
        self.bytes += history::size(&entry);
        self.entries.push(entry);
        if self.cut.is_full(self.entries.len(), self.bytes) {
            self.bytes = 0;
            self.history.seal(std::mem::take(&mut self.entries).into_iter().map(Ok))?;
        }
        Ok(())
    }
}

pub fn founding_file(data_dir: &Path) -> PathBuf {
    data_dir.join(FOUNDING)
}
