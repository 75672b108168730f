//! One node's disk, and commands that are a function of their index.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};

use mesh_coordinator::store::fatal::Fatal;
use mesh_coordinator::store::history::Cut;
use mesh_coordinator::store::machine::{self, Changes, Machine};
use mesh_coordinator::store::position::LogPosition;
use mesh_coordinator::store::wal::Wal;
use mesh_coordinator::store::{Store, StoreError, StoreOptions};
use mesh_core::fleet::Command;
use mesh_core::ids::{AgentId, Hash32, RegionId};
use mesh_core::time::Timestamp;
use mesh_proto::v1;
use mesh_proto::v1::raft_entry::Payload;
use tempfile::TempDir;

pub fn position(index: u64) -> LogPosition {
    LogPosition { term: 1, node: 1, index }
}

/// Entry 0 is the membership, as in every log; every seventh is blank.
pub fn entry(index: u64) -> v1::RaftEntry {
    let payload = match index {
        0 => Payload::Membership(v1::RaftMembership {
            configs: vec![v1::RaftVoters { ids: vec![1] }],
            nodes: [(1, v1::RaftNode { address: "127.0.0.1:1".into(), region: "r1".into() })].into(),
        }),
        blank if blank % 7 == 0 => Payload::Blank(true),
        index => Payload::Command(machine::encode_command(Timestamp::from_millis(1_000 + index), &command(index))),
    };
    v1::RaftEntry { log_id: Some(position(index).into()), payload: Some(payload) }
}

fn command(index: u64) -> Command {
    match index {
        1 => Command::NameMesh { mesh: "demo".into() },
        _ => Command::RegisterAgent {
            agent: AgentId::new(format!("agent-{}", index % 50)).expect("a name"),
            region: RegionId::new(format!("r{}", index % 3)).expect("a name"),
        },
    }
}

/// The state after entries `0..=last`, computed from nothing.
pub fn oracle(last: u64) -> Machine {
    let mut machine = Machine::default();
    for index in 0..=last {
        machine.apply(entry(index), &mut Changes::default()).expect("the entry is good");
    }
    machine
}

pub struct Disk {
    pub dir: TempDir,
    pub fatal: Fatal,
    pub deaths: Arc<Mutex<Vec<String>>>,
}

pub struct Open {
    pub wal: Arc<Wal>,
    pub store: Arc<Store>,
}

impl Disk {
    pub fn new() -> Self {
        let deaths = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&deaths);
        let fatal = Fatal::new(move |reason| told.lock().expect("no panic").push(reason.to_owned()));
        Self { dir: TempDir::new().expect("a directory"), fatal, deaths }
    }

    /// With entries `0..=last` in the log, all applied.
    pub fn with_entries(last: u64) -> Self {
        let disk = Self::new();
        let open = disk.open().expect("an empty disk opens");
        open.append(0, last);
        open.replay();
        disk
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn open(&self) -> Result<Open, StoreError> {
        open(self.dir.path(), self.fatal.clone())
    }

    pub fn wal(&self) -> Result<Wal, StoreError> {
        Wal::open(&self.path("log"), true, self.fatal.clone())
    }

    /// As if the power had failed before anyone noted how far the log had reached.
    pub fn forget_reach(&self) {
        std::fs::remove_file(mesh_coordinator::store::wal::reach::path(&self.path("log"))).expect("it was noted");
    }

    /// Log chunks or snapshots, oldest first.
    pub fn files(&self, dir: &str, extension: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path(dir)).expect("the directory is there");
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        files.retain(|path| path.extension().is_some_and(|found| found == extension));
        files.sort();
        files
    }

    pub fn assert_alive(&self) {
        assert_eq!(*self.deaths.lock().expect("no panic"), Vec::<String>::new(), "the process would have ended");
    }
}

/// Small segments, so that a few entries make some.
pub const OPTIONS: StoreOptions = StoreOptions { snapshots_kept: 2, cut: Cut { records: 10, bytes: 1 << 20 } };

pub fn open(dir: &Path, fatal: Fatal) -> Result<Open, StoreError> {
    let wal = Arc::new(Wal::open(&dir.join("log"), false, fatal.clone())?);
    let store = Store::open(dir, &wal, OPTIONS, fatal)?;
    Ok(Open { wal, store })
}

impl Open {
    /// Appends `first..=last` and waits until they are durable.
    pub fn append(&self, first: u64, last: u64) {
        append(&self.wal, (first..=last).map(entry).collect());
    }

    /// Applies what the log holds beyond the applied state.
    pub fn replay(&self) {
        let next = self.store.summary().applied.map_or(0, |place| place.index + 1);
        let entries = self.wal.read(next, u64::MAX, usize::MAX).expect("the log is good");
        for batch in entries.chunks(16) {
            self.store.apply(batch.to_vec()).expect("the entries are good");
        }
    }

    pub fn snapshot(&self) {
        self.store.build_snapshot(&self.store.view()).expect("there is room");
    }

    pub fn purge(&self, upto: u64) {
        durable(|synced| self.wal.purge(position(upto), synced));
    }

    /// Replays, and compares with the oracle: the state hash and the audit chain cover the whole history.
    pub fn assert_is_whole(&self, last: u64) {
        self.replay();
        let expected = oracle(last);
        let summary = self.store.summary();
        assert_eq!(summary.applied, Some(position(last)), "everything acknowledged is applied again");
        assert_eq!(summary, expected.summary, "same index, same state hash, same audit");
        self.store.with_machine(|machine| assert_eq!(machine.fleet, expected.fleet, "same entities"));
        let chain = mesh_proto::verify_chain(self.store.audit(0, usize::MAX).expect("the audit is there"));
        assert_eq!(chain.expect("the chain holds"), expected.summary.audit);
    }

    pub fn state_hash(&self) -> Hash32 {
        self.store.summary().state_hash
    }
}

pub fn append(wal: &Wal, entries: Vec<v1::RaftEntry>) {
    durable(|synced| wal.append(entries, synced));
}

/// Runs a write and waits for its callback.
pub fn durable(write: impl FnOnce(mesh_coordinator::store::wal::Synced) -> Result<(), StoreError>) {
    let (tell, told) = mpsc::channel::<()>();
    write(Box::new(move || tell.send(()).unwrap_or_default())).expect("the write is accepted");
    told.recv().expect("the write is acknowledged");
}

/// Gives `to` the segments that it lacks.
pub fn lend(from: &Disk, disk: &Disk, to: &Open) {
    for (number, _) in to.store.history().troubled() {
        let part = disk.path("history").join("offer.part");
        std::fs::copy(from.path("history").join(format!("{number:010}.seg")), &part).expect("copied");
        to.store.history().fill(number, &part).expect("it joins");
    }
}
