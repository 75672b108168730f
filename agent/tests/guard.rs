//! `mesh-agent guard` as systemd runs it: it feeds the watchdog only while its region may write.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that finds something else fails its test"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use mesh_agent::clock::{Clock, SystemClock};
use mesh_agent::journal::{Journal, JournalLog};
use mesh_agent::lease::{Leases, endpoint};
use mesh_core::ids::{Generation, RegionId, ServiceId};
use mesh_proto::v1;
use tokio::net::{TcpListener, UnixDatagram};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

const LENGTH: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(60);
const EVERY_MS: &str = "50";
/// States that it tells before something that must come.
const STATES_MAX: usize = 10_000;

/// An agent's lease endpoint, systemd's socket, and the guard between them.
struct Host {
    leases: Arc<Leases>,
    systemd: UnixDatagram,
    guard: Child,
    endpoint: AbortOnDropHandle<()>,
    _directory: tempfile::TempDir,
}

impl Host {
    async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let leases = leases(directory.path());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let served = endpoint::serve(listener, Arc::clone(&leases), CancellationToken::new());
        let endpoint = AbortOnDropHandle::new(tokio::spawn(async move { served.await.expect("it serves") }));
        let socket = directory.path().join("notify");
        let systemd = UnixDatagram::bind(&socket).expect("a socket");
        let guard = Command::new(env!("CARGO_BIN_EXE_mesh-agent"))
            .args(["guard", "--service", "maip", "--every-ms", EVERY_MS, "--endpoint", &address])
            .env("NOTIFY_SOCKET", &socket)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        Self { leases, systemd, guard, endpoint, _directory: directory }
    }

    fn renew(&self) {
        let lease = v1::LeaseOffer { generation: 3, length_ms: 2_000, asks_version: 1, asks: Vec::new() };
        let news = v1::LeaseNews { service: "maip".to_owned(), floor: 3, lease: Some(lease) };
        self.leases.hear(vec![news], SystemClock.stamp()).expect("understood");
    }

    async fn told(&self) -> String {
        let mut state = vec![0; 1024];
        let received = tokio::time::timeout(PATIENCE, self.systemd.recv(&mut state)).await;
        let length = received.expect("it tells something").expect("a datagram");
        String::from_utf8_lossy(&state[..length]).into_owned()
    }

    /// Passes over other states until `wanted`; returns how often it fed the watchdog meanwhile.
    async fn until(&self, wanted: &str, renewing: bool) -> usize {
        let mut fed = 0;
        for _ in 0..STATES_MAX {
            if renewing {
                self.renew();
            }
            let told = self.told().await;
            if told.lines().any(|line| line == wanted) {
                return fed;
            }
            fed += usize::from(told.contains("WATCHDOG=1"));
        }
        panic!("it never told {wanted}");
    }

    /// It has ended as a failure, and left no sign of life after its last word.
    async fn ended(&mut self) {
        let ended = tokio::time::timeout(PATIENCE, self.guard.wait()).await.expect("it ends").expect("its end");
        assert_eq!(ended.code(), Some(1));
        let mut state = [0; 1024];
        assert!(self.systemd.try_recv(&mut state).is_err(), "it told something after its last word");
    }
}

fn leases(directory: &Path) -> Arc<Leases> {
    let journal = Journal::open(&directory.join("journal"), SystemClock.stamp().unix()).expect("the journal opens");
    let region = RegionId::new("us-east-1").expect("a region");
    let leases = Leases::start(Arc::new(JournalLog::new(journal)), Arc::new(SystemClock), region, LENGTH);
    leases.watch(&BTreeMap::from([(service(), LENGTH)]));
    leases
}

fn service() -> ServiceId {
    ServiceId::new("maip").expect("a name")
}

#[tokio::test]
async fn the_watchdog_is_fed_only_while_the_lease_lasts() {
    let mut host = Host::start().await;
    let waiting = host.told().await;
    assert!(waiting.starts_with("STATUS=waiting"), "the writer must not start: {waiting}");
    host.until("READY=1", true).await;
    host.until("WATCHDOG=1", true).await;
    // Nobody renews it any more: it runs out by itself.
    host.until("STOPPING=1", false).await;
    assert_eq!(host.leases.right(&service()).expect("known").standing, None, "it stopped before the lease had ended");
    host.ended().await;
}

#[tokio::test]
async fn a_right_that_is_revoked_ends_the_writer_before_the_lease_would() {
    let mut host = Host::start().await;
    host.until("WATCHDOG=1", true).await;
    host.leases.end(&service(), Generation(4)).await.expect("written");
    host.until("STOPPING=1", false).await;
    host.ended().await;
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_is_a_no() {
    let mut host = Host::start().await;
    host.until("WATCHDOG=1", true).await;
    host.endpoint.abort();
    // Nothing listens any more, though the lease goes on.
    let renewals = host.until("STOPPING=1", true).await;
    assert!(renewals < STATES_MAX);
    host.ended().await;
}
