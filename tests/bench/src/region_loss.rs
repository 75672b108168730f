//! `region_loss`: a region with the primary of a real PostgreSQL pair is cut off from the others, at once and for good.
//! How long until the mesh calls it down, has committed its decision, and the other region takes the first write.
//!
//! Each run has a mesh of its own: three coordinators, six agents, two servers, two proxies, in network namespaces joined by
//! a network with these round trips. Several run side by side, since a run is waiting. An application in each region writes
//! through its region's proxy, with a time-out of 2 s a write, which no write of this bench comes near: none leaves its region.

use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use mesh_core::lease::stretched;
use mesh_core::run::Run;
use mesh_core::time::{Timestamp, duration_millis};
use mesh_runtime::clock::unix_now;
use mesh_suite::orders::{Fast, Orders, PRIMARY, REGIONS, STANDBY, Setting};
use mesh_support::postgres::{Pair, Written};
use meshctl::demo::child::Programs;
use meshctl::render::why;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::pair_alone;
use crate::report;
use crate::rtt::Rtt;
use crate::site::Site;
use crate::stats::{at_percent, rounded};

/// Without a write by then the service counts as not recovered. Several times the slowest goal.
const RECOVERED_WITHIN: Duration = Duration::from_secs(60);
const ENDS_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
/// Of a mesh that did not come up, on a busy machine; not of a run that began.
const RAISES_MAX: u32 = 3;
const GOAL_MS: [(Leader, f64); 2] = [(Leader::Elsewhere, 8_000.0), (Leader::Lost, 12_000.0)];

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Leader {
    /// In one of the two other regions, in turns.
    Elsewhere,
    /// In the lost region.
    Lost,
}

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Of each round trip and place of the leader.
    #[arg(long, default_value_t = 30)]
    runs: u32,
    /// Milliseconds: `60` between all regions, or `60/100/150`: first and second, first and third, second and third.
    #[arg(long, value_delimiter = ',', default_value = "60,100,150")]
    rtt: Vec<Rtt>,
    #[arg(long, value_delimiter = ',', default_value = "elsewhere,lost")]
    leader: Vec<Leader>,
    /// Meshes at a time.
    #[arg(long, default_value_t = 4)]
    side_by_side: usize,
    #[arg(long, default_value_t = 3000)]
    sustained_ms: u64,
    #[arg(long, default_value_t = 5000)]
    lease_ms: u64,
    #[arg(long, default_value_t = 1000)]
    margin_ms: u64,
    #[arg(long, default_value_t = 1000)]
    reaction_ms: u64,
    /// Every run as a line on stderr.
    #[arg(long)]
    each: bool,
}

impl Options {
    fn terms(&self) -> Fast {
        let ms = Duration::from_millis;
        Fast {
            sustained: ms(self.sustained_ms),
            lease: ms(self.lease_ms),
            margin: ms(self.margin_ms),
            reaction: ms(self.reaction_ms),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Trial {
    rtt: Rtt,
    leader: Leader,
    nth: u32,
}

/// Milliseconds since the cut.
#[derive(Clone, Debug, Default)]
struct Seen {
    elected: Option<f64>,
    verdict: Option<f64>,
    decision: Option<f64>,
    closed: Option<f64>,
    granted: Option<f64>,
    first_write: Option<f64>,
    /// The last write in the lost region.
    last_write: Option<f64>,
    two_writers: bool,
    /// Acknowledged before the cut, and not in the new primary.
    lost_rows: usize,
    timeline: Vec<String>,
}

type Done = (Trial, Result<Seen, String>);

pub fn run(site: &Site, options: &Options) -> anyhow::Result<()> {
    if let Some(reason) = Orders::skip_reason() {
        eprintln!("bench: region_loss is skipped: {reason}");
        return Ok(());
    }
    let promotion = pair_alone::promotion(5)?;
    let results = all(site, options)?;
    for rtt in &options.rtt {
        for leader in &options.leader {
            let of = results.iter().filter(|(trial, _)| trial.rtt == *rtt && trial.leader == *leader);
            tell(options, (*rtt, *leader), promotion, &of.map(|(_, seen)| seen).collect::<Vec<_>>());
        }
    }
    Ok(())
}

/// Every trial once, several at a time.
fn all(site: &Site, options: &Options) -> anyhow::Result<Vec<Done>> {
    let mut trials = Vec::new();
    for nth in 0..options.runs {
        for rtt in &options.rtt {
            trials.extend(options.leader.iter().map(|leader| Trial { rtt: *rtt, leader: *leader, nth }));
        }
    }
    let count = trials.len();
    trials.reverse();
    let queue = Arc::new(Mutex::new(trials));
    let (told, results) = mpsc::channel();
    let mut threads = Vec::new();
    for _ in 0..options.side_by_side.max(1) {
        let (queue, told) = (Arc::clone(&queue), told.clone());
        let (programs, terms) = (site.programs.clone(), options.terms());
        let thread = std::thread::Builder::new().name("mesh".to_owned());
        threads.push(thread.spawn(move || {
            let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
            while let Some(trial) = next() {
                if told.send((trial, one(&programs, terms, trial))).is_err() {
                    return;
                }
            }
        })?);
    }
    drop(told);
    let mut done = Vec::new();
    for (trial, seen) in results {
        done.push((trial, seen));
        let (_, seen) = done.last().context("it was just pushed")?;
        if options.each {
            eprintln!("{}", of_one(trial, seen));
        }
        eprintln!("bench: region_loss {} of {count}", done.len());
    }
    for thread in threads {
        if thread.join().is_err() {
            bail!("a thread of region_loss has panicked");
        }
    }
    Ok(done)
}

/// `Err`: the mesh did not come up, so nothing was measured.
fn one(programs: &Programs, terms: Fast, trial: Trial) -> Result<Seen, String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let setting = Setting { round_trips: trial.rtt.round_trips(), automatic: "full", terms, fsync: true };
    runtime.block_on(async {
        let mut last = String::new();
        for _ in 0..RAISES_MAX {
            match ready(programs, &setting, trial).await {
                Ok(orders) => return Ok(lose(&orders).await),
                Err(why) => last = why,
            }
        }
        Err(last)
    })
}

async fn ready(programs: &Programs, setting: &Setting, trial: Trial) -> Result<Orders, String> {
    let orders = Orders::raise(programs, setting).await?;
    let [_, standby, witness] = REGIONS;
    let leads = match trial.leader {
        Leader::Lost => PRIMARY,
        Leader::Elsewhere if trial.nth.is_multiple_of(2) => standby,
        Leader::Elsewhere => witness,
    };
    orders.lead_from(leads).await?;
    orders.until_well().await?;
    // Not in step with the probes' turns.
    tokio::time::sleep(Duration::from_millis(1_000 + u64::from(trial.nth % 10) * 100)).await;
    match orders.leading_region().await {
        Some(region) if region == leads => Ok(orders),
        other => Err(format!("{leads} was to lead, and {other:?} does")),
    }
}

async fn lose(orders: &Orders) -> Seen {
    let acknowledged = orders.application(PRIMARY).writer.acknowledged();
    let (cut, cut_at) = (Instant::now(), unix_now());
    orders.isolate(PRIMARY);
    let target = orders.application(STANDBY);
    while target.first().is_none() && cut.elapsed() < RECOVERED_WITHIN {
        tokio::time::sleep(POLL).await;
    }
    let since = |at: Instant| at.saturating_duration_since(cut).as_secs_f64() * 1e3;
    let mut seen = Seen { first_write: target.first().map(since), ..Seen::default() };
    // What the old region may still do would show by now.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let last = orders.application(PRIMARY).last();
    seen.last_write = last.map(since);
    seen.two_writers = target.first().zip(last).is_some_and(|(first, last)| last >= first);
    let held = if seen.first_write.is_some() { Pair::written(&orders.pair.replica).await } else { Written::default() };
    seen.lost_rows = acknowledged.0.difference(&held.0).count();
    seen.elected = elected(orders, cut_at);
    if let Some(run) = orders.newest_run().await {
        match orders.until_settled(&run, ENDS_WITHIN).await {
            Ok(run) => note(&mut seen, &run, cut_at),
            Err(why) => seen.timeline.push(why),
        }
    } else {
        seen.timeline.push(orders.ctl(&["why-not", mesh_suite::orders::SERVICE]).await.unwrap_or_else(|why| why));
    }
    seen
}

fn note(seen: &mut Seen, run: &Run, cut: Timestamp) {
    let since = |at: Timestamp| duration_millis(at.since(cut)) as f64;
    seen.verdict = why::cause(run).map(|judged| since(judged.at));
    seen.decision = Some(since(run.started_at));
    let told = |text: &str| run.timeline.iter().find(|entry| entry.text.contains(text)).map(|entry| since(entry.at));
    seen.closed = told("its lease ended");
    seen.granted = told("has write authority at generation");
    seen.timeline = run.timeline.iter().map(|entry| format!("{:.0} {}", since(entry.at), entry.text)).collect();
}

/// The first "leading" in the logs of the two regions that are left.
fn elected(orders: &Orders, cut: Timestamp) -> Option<f64> {
    let others = REGIONS.iter().filter(|region| **region != PRIMARY);
    let moments = others.flat_map(|region| {
        let logs = orders.logs(region);
        let lines: Vec<Value> = logs.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        lines.into_iter().filter(is_leading).filter_map(|line| at(&line)).collect::<Vec<_>>()
    });
    moments.map(|at| at - cut.as_millis() as f64).filter(|ms| *ms > 0.0).min_by(f64::total_cmp)
}

fn is_leading(line: &Value) -> bool {
    line["message"].as_str() == Some("leading")
}

/// Milliseconds since 1970; RFC 3339, as the logs have it.
fn at(line: &Value) -> Option<f64> {
    let moment = OffsetDateTime::parse(line["timestamp"].as_str()?, &Rfc3339).ok()?;
    Some(moment.unix_timestamp_nanos() as f64 / 1e6)
}

fn of_one(trial: Trial, seen: &Result<Seen, String>) -> Value {
    let leader = format!("{:?}", trial.leader).to_lowercase();
    match seen {
        Ok(seen) => json!({
            "rtt": trial.rtt.to_string(), "leader": leader, "elected": seen.elected, "verdict": seen.verdict,
            "decision": seen.decision, "closed": seen.closed, "granted": seen.granted, "first_write": seen.first_write,
            "last_write": seen.last_write, "two_writers": seen.two_writers, "lost_rows": seen.lost_rows,
            "timeline": seen.timeline,
        }),
        Err(why) => json!({ "rtt": trial.rtt.to_string(), "leader": leader, "not_raised": why }),
    }
}

fn tell(options: &Options, (rtt, leader): (Rtt, Leader), promotion: f64, results: &[&Result<Seen, String>]) {
    let seen: Vec<&Seen> = results.iter().filter_map(|result| result.as_ref().ok()).collect();
    let recovered: Vec<&&Seen> = seen.iter().filter(|seen| seen.first_write.is_some()).collect();
    let all = |of: fn(&Seen) -> Option<f64>| recovered.iter().filter_map(|seen| of(seen)).collect::<Vec<f64>>();
    let both = |values: &[f64]| json!({ "p50": rounded(at_percent(values, 50), 0), "p99": rounded(at_percent(values, 99), 0) });
    let terms = options.terms();
    let lease_wait = stretched(terms.lease) + terms.margin + stretched(terms.reaction);
    let wait = terms.sustained.max(lease_wait).as_secs_f64() * 1e3;
    // A commit takes a round trip to the nearest other coordinator that is left, and there is one.
    let floor = wait + 2.0 * rtt.of_the_others() + promotion;
    let first = all(|seen| seen.first_write);
    let overheads: Vec<f64> = first.iter().map(|first| first - floor).collect();
    let goal = GOAL_MS.iter().find(|(of, _)| *of == leader).map_or(f64::NAN, |(_, goal)| *goal);
    let elections = all(|seen| seen.elected);
    let after_election: Vec<f64> =
        recovered.iter().filter_map(|seen| Some(seen.first_write? - seen.elected? - floor)).collect();
    let more = json!({
        "rtt_ms": rtt.to_string(), "leader": format!("{leader:?}").to_lowercase(), "runs": seen.len(),
        "not_recovered": seen.len() - recovered.len(), "not_raised": results.len() - seen.len(),
        "two_writers": seen.iter().filter(|seen| seen.two_writers).count(),
        "first_write": both(&first), "verdict": both(&all(|seen| seen.verdict)),
        "decision": both(&all(|seen| seen.decision)), "closed": both(&all(|seen| seen.closed)),
        "granted": both(&all(|seen| seen.granted)), "elected": both(&elections),
        "writes_end": both(&all(|seen| seen.last_write)), "overhead": both(&overheads),
        "overhead_after_election": both(&after_election), "lost_rows": both(&all(|seen| Some(seen.lost_rows as f64))),
        "goal_ms": goal, "beyond_goal": first.iter().filter(|first| **first > goal).count() + (seen.len() - recovered.len()),
        "terms": { "sustained_ms": options.sustained_ms, "lease_ms": options.lease_ms, "margin_ms": options.margin_ms,
            "reaction_ms": options.reaction_ms },
        "side_by_side": options.side_by_side, "promotion_alone_ms": rounded(promotion, 0),
        "all": first.iter().map(|first| rounded(*first, 0)).collect::<Vec<_>>(),
    });
    let peer =
        "floor: the longer of detection window and lease wait, two commits' round trips, PostgreSQL's own promotion";
    report::line("region_loss", "ms", at_percent(&first, 50), peer, Some(floor), more);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_s_moment_is_that_of_the_clock() {
        let line = json!({ "timestamp": "2024-02-29T12:34:56.789Z" });
        assert_eq!(at(&line).map(f64::round), Some(1_709_210_096_789.0));
    }
}
