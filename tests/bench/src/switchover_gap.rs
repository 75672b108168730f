//! `switchover_gap`: the time without a write while a person moves the service with `meshctl failover`, and back after a
//! rejoin, beside PostgreSQL alone on the same machine in the same run.
//!
//! The gap is from the last write that the old region's application got acknowledged to the first of the new region's; both
//! write a row every 5 ms through their region's proxy, commits on disk.

use mesh_core::plan::PlanKind;
use mesh_core::run::RunState;
use mesh_suite::orders::{Orders, PRIMARY, STANDBY, Setting};
use mesh_suite::rig::describe;
use serde_json::json;
use std::time::{Duration, Instant};

use crate::pair_alone;
use crate::report;
use crate::rtt::Rtt;
use crate::site::Site;
use crate::stats::{at_percent, median, rounded};

const SETTLES_WITHIN: Duration = Duration::from_secs(60);
/// In the old region before, in the new one after.
const WRITES: usize = 50;
const GOAL_MS: f64 = 500.0;

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Moves for each round trip, there and back in turns.
    #[arg(long, default_value_t = 10)]
    runs: u32,
    /// Milliseconds: `0` between all regions, or `60/100/150`.
    #[arg(long, value_delimiter = ',', default_value = "0,60,100,150")]
    rtt: Vec<Rtt>,
    /// What the runs did, on stderr.
    #[arg(long)]
    each: bool,
}

pub fn run(site: &Site, options: &Options) -> anyhow::Result<()> {
    if let Some(reason) = Orders::skip_reason() {
        eprintln!("bench: switchover_gap is skipped: {reason}");
        return Ok(());
    }
    for rtt in &options.rtt {
        let alone: Vec<f64> = (0..options.runs).map(|_| pair_alone::switchover()).collect::<anyhow::Result<_>>()?;
        let (gaps, failed) = moves(site, options, *rtt)?;
        let more = json!({
            "rtt_ms": rtt.to_string(), "runs": gaps.len(), "failed": failed, "p99": rounded(at_percent(&gaps, 99), 0),
            "goal_ms": GOAL_MS, "beyond_goal": gaps.iter().filter(|gap| **gap > GOAL_MS).count(),
            "all": gaps.iter().map(|gap| rounded(*gap, 0)).collect::<Vec<_>>(),
            "peer_all": alone.iter().map(|gap| rounded(*gap, 0)).collect::<Vec<_>>(),
        });
        let peer = "PostgreSQL alone: stop -m fast, pg_promote by hand, no distance";
        report::line("switchover_gap", "ms", median(gaps), peer, Some(median(alone)), more);
    }
    Ok(())
}

fn moves(site: &Site, options: &Options, rtt: Rtt) -> anyhow::Result<(Vec<f64>, Vec<String>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let setting =
            Setting { round_trips: rtt.round_trips(), automatic: "off", terms: Default::default(), fsync: true };
        let orders = Orders::raise(&site.programs, &setting).await.map_err(anyhow::Error::msg)?;
        let (mut gaps, mut failed) = (Vec::new(), Vec::new());
        let (mut from, mut to) = (PRIMARY, STANDBY);
        for _ in 0..options.runs {
            match one(&orders, (from, to), options.each).await {
                Ok(gap) => gaps.push(gap),
                // What follows would start from somewhere else.
                Err(why) => {
                    failed.push(why);
                    break;
                }
            }
            (from, to) = (to, from);
        }
        Ok((gaps, failed))
    })
}

async fn one(orders: &Orders, (from, to): (&str, &str), each: bool) -> Result<f64, String> {
    let before = orders.application(to).writer.acknowledged().0.len();
    let began = Instant::now();
    orders.ctl(&["failover", "--to", to, "--yes"]).await?;
    orders.application(to).writer.until(|written| written.len() >= before + WRITES).await;
    let last = orders.application(from).last().ok_or("nothing was written before")?;
    let first = orders.application(to).first_after(began).ok_or("nothing was written after")?;
    if last >= first {
        return Err(format!("{from} took a write after {to} had begun"));
    }
    if each {
        tell(orders).await?;
    }
    orders.ctl(&["rejoin", from, "--yes"]).await?;
    orders.until_well().await?;
    Ok(first.duration_since(last).as_secs_f64() * 1e3)
}

/// The newest run's own account.
async fn tell(orders: &Orders) -> Result<(), String> {
    let run = orders.newest_run().await.ok_or("no run is known")?;
    let run = orders.until_settled(&run, SETTLES_WITHIN).await?;
    if run.plan.kind == PlanKind::Failover && run.state == RunState::Done {
        for entry in &run.timeline {
            eprintln!("{:6} ms  {}", entry.at.since(run.started_at).as_millis(), entry.text);
        }
        return Ok(());
    }
    Err(describe(&run))
}
