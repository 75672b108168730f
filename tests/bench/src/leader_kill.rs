//! `leader_kill`: SIGKILL of the leader until the next acknowledged commit, the mesh and etcd in turns.
//!
//! After the kill a commit is sent to each of the two other nodes every 10 ms, whether the earlier ones were answered
//! or not: a commit that waits for a dead leader hides none that follows it.

use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use meshctl::demo::configs::Layout;
use serde_json::json;
use tokio::task::JoinSet;
use tonic::Status;

use crate::etcd::{self, Etcd, Security};
use crate::mesh::{ManifestClient, Mesh, Timing};
use crate::report;
use crate::site::Site;
use crate::stats::{median, rounded};

const EVERY: Duration = Duration::from_millis(10);
const RECOVERED_WITHIN: Duration = Duration::from_secs(15);
/// Heartbeats have reached everyone again before the next kill.
const SETTLED_AFTER: Duration = Duration::from_secs(2);
/// etcd's own defaults; it waits for 1 to 2 election timeouts, at random, and so does the mesh here.
const SAME: Timing = Timing { heartbeat: 100, election_min: 1000, election_max: 2000 };

pub async fn run(site: &Site, kills: u32) -> anyhow::Result<()> {
    let (same, defaults) = (site.dir()?, site.dir()?);
    let mut tuned = MeshKills::new(Mesh::start(site, same.path(), Some(SAME)).await?);
    let mut own = MeshKills::new(Mesh::start(site, defaults.path(), None).await?);
    let mut peer = match site.etcd {
        Some(_) => Some(start_etcd(site, same.path()).await?),
        None => None,
    };
    let (mut tuned_gaps, mut own_gaps, mut peer_gaps) = (Gaps::default(), Gaps::default(), Gaps::default());
    for _ in 0..kills {
        tuned_gaps.note(tuned.kill().await?);
        if let Some(etcd) = &mut peer {
            peer_gaps.note(kill_etcd(etcd).await?);
        }
        own_gaps.note(own.kill().await?);
    }
    let name = match peer {
        Some(_) => format!("{} with TLS, heartbeat 100 ms, election timeout 1000 to 2000 ms", site.etcd_version()),
        None => "skipped: etcd is not installed (apt-get install etcd-server)".to_owned(),
    };
    for (bench, gaps, timing) in [
        ("leader_kill", &tuned_gaps, "heartbeat 100 ms, election timeout 1000 to 2000 ms"),
        ("leader_kill_own_defaults", &own_gaps, "heartbeat 300 ms, election timeout 1000 to 1500 ms"),
    ] {
        let more = json!({
            "timing": timing, "skipped": u32::from(peer.is_none()),
            "all": gaps.all(), "unrecovered": gaps.unrecovered,
            "peer_all": peer_gaps.all(), "peer_unrecovered": peer_gaps.unrecovered,
        });
        let peer_value = peer.as_ref().map(|_| peer_gaps.median());
        report::line(bench, "ms", gaps.median(), &name, peer_value, more);
    }
    Ok(())
}

async fn start_etcd(site: &Site, dir: &Path) -> anyhow::Result<Etcd> {
    let timing = Some((SAME.heartbeat, SAME.election_min));
    Etcd::start(site, &Layout { dir: dir.to_owned() }, Security::MutualTls, timing).await.context("etcd")
}

#[derive(Default)]
struct Gaps {
    recovered: Vec<f64>,
    unrecovered: u32,
}

impl Gaps {
    fn note(&mut self, gap: Option<Duration>) {
        match gap {
            Some(gap) => self.recovered.push(gap.as_secs_f64() * 1e3),
            None => self.unrecovered += 1,
        }
    }

    fn median(&self) -> f64 {
        median(self.recovered.iter().copied())
    }

    fn all(&self) -> Vec<f64> {
        self.recovered.iter().map(|gap| rounded(*gap, 0)).collect()
    }
}

struct MeshKills {
    mesh: Mesh,
    version: u64,
}

impl MeshKills {
    fn new(mesh: Mesh) -> Self {
        Self { mesh, version: 0 }
    }

    /// All probes of one kill are the same request: the first commits it, and the others hear that it is committed.
    async fn kill(&mut self) -> anyhow::Result<Option<Duration>> {
        let leader = self.mesh.until_whole().await?;
        let survivors = (1..=3).filter(|node| *node != leader);
        let mut clients = Vec::new();
        for node in survivors {
            let mut client = ManifestClient::new(self.mesh.channel(node)?, "bench-kill")?;
            client.version = self.version;
            clients.push(client);
        }
        let mut first = clients.first().context("two survive")?.clone();
        first.count_from(self.version + 1);
        let request = first.next()?;
        tokio::time::sleep(SETTLED_AFTER).await;
        let name = Mesh::name(leader);
        let killed = Instant::now();
        self.mesh.processes.kill(&name)?;
        let gap = probe(killed, &clients, |mut client: ManifestClient| {
            let request = request.clone();
            async move { client.send(request).await }
        });
        let gap = gap.await;
        self.mesh.processes.restart(&name)?;
        let leader = self.mesh.until_whole().await?;
        let mut client = ManifestClient::new(self.mesh.channel(leader)?, "bench-kill")?;
        client.version = self.version;
        client.send(request).await?;
        self.version = client.version;
        Ok(gap)
    }
}

async fn kill_etcd(etcd: &mut Etcd) -> anyhow::Result<Option<Duration>> {
    let leader = etcd.until_whole().await?;
    let channels: Vec<_> =
        (0..3).filter(|position| *position != leader).map(|at| etcd.channel(at)).collect::<anyhow::Result<_>>()?;
    tokio::time::sleep(SETTLED_AFTER).await;
    let name = etcd.name(leader).context("the leader has a name")?;
    let killed = Instant::now();
    etcd.processes.kill(&name)?;
    let gap = probe(killed, &channels, |channel| etcd::put(channel, b"bench-kill".to_vec(), vec![b' '; 256])).await;
    etcd.processes.restart(&name)?;
    etcd.until_whole().await?;
    Ok(gap)
}

/// From `killed` to the first commit that any of `targets` acknowledged.
async fn probe<T, F>(killed: Instant, targets: &[T], mut send: impl FnMut(T) -> F) -> Option<Duration>
where
    T: Clone,
    F: Future<Output = Result<(), Status>> + Send + 'static,
{
    let mut sent = JoinSet::new();
    let mut ticks = tokio::time::interval(EVERY);
    while killed.elapsed() < RECOVERED_WITHIN {
        tokio::select! {
            _ = ticks.tick() => {
                for target in targets {
                    sent.spawn(send(target.clone()));
                }
            }
            Some(ended) = sent.join_next() => {
                if matches!(ended, Ok(Ok(()))) {
                    return Some(killed.elapsed());
                }
            }
        }
    }
    None
}
