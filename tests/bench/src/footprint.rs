//! `footprint_*`: the demo's mesh at rest, its service applied and its probes running, beside etcd at rest.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use meshctl::demo::child::Processes;
use meshctl::demo::configs::Layout;
use meshctl::demo::stand::{Stand, Story};
use meshctl::output::Output;
use serde_json::json;

use crate::etcd::{Etcd, Security};
use crate::procfs::{cpu_seconds, rss_mb, threads};
use crate::report;
use crate::site::Site;
use crate::stats::{median, rounded};

/// Start-up is over: manifests are applied, first probes made.
const SETTLE: Duration = Duration::from_secs(10);
const AGENT_MB_GOAL: f64 = 20.0;
const COORDINATOR_MB_GOAL: f64 = 40.0;

#[derive(Debug)]
struct Weight {
    rss_mb: f64,
    rss_mb_all: Vec<f64>,
    cpu_percent: f64,
    threads: usize,
    binary_mb: f64,
}

pub async fn run(site: &Site, window: Duration) -> anyhow::Result<()> {
    let dir = site.dir()?;
    let output = Output::new(true);
    let story = Story { output: &output, began: Instant::now() };
    let programs = site.programs.clone();
    let stand = Stand::raise(dir.path(), programs, || Processes::tied_to_us(&site.programs), &story).await?;
    let layout = Layout { dir: dir.path().to_owned() };
    let etcd = match site.etcd {
        Some(_) => Some(Etcd::start(site, &layout, Security::MutualTls, None).await.context("etcd")?),
        None => None,
    };
    tokio::time::sleep(SETTLE).await;
    let named = |prefix: &str| -> Vec<u32> {
        stand.mesh.all.iter().filter(|process| process.name.starts_with(prefix)).map(|p| p.pid()).collect()
    };
    let (coordinators, agents) = (named("coordinator-"), named("agent-"));
    let etcds = etcd.as_ref().map(Etcd::pids).unwrap_or_default();
    let all: Vec<u32> = coordinators.iter().chain(&agents).chain(&etcds).copied().collect();
    let before = all.iter().map(|pid| cpu_seconds(*pid)).collect::<anyhow::Result<Vec<_>>>()?;
    tokio::time::sleep(window).await;
    let mut spent = std::collections::BTreeMap::new();
    for (pid, before) in all.iter().zip(before) {
        spent.insert(*pid, (cpu_seconds(*pid)? - before) / window.as_secs_f64() * 100.0);
    }
    let weigh = |pids: &[u32], program: &Path| -> anyhow::Result<Weight> {
        let rss = pids.iter().map(|pid| rss_mb(*pid)).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Weight {
            rss_mb: rss.iter().copied().fold(0.0, f64::max),
            rss_mb_all: rss.iter().map(|mb| rounded(*mb, 1)).collect(),
            cpu_percent: median(pids.iter().filter_map(|pid| spent.get(pid).copied())),
            threads: pids.first().map_or(Ok(0), |pid| threads(*pid))?,
            binary_mb: std::fs::metadata(program)?.len() as f64 / (1024.0 * 1024.0),
        })
    };
    let coordinator = weigh(&coordinators, &site.programs.coordinator)?;
    let agent = weigh(&agents, &site.programs.agent)?;
    let peer = match &site.etcd {
        Some(program) => Some(weigh(&etcds, program)?),
        None => None,
    };
    let name = match peer {
        Some(_) => format!("{} at rest", site.etcd_version()),
        None => "skipped: etcd is not installed (apt-get install etcd-server)".to_owned(),
    };
    let detail = |own: &Weight, goal: f64| {
        json!({
            "goal": goal, "all": own.rss_mb_all, "idle_cpu_percent": rounded(own.cpu_percent, 2),
            "threads": own.threads, "binary_mb": rounded(own.binary_mb, 1), "window_s": window.as_secs(),
            "skipped": u32::from(peer.is_none()),
            "peer_idle_cpu_percent": peer.as_ref().map(|peer| rounded(peer.cpu_percent, 2)),
            "peer_binary_mb": peer.as_ref().map(|peer| rounded(peer.binary_mb, 1)),
        })
    };
    let peer_rss = peer.as_ref().map(|peer| peer.rss_mb);
    let more = detail(&coordinator, COORDINATOR_MB_GOAL);
    report::line("footprint_coordinator", "MB RSS", coordinator.rss_mb, &name, peer_rss, more);
    let more = detail(&agent, AGENT_MB_GOAL);
    report::line("footprint_agent", "MB RSS", agent.rss_mb, &name, peer_rss, more);
    Ok(())
}
