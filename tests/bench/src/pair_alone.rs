//! What the same PostgreSQL pair needs without a mesh: of a promotion after the primary's death, and of a planned move by hand.

use std::time::{Duration, Instant};

use anyhow::Context;
use mesh_support::postgres::{Pace, Pair, Settings, Writer};

use crate::stats::median;

const WARM_UP: usize = 50;
const PACE: Pace = Pace { from: 1, every: Duration::from_millis(5), again_after: Duration::from_millis(10) };

fn settings() -> Settings {
    Settings { fsync: true, trust: true, ..Settings::default() }
}

async fn pair() -> anyhow::Result<(Pair, Writer)> {
    let pair = Pair::start_with(&settings()).await.context("PostgreSQL is not installed")?;
    let writer = Writer::begin(vec![pair.primary.address(), pair.replica.address()], PACE);
    writer.until(|written| written.len() > WARM_UP).await;
    Ok((pair, writer))
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// Milliseconds from `pg_promote` to the first write, after the primary was killed: the median of so many.
pub fn promotion(times: u32) -> anyhow::Result<f64> {
    let mut all = Vec::new();
    for _ in 0..times {
        all.push(block_on(async {
            let (mut pair, writer) = pair().await?;
            pair.primary.kill();
            // The replica notices that its primary is gone, as it does during a lease wait.
            tokio::time::sleep(Duration::from_secs(1)).await;
            let began = Instant::now();
            pair.replica.sql("SELECT pg_promote(false)").await?;
            writer.until_written_at(pair.replica.address()).await;
            let first = writer.moments().into_iter().map(|(_, at)| at).find(|at| *at > began);
            Ok(first.context("it was written")?.duration_since(began).as_secs_f64() * 1e3)
        })?);
    }
    Ok(median(all))
}

/// Milliseconds without a write: the primary is stopped and the replica promoted, by hand.
pub fn switchover() -> anyhow::Result<f64> {
    block_on(async {
        let (mut pair, writer) = pair().await?;
        pair.primary.stop();
        pair.replica.sql("SELECT pg_promote(true)").await?;
        writer.until_written_at(pair.replica.address()).await;
        Ok(writer.gap().as_secs_f64() * 1e3)
    })
}
