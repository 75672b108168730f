//! The write gap of a planned switchover: by the mesh's actions alone, and by PostgreSQL alone, on the same machine.
//!
//! `cargo run -p mesh-providers --example postgres_gap -- [ROUNDS]`. One writer, one row a transaction, commits on disk.

#[path = "../tests/postgres/rig.rs"]
#[expect(dead_code, clippy::panic, reason = "the tests use more of it, and may end so")]
mod rig;

use std::time::{Duration, Instant};

use mesh_providers::PostgresConfig;
use mesh_support::postgres::{Pair, Settings};
use rig::Rig;

const WARM_UP: usize = 200;

#[tokio::main]
async fn main() {
    let rounds = std::env::args().nth(1).and_then(|rounds| rounds.parse().ok()).unwrap_or(5);
    let (mut actions, mut floor, mut steps) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let Some((gap, by_step)) = by_actions().await else { return };
        actions.push(gap);
        steps.push(by_step);
        let Some(gap) = by_postgres_alone().await else { return };
        floor.push(gap);
    }
    println!("write gap by the actions:       {}", told(&mut actions));
    println!("write gap by PostgreSQL alone:  {}", told(&mut floor));
    for (i, name) in ["look", "fence", "await-caught-up", "promote"].iter().enumerate() {
        let mut of: Vec<Duration> = steps.iter().filter_map(|by_step| by_step.get(i).copied()).collect();
        println!("  {name:16} {}", told(&mut of));
    }
}

fn told(gaps: &mut [Duration]) -> String {
    gaps.sort_unstable();
    let median = gaps.get(gaps.len() / 2).copied().unwrap_or_default();
    let all: Vec<String> = gaps.iter().map(|gap| gap.as_millis().to_string()).collect();
    format!("median {} ms of {} ({})", median.as_millis(), gaps.len(), all.join(" "))
}

fn on_disk() -> Settings {
    Settings { fsync: true, trust: true, ..Settings::default() }
}

async fn by_actions() -> Option<(Duration, Vec<Duration>)> {
    let rig = Rig::start_with(&on_disk(), PostgresConfig::default()).await?;
    let writer = rig.pair.writer().await;
    writer.until(|written| written.len() > WARM_UP).await;
    let mut run = rig.run(1);
    let mut by_step = Vec::new();
    let mut began = Instant::now();
    let mut lap = |by_step: &mut Vec<Duration>| {
        by_step.push(began.elapsed());
        began = Instant::now();
    };
    run.look().await;
    lap(&mut by_step);
    run.fence().await;
    lap(&mut by_step);
    run.await_caught_up().await;
    lap(&mut by_step);
    run.promote().await;
    lap(&mut by_step);
    writer.until_written_at(rig.pair.replica.address()).await;
    Some((writer.gap(), by_step))
}

/// As a person would: stop the primary, promote the replica.
async fn by_postgres_alone() -> Option<Duration> {
    let mut pair = Pair::start_with(&on_disk()).await?;
    let writer = pair.writer().await;
    writer.until(|written| written.len() > WARM_UP).await;
    pair.primary.stop();
    pair.replica.sql("SELECT pg_promote(true)").await.expect("it is promoted");
    writer.until_written_at(pair.replica.address()).await;
    Some(writer.gap())
}
