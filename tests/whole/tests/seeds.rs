//! The seeds of `make test`, and that a judge can fail.

use std::process::{Command, Output};

use serde_json::Value;

/// Each hundredth runs twice. `MESH_WHOLE_SEEDS=n` plays more.
const SEEDS: u64 = 200;
const LYING_SEEDS: u64 = 20;

fn swarm(seeds: u64, more: &[&str]) -> (Output, Value) {
    let jobs = std::thread::available_parallelism().map_or(2, usize::from);
    let mut command = Command::new(env!("CARGO_BIN_EXE_mesh-whole"));
    command.args(["swarm", "--seeds", &seeds.to_string(), "--jobs", &jobs.to_string()]).args(more);
    let output = command.output().expect("it starts");
    let report = serde_json::from_slice(&output.stdout).expect("one JSON object");
    (output, report)
}

#[test]
fn the_whole_system_keeps_its_word_in_every_seed_and_each_hundredth_is_the_same_twice() {
    let wanted = std::env::var("MESH_WHOLE_SEEDS").map_or(SEEDS, |seeds| seeds.parse().expect("a number of seeds"));
    let (output, report) = swarm(wanted, &[]);
    println!("{report}");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(report["seeds"], wanted);
    assert_eq!(report["same_trace_twice"], wanted / 100);
}

#[test]
fn a_disk_that_says_it_has_synced_and_has_not_is_found() {
    let (output, report) = swarm(LYING_SEEDS, &["--lying-disks"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{report}");
    assert!(told.contains("DurableAck"), "{told}");
}
