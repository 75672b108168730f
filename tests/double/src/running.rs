use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ::http::Request;
use anyhow::{Context as _, anyhow};
use axum::body::Bytes;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;

use crate::double::{Double, now_ms};
use crate::eks::ClusterKey;
use crate::world::World;
use crate::world::file::WorldFile;
use crate::{api, app, checkers, control, database, dns, http, kubernetes};

/// How late something that is due may happen while nobody asks.
const TICK: Duration = Duration::from_millis(5);

/// Where everything listens: the content of the ready file.
#[derive(Clone, Debug, Serialize)]
pub struct Addresses {
    pub aws: String,
    pub dns: SocketAddr,
    pub apps: BTreeMap<String, SocketAddr>,
    pub databases: BTreeMap<String, SocketAddr>,
    /// The API server of each EKS cluster, by `region/cluster`.
    pub kubernetes: BTreeMap<String, String>,
}

/// Where to listen.
#[derive(Clone, Debug)]
pub struct Binding {
    pub ip: IpAddr,
    /// Of the name server, where it is not that of everything else.
    pub dns: Option<IpAddr>,
    /// Of the application and the databases of a region, where it is not that of everything else.
    pub workloads: BTreeMap<String, IpAddr>,
}

impl Binding {
    pub const fn all_at(ip: IpAddr) -> Self {
        Self { ip, dns: None, workloads: BTreeMap::new() }
    }

    pub fn database(&self, region: &str) -> IpAddr {
        self.workloads.get(region).copied().unwrap_or(self.ip)
    }
}

/// A double with all its listeners; they end when it is dropped.
pub struct Running {
    pub addresses: Addresses,
    pub double: Arc<Double>,
    tasks: JoinSet<()>,
}

impl Running {
    pub async fn start(file: &WorldFile, ip: IpAddr) -> anyhow::Result<Self> {
        Self::start_at(file, Binding::all_at(ip)).await
    }

    pub async fn start_at(file: &WorldFile, binding: Binding) -> anyhow::Result<Self> {
        let ip = binding.ip;
        let mut world =
            World::build(file, now_ms()).map_err(|why| anyhow!("the world file does not fit together: {why}"))?;
        let aws = TcpListener::bind(SocketAddr::new(ip, 0)).await.context("binding the AWS endpoint")?;
        let (udp, tcp) = dns::bind(binding.dns.unwrap_or(ip)).await.context("binding the name server")?;
        let regions: Vec<String> = world.app_regions().into_keys().collect();
        let own: Vec<Option<IpAddr>> = regions.iter().map(|region| binding.workloads.get(region).copied()).collect();
        let apps = app::bind(&own).await.context("binding the sample applications")?;
        let mut addresses = Addresses {
            aws: format!("http://{}", aws.local_addr()?),
            dns: udp.local_addr()?,
            apps: BTreeMap::new(),
            databases: BTreeMap::new(),
            kubernetes: BTreeMap::new(),
        };
        let mut databases = Vec::new();
        for key in world.database_keys() {
            let own = SocketAddr::new(binding.database(&key.region), 0);
            let listener = TcpListener::bind(own).await.context("binding a database")?;
            let address = listener.local_addr()?;
            addresses.databases.insert(key.to_string(), address);
            if let Some(instance) = world.rds.instances.get_mut(&key) {
                instance.port = address.port();
            }
            databases.push((key, listener));
        }
        let apps: Vec<(String, TcpListener)> = regions.into_iter().zip(apps).collect();
        for (region, listener) in &apps {
            let address = listener.local_addr()?;
            addresses.apps.insert(region.clone(), address);
            if let Some(app) = world.apps.get_mut(region) {
                app.address = Some(address);
            }
        }
        let clusters = bind_clusters(&mut world, ip, &mut addresses).await?;
        let double = Arc::new(Double::new(world));
        let mut tasks = JoinSet::new();
        tasks.spawn(tick(double.clone()));
        tasks.spawn(checkers::run(double.clone()));
        tasks.spawn(dns::serve_udp(double.clone(), udp));
        tasks.spawn(dns::serve_tcp(double.clone(), tcp));
        for (key, listener) in databases {
            tasks.spawn(database::serve(double.clone(), listener, key));
        }
        for (region, listener) in apps {
            tasks.spawn(app::serve(double.clone(), listener, region));
        }
        for (key, listener, acceptor) in clusters {
            tasks.spawn(kubernetes::serve::serve(double.clone(), listener, acceptor, key));
        }
        tasks.spawn(database::serve_new(double.clone(), binding));
        let serving = double.clone();
        tasks.spawn(http::serve(aws, move |request| endpoint(serving.clone(), request)));
        Ok(Self { addresses, double, tasks })
    }

    /// Until some listener ends, which none does by itself.
    pub async fn wait(&mut self) {
        // A listener that ended, however it did, means that the double is no longer whole.
        let _ = self.tasks.join_next().await;
    }
}

/// A listener for each cluster's API server, whose address and authority DescribeCluster tells.
async fn bind_clusters(
    world: &mut World,
    ip: IpAddr,
    addresses: &mut Addresses,
) -> anyhow::Result<Vec<(ClusterKey, TcpListener, TlsAcceptor)>> {
    let mut all = Vec::new();
    for (key, cluster) in &mut world.eks.clusters {
        let listener = TcpListener::bind(SocketAddr::new(ip, 0)).await.context("binding a Kubernetes API")?;
        let identity = kubernetes::tls::identity(&key.name, ip)?;
        cluster.endpoint = format!("https://{}", listener.local_addr()?);
        cluster.authority_pem = identity.authority_pem;
        addresses.kubernetes.insert(key.to_string(), cluster.endpoint.clone());
        all.push((key.clone(), listener, identity.acceptor));
    }
    Ok(all)
}

async fn endpoint(
    double: Arc<Double>,
    request: Request<Bytes>,
) -> Result<::http::Response<axum::body::Body>, http::Lost> {
    if request.uri().path().starts_with(control::PREFIX) {
        return Ok(control::handle(&double, &request));
    }
    api::handle(double, request).await
}

async fn tick(double: Arc<Double>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        double.world(|_| ());
    }
}
