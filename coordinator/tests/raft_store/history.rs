//! The history leaves the state, its snapshots and the start; and stays whole.

use std::fs;

use mesh_coordinator::store::StoreError;
use mesh_coordinator::store::backup::{self, NewMember, Restore};
use mesh_coordinator::store::snapshot;
use mesh_core::time::Timestamp;

use crate::fixture::{Disk, OPTIONS, lend, oracle, position};

const LAST: u64 = 200;

/// Snapshots every 25 entries, as under load: segments are sealed as they fill.
fn sealed() -> Disk {
    let disk = Disk::new();
    let open = disk.open().expect("an empty disk opens");
    for first in (0..=LAST).step_by(25) {
        open.append(first, (first + 24).min(LAST));
        open.replay();
        open.snapshot();
    }
    disk.assert_alive();
    disk
}

fn flip(path: &std::path::Path, at: impl Fn(usize) -> usize) {
    let mut bytes = fs::read(path).expect("the file");
    let at = at(bytes.len());
    bytes[at] ^= 0x20;
    fs::write(path, bytes).expect("written");
}

#[test]
fn segments_are_the_same_files_on_every_disk_whenever_snapshots_were_taken() {
    let (often, once) = (sealed(), Disk::with_entries(LAST));
    let open = once.open().expect("it opens");
    open.snapshot();
    let (a, b) = (often.files("history", "seg"), once.files("history", "seg"));
    assert_eq!(a.len(), b.len());
    assert!(a.len() > 10, "{} segments", a.len());
    for (a, b) in a.iter().zip(&b) {
        assert_eq!(fs::read(a).expect("read"), fs::read(b).expect("read"), "{}", a.display());
    }
}

#[test]
fn a_snapshot_does_not_grow_with_the_history() {
    let disk = sealed();
    let sizes = |disk: &Disk| -> Vec<u64> {
        disk.files("snapshots", "snap").iter().map(|path| fs::metadata(path).expect("there").len()).collect()
    };
    let before = *sizes(&disk).iter().max().expect("a snapshot");
    let open = disk.open().expect("it opens");
    open.append(LAST + 1, 5 * LAST);
    open.replay();
    open.snapshot();
    let after = *sizes(&disk).last().expect("a snapshot");
    // Between two segments it can hold a few records more or less.
    assert!(after < before + 4_096, "{before} bytes after {LAST} entries, {after} after five times as many");
    let history: u64 = disk.files("history", "seg").iter().map(|path| fs::metadata(path).expect("there").len()).sum();
    assert!(history > 100_000, "{history} bytes are elsewhere");
    open.assert_is_whole(5 * LAST);
}

#[test]
fn a_restart_reads_what_is_sealed_from_the_segments() {
    let disk = sealed();
    disk.open().expect("it opens").assert_is_whole(LAST);
    fs::remove_dir_all(disk.path("state")).expect("removed");
    disk.open().expect("it opens").assert_is_whole(LAST);
    disk.assert_alive();
}

#[test]
fn a_page_of_the_audit_goes_over_the_end_of_a_segment() {
    let disk = sealed();
    let open = disk.open().expect("it opens");
    let whole = open.store.audit(0, usize::MAX).expect("the audit");
    let (mut from, mut paged) = (0, Vec::new());
    loop {
        let page = open.store.audit(from, 7).expect("a page");
        let Some(last) = page.last() else { break };
        from = last.index + 1;
        paged.extend(page);
    }
    assert_eq!(paged, whole);
}

#[test]
fn a_damaged_record_is_found_and_not_served_and_the_rest_is() {
    for place in [0_usize, 1, 2] {
        let disk = sealed();
        let path = disk.files("history", "seg")[3].clone();
        flip(&path, |length| [5, length / 2, length - 3][place]);
        let open = disk.open().expect("the state is not in it");
        open.replay();
        assert_eq!(open.store.summary(), oracle(LAST).summary, "the state does not depend on it");
        let error = open.store.audit(0, usize::MAX).expect_err("it is damaged");
        assert!(matches!(&error, StoreError::HistoryDamaged { path: named, .. } if *named == path), "{error}");
        let troubled: Vec<u64> = open.store.history().troubled().into_iter().map(|(number, _)| number).collect();
        assert_eq!(troubled, [3], "and remembered");
        let after = open.store.history().segment(4).expect("unharmed").before.index + 1;
        let later = open.store.audit(after, usize::MAX).expect("what comes after is served");
        assert_eq!(later.last().map(|record| record.index), Some(oracle(LAST).summary.audit.index));
        disk.assert_alive();
    }
}

#[test]
fn a_lost_segment_is_taken_from_another_node_and_only_the_right_one() {
    let (disk, other) = (sealed(), sealed());
    let files = disk.files("history", "seg");
    fs::remove_file(&files[2]).expect("removed");
    flip(&files[5], |length| length / 2);
    let open = disk.open().expect("it opens");
    open.store.history().segment(5).expect_err("it is damaged");
    let source = other.files("history", "seg");
    let offer = |number: u64, from: &std::path::Path| {
        let part = disk.path("history").join("offer.part");
        fs::copy(from, &part).expect("copied");
        open.store.history().fill(number, &part)
    };
    offer(2, &source[3]).expect_err("another segment's file");
    offer(5, &files[5]).expect_err("a damaged file");
    offer(2, &source[2]).expect("the right one");
    offer(5, &source[5]).expect("the right one");
    assert!(open.store.history().troubled().is_empty());
    open.assert_is_whole(LAST);
}

#[test]
fn a_history_that_is_gone_altogether_is_known_to_be_missing() {
    let disk = sealed();
    fs::remove_dir_all(disk.path("history")).expect("removed");
    for lost_state in [false, true] {
        if lost_state {
            fs::remove_dir_all(disk.path("state")).expect("removed");
        }
        let open = disk.open().expect("it opens");
        open.replay();
        assert_eq!(open.store.summary(), oracle(LAST).summary, "the state is whole");
        assert!(open.store.history().troubled().len() > 10);
        open.store.audit(0, 10).expect_err("nobody may take the rest for all");
    }
    disk.assert_alive();
}

#[test]
fn a_segment_that_no_snapshot_vouches_for_is_made_again() {
    let disk = Disk::with_entries(60);
    let open = disk.open().expect("it opens");
    open.snapshot();
    // As if the process had died between the segment and the snapshot.
    let sealed = disk.files("history", "seg");
    drop(open);
    for path in disk.files("snapshots", "snap") {
        fs::remove_file(path).expect("removed");
    }
    flip(sealed.last().expect("a segment"), |_| 5);
    fs::remove_dir_all(disk.path("state")).expect("removed");
    let open = disk.open().expect("it opens");
    open.assert_is_whole(60);
    open.snapshot();
    open.assert_is_whole(60);
    assert!(open.store.history().troubled().is_empty());
    disk.assert_alive();
}

#[test]
fn an_installed_snapshot_names_the_segments_that_are_missing() {
    let (leader, follower) = (sealed(), Disk::with_entries(15));
    let (from, to) = (leader.open().expect("it opens"), follower.open().expect("it opens"));
    let mut part = to.store.receive_snapshot().expect("there is room");
    part.append(&fs::read(from.store.newest_snapshot().expect("taken").path).expect("the file")).expect("room");
    let path = part.path().to_owned();
    to.store.install_snapshot(&path, Some(part)).expect("it is good");
    assert_eq!(to.store.summary(), from.store.summary());
    let troubled = to.store.history().troubled();
    assert_eq!(troubled.first().map(|(number, _)| *number), Some(1), "the first it had itself");
    lend(&leader, &follower, &to);
    to.purge(LAST);
    to.assert_is_whole(LAST);
    drop(to);
    follower.open().expect("it opens").assert_is_whole(LAST);
}

fn backup(disk: &Disk) -> std::path::PathBuf {
    let open = disk.open().expect("it opens");
    open.replay();
    let part =
        open.store.write_backup(&open.store.view(), "demo", Timestamp::from_millis(5_000)).expect("there is room");
    let path = disk.path("backup");
    fs::copy(part.path(), &path).expect("copied");
    path
}

fn order<'a>(file: &'a std::path::Path, dir: &'a std::path::Path, id: u64) -> Restore<'a> {
    Restore {
        file,
        data_dir: dir,
        mesh: "demo",
        own: NewMember { id, address: "127.0.0.1:9".to_owned(), region: "r1".to_owned() },
        founders: vec![id],
        by: "a test".to_owned(),
        now: Timestamp::from_millis(10_000),
        lost_at: Timestamp::from_millis(9_000),
        options: OPTIONS,
    }
}

#[test]
fn a_restored_disk_holds_the_state_the_history_and_what_happened() {
    let disk = sealed();
    let file = backup(&disk);
    let dir = tempfile::tempdir().expect("a directory");
    let contents = backup::restore(&order(&file, dir.path(), 11)).expect("it restores");
    assert_eq!(contents.summary, oracle(LAST).summary);
    let open = crate::fixture::open(dir.path(), disk.fatal.clone()).expect("it opens");
    let summary = open.store.summary();
    assert_eq!(summary.applied.map(|place| place.index), Some(LAST + 2));
    assert_eq!(summary.membership.nodes.keys().copied().collect::<Vec<_>>(), [11]);
    let audit = open.store.audit(0, usize::MAX).expect("the audit");
    assert_eq!(mesh_proto::verify_chain(audit.clone()).expect("the chain holds"), summary.audit);
    assert_eq!(audit.last().map(|record| record.kind.as_str()), Some("restored"));
    let vote = open.wal.state().vote.expect("the terms go on");
    assert!(vote.term >= summary.applied.expect("there").term);
    assert!(open.store.history().troubled().is_empty());
    let (ours, theirs) = (open.store.history().path(0), disk.path("history").join("0000000000.seg"));
    assert_eq!(fs::read(ours).expect("read"), fs::read(theirs).expect("read"), "cut alike");
    disk.assert_alive();
}

#[test]
fn a_restore_refuses_what_would_go_wrong_later() {
    let disk = sealed();
    let file = backup(&disk);
    let dir = tempfile::tempdir().expect("a directory");
    let refused = |order: Restore<'_>, word: &str| {
        let error = backup::restore(&order).expect_err(word).to_string();
        assert!(error.contains(word), "{error}");
    };
    refused(order(&file, dir.path(), 1), "never used");
    refused(Restore { mesh: "other", ..order(&file, dir.path(), 11) }, "mesh");
    let snapshot = disk.files("snapshots", "snap").pop().expect("a snapshot");
    refused(order(&snapshot, dir.path(), 11), "not a backup");
    flip(&file, |length| length / 2);
    refused(order(&file, dir.path(), 11), "checksum");
    assert_eq!(fs::read_dir(dir.path()).expect("read").count(), 0, "nothing was written");
    fs::write(dir.path().join("x"), "x").expect("written");
    refused(order(&file, dir.path(), 11), "not empty");
}

#[test]
fn every_changed_byte_of_a_segment_is_found() {
    let disk = sealed();
    let open = disk.open().expect("it opens");
    let path = open.store.history().path(1);
    let bytes = fs::read(&path).expect("the file");
    for at in (0..bytes.len()).step_by(13) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        fs::write(&path, damaged).expect("written");
        let read = mesh_coordinator::store::history::segment::Segment::read(&path);
        assert!(matches!(read, Err(StoreError::SnapshotCorrupt { .. })), "byte {at}");
    }
}

#[test]
fn the_older_snapshot_still_stands_in_for_a_damaged_one() {
    let disk = sealed();
    let newest = disk.files("snapshots", "snap").pop().expect("a snapshot");
    flip(&newest, |length| length / 2);
    fs::remove_dir_all(disk.path("state")).expect("removed");
    let open = disk.open().expect("it opens");
    assert!(open.store.summary().applied < Some(position(LAST)));
    open.assert_is_whole(LAST);
    open.snapshot();
    open.assert_is_whole(LAST);
    assert!(snapshot::inspect(&open.store.newest_snapshot().expect("taken").path).is_ok());
    disk.assert_alive();
}
