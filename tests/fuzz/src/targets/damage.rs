//! Files of a coordinator that a disk, a crash or a person has damaged: refused, or read as they were.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, mpsc};

use mesh_coordinator::store::fatal::Fatal;
use mesh_coordinator::store::history::segment::Segment;
use mesh_coordinator::store::position::{Ballot, LogPosition};
use mesh_coordinator::store::wal::reach::{Reach, Reached};
use mesh_coordinator::store::wal::{Synced, Wal, WalState, reach};
use mesh_coordinator::store::{StoreError, snapshot as snapshots};
use mesh_proto::v1;
use mesh_proto::v1::raft_entry::Payload;

use super::history::{sealed_segment, snapshot as snapshot_file};
use crate::edits::{damage, seeds};
use crate::scratch;
use crate::target::{Shape, Target};

const LAST: u64 = 12;
const BUFFERS: u64 = 16 * 1024 * 1024;

pub fn all() -> [Target; 4] {
    let target = |name, reads, check| Target::new(name, reads, Shape::Edits, seeds, check).allocates(BUFFERS, 1024);
    [
        target("snapshot-damage", "a damaged snapshot file", snapshot).inputs(2_000),
        target("segment-damage", "a damaged segment of the history", segment).inputs(3_000),
        target("wal-damage", "a damaged chunk of the write-ahead log, recovered", wal).inputs(150),
        target("reach-damage", "the damaged note of how far the log reached", reached).inputs(400),
    ]
}

fn snapshot(input: &[u8]) -> bool {
    static GOOD: LazyLock<Vec<u8>> = LazyLock::new(|| snapshot_file(None));
    refused_unless_whole(&GOOD, input, |path| snapshots::load(path, |_| Ok(())).is_ok())
}

fn segment(input: &[u8]) -> bool {
    static GOOD: LazyLock<Vec<u8>> = LazyLock::new(sealed_segment);
    refused_unless_whole(&GOOD, input, |path| Segment::read(path).is_ok())
}

fn refused_unless_whole(good: &[u8], input: &[u8], opens: impl FnOnce(&Path) -> bool) -> bool {
    let (damaged, _) = damage(good, input);
    let accepted = scratch::with_file(&damaged, opens);
    assert_eq!(accepted, damaged == good, "a file is accepted if and only if it is whole");
    accepted
}

struct Log {
    chunk: PathBuf,
    bytes: Vec<u8>,
    reached: Vec<u8>,
    state: WalState,
}

static LOG: LazyLock<Log> = LazyLock::new(|| {
    let dir = scratch::dir();
    let log = dir.path().join("log");
    let wal = Wal::open(&log, false, fatal()).expect("an empty directory opens");
    durable(|synced| wal.save_vote(Ballot { term: 1, node: 1, committed: true }, synced));
    durable(|synced| wal.append((0..=LAST).map(entry).collect(), synced));
    durable(|synced| wal.truncate_after(Some(place(LAST - 2)), synced));
    durable(|synced| wal.append((LAST - 1..=LAST).map(entry).collect(), synced));
    durable(|synced| wal.save_vote(Ballot { term: 3, node: 2, committed: false }, synced));
    let state = wal.state();
    drop(wal);
    let mut chunks = fs::read_dir(&log).expect("the log").map(|entry| entry.expect("an entry").path());
    let chunk = chunks.find(|path| path.extension().is_some_and(|extension| extension == "wal")).expect("a chunk");
    let bytes = fs::read(&chunk).expect("the chunk");
    let reached = fs::read(reach::path(&log)).expect("how far it reached was noted");
    Log { chunk: PathBuf::from(chunk.file_name().expect("it has a name")), bytes, reached, state }
});

fn fatal() -> Fatal {
    Fatal::new(|reason| panic!("a log that was opened or refused ends the process: {reason}"))
}

fn place(index: u64) -> LogPosition {
    LogPosition { term: 1, node: 1, index }
}

fn entry(index: u64) -> v1::RaftEntry {
    v1::RaftEntry {
        log_id: Some(place(index).into()),
        payload: Some(Payload::Command(vec![index.to_le_bytes()[0]; 40])),
    }
}

fn durable(write: impl FnOnce(Synced) -> Result<(), StoreError>) {
    let (tell, told) = mpsc::channel::<()>();
    write(Box::new(move || tell.send(()).unwrap_or_default())).expect("the write is accepted");
    told.recv().expect("the write is acknowledged");
}

/// The first byte says whether the note of its reach is there. With it, whatever opens is whole; without it, the end may
/// be missing, but nothing is another than it was.
fn wal(input: &[u8]) -> bool {
    let Some((noted, edits)) = input.split_first() else { return false };
    let noted = noted % 2 == 0;
    let (damaged, _) = damage(&LOG.bytes, edits);
    let dir = scratch::dir();
    let log = dir.path().join("log");
    fs::create_dir(&log).expect("a directory can be made");
    fs::write(log.join(&LOG.chunk), &damaged).expect("the chunk can be written");
    if noted {
        fs::write(reach::path(&log), &LOG.reached).expect("the note can be written");
    }
    let Ok(wal) = Wal::open(&log, true, fatal()) else { return false };
    let state = wal.state();
    let entries = wal.read(0, u64::MAX, usize::MAX).expect("a log that was opened can be read");
    for (found, index) in entries.iter().zip(0..) {
        assert_eq!(*found, entry(index), "a damaged entry was accepted");
    }
    let votes = [None, Some(Ballot { term: 1, node: 1, committed: true }), LOG.state.vote];
    assert!(votes.contains(&state.vote), "a vote that was never given: {:?}", state.vote);
    if noted {
        assert_eq!((state.vote, state.last), (LOG.state.vote, LOG.state.last), "what was acknowledged is lost");
        assert_eq!(entries.len() as u64, LAST + 1, "what was acknowledged is lost");
    }
    true
}

fn reached(input: &[u8]) -> bool {
    const SLOTS_BYTES: usize = 1024;
    static GOOD: LazyLock<(Vec<u8>, [Reach; 2])> = LazyLock::new(two_slots);
    let (good, written) = &*GOOD;
    let (damaged, _) = damage(good, input);
    scratch::with_file(&damaged, |path| {
        let Ok((_, reach)) = Reached::open(path, fatal()) else { return false };
        let begun = damaged.len() < SLOTS_BYTES && reach == Reach::default();
        assert!(begun || written.contains(&reach), "it says what was never written: {reach:?}");
        true
    })
}

fn two_slots() -> (Vec<u8>, [Reach; 2]) {
    let at = |index| Reach { vote: LOG.state.vote, last: Some(place(index)) };
    let dir = scratch::dir();
    let path = dir.path().join("log.reached");
    let (reached, _) = Reached::open(&path, fatal()).expect("a new file opens");
    for index in [3, 7] {
        reached.lower(at(index)).expect("it can be written");
    }
    drop(reached);
    (fs::read(path).expect("it was written"), [at(3), at(7)])
}
