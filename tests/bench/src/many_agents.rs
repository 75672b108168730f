//! `many_agents`: simulated agents' sessions over real gRPC, each with its own certificate and connection, into three
//! coordinators on this machine. How long a verdict takes, and what the agents cost, at growing numbers of them.
//!
//! One service with one check in two regions. Each agent pings and tells both its signals once a second, at its own
//! moment of the second. An episode: the check fails in the active region, every agent sees it at its next probe, and the
//! leader logs the verdict when `status` can show it. The floor is the telling of the observer that completes the quorum;
//! what comes after is the coordinators' own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use mesh_proto::v1;
use mesh_proto::v1::operator_client::OperatorClient;
use mesh_runtime::files;
use meshctl::demo::configs::Layout;
use serde_json::{Value, json};

use crate::mesh::Mesh;
use crate::procfs::{cpu_seconds, rss_mb};
use crate::report;
use crate::site::Site;
use crate::stats::{Round, median, rounded};

mod crowd;
mod session;
mod verdicts;

use crowd::Crowd;
use session::{ABOUT, CHECK, ELSEWHERE, SERVICE, SUSTAINED, Scene};
use verdicts::Verdicts;

/// A leader counts all registered agents until then, and the crowd has found its rhythm.
const SETTLE: Duration = Duration::from_secs(8);
const VERDICT_WITHIN: Duration = Duration::from_secs(60);
/// Episodes begin at different moments of the second.
const STAGGER: Duration = Duration::from_millis(1370);
/// How often status and why-not are asked.
const ASKED: u32 = 5;
/// Each agent tells one of each region.
const SIGNALS_PER_S: f64 = 2.0;
/// Of this process beside the connections.
const OTHER_FILES: u64 = 256;

/// What one size came to.
struct Measured {
    agents: usize,
    certificates: Duration,
    joined: Duration,
    /// In milliseconds: of the coordinators together, and of this process.
    joining_cpu_ms: (f64, f64),
    retries: u64,
    lost: u64,
    /// Of the leader, then of the others.
    cpu_ms_per_s: Vec<f64>,
    rss_mb: Vec<f64>,
    simulator_cpu_ms_per_s: f64,
    total: Round,
    own: Round,
    pongs: Round,
    status_ms: f64,
    why_not_ms: f64,
    load: f64,
}

pub async fn run(site: &Site, sizes: &[usize], episodes: u32, window: Duration) -> anyhow::Result<()> {
    let most = sizes.iter().max().context("no sizes")?;
    let wanted = u64::try_from(*most)?.saturating_add(OTHER_FILES);
    let files = files::raise_limit(wanted);
    ensure!(files >= wanted, "{files} files may be open here, {wanted} are needed: raise the hard limit (ulimit -Hn)");
    let mut smallest = None;
    for agents in sizes {
        let measured = measure(site, *agents, episodes, window).await.with_context(|| format!("{agents} agents"))?;
        tell(&measured, smallest.as_ref());
        smallest = smallest.or(Some(measured));
    }
    Ok(())
}

async fn measure(site: &Site, agents: usize, episodes: u32, window: Duration) -> anyhow::Result<Measured> {
    let dir = site.dir()?;
    let mut mesh = Mesh::start(site, dir.path(), None).await?;
    let layout = Layout { dir: dir.path().to_owned() };
    let leader = mesh.until_whole().await?;
    apply(&mesh, leader).await?;
    let scene = Arc::new(Scene::default());
    let began = Instant::now();
    let made = Crowd::make(&layout, agents)?;
    let certificates = began.elapsed();
    let (began, pids) = (Instant::now(), by_rank(&mesh, leader));
    let (before, own_before) = (spent(&pids)?, cpu_seconds(std::process::id())?);
    let crowd = Crowd::gather(made, mesh.address(leader)?, &scene).await?;
    let joined = began.elapsed();
    let joining: f64 = spent(&pids)?.iter().zip(&before).map(|(after, before)| after - before).sum();
    let joining_cpu_ms = (joining * 1e3, (cpu_seconds(std::process::id())? - own_before) * 1e3);
    tokio::time::sleep(SETTLE).await;
    scene.take_pongs();

    // It may have changed while they joined.
    let leader = mesh.leader().await?;

    let pids = by_rank(&mesh, leader);
    let before = spent(&pids)?;
    let own_before = cpu_seconds(std::process::id())?;
    tokio::time::sleep(window).await;
    let per_second = |before: f64, after: f64| (after - before) * 1e3 / window.as_secs_f64();
    let cpu_ms_per_s = before.iter().zip(spent(&pids)?).map(|(before, after)| per_second(*before, after)).collect();
    let simulator_cpu_ms_per_s = per_second(own_before, cpu_seconds(std::process::id())?);
    let rss_mb = pids.iter().map(|pid| rss_mb(*pid)).collect::<anyhow::Result<_>>()?;
    let pongs = Round { latencies: scene.take_pongs(), ..Round::default() };

    let log: PathBuf = layout.log(&Mesh::name(leader));
    let (mut total, mut own) = (Round::default(), Round::default());
    for nth in 0..episodes {
        let (from_failure, from_floor) = episode(&scene, &log).await.with_context(|| format!("episode {nth}"))?;
        total.latencies.push(from_failure);
        own.latencies.push(from_floor);
        tokio::time::sleep(STAGGER).await;
    }
    let mut client = OperatorClient::new(mesh.channel(leader)?);
    let (status_ms, why_not_ms) = (asked_status(&mut client).await?, asked_why_not(&mut client).await?);
    ensure!(mesh.leader().await? == leader, "the leader has changed");
    let (retries, lost) = crowd.dismiss();
    let load = std::fs::read_to_string("/proc/loadavg")?.split(' ').next().context("no load")?.parse()?;
    Ok(Measured {
        agents,
        certificates,
        joined,
        joining_cpu_ms,
        retries,
        lost,
        cpu_ms_per_s,
        rss_mb,
        simulator_cpu_ms_per_s,
        total,
        own,
        pongs,
        status_ms,
        why_not_ms,
        load,
    })
}

fn by_rank(mesh: &Mesh, leader: u64) -> Vec<u32> {
    let name = Mesh::name(leader);
    let (first, others): (Vec<_>, Vec<_>) = mesh.processes.all.iter().partition(|process| process.name == name);
    first.into_iter().chain(others).map(|process| process.pid()).collect()
}

fn spent(pids: &[u32]) -> anyhow::Result<Vec<f64>> {
    pids.iter().map(|pid| cpu_seconds(*pid)).collect()
}

async fn apply(mesh: &Mesh, leader: u64) -> anyhow::Result<()> {
    let source = format!(
        "apiVersion: mesh/v1\nservice: {SERVICE}\nwriter: multi\nobjectives: {{rto: 15m, rpo: 30s}}\n\
         regions: {{{ABOUT}: primary, {ELSEWHERE}: standby}}\n\
         checks:\n  - name: {CHECK}\n    http:\n      urls: {{{ABOUT}: http://a.example.com/, {ELSEWHERE}: http://b.example.com/}}\n\
         \x20   interval: 1s\n    timeout: 1s\npolicy: {{sustained: {}ms}}\n",
        SUSTAINED.as_millis()
    );
    let manifest = mesh_manifest::parse(&source, "bench")
        .map_err(|problems| anyhow::anyhow!("the bench's manifest: {problems:?}"))?;
    let manifest = Some(v1::Manifest::from(&manifest));
    let request = v1::ApplyManifestRequest { manifest, source, expected_version: 0 };
    OperatorClient::new(mesh.channel(leader)?).apply_manifest(request).await?;
    Ok(())
}

/// From the failure, and from the floor, to the verdict.
async fn episode(scene: &Scene, log: &std::path::Path) -> anyhow::Result<(Duration, Duration)> {
    let mut verdicts = Verdicts::from_now(log)?;
    let failed = scene.fail();
    let down = verdicts.until(ABOUT, "down", VERDICT_WITHIN).await?;
    let floor = scene.floor().context("a verdict before a quorum saw it")?;
    scene.heal();
    verdicts.until(ABOUT, "healthy", VERDICT_WITHIN).await?;
    // A log line has whole microseconds.
    Ok((down.saturating_sub(failed), down.saturating_sub(floor)))
}

async fn asked_status(client: &mut OperatorClient<tonic::transport::Channel>) -> anyhow::Result<f64> {
    let mut took = Vec::new();
    for _ in 0..ASKED {
        let began = Instant::now();
        let status = client.get_status(v1::GetStatusRequest { stale: false }).await?.into_inner();
        ensure!(!status.agents.is_empty(), "a status without agents");
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(median(took))
}

async fn asked_why_not(client: &mut OperatorClient<tonic::transport::Channel>) -> anyhow::Result<f64> {
    let mut took = Vec::new();
    for _ in 0..ASKED {
        let began = Instant::now();
        client.why_not(v1::WhyNotRequest { service: SERVICE.to_owned(), to: String::new() }).await?;
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(median(took))
}

fn tell(measured: &Measured, smallest: Option<&Measured>) {
    let agents = measured.agents as f64;
    let cpu: f64 = measured.cpu_ms_per_s.iter().sum();
    let all = |values: &[f64]| -> Value { values.iter().map(|value| rounded(*value, 1)).collect::<Vec<_>>().into() };
    let more = json!({
        "agents": measured.agents,
        "own_p50_ms": rounded(measured.own.percentile(50), 1), "own_p99_ms": rounded(measured.own.percentile(99), 1),
        "from_failure_p50_ms": rounded(measured.total.percentile(50), 0),
        "from_failure_p99_ms": rounded(measured.total.percentile(99), 0),
        "sustained_ms": SUSTAINED.as_millis(), "episodes": measured.own.latencies.len(),
        "cpu_ms_per_s_leader_first": all(&measured.cpu_ms_per_s), "cpu_ms_per_s": rounded(cpu, 1),
        "cpu_ms_per_s_per_agent": rounded(cpu / agents, 4),
        "cpu_us_per_signal": rounded(cpu * 1e3 / (agents * SIGNALS_PER_S), 1),
        "more_cpu_us_per_more_signal": more_than(smallest, measured, |of| of.cpu_ms_per_s.iter().sum::<f64>() * 1e3 / SIGNALS_PER_S),
        "more_leader_kb_per_more_session": more_than(smallest, measured, |of| of.rss_mb.first().copied().unwrap_or_default() * 1e3),
        "rss_mb_leader_first": all(&measured.rss_mb),
        "pong_p50_ms": rounded(measured.pongs.percentile(50), 1), "pong_p99_ms": rounded(measured.pongs.percentile(99), 1),
        "pongs": measured.pongs.latencies.len(),
        "status_ms": rounded(measured.status_ms, 1), "why_not_ms": rounded(measured.why_not_ms, 1),
        "certificates_s": rounded(measured.certificates.as_secs_f64(), 1),
        "joining_cpu_ms_per_agent": rounded(measured.joining_cpu_ms.0 / agents, 2),
        "joining_simulator_cpu_ms_per_agent": rounded(measured.joining_cpu_ms.1 / agents, 2),
        "joined_s": rounded(measured.joined.as_secs_f64(), 1), "join_retries": measured.retries,
        "sessions_lost": measured.lost, "simulator_cpu_ms_per_s": rounded(measured.simulator_cpu_ms_per_s, 1),
        "load": measured.load,
    });
    let name = format!("many_agents_{}", measured.agents);
    let peer = smallest.map(|smallest| smallest.own.percentile(50));
    report::line(&name, "ms", measured.own.percentile(50), "the smallest size of the same run", peer, more);
}

/// By how much it grew for each agent more.
fn more_than(smallest: Option<&Measured>, measured: &Measured, of: impl Fn(&Measured) -> f64) -> Value {
    let Some(smallest) = smallest.filter(|smallest| smallest.agents < measured.agents) else { return Value::Null };
    rounded((of(measured) - of(smallest)) / (measured.agents - smallest.agents) as f64, 1).into()
}
