//! The network between the regions of a demo, as far as the agents' probes use it: a relay before each application, where
//! what one region's agents send, or what comes back to them, can be lost.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::dialler::Diallers;
use crate::failure::Failure;

const BUFFER_BYTES: usize = 16 * 1024;
/// Connections under way at one relay: agents that probe every second, each with a connection that may be stuck.
const CONNECTIONS_MAX: usize = 1024;

/// From one region to another.
pub type Link = (String, String);

#[derive(Clone, Debug, Default)]
struct Links {
    cut: BTreeSet<Link>,
}

/// Ends when it is dropped.
pub struct Network {
    links: watch::Sender<Links>,
    /// How often something was lost on each link.
    lost: Arc<Mutex<BTreeMap<Link, u64>>>,
    /// Where each region's application is asked.
    pub addresses: BTreeMap<String, String>,
    _relays: JoinSet<()>,
}

impl Network {
    /// `apps`: region and address of each application. `regions`: in which each dialling process is.
    pub async fn before(
        apps: &BTreeMap<String, String>,
        diallers: &Diallers,
        regions: &BTreeMap<String, String>,
    ) -> Result<Self, Failure> {
        let (links, lost) = (watch::Sender::new(Links::default()), Arc::default());
        let (mut addresses, mut relays) = (BTreeMap::new(), JoinSet::new());
        for (region, behind) in apps {
            let refuse = |error: io::Error| Failure::failed(format!("no relay before {region}: {error}"));
            let listener = TcpListener::bind("127.0.0.1:0").await.map_err(refuse)?;
            let own = listener.local_addr().map_err(refuse)?;
            addresses.insert(region.clone(), own.to_string());
            let relay = Relay {
                region: region.clone(),
                own,
                behind: behind.clone(),
                links: links.subscribe(),
                lost: Arc::clone(&lost),
                diallers: diallers.clone(),
                regions: regions.clone(),
            };
            relays.spawn(relay.serve(listener));
        }
        Ok(Self { links, lost, addresses, _relays: relays })
    }

    /// From here on nothing gets from `from` to `to`. A link of a region with itself is its inner network.
    pub fn cut(&self, from: &str, to: &str) {
        self.links.send_modify(|links| {
            links.cut.insert((from.to_owned(), to.to_owned()));
        });
    }

    pub fn heal(&self) {
        self.links.send_modify(|links| links.cut.clear());
    }

    /// How often something was lost since the last call: a cut on which nothing is lost shows nothing.
    pub fn take_lost(&self) -> u64 {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *lost).values().sum()
    }
}

#[derive(Clone)]
struct Relay {
    region: String,
    own: SocketAddr,
    behind: String,
    links: watch::Receiver<Links>,
    lost: Arc<Mutex<BTreeMap<Link, u64>>>,
    diallers: Diallers,
    regions: BTreeMap<String, String>,
}

impl Relay {
    async fn serve(self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            let Ok((stream, from)) = listener.accept().await else { continue };
            while connections.try_join_next().is_some() {}
            if connections.len() < CONNECTIONS_MAX {
                connections.spawn(self.clone().relay(stream, from));
            }
        }
    }

    async fn relay(self, dialled: TcpStream, from: SocketAddr) {
        let Some(dialler) = self.diallers.of(from, self.own).await else { return };
        // Whoever is no process of the mesh is somewhere on the internet.
        let there = self.regions.get(&dialler).cloned().unwrap_or_default();
        let Ok(listening) = TcpStream::connect(&self.behind).await else { return };
        let _ = (dialled.set_nodelay(true), listening.set_nodelay(true));
        let (from_dialler, to_dialler) = dialled.into_split();
        let (from_app, to_app) = listening.into_split();
        tokio::select! {
            _ = self.pump(from_dialler, to_app, (there.clone(), self.region.clone())) => {}
            _ = self.pump(from_app, to_dialler, (self.region.clone(), there.clone())) => {}
        }
    }

    async fn pump(&self, mut input: OwnedReadHalf, mut output: OwnedWriteHalf, link: Link) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let length = input.read(&mut buffer).await?;
            if length == 0 {
                return output.shutdown().await;
            }
            self.passes(&link).await;
            output.write_all(buffer.get(..length).unwrap_or_default()).await?;
        }
    }

    /// Bytes wait at a cut, as TCP would send them again and again; whoever waits for them gives up first.
    async fn passes(&self, link: &Link) {
        let mut links = self.links.clone();
        if links.borrow_and_update().cut.contains(link) {
            *self.lost.lock().unwrap_or_else(PoisonError::into_inner).entry(link.clone()).or_default() += 1;
            // A network that ends lets go of everything, too.
            let _ = links.wait_for(|links| !links.cut.contains(link)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const NO_ANSWER: Duration = Duration::from_millis(200);
    const ANSWER: Duration = Duration::from_secs(20);

    /// Says back what it hears.
    async fn echo() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut input, mut output) = stream.into_split();
                    let _ = tokio::io::copy(&mut input, &mut output).await;
                });
            }
        });
        address
    }

    async fn ask(address: &str, within: Duration) -> bool {
        let asked = async {
            let mut stream = TcpStream::connect(address).await.expect("a relay");
            stream.write_all(b"?").await.expect("sent");
            let mut answer = [0];
            stream.read_exact(&mut answer).await.is_ok()
        };
        timeout(within, asked).await.unwrap_or(false)
    }

    async fn network() -> Network {
        let diallers = Diallers::default();
        diallers.know(vec![("agent".to_owned(), std::process::id())]);
        let regions = BTreeMap::from([("agent".to_owned(), "west".to_owned())]);
        let apps = BTreeMap::from([("east".to_owned(), echo().await)]);
        Network::before(&apps, &diallers, &regions).await.expect("a network")
    }

    #[tokio::test]
    async fn a_cut_loses_what_goes_one_way_and_nothing_else() {
        let network = network().await;
        let east = &network.addresses["east"];
        assert!(ask(east, ANSWER).await);
        network.cut("witness", "east");
        assert!(ask(east, ANSWER).await, "another region's link");
        assert_eq!(network.take_lost(), 0);
        for (from, to) in [("west", "east"), ("east", "west")] {
            network.cut(from, to);
            assert!(!ask(east, NO_ANSWER).await, "{from} to {to}");
            assert!(network.take_lost() > 0, "the cut was met");
            network.heal();
            assert!(ask(east, ANSWER).await);
        }
    }
}
