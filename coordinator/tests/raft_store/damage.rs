//! A damaged log is refused; only the end of a write that nobody was told of is cut off.

use std::fs;

use mesh_coordinator::store::StoreError;
use mesh_coordinator::store::position::Ballot;
use mesh_coordinator::store::wal::{Wal, WalState};

use crate::fixture::{Disk, durable, position};

const LAST: u64 = 12;
/// Type, frame and checksum of the vote that is written last.
const VOTE_RECORD_BYTES: usize = 4 + 15 + 8;

fn written() -> (Disk, WalState) {
    let disk = Disk::new();
    let open = disk.open().expect("an empty disk opens");
    durable(|synced| open.wal.save_vote(Ballot { term: 1, node: 1, committed: true }, synced));
    open.append(0, LAST);
    durable(|synced| open.wal.truncate_after(Some(position(LAST - 2)), synced));
    open.append(LAST - 1, LAST);
    durable(|synced| open.wal.save_vote(Ballot { term: 3, node: 2, committed: false }, synced));
    let state = open.wal.state();
    drop(open);
    (disk, state)
}

#[test]
fn a_log_comes_back_as_it_was_acknowledged() {
    let (disk, state) = written();
    let wal = disk.wal().expect("an unharmed log opens");
    assert_eq!(wal.state(), state);
    assert_eq!(state.last, Some(position(LAST)));
    assert_eq!(state.vote, Some(Ballot { term: 3, node: 2, committed: false }));
}

/// Also a byte of a length: it must not pass for a write that a crash cut short.
#[test]
fn a_changed_byte_anywhere_in_the_log_is_refused() {
    let (disk, _) = written();
    let chunk = disk.files("log", "wal").pop().expect("a chunk");
    let bytes = fs::read(&chunk).expect("the chunk");
    for at in (0..bytes.len()).step_by(3) {
        for mask in [0x01, 0x80] {
            let mut damaged = bytes.clone();
            damaged[at] ^= mask;
            fs::write(&chunk, &damaged).expect("written");
            let opened = disk.wal();
            assert!(
                matches!(opened, Err(StoreError::LogCorrupt { .. })),
                "byte {at} of {} xor {mask:#x} must be found",
                bytes.len()
            );
        }
    }
    fs::write(&chunk, &bytes).expect("written");
    disk.wal().expect("and without damage it opens");
}

/// Nobody had the time to note that the log had reached so far: it was never synced.
#[test]
fn a_write_that_was_cut_short_is_dropped_and_the_rest_kept() {
    let (disk, _) = written();
    let chunk = disk.files("log", "wal").pop().expect("a chunk");
    let bytes = fs::read(&chunk).expect("the chunk");
    for cut in 1..=VOTE_RECORD_BYTES {
        disk.forget_reach();
        fs::write(&chunk, &bytes[..bytes.len() - cut]).expect("written");
        let wal = disk.wal().unwrap_or_else(|error| panic!("{cut} bytes less: {error}"));
        let state = wal.state();
        assert_eq!(state.last, Some(position(LAST)), "the vote came last, so only that is cut");
        assert_eq!(state.vote, Some(Ballot { term: 1, node: 1, committed: true }));
        drop(wal);
        for extra in disk.files("log", "wal").into_iter().filter(|path| *path != chunk) {
            fs::remove_file(extra).expect("removed");
        }
    }
}

/// Wherever it is cut, also between two records, where nothing of it looks damaged.
#[test]
fn a_log_that_was_cut_short_after_it_was_synced_is_refused() {
    let (disk, _) = written();
    let chunk = disk.files("log", "wal").pop().expect("a chunk");
    let bytes = fs::read(&chunk).expect("the chunk");
    for length in 1..bytes.len() {
        fs::write(&chunk, &bytes[..length]).expect("written");
        let opened = disk.wal();
        assert!(matches!(opened, Err(StoreError::LogCorrupt { .. })), "{length} of {} bytes", bytes.len());
        for extra in disk.files("log", "wal").into_iter().filter(|path| *path != chunk) {
            fs::remove_file(extra).expect("removed");
        }
    }
    fs::write(&chunk, &bytes).expect("written");
    disk.wal().expect("and whole it opens");
}

#[test]
fn a_log_that_is_gone_is_refused_where_one_must_be() {
    let (disk, _) = written();
    fs::remove_dir_all(disk.path("log")).expect("removed");
    assert!(matches!(disk.wal(), Err(StoreError::LogLost { .. })));
}

#[test]
fn a_log_without_its_oldest_chunk_is_refused() {
    let disk = Disk::new();
    let wal = Wal::open(&disk.path("log"), false, disk.fatal.clone()).expect("an empty disk opens");
    let large = |index| {
        let mut entry = crate::fixture::entry(index);
        entry.payload = Some(mesh_proto::v1::raft_entry::Payload::Command(vec![7; 1024 * 1024]));
        entry
    };
    for index in 0..20 {
        crate::fixture::append(&wal, vec![large(index)]);
    }
    drop(wal);
    let chunks = disk.files("log", "wal");
    assert!(chunks.len() > 1, "20 MiB need more than one chunk");
    fs::remove_file(&chunks[0]).expect("removed");
    assert!(matches!(disk.wal(), Err(StoreError::LogCorrupt { .. })));
}

#[test]
fn a_write_that_fails_is_never_acknowledged_and_ends_the_process() {
    let disk = Disk::new();
    let wal = Wal::open(&disk.path("log"), false, disk.fatal.clone()).expect("an empty disk opens");
    let (tell, told) = std::sync::mpsc::channel();
    // The next chunk cannot be made.
    fs::remove_dir_all(disk.path("log")).expect("removed");
    let mut failed = false;
    for index in 0..20_u64 {
        let mut entry = crate::fixture::entry(index);
        entry.payload = Some(mesh_proto::v1::raft_entry::Payload::Command(vec![7; 1024 * 1024]));
        let tell = tell.clone();
        if wal.append(vec![entry], Box::new(move || tell.send(index).unwrap_or_default())).is_err() {
            failed = true;
            break;
        }
    }
    drop(tell);
    assert!(failed, "the write that needs a new chunk fails");
    drop(wal);
    let acknowledged = told.iter().count();
    assert!(acknowledged < 17, "{acknowledged} writes of 1 MiB were acknowledged, and a chunk holds 16");
    assert!(!disk.deaths.lock().expect("no panic").is_empty(), "the process must end");
}
