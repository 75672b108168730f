//! Disks that are full, cut short or damaged, under the real coordinators.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a helper that finds something else fails its test, and a skipped test says so"
)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use mesh_core::run::Run;
use mesh_suite::Rig;
use mesh_suite::mounts::{Mount, run, skip_reason};
use mesh_suite::rig::LONG;

const MIB: u64 = 1024 * 1024;
/// Below a chunk of the log, so that no room can be reserved for it.
const SMALL_BYTES: u64 = 12 * MIB;
/// EX_IOERR of sysexits.h: what a coordinator ends with when its disk fails.
const EXIT_IO: &str = "\"exit_code\":74";

fn followers(leader: &str) -> Vec<String> {
    (1..=3).map(|node| format!("coordinator-{node}")).filter(|name| name != leader).collect()
}

async fn fail_over(rig: &Rig) -> Run {
    let run = rig.begin_failover().await;
    let done = rig.until_settled(&run).await;
    rig.judge_failover(&done).await;
    done
}

/// Moves the data of an ended coordinator to a small file system of its own.
fn move_to_small_disk(rig: &Rig, name: &str) -> Mount {
    let data = rig.data_dir(name);
    let (at, old) = (data.display().to_string(), data.with_extension("old").display().to_string());
    run("mv", &[&at, &old]).expect("moved");
    std::fs::create_dir(&data).expect("a mount point");
    let mount = Mount::tmpfs(&data, SMALL_BYTES).expect("root may mount");
    run("cp", &["-a", &format!("{old}/."), &at]).expect("copied");
    mount
}

/// Takes all the room that is left.
fn fill(disk: &Path) -> PathBuf {
    let path = disk.join("ballast");
    let mut file = std::fs::File::create(&path).expect("a file");
    let mut block = vec![0x5a; usize::try_from(MIB).expect("small")];
    while !block.is_empty() {
        if file.write_all(&block).is_err() {
            block.truncate(block.len() / 2);
        }
    }
    path
}

async fn a_disk_is_full(leads: bool) {
    if let Some(reason) = skip_reason(&["mount", "umount"]) {
        eprintln!("SKIPPED: a full disk needs a file system of its own: {reason}");
        return;
    }
    let mut rig = Rig::raise().await;
    let before = rig.leader().await;
    let name = if leads { before } else { followers(&before)[0].clone() };
    rig.kill(&name);
    let disk = move_to_small_disk(&rig, &name);
    rig.restart(&name);
    rig.until_whole().await;
    if leads {
        let node = name.trim_start_matches("coordinator-");
        let deadline = Instant::now() + LONG;
        while rig.leader().await != name {
            assert!(Instant::now() < deadline, "{name} never led");
            let said = rig.ctl(&["coordinator", "transfer", node, "--yes"]).await;
            assert!([0, 3, 5].contains(&said.code), "{said:?}");
        }
    }
    let ballast = fill(disk.at());
    let run = rig.begin_failover().await;
    rig.until_ended(&name).await;
    let said = rig.log(&name);
    assert!(said.contains("storage failed; the process ends") && said.contains(EXIT_IO), "{said}");
    assert!(!said.contains("panicked"), "it stops cleanly: {said}");
    let done = rig.until_settled(&run).await;
    rig.judge_failover(&done).await;

    // Without room it does not pretend to run; with room it is a full member again.
    std::fs::remove_file(ballast).expect("room again");
    rig.restart(&name);
    rig.until_replicas_agree().await;
    rig.kill(&followers(&name)[0]);
    rig.leader().await;
    rig.ctl(&["audit", "verify"]).await.expect(0);
    rig.kill(&name);
    drop(disk);
}

#[tokio::test]
async fn a_follower_whose_disk_is_full_stops_cleanly_and_comes_back_when_there_is_room() {
    a_disk_is_full(false).await;
}

#[tokio::test]
async fn a_leader_whose_disk_is_full_stops_cleanly_and_the_others_go_on() {
    a_disk_is_full(true).await;
}

/// The newest chunk of the log of an ended coordinator.
fn newest_chunk(rig: &Rig, name: &str) -> PathBuf {
    let log = rig.data_dir(name).join("log");
    let files = std::fs::read_dir(&log).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
    let mut chunks: Vec<PathBuf> = files
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "wal"))
        .collect();
    chunks.sort();
    chunks.pop().expect("a log has a chunk")
}

/// Of three coordinators one is gone and one was cut short: there must be no majority.
#[tokio::test]
async fn a_node_whose_log_was_cut_short_says_so_and_does_not_vote() {
    let mut rig = Rig::raise().await;
    fail_over(&rig).await;
    let leader = rig.leader().await;
    let [short, gone] = [0, 1].map(|at| followers(&leader)[at].clone());
    rig.signal(&short, mesh_suite::processes::Signal::TERM);
    rig.until_ended(&short).await;
    let chunk = newest_chunk(&rig, &short);
    let bytes = std::fs::read(&chunk).expect("the chunk");
    let used = bytes.iter().rposition(|byte| *byte != 0).expect("something was written");
    std::fs::File::options()
        .write(true)
        .open(&chunk)
        .and_then(|file| {
            file.set_len(u64::try_from(used / 2).expect("small"))?;
            file.sync_all()
        })
        .expect("cut short");
    rig.restart(&short);
    rig.until_ended(&short).await;
    let said = rig.log(&short);
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with("mesh-coordinator: ") && last.contains("corrupt") && last.contains("new id"), "{last}");

    rig.kill(&gone);
    let alone = rig.ctl(&["--timeout", "6", "status"]).await;
    assert_eq!(alone.code, 5, "a node whose log was cut short has voted: {alone:?}");
    rig.restart(&gone);
    rig.leader().await;
    rig.ctl(&["audit", "verify"]).await.expect(0);
}

fn garble(path: &Path) {
    let mut bytes = std::fs::read(path).expect("a file of the state");
    bytes.iter_mut().enumerate().for_each(|(at, byte)| *byte ^= u8::try_from(at * 31 % 251).expect("below 251"));
    std::fs::write(path, bytes).expect("written");
}

/// Every file below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The applied state is only a cache: whatever becomes of its files, the log and the snapshots make it anew.
#[tokio::test]
async fn the_stored_state_is_built_anew_whatever_became_of_its_files() {
    let mut rig = Rig::raise().await;
    fail_over(&rig).await;
    let name = followers(&rig.leader().await)[0].clone();
    let state = rig.data_dir(&name).join("state");
    for damage in ["deleted", "garbled", "emptied", "cut short"] {
        rig.kill(&name);
        assert!(!files(&state).is_empty(), "there is something to damage");
        match damage {
            "deleted" => std::fs::remove_dir_all(&state).expect("removed"),
            "garbled" => files(&state).iter().for_each(|file| garble(file)),
            "emptied" => files(&state).iter().for_each(|file| std::fs::write(file, b"").expect("emptied")),
            _ => files(&state).iter().for_each(|file| {
                let open = std::fs::File::options().write(true).open(file).expect("a file of the state");
                let length = open.metadata().expect("its length").len();
                open.set_len(length / 3).expect("cut short");
            }),
        }
        rig.restart(&name);
        rig.until_replicas_agree().await;
        assert!(!rig.log(&name).contains("panicked"), "{damage}: {}", rig.log(&name));
        rig.decide(damage).await;
        rig.until_replicas_agree().await;
    }
    // It can lead, and what it tells is what was decided.
    let node = name.trim_start_matches("coordinator-").to_owned();
    let deadline = Instant::now() + LONG;
    while rig.leader().await != name {
        assert!(Instant::now() < deadline, "{name} never led");
        rig.ctl(&["coordinator", "transfer", &node, "--yes"]).await;
    }
    rig.ctl(&["audit", "verify"]).await.expect(0);
}
