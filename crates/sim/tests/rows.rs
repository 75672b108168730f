//! The rows of docs/failure-model.md in simulation, each with every leader, over short and long distances.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that finds something else fails")]

use mesh_sim::MILLI;
use mesh_sim::rows::{ROWS, Row};

/// One way, in milliseconds: 60, 100 and 150 ms there and back.
const FAR: [u64; 3] = [30, 50, 75];

/// Each leader with a distance of its own; `MESH_SOAK_ROWS=all`: each with each.
fn play(row: &Row) {
    let all = std::env::var_os("MESH_SOAK_ROWS").is_some();
    for (nth, far) in FAR.into_iter().enumerate() {
        let leaders = (0..FAR.len()).filter(|leader| all || *leader == nth);
        for leader in leaders.map(|leader| row.leader.unwrap_or(leader)) {
            play_once(row, u64::try_from(100 + nth * 10 + leader).expect("few"), leader, far);
        }
    }
}

fn play_once(row: &Row, seed: u64, leader: usize, far: u64) {
    let seen = row.play(seed, leader, far * MILLI, None);
    let wrong = row.fits(&seen, leader);
    assert!(wrong.is_empty(), "{}, led by {leader}, {far} ms, seed {seed}: {wrong:?}", row.name);
    let of_links = seen.faults.iter().any(|fault| ["cut", "flap", "slow-link", "lossy-link"].contains(fault));
    assert!((row.faults)().is_empty() || !seen.faults.is_empty(), "{}: nothing happened", row.name);
    assert!(!of_links || seen.met > 0, "{}: the fault met nothing", row.name);
}

#[test]
fn what_is_no_loss_of_the_primary_moves_nothing() {
    let rows: Vec<&Row> = ROWS.iter().filter(|row| !row.moves).collect();
    assert!(rows.len() >= 30, "{} rows", rows.len());
    rows.into_iter().for_each(play);
}

#[test]
fn a_lost_primary_is_left_once_and_only_one_region_ever_writes() {
    let rows: Vec<&Row> = ROWS.iter().filter(|row| row.moves).collect();
    assert!(rows.len() >= 7, "{} rows", rows.len());
    rows.into_iter().for_each(play);
}
