//! An application in a region, which writes through its region's proxy.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mesh_support::postgres::{Checks, Pace, Proxy, Writer};
use mesh_wan::Wan;
use tokio::runtime::Runtime;

use super::SERVICE;

/// The proxy closes 500 ms after the agents' last yes at the latest; with the longest request of an application that is
/// less than the second that the manifest declares.
pub const CHECKS: Checks = Checks {
    every: Duration::from_millis(250),
    every_closed: Duration::from_millis(50),
    timeout: Duration::from_millis(250),
};
const WRITE_EVERY: Duration = Duration::from_millis(5);
const AGAIN_AFTER: Duration = Duration::from_millis(10);
/// The numbers of each region's application.
const NUMBERS: u64 = 1_000_000_000;

/// Where a region's parts listen.
pub struct Ports {
    pub proxy: SocketAddr,
    pub server: SocketAddr,
    pub endpoints: Vec<SocketAddr>,
}

pub struct Application {
    pub region: String,
    pub writer: Writer,
    pub proxy: Proxy,
    runtime: Option<Runtime>,
}

impl Application {
    pub async fn start(wan: &Wan, region: &str, ports: Ports, nth: u64) -> Result<Self, String> {
        let namespace = wan.namespace(region).clone();
        let enter = move || {
            let entered = namespace.enter();
            // The thread never leaves it.
            std::mem::forget(entered.expect("the namespace lives as long as the network"));
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(format!("in-{region}"))
            .enable_all()
            .on_thread_start(enter)
            .build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let pace = Pace { from: 1 + nth * NUMBERS, every: WRITE_EVERY, again_after: AGAIN_AFTER };
        let Ports { proxy, server, endpoints } = ports;
        let path = format!("/v1/lease/{SERVICE}");
        let started = runtime.spawn(async move {
            let guard = Proxy::start(proxy, server, endpoints, path, CHECKS).await?;
            Ok::<_, std::io::Error>((guard, Writer::begin(vec![proxy], pace)))
        });
        let started = started.await.map_err(|error| error.to_string())?;
        let (proxy, writer) = started.map_err(|error| format!("the proxy in {region}: {error}"))?;
        Ok(Self { region: region.to_owned(), writer, proxy, runtime: Some(runtime) })
    }

    /// When its first write after a moment was acknowledged.
    pub fn first_after(&self, moment: Instant) -> Option<Instant> {
        self.writer.moments().into_iter().map(|(_, at)| at).find(|at| *at > moment)
    }

    pub fn first(&self) -> Option<Instant> {
        self.writer.moments().first().map(|(_, at)| *at)
    }

    pub fn last(&self) -> Option<Instant> {
        self.writer.moments().last().map(|(_, at)| *at)
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
