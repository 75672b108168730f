//! `commit_1_client`, `commit_64_clients`: all clients at the leader, each with its own connection; rounds of the mesh
//! and of etcd take turns, so that whatever else the machine does meets both.

use std::time::Duration;

use anyhow::Context;
use meshctl::demo::configs::Layout;
use serde_json::{Value, json};

use crate::etcd::{Etcd, PutClient, Security};
use crate::fsyncs;
use crate::load::{Client, round};
use crate::mesh::{COMMAND_BYTES, ManifestClient, Mesh};
use crate::report;
use crate::site::Site;
use crate::stats::{Round, median, rounded};

/// fsyncs are counted in a round of their own, so that counting disturbs no figure.
const COUNTED: Duration = Duration::from_secs(2);

#[derive(Default)]
struct Measured {
    rounds: Vec<Round>,
    fsyncs: Option<f64>,
    ranges: Option<f64>,
    uncounted: Option<String>,
}

impl Measured {
    fn per_second(&self) -> f64 {
        median(self.rounds.iter().map(Round::per_second))
    }

    fn percentile(&self, percent: usize) -> f64 {
        median(self.rounds.iter().map(|round| round.percentile(percent)))
    }

    fn failed(&self) -> u64 {
        self.rounds.iter().map(|round| round.failed).sum()
    }

    fn value(&self) -> Value {
        json!({
            "per_second": rounded(self.per_second(), 1),
            "p50_ms": rounded(self.percentile(50), 3),
            "p99_ms": rounded(self.percentile(99), 3),
            "rounds_per_second": self.rounds.iter().map(|round| rounded(round.per_second(), 0)).collect::<Vec<_>>(),
            "fsyncs_per_commit": self.fsyncs.map(|fsyncs| rounded(fsyncs, 3)),
            "sync_file_range_per_commit": self.ranges.map(|ranges| rounded(ranges, 3)),
            "uncounted": self.uncounted,
            "failed": self.failed(),
        })
    }
}

pub async fn run(site: &Site, rounds: u32, lasting: Duration) -> anyhow::Result<()> {
    let dir = site.dir()?;
    let mut mesh = Mesh::start(site, dir.path(), None).await?;
    let layout = Layout { dir: dir.path().to_owned() };
    let (mut secured, mut plain) = (None, None);
    if site.etcd.is_some() {
        secured = Some(Etcd::start(site, &layout, Security::MutualTls, None).await.context("etcd with TLS")?);
        plain = Some(Etcd::start(site, &layout, Security::None, None).await.context("etcd without TLS")?);
    }
    let mut first = 0;
    for (bench, clients) in [("commit_1_client", 1), ("commit_64_clients", 64)] {
        let leader = mesh.until_whole().await?;
        let own: Vec<ManifestClient> =
            (first..first + clients).map(|number| mesh.client(leader, number)).collect::<anyhow::Result<_>>()?;
        first += clients;
        let (pids, mut own) = (mesh.pids(), Side::new(own));
        let mut peers = Vec::new();
        for etcd in [&mut secured, &mut plain].into_iter().flatten() {
            let leader = etcd.until_whole().await?;
            let clients: Vec<PutClient> =
                (0..clients).map(|number| etcd.client(leader, number)).collect::<anyhow::Result<_>>()?;
            peers.push((Side::new(clients), etcd.pids()));
        }
        for _ in 0..rounds {
            own.measure(lasting).await?;
            for (peer, _) in &mut peers {
                peer.measure(lasting).await?;
            }
        }
        own.count(&pids).await?;
        for (peer, pids) in &mut peers {
            peer.count(pids).await?;
        }
        let mut peers = peers.into_iter().map(|(side, _)| side.measured);
        print(site, bench, &own.measured, peers.next(), peers.next());
    }
    Ok(())
}

struct Side<C> {
    clients: Vec<C>,
    measured: Measured,
}

impl<C: Client> Side<C> {
    fn new(clients: Vec<C>) -> Self {
        Self { clients, measured: Measured::default() }
    }

    async fn measure(&mut self, lasting: Duration) -> anyhow::Result<()> {
        let (clients, measured) = round(std::mem::take(&mut self.clients), lasting).await?;
        self.clients = clients;
        self.measured.rounds.push(measured);
        Ok(())
    }

    /// Counts while all clients commit; the window lies within the load.
    async fn count(&mut self, pids: &[u32]) -> anyhow::Result<()> {
        let counting = async {
            tokio::time::sleep(Duration::from_millis(250)).await;
            match fsyncs::begin(pids, COUNTED) {
                Ok(counting) => counting.end().await,
                Err(reason) => Err(reason),
            }
        };
        let loading = round(std::mem::take(&mut self.clients), COUNTED);
        let (loaded, counted) = tokio::join!(loading, counting);
        let (clients, loaded) = loaded?;
        self.clients = clients;
        let commits = loaded.per_second() * COUNTED.as_secs_f64();
        match counted {
            Ok((fsyncs, ranges)) => {
                self.measured.fsyncs = Some(fsyncs as f64 / commits);
                self.measured.ranges = Some(ranges as f64 / commits);
            }
            Err(reason) => self.measured.uncounted = Some(reason),
        }
        Ok(())
    }
}

fn print(site: &Site, bench: &str, own: &Measured, secured: Option<Measured>, plain: Option<Measured>) {
    let version = site.etcd_version();
    let ratio = |percent: usize| {
        let peer = secured.as_ref()?.percentile(percent);
        Some(rounded(own.percentile(percent) / peer, 3))
    };
    let more = json!({
        "skipped": u32::from(secured.is_none()),
        "own": own.value(),
        "p50_ratio": ratio(50),
        "p99_ratio": ratio(99),
        "etcd_tls": secured.as_ref().map(Measured::value),
        "etcd_plain": plain.as_ref().map(Measured::value),
        "ratio_to_plain": plain.as_ref().map(|plain| rounded(own.per_second() / plain.per_second(), 3)),
        "command_bytes": COMMAND_BYTES,
        "command": "ApplyManifest over mutual TLS, to the leader; audit and apply on; release build",
    });
    let peer = match &secured {
        Some(_) => format!("{version}, three nodes over mutual TLS, 256-byte put at the leader"),
        None => "skipped: etcd is not installed (apt-get install etcd-server)".to_owned(),
    };
    report::line(bench, "commits/s", own.per_second(), &peer, secured.as_ref().map(Measured::per_second), more);
}
