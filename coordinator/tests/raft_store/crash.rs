//! A process is killed while it writes; whatever it was told to be durable is there afterwards.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use mesh_coordinator::store::fatal::Fatal;
use rand::{Rng, SeedableRng};

use crate::fixture::{Disk, durable, open};

const DIR: &str = "MESH_TEST_CRASH_DIR";
const ROUNDS: u64 = 10;
const LINES_MAX: u64 = 400;
const SNAPSHOT_EVERY: u64 = 100;

/// Not a test of its own: the process that is killed. Appends, applies, takes snapshots and purges for ever, and prints
/// each index after it was acknowledged.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let opened = open(Path::new(&dir), Fatal::exit_process()).expect("it opens");
    opened.replay();
    let mut next = opened.wal.state().last.map_or(0, |last| last.index + 1);
    let mut out = std::io::stdout();
    loop {
        let upto = next + next % 5;
        opened.append(next, upto);
        writeln!(out, "acknowledged {upto}").and_then(|()| out.flush()).expect("the parent reads");
        opened.replay();
        if upto / SNAPSHOT_EVERY > next / SNAPSHOT_EVERY {
            opened.snapshot();
            opened.purge(upto.saturating_sub(2 * SNAPSHOT_EVERY));
        }
        next = upto + 1;
    }
}

fn start(dir: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().expect("this test"));
    child.args(["--exact", "crash::child", "--nocapture", "--test-threads", "1"]).env(DIR, dir);
    child.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the child starts")
}

/// Reads up to `lines` acknowledgements and kills the child at once after. The last index that it was heard to
/// acknowledge; lines still in the pipe count too.
fn kill_after(mut child: Child, lines: u64) -> u64 {
    let mut out = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut acknowledged = 0;
    let mut heard = 0;
    for line in &mut out {
        if let Some(index) = line.expect("text").strip_prefix("acknowledged ") {
            acknowledged = index.parse().expect("an index");
            heard += 1;
        }
        if heard == lines {
            child.kill().expect("it can be killed");
        }
    }
    child.wait().expect("it has ended");
    assert!(heard >= lines, "the child ended by itself");
    acknowledged
}

#[test]
fn whatever_was_acknowledged_is_there_after_a_kill() {
    let seed = std::env::var("MESH_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    println!("repeat with MESH_TEST_SEED={seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let disk = Disk::new();
    for round in 0..ROUNDS {
        let acknowledged = kill_after(start(disk.dir.path()), random.random_range(1..LINES_MAX));
        let opened = disk.open().unwrap_or_else(|error| panic!("round {round}: {error}"));
        let last = opened.wal.state().last.expect("entries").index;
        assert!(last >= acknowledged, "round {round}: {acknowledged} was acknowledged, the log ends at {last}");
        opened.assert_is_whole(last);
        if random.random_bool(0.3) {
            drop(opened);
            std::fs::remove_dir_all(disk.path("state")).expect("removed");
            disk.open().expect("it opens").assert_is_whole(last);
        }
    }
    disk.assert_alive();
}

#[test]
fn a_vote_that_was_acknowledged_is_there_after_a_restart() {
    use mesh_coordinator::store::position::Ballot;
    let disk = Disk::new();
    for term in 1..20 {
        let opened = disk.open().expect("it opens");
        let ballot = Ballot { term, node: term % 3 + 1, committed: term % 2 == 0 };
        durable(|synced| opened.wal.save_vote(ballot, synced));
        drop(opened);
        assert_eq!(disk.wal().expect("it opens").state().vote, Some(ballot));
    }
}
