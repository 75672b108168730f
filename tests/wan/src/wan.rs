//! The network of one test.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;

use crate::delivery::deliver;
use crate::frame;
use crate::link::{Counters, Link};
use crate::namespace::Namespace;
use crate::permitted::port_program;
use crate::router::{PACKETS_MAX, Router, Way};

const UP_WITHIN: Duration = Duration::from_secs(20);

/// A namespace and the parties in it.
#[derive(Clone, Debug)]
pub struct Site {
    pub name: String,
    /// Name and address; processes send from the first address unless they are bound to another.
    pub parties: Vec<(String, Ipv4Addr)>,
}

/// Ends with everything in it when dropped.
pub struct Wan {
    router: Arc<Router>,
    namespaces: BTreeMap<String, Namespace>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Wan {
    /// Makes the namespaces, with links that delay nothing. The seed is that of loss and jitter.
    pub fn lay(sites: &[Site], seed: u64) -> Result<Self, String> {
        let parties: Vec<_> = sites.iter().map(|site| site.parties.clone()).collect();
        let router = Arc::new(Router::new(&parties, seed)?);
        let (stop, stopped) = oneshot::channel();
        let (up, is_up) = std::sync::mpsc::channel();
        let (own, sites) = (Arc::clone(&router), sites.to_vec());
        let thread = std::thread::Builder::new().name("wan".to_owned());
        let thread = thread.spawn(move || route(&own, &sites, &up, stopped)).map_err(|error| error.to_string())?;
        let namespaces = is_up.recv().map_err(|_| "the router ended before it began".to_owned())??;
        Ok(Self { router, namespaces, stop: Some(stop), thread: Some(thread) })
    }

    pub fn namespace(&self, site: &str) -> &Namespace {
        self.namespaces.get(site).unwrap_or_else(|| panic!("no site is named {site}"))
    }

    pub fn parties(&self) -> &[String] {
        self.router.parties()
    }

    pub fn set(&self, from: &str, to: &str, change: impl FnOnce(&mut Link)) {
        self.router.set(from, to, change);
    }

    /// A packet and its answer take so long.
    pub fn round_trip(&self, one: &str, other: &str, time: Duration) {
        for (from, to) in [(one, other), (other, one)] {
            self.set(from, to, |link| link.delay = time / 2);
        }
    }

    /// Nothing that `from` sends reaches `to`.
    pub fn cut(&self, from: &str, to: &str) {
        self.set(from, to, |link| link.cut = true);
    }

    pub fn mend(&self, from: &str, to: &str) {
        self.set(from, to, |link| link.cut = false);
    }

    /// Neither reaches the other.
    pub fn part(&self, one: &str, other: &str) {
        self.cut(one, other);
        self.cut(other, one);
    }

    /// Neither cut nor loss anywhere; delays stay.
    pub fn heal(&self) {
        for from in self.parties() {
            for to in self.parties() {
                self.set(from, to, |link| (link.cut, link.loss_permille) = (false, 0));
            }
        }
    }

    pub fn counters(&self, from: &str, to: &str) -> Counters {
        self.router.counters(from, to)
    }
}

impl Drop for Wan {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

type Up = Result<BTreeMap<String, Namespace>, String>;

/// Everything that the network does, until it is stopped.
fn route(router: &Arc<Router>, sites: &[Site], up: &std::sync::mpsc::Sender<Up>, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime needs a few file descriptors");
    runtime.block_on(async {
        let opened = tokio::time::timeout(UP_WITHIN, open_all(sites)).await;
        let ports = match opened.unwrap_or_else(|_| Err("a site did not come up".to_owned())) {
            Ok(ports) => ports,
            Err(why) => return drop(up.send(Err(why))),
        };
        let (mut ways, mut outputs, mut children) = (Vec::new(), Vec::new(), Vec::new());
        let mut tasks = JoinSet::new();
        let mut namespaces = BTreeMap::new();
        for (site, port) in sites.iter().zip(ports) {
            let (sent, receiver) = mpsc::unbounded_channel();
            ways.push(Way { sent, places: Arc::new(Semaphore::new(PACKETS_MAX)) });
            tasks.spawn(deliver(receiver, port.input));
            outputs.push(port.output);
            namespaces.insert(site.name.clone(), port.namespace);
            children.push(port.child);
        }
        let ways: Arc<[Way]> = ways.into();
        for output in outputs {
            let (router, ways) = (Arc::clone(router), Arc::clone(&ways));
            tasks.spawn(async move { router.serve(output, &ways).await });
        }
        let _ = up.send(Ok(namespaces));
        let _ = stopped.await;
        tasks.shutdown().await;
        for mut child in children {
            let _ = child.kill().await;
        }
    });
}

struct Port {
    namespace: Namespace,
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

async fn open_all(sites: &[Site]) -> Result<Vec<Port>, String> {
    let mut opening = Vec::new();
    for site in sites {
        opening.push(start(site)?);
    }
    for (site, port) in sites.iter().zip(&mut opening) {
        match frame::receive(&mut port.output).await {
            Ok(Some(up)) if up.is_empty() => {}
            other => return Err(format!("{} did not come up: {other:?}", site.name)),
        }
    }
    Ok(opening)
}

fn start(site: &Site) -> Result<Port, String> {
    let mut command = Command::new("unshare");
    command.args(["--net", "--"]).arg(port_program());
    command.args(site.parties.iter().map(|(_, address)| address.to_string()));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| format!("unshare: {error}"))?;
    let (Some(pid), Some(input), Some(output)) = (child.id(), child.stdin.take(), child.stdout.take()) else {
        return Err(format!("the helper of {} ended at once", site.name));
    };
    Ok(Port { namespace: Namespace::of(pid), child, input, output })
}
