//! Nodes that can be started, stopped, wiped and cut off.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mesh_coordinator::consensus::{Consensus, ConsensusConfig, ConsensusError, Dial, Founder};
use mesh_coordinator::store::StoreOptions;
use mesh_coordinator::store::fatal::Fatal;
use mesh_coordinator::store::history::Cut;
use mesh_core::access::{Identity, Role};
use mesh_core::fleet::{Command, Reply};
use mesh_core::ids::{AgentId, RegionId};
use mesh_runtime::grpc;
use mesh_runtime::pki::{Authority, write_pair};
use mesh_runtime::shutdown::Shutdown;
use mesh_runtime::tls::{Identities, TlsFiles};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::link::Link;

/// A bound on waiting for something that must come; reached only by a failure.
const PATIENCE: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(25);

pub struct Cluster {
    dir: TempDir,
    authority: Authority,
    founders: Vec<Founder>,
    snapshot_every: u64,
    /// Where each node's server listens now.
    servers: BTreeMap<u64, Arc<watch::Sender<Option<SocketAddr>>>>,
    /// By (from, to).
    links: Arc<Mutex<BTreeMap<(u64, u64), Link>>>,
    running: BTreeMap<u64, Running>,
    pub deaths: Arc<Mutex<Vec<String>>>,
}

struct Running {
    consensus: Arc<Consensus>,
    identities: Arc<Identities>,
    _server: AbortOnDropHandle<()>,
}

impl Cluster {
    /// `founders` nodes of which none has been started, and room for three that join later.
    pub async fn new(founders: u64, snapshot_every: u64) -> Self {
        let mut cluster = Self {
            dir: TempDir::new().expect("a directory"),
            authority: Authority::create("demo").expect("an authority"),
            founders: Vec::new(),
            snapshot_every,
            servers: BTreeMap::new(),
            links: Arc::default(),
            running: BTreeMap::new(),
            deaths: Arc::default(),
        };
        let all = founders + 3;
        for id in 1..=all {
            cluster.servers.insert(id, Arc::new(watch::Sender::new(None)));
        }
        for (from, to) in (1..=all).flat_map(|from| (1..=all).map(move |to| (from, to))) {
            let link = Link::new(Arc::clone(&cluster.servers[&to])).await;
            cluster.links.lock().unwrap_or_else(PoisonError::into_inner).insert((from, to), link);
        }
        cluster.founders = (1..=founders).map(founder).collect();
        cluster
    }

    pub async fn started(founders: u64, snapshot_every: u64) -> Self {
        let mut cluster = Self::new(founders, snapshot_every).await;
        for id in 1..=founders {
            cluster.start(id).await;
        }
        cluster.leader().await;
        cluster
    }

    /// Those of a group that is founded anew.
    pub fn set_founders(&mut self, ids: &[u64]) {
        self.founders = ids.iter().copied().map(founder).collect();
    }

    /// Small segments, so that a few entries make some.
    pub fn store_options() -> StoreOptions {
        StoreOptions { cut: Cut { records: 20, bytes: 1 << 20 }, ..StoreOptions::default() }
    }

    pub fn node(&self, id: u64) -> &Arc<Consensus> {
        &self.running[&id].consensus
    }

    pub fn ids(&self) -> Vec<u64> {
        self.running.keys().copied().collect()
    }

    pub async fn start(&mut self, id: u64) {
        let consensus = self.try_start(id).await.unwrap_or_else(|error| panic!("node {id}: {error}"));
        assert_eq!(consensus, id);
    }

    pub async fn try_start(&mut self, id: u64) -> Result<u64, ConsensusError> {
        let identities = self.identities(id);
        let deaths = Arc::clone(&self.deaths);
        let fatal = Fatal::new(move |reason| {
            deaths.lock().unwrap_or_else(PoisonError::into_inner).push(format!("node {id}: {reason}"));
        });
        let consensus = Consensus::start_with(self.config(id), self.dial(id, &identities), fatal).await?;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        self.servers[&id].send_replace(Some(listener.local_addr().expect("bound")));
        let routes = tonic::service::Routes::new(consensus.raft_service());
        let serving = grpc::serve(listener, Arc::clone(&identities), routes, Shutdown::manual(Duration::ZERO));
        let server = AbortOnDropHandle::new(tokio::spawn(async move { serving.await.expect("it serves") }));
        self.running.insert(id, Running { consensus, identities, _server: server });
        Ok(id)
    }

    /// Stops a node as a crash would as far as the others can tell. Its disk is free when this returns.
    pub async fn stop(&mut self, id: u64) {
        let running = self.running.remove(&id).expect("it runs");
        self.servers[&id].send_replace(None);
        running.consensus.shutdown().await;
        let gone = Arc::downgrade(&running.consensus);
        drop(running);
        wait_for("the node to let go of its disk", || async { gone.upgrade().is_none() && self.disk_is_free(id) })
            .await;
    }

    fn disk_is_free(&self, id: u64) -> bool {
        let log = self.data_dir(id).join("log");
        mesh_coordinator::store::wal::Wal::open(&log, false, Fatal::new(|_| {})).is_ok()
    }

    /// The last entry that the log of a stopped node does not hold any more.
    pub fn purged(&self, id: u64) -> Option<u64> {
        let log = self.data_dir(id).join("log");
        let wal = mesh_coordinator::store::wal::Wal::open(&log, true, Fatal::new(|_| {})).expect("it is stopped");
        wal.state().purged.map(|place| place.index)
    }

    pub fn wipe(&self, id: u64) {
        std::fs::remove_dir_all(self.data_dir(id)).expect("removed");
    }

    pub fn data_dir(&self, id: u64) -> std::path::PathBuf {
        self.dir.path().join(format!("node-{id}"))
    }

    /// Nothing gets from or to `id` any more.
    pub fn isolate(&self, id: u64) {
        self.each_link_of(id, Link::cut);
    }

    pub fn heal(&self, id: u64) {
        self.each_link_of(id, Link::heal);
    }

    fn each_link_of(&self, id: u64, change: impl Fn(&Link)) {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.iter().filter(|((from, to), _)| *from == id || *to == id).for_each(|(_, link)| change(link));
    }

    /// A leader that a quorum confirms.
    pub async fn leader(&self) -> u64 {
        self.leader_among(&self.ids()).await
    }

    pub async fn leader_among(&self, ids: &[u64]) -> u64 {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < deadline {
            for id in ids {
                if self.node(*id).leadership().borrow().is_self && self.node(*id).read_index().await.is_ok() {
                    return *id;
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        panic!("no leader among {ids:?}; deaths: {:?}", self.deaths);
    }

    /// Registers an agent through whoever leads among `ids`, until it is committed.
    pub async fn register_among(&self, ids: &[u64], name: &str) {
        let command = Command::RegisterAgent {
            agent: AgentId::new(name).expect("a name"),
            region: RegionId::new("r1").expect("a name"),
        };
        for _ in 0..50 {
            let leader = self.leader_among(ids).await;
            match self.node(leader).propose(command.clone()).await {
                Ok(Reply::Ok) => return,
                Ok(reply) => panic!("{name}: {reply:?}"),
                Err(ConsensusError::NotLeader { .. } | ConsensusError::Unavailable(_)) => {}
                Err(error) => panic!("{name}: {error}"),
            }
        }
        panic!("{name} was never committed");
    }

    pub async fn register(&self, name: &str) {
        self.register_among(&self.ids(), name).await;
    }

    pub fn knows(&self, id: u64, name: &str) -> bool {
        let agent = AgentId::new(name).expect("a name");
        self.node(id).with_fleet(|fleet| fleet.agents.contains_key(&agent))
    }

    /// Waits until all running nodes have applied the same, and asserts that they agree on it.
    pub async fn assert_agreement(&self) {
        let ids = self.ids();
        let applied = || ids.iter().map(|id| *self.node(*id).applied().borrow()).collect::<Vec<_>>();
        wait_for("all to apply the same", || async {
            let applied = applied();
            applied.iter().all(|index| *index == applied[0])
        })
        .await;
        wait_for("all to have the whole history", || async {
            ids.iter().all(|id| self.node(*id).store().history().troubled().is_empty())
        })
        .await;
        let first = self.node(ids[0]);
        let audit = first.audit(0, usize::MAX).expect("the audit is there");
        mesh_proto::verify_chain(audit.clone()).expect("the chain holds");
        for id in &ids {
            let node = self.node(*id);
            assert_eq!(node.state_hash(), first.state_hash(), "node {id}: same index, same state hash");
            assert_eq!(node.audit(0, usize::MAX).expect("the audit is there"), audit, "node {id}: same audit");
        }
        assert_eq!(*self.deaths.lock().unwrap_or_else(PoisonError::into_inner), Vec::<String>::new());
    }

    pub async fn standing(&self, asking: u64, of: u64) -> Result<mesh_proto::v1::StandingResponse, String> {
        let dial = self.dial(asking, &self.running[&asking].identities);
        let mut client = mesh_proto::v1::raft_client::RaftClient::new(dial(&address(of))?);
        let mut request = tonic::Request::new(mesh_proto::v1::StandingRequest { admit: false });
        request.metadata_mut().insert("mesh-node", of.into());
        client.standing(request).await.map(tonic::Response::into_inner).map_err(|status| status.message().to_owned())
    }

    fn config(&self, id: u64) -> ConsensusConfig {
        ConsensusConfig {
            mesh: "demo".to_owned(),
            node_id: id,
            region: format!("r{id}"),
            advertise: address(id),
            data_dir: self.data_dir(id),
            bootstrap: self.founders.clone(),
            heartbeat: Duration::from_millis(200),
            election_min: Duration::from_millis(800),
            election_max: Duration::from_millis(1_600),
            snapshot_every: self.snapshot_every,
            store: Self::store_options(),
        }
    }

    /// A node's address is its name here; each pair of nodes has a link of its own.
    fn dial(&self, from: u64, identities: &Arc<Identities>) -> Dial {
        let (links, identities) = (Arc::clone(&self.links), Arc::clone(identities));
        Arc::new(move |address| {
            let to = address.strip_prefix("node-").and_then(|id| id.parse().ok()).ok_or("no such node")?;
            let links = links.lock().unwrap_or_else(PoisonError::into_inner);
            let link = links.get(&(from, to)).ok_or("no such link")?;
            grpc::connect(&link.address.to_string(), &identities).map_err(|error| error.to_string())
        })
    }

    fn identities(&self, id: u64) -> Arc<Identities> {
        let identity = Identity {
            mesh: "demo".to_owned(),
            region: RegionId::new(format!("r{id}")).expect("a name"),
            role: Role::Coordinator,
            name: format!("node-{id}"),
        };
        let lifetime = Duration::from_secs(24 * 3600);
        let issued = self.authority.issue(&identity, &["127.0.0.1".to_owned()], lifetime).expect("issued");
        let file = |name: &str| self.dir.path().join(format!("{name}-{id}.pem"));
        let files = TlsFiles { certificate: file("leaf"), key: file("key"), authorities: file("ca") };
        write_pair(&files.certificate, &files.key, &issued.chain_pem, &issued.key_pem).expect("written");
        std::fs::write(&files.authorities, self.authority.certificate_pem()).expect("written");
        Identities::load(&files, "demo").expect("they load")
    }
}

pub fn address(id: u64) -> String {
    format!("node-{id}")
}

fn founder(id: u64) -> Founder {
    Founder { id, address: address(id), region: format!("r{id}") }
}

/// Waits for a condition that stays true.
pub async fn wait_for<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
