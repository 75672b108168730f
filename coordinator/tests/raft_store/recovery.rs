//! The applied state is rebuilt from the two things that are durable: snapshots and the log.

use std::fs;

use mesh_coordinator::store::StoreError;
use mesh_coordinator::store::snapshot;

use crate::fixture::{Disk, lend, oracle, position};

const LAST: u64 = 60;

fn overwrite(path: &std::path::Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("the file");
    change(&mut bytes);
    fs::write(path, bytes).expect("written");
}

fn copy_dir(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("read") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy_dir(&path, &target);
        } else {
            fs::copy(&path, &target).expect("copied");
        }
    }
}

#[test]
fn a_clean_restart_takes_the_stored_state() {
    let disk = Disk::with_entries(LAST);
    let open = disk.open().expect("it opens");
    assert_eq!(open.store.summary(), oracle(LAST).summary, "nothing had to be applied again");
    disk.assert_alive();
}

#[test]
fn a_deleted_store_is_rebuilt_to_the_same_hash() {
    let disk = Disk::with_entries(LAST);
    fs::remove_dir_all(disk.path("state")).expect("removed");
    let open = disk.open().expect("it opens");
    assert_eq!(open.store.summary().applied, None, "nothing is left of it");
    open.assert_is_whole(LAST);
    disk.assert_alive();
}

#[test]
fn a_deleted_store_is_rebuilt_from_the_snapshot_when_the_log_is_purged() {
    let disk = Disk::with_entries(LAST);
    let open = disk.open().expect("it opens");
    open.snapshot();
    open.purge(LAST - 10);
    open.append(LAST + 1, LAST + 9);
    drop(open);
    fs::remove_dir_all(disk.path("state")).expect("removed");
    let open = disk.open().expect("it opens");
    assert_eq!(open.store.summary(), oracle(LAST).summary, "the snapshot is where it was taken");
    open.assert_is_whole(LAST + 9);
    disk.assert_alive();
}

#[test]
fn a_store_of_garbage_is_rebuilt() {
    for name in ["db", "conf"] {
        let disk = Disk::with_entries(LAST);
        overwrite(&disk.path("state").join(name), |bytes| {
            bytes.iter_mut().enumerate().for_each(|(at, byte)| *byte = u8::try_from(at * 31 % 251).expect("below 251"));
        });
        let open = disk.open().unwrap_or_else(|error| panic!("{name}: {error}"));
        open.assert_is_whole(LAST);
        disk.assert_alive();
    }
}

#[test]
fn a_store_cut_short_is_rebuilt_or_caught_up() {
    let disk = Disk::with_entries(LAST);
    overwrite(&disk.path("state").join("db"), |bytes| bytes.truncate(bytes.len() / 3));
    disk.open().expect("it opens").assert_is_whole(LAST);
    disk.assert_alive();
}

#[test]
fn an_old_store_is_caught_up_from_the_log() {
    let disk = Disk::with_entries(LAST / 2);
    copy_dir(&disk.path("state"), &disk.path("old"));
    let open = disk.open().expect("it opens");
    open.append(LAST / 2 + 1, LAST);
    open.replay();
    drop(open);
    fs::remove_dir_all(disk.path("state")).expect("removed");
    fs::rename(disk.path("old"), disk.path("state")).expect("renamed");
    let open = disk.open().expect("it opens");
    assert_eq!(open.store.summary(), oracle(LAST / 2).summary);
    open.assert_is_whole(LAST);
}

/// sled syncs when it likes: after a power cut it can hold what the log, not yet synced, does not.
#[test]
fn a_store_ahead_of_the_log_is_not_believed() {
    let disk = Disk::with_entries(LAST / 2);
    copy_dir(&disk.path("log"), &disk.path("old"));
    let open = disk.open().expect("it opens");
    open.append(LAST / 2 + 1, LAST);
    open.replay();
    drop(open);
    fs::remove_dir_all(disk.path("log")).expect("removed");
    fs::rename(disk.path("old"), disk.path("log")).expect("renamed");
    disk.forget_reach();
    let open = disk.open().expect("it opens");
    assert_eq!(open.store.summary().applied, None, "it is thrown away as a whole");
    open.assert_is_whole(LAST / 2);
}

#[test]
fn a_store_that_applied_other_commands_than_the_log_holds_is_not_believed() {
    let (disk, other) = (Disk::with_entries(LAST), Disk::new());
    let open = other.open().expect("it opens");
    let shifted = (0..=LAST).map(|index| {
        let mut entry = crate::fixture::entry(if index > 40 { index + 1 } else { index });
        entry.log_id = Some(position(index).into());
        entry
    });
    open.store.apply(shifted.collect()).expect("the entries are good");
    drop(open);
    fs::remove_dir_all(disk.path("state")).expect("removed");
    copy_dir(&other.path("state"), &disk.path("state"));
    disk.open().expect("it opens").assert_is_whole(LAST);
}

/// Takes snapshots at 60 and 120 with 12 entries after, and damages the newer one.
fn with_newest_snapshot_damaged(purged: u64) -> Disk {
    let disk = Disk::with_entries(LAST);
    let open = disk.open().expect("it opens");
    open.snapshot();
    open.append(LAST + 1, 2 * LAST);
    open.replay();
    open.snapshot();
    open.purge(purged);
    open.append(2 * LAST + 1, 2 * LAST + 12);
    open.replay();
    drop(open);
    let files = disk.files("snapshots", "snap");
    assert_eq!(files.len(), 2, "the two newest are kept");
    overwrite(&files[1], |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    disk
}

#[test]
fn a_damaged_snapshot_gives_way_to_the_older_one() {
    let disk = with_newest_snapshot_damaged(LAST - 5);
    fs::remove_dir_all(disk.path("state")).expect("removed");
    let open = disk.open().expect("it opens");
    assert_eq!(open.store.summary(), oracle(LAST).summary);
    open.assert_is_whole(2 * LAST + 12);
    assert_eq!(disk.files("snapshots", "damaged").len(), 1, "it is kept for people to look at");
}

#[test]
fn a_damaged_snapshot_beyond_which_the_log_is_purged_is_refused_in_words() {
    let disk = with_newest_snapshot_damaged(2 * LAST - 5);
    fs::remove_dir_all(disk.path("state")).expect("removed");
    let error = disk.open().err().expect("nothing holds entries 61 to 115 any more");
    assert!(matches!(error, StoreError::StateLost { .. }), "{error}");
    assert!(error.to_string().contains("under a new id"), "it says what to do: {error}");
}

#[test]
fn a_good_store_makes_up_for_a_damaged_snapshot_at_once() {
    let disk = with_newest_snapshot_damaged(2 * LAST - 5);
    let open = disk.open().expect("it opens");
    let covered = open.store.newest_snapshot().expect("a new one").summary.applied;
    assert_eq!(covered, Some(position(2 * LAST + 12)), "what is purged is in a snapshot again");
    open.assert_is_whole(2 * LAST + 12);
}

#[test]
fn a_snapshot_holds_the_whole_state_and_the_audit_since_the_last_segment() {
    let disk = Disk::with_entries(LAST);
    let open = disk.open().expect("it opens");
    open.snapshot();
    let file = open.store.newest_snapshot().expect("just taken");
    let mut records = Vec::new();
    let loaded = snapshot::load(&file.path, |entry| {
        records.push(entry.audit);
        Ok(())
    });
    let ((machine, base), expected) = (loaded.expect("it reads back"), oracle(LAST));
    assert_eq!((machine.summary, machine.fleet), (expected.summary.clone(), expected.fleet));
    assert_eq!(base, open.store.history().sealed());
    let head = records.iter().try_fold(base.head(), |head, record| head.follow(record));
    assert_eq!(head.expect("the chain holds"), expected.summary.audit);
    assert!(records.len() < 10, "what is sealed is not in it: {} records", records.len());
}

#[test]
fn every_changed_byte_of_a_snapshot_is_found() {
    let disk = Disk::with_entries(20);
    let open = disk.open().expect("it opens");
    open.snapshot();
    let path = open.store.newest_snapshot().expect("just taken").path;
    let bytes = fs::read(&path).expect("the file");
    for at in (0..bytes.len()).step_by(11) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        fs::write(&path, damaged).expect("written");
        let read = snapshot::inspect(&path);
        assert!(matches!(read, Err(StoreError::SnapshotCorrupt { .. })), "byte {at}");
    }
    for length in (0..bytes.len()).step_by(97) {
        fs::write(&path, &bytes[..length]).expect("written");
        let read = snapshot::inspect(&path);
        assert!(matches!(read, Err(StoreError::SnapshotCorrupt { .. })), "{length} bytes");
    }
}

#[test]
fn an_installed_snapshot_replaces_the_state() {
    let (leader, follower) = (Disk::with_entries(LAST), Disk::with_entries(9));
    let (from, to) = (leader.open().expect("it opens"), follower.open().expect("it opens"));
    from.snapshot();
    let mut part = to.store.receive_snapshot().expect("there is room");
    part.append(&fs::read(from.store.newest_snapshot().expect("just taken").path).expect("the file")).expect("room");
    let path = part.path().to_owned();
    to.store.install_snapshot(&path, Some(part)).expect("it is good");
    assert_eq!(to.store.summary(), from.store.summary());
    assert_eq!(to.state_hash(), from.state_hash());
    lend(&leader, &follower, &to);
    to.purge(LAST);
    drop(to);
    let to = follower.open().expect("it opens");
    assert_eq!(to.store.summary(), oracle(LAST).summary, "and stays over a restart");
    to.append(LAST + 1, LAST + 5);
    to.assert_is_whole(LAST + 5);
}

#[test]
fn a_damaged_snapshot_replaces_nothing() {
    let (leader, follower) = (Disk::with_entries(LAST), Disk::with_entries(9));
    let (from, to) = (leader.open().expect("it opens"), follower.open().expect("it opens"));
    from.snapshot();
    let mut bytes = fs::read(from.store.newest_snapshot().expect("just taken").path).expect("the file");
    bytes[100] ^= 4;
    let mut part = to.store.receive_snapshot().expect("there is room");
    part.append(&bytes).expect("room");
    let path = part.path().to_owned();
    assert!(matches!(to.store.install_snapshot(&path, Some(part)), Err(StoreError::SnapshotCorrupt { .. })));
    to.assert_is_whole(9);
    assert!(!path.exists(), "and nothing is left of it");
}

#[test]
fn a_damaged_log_is_named_by_its_file_and_the_place_in_it() {
    let disk = Disk::with_entries(LAST);
    let chunk = disk.files("log", "wal").remove(0);
    overwrite(&chunk, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x04;
    });
    let error = disk.open().err().expect("it must not vote").to_string();
    for word in [chunk.display().to_string().as_str(), "offset", "under a new id"] {
        assert!(error.contains(word), "{word}: {error}");
    }
}
