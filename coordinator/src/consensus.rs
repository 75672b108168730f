//! The replicated log and state of the coordinators.
//!
//! Everything else of the coordinator sees this module's [`Consensus`] only; openraft is named nowhere else. Commands
//! go in by [`Consensus::propose`], the state is read by [`Consensus::with_fleet`], and whatever leaves the process (a
//! read that must not be stale, a permission for an agent) waits for [`Consensus::read_index`] first: being leader by
//! one's own account proves nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use mesh_core::fleet::{Command, Fleet, Reply};
use mesh_core::ids::Hash32;
use mesh_core::time::Timestamp;
use mesh_proto::v1;
use mesh_runtime::clock::unix_now;
use mesh_runtime::tls::Identities;
use mesh_runtime::{blocking, grpc};
use openraft::errors::{ClientWriteError, LinearizableReadError, RaftError};
use openraft::{Config, ReadPolicy, SnapshotPolicy};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::clock::MeshClock;
use crate::store::fatal::Fatal;
use crate::store::identity::{self, DiskIdentity};
use crate::store::snapshot::Part;
use crate::store::snapshot::sync_dir;
use crate::store::wal::{Disk, Wal};
use crate::store::{Store, StoreError, StoreOptions, machine as store_machine};
use admission::Admission;
use errors::{forwarded, stopped};
use heard::Heard;
use network::{Network, Peers};
use types::{LogBytes, Raft};

pub use errors::ConsensusError;
pub use history::send_file;
pub use network::Dial;

mod admission;
mod confirm;
pub mod convert;
mod errors;
mod founders;
mod heard;
mod history;
pub mod log;
pub mod machine;
mod members;
mod network;
mod observe;
mod service;
pub mod types;

/// Entries between snapshots: few enough to replay in seconds, many enough that snapshots are rare.
pub const SNAPSHOT_EVERY_DEFAULT: u64 = 5_000;
/// Of an encoded command; with its envelope it fits into a gRPC message and a frame of the log.
pub const COMMAND_BYTES_MAX: usize = grpc::MESSAGE_MAX / 2;
/// After this a proposal's outcome is unknown to its proposer.
pub const PROPOSE_DEADLINE: Duration = Duration::from_secs(5);
pub const READ_DEADLINE: Duration = Duration::from_secs(5);
/// A leader of which a follower has had no word for so many heartbeats is likely out of its reach.
const HEARTBEATS_MISSED: u32 = 2;
/// Proposals in flight; the others wait within their deadline.
const PROPOSALS_MAX: usize = 256;
/// Sending, verifying and installing one snapshot.
const SNAPSHOT_DEADLINE: Duration = Duration::from_secs(120);
const API_QUEUE_MAX: u64 = 4_096;

/// One of the coordinators that found a new mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Founder {
    pub id: u64,
    /// `host:port` that the other coordinators dial.
    pub address: String,
    pub region: String,
}

#[derive(Clone, Debug)]
pub struct ConsensusConfig {
    pub mesh: String,
    pub node_id: u64,
    pub region: String,
    pub advertise: String,
    pub data_dir: PathBuf,
    /// Only for the first start of a new mesh; every founder lists the same set. Empty for a node that joins later.
    pub bootstrap: Vec<Founder>,
    pub heartbeat: Duration,
    pub election_min: Duration,
    pub election_max: Duration,
    /// A snapshot is taken after so many entries.
    pub snapshot_every: u64,
    pub store: StoreOptions,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    pub term: u64,
    /// Id and address, as this node knows it.
    pub leader: Option<(u64, String)>,
    /// This node believes to lead. It is proven only by [`Consensus::read_index`].
    pub is_self: bool,
}

/// A backup on this node's disk; it is gone when this is dropped.
pub struct Backup {
    pub part: Part,
    _permit: tokio::sync::OwnedSemaphorePermit,
}

pub struct Consensus {
    config: ConsensusConfig,
    raft: Raft,
    store: Arc<Store>,
    peers: Arc<Peers>,
    admission: Arc<Admission>,
    heard: Arc<Heard>,
    leadership: watch::Sender<Leadership>,
    proposals: Semaphore,
    rounds: confirm::Rounds,
    clock: MeshClock,
    wall: Wall,
    /// One backup at a time: each is a file as large as the whole history, until it has been sent.
    backups: Arc<Semaphore>,
    tasks: std::sync::Mutex<Vec<AbortOnDropHandle<()>>>,
}

/// This node's wall clock.
pub type Wall = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What consensus takes from the machine that it runs on. A test or a simulation has its own.
#[derive(Clone)]
pub struct Surroundings {
    pub dial: Dial,
    /// What happens when the disk fails.
    pub fatal: Fatal,
    pub wall: Wall,
    /// When the log is synced; `None` leaves that to threads.
    pub disk: Option<Arc<dyn Disk>>,
}

impl Surroundings {
    pub fn new(dial: Dial, fatal: Fatal) -> Self {
        Self { dial, fatal, wall: Arc::new(unix_now), disk: None }
    }
}

/// The generated server, to be mounted behind the authorization layer.
pub type RaftService = v1::raft_server::RaftServer<service::RaftHandler>;

impl Consensus {
    /// Opens what is on disk and takes part. A failing disk ends the process.
    pub async fn start(config: ConsensusConfig, identities: Arc<Identities>) -> Result<Arc<Self>, ConsensusError> {
        let dial: Dial = Arc::new(move |address| grpc::connect(address, &identities).map_err(|e| e.to_string()));
        Self::start_with(config, dial, Fatal::exit_process()).await
    }

    /// As [`Consensus::start`], with another way to the other nodes and something else to do when the disk fails.
    pub async fn start_with(config: ConsensusConfig, dial: Dial, fatal: Fatal) -> Result<Arc<Self>, ConsensusError> {
        Self::start_in(config, Surroundings::new(dial, fatal)).await
    }

    pub async fn start_in(config: ConsensusConfig, surroundings: Surroundings) -> Result<Arc<Self>, ConsensusError> {
        let Surroundings { dial, fatal, wall, disk } = surroundings;
        let raft_config = Arc::new(raft_config(&config)?);
        let opened = {
            let (config, fatal) = (config.clone(), fatal.clone());
            blocking::run(move || open(&config, fatal, disk)).await
        };
        let (wal, store, admitted) = opened.map_err(storage)?.map_err(storage)?;
        let disk = disk_identity(&config);
        let admission = Admission::new(config.data_dir.clone(), disk, admitted, Arc::clone(&wal), Arc::clone(&store));
        let admission = Arc::new(admission);
        let peers = Peers::new(config.node_id, dial);
        let raft = Raft::new(
            config.node_id,
            raft_config,
            Network(Arc::clone(&peers)),
            log::LogStore::new(wal),
            machine::StateMachine::new(Arc::clone(&store)),
        );
        let raft = raft.await.map_err(stopped)?;
        let consensus = Arc::new(Self {
            leadership: watch::Sender::new(Leadership::default()),
            proposals: Semaphore::new(PROPOSALS_MAX),
            rounds: confirm::Rounds::default(),
            clock: MeshClock::default(),
            wall,
            backups: Arc::new(Semaphore::new(1)),
            tasks: std::sync::Mutex::default(),
            config,
            raft,
            store,
            peers,
            admission,
            heard: Arc::default(),
        });
        consensus.spawn_tasks(fatal);
        Ok(consensus)
    }

    fn spawn_tasks(self: &Arc<Self>, fatal: Fatal) {
        let (raft, admission, peers) = (self.raft.clone(), Arc::clone(&self.admission), Arc::clone(&self.peers));
        let tasks = vec![
            tokio::spawn(observe::publish(raft.clone(), self.leadership.clone(), fatal)),
            tokio::spawn(admission::found(admission, raft, peers, self.config.bootstrap.clone())),
            tokio::spawn(observe::name_mesh(Arc::clone(self))),
            tokio::spawn(history::tend(
                self.config.node_id,
                Arc::clone(&self.store),
                self.raft.clone(),
                Arc::clone(&self.peers),
            )),
            tokio::spawn(founders::bring_in(Arc::clone(self))),
        ];
        self.tasks
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .extend(tasks.into_iter().map(AbortOnDropHandle::new));
    }

    pub fn raft_service(&self) -> RaftService {
        let handler = service::RaftHandler::new(
            self.config.node_id,
            self.raft.clone(),
            Arc::clone(&self.store),
            Arc::clone(&self.admission),
            Arc::clone(&self.heard),
        );
        let server = v1::raft_server::RaftServer::new(handler);
        server.max_decoding_message_size(grpc::MESSAGE_MAX).max_encoding_message_size(grpc::MESSAGE_MAX)
    }

    /// The mesh's time, as the next command would be stamped.
    pub fn now(&self) -> Timestamp {
        self.clock.stamp(self.with_fleet(|fleet| fleet.now), (self.wall)(), Instant::now())
    }

    /// Commits one command and applies it. Leader only. `Unavailable` means unknown: it may still commit.
    pub async fn propose(&self, command: Command) -> Result<Reply, ConsensusError> {
        let at = self.now();
        let bytes = store_machine::encode_command(at, &command);
        check_command(&bytes, &command)?;
        let proposed = async {
            let _permit = self.proposals.acquire().await;
            self.raft.client_write(LogBytes(bytes.into())).await
        };
        let late = |_| ConsensusError::Unavailable("the proposal has not committed in time".to_owned());
        match tokio::time::timeout(PROPOSE_DEADLINE, proposed).await.map_err(late)? {
            Ok(written) => written.data.0.ok_or_else(|| storage("a command was applied without a reply")),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(to))) => Err(forwarded(to)),
            Err(RaftError::APIError(error)) => Err(ConsensusError::Unavailable(error.to_string())),
            Err(RaftError::Fatal(fatal)) => Err(stopped(fatal)),
        }
    }

    /// Proves by a round of a quorum, begun after the call, that this node leads, and waits until its state holds all
    /// that was committed before.
    pub async fn read_index(&self) -> Result<(), ConsensusError> {
        let late = |_| ConsensusError::Unavailable("no quorum has confirmed this leader in time".to_owned());
        let raft = self.raft.clone();
        let round = self.rounds.join(move || {
            let round = tokio::time::timeout(READ_DEADLINE, confirm(raft));
            async move { round.await.map_err(late)? }.boxed()
        });
        tokio::time::timeout(READ_DEADLINE, round).await.map_err(late)?
    }

    /// Reads this node's own state, which may be stale. `read` must be short: it holds up the next apply.
    pub fn with_fleet<T>(&self, read: impl FnOnce(&Fleet) -> T) -> T {
        self.store.with_machine(|machine| read(&machine.fleet))
    }

    /// Index of the last applied entry; changes after each apply.
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.store.index()
    }

    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.subscribe()
    }

    /// Has a leader appended to this node's log, or only beaten, within a few heartbeats?
    pub fn hears_leader(&self) -> bool {
        self.heard.within(self.config.heartbeat.saturating_mul(HEARTBEATS_MISSED))
    }

    /// The hash of the state after the last applied entry.
    pub fn state_hash(&self) -> Hash32 {
        self.store.summary().state_hash
    }

    /// The whole state and history as one file, as it is now. Wait for [`Consensus::read_index`] first.
    pub async fn backup(&self) -> Result<Backup, ConsensusError> {
        let busy = |_| ConsensusError::Refused("another backup is being made: wait until it has ended".to_owned());
        let permit = Arc::clone(&self.backups).try_acquire_owned().map_err(busy)?;
        let (store, mesh, now) = (Arc::clone(&self.store), self.config.mesh.clone(), self.now());
        let written = blocking::run(move || store.write_backup(&store.view(), &mesh, now)).await;
        Ok(Backup { part: written.map_err(storage)?.map_err(storage)?, _permit: permit })
    }

    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// At most `limit` audit records with an index of at least `from_index`, in order.
    pub fn audit(&self, from_index: u64, limit: usize) -> Result<Vec<v1::AuditRecord>, ConsensusError> {
        self.store.audit(from_index, limit).map_err(storage)
    }

    /// Stops taking part. What was acknowledged is on disk.
    pub async fn shutdown(&self) {
        self.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "consensus ended by a panic");
        }
    }
}

async fn confirm(raft: Raft) -> Result<(), ConsensusError> {
    match raft.ensure_linearizable(ReadPolicy::ReadIndex).await {
        Ok(_) => Ok(()),
        Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(to))) => Err(forwarded(to)),
        Err(RaftError::APIError(error)) => Err(ConsensusError::Unavailable(error.to_string())),
        Err(RaftError::Fatal(fatal)) => Err(stopped(fatal)),
    }
}

fn storage(error: impl ToString) -> ConsensusError {
    ConsensusError::Storage(error.to_string())
}

/// What is committed must be readable by every replica, for ever: it is read back before it is proposed.
fn check_command(bytes: &[u8], command: &Command) -> Result<(), ConsensusError> {
    if bytes.len() > COMMAND_BYTES_MAX {
        let length = bytes.len();
        return Err(ConsensusError::Refused(format!("a command of {length} bytes; {COMMAND_BYTES_MAX} are allowed")));
    }
    match store_machine::decode_command(bytes) {
        Ok((_, read)) if read == *command => Ok(()),
        Ok(_) => Err(ConsensusError::Refused("the command does not survive its encoding".to_owned())),
        Err(reason) => Err(ConsensusError::Refused(reason)),
    }
}

fn disk_identity(config: &ConsensusConfig) -> DiskIdentity {
    DiskIdentity { mesh: config.mesh.clone(), node: config.node_id }
}

fn open(
    config: &ConsensusConfig,
    fatal: Fatal,
    disk: Option<Arc<dyn Disk>>,
) -> Result<(Arc<Wal>, Arc<Store>, bool), StoreError> {
    let dir = &config.data_dir;
    make_dir(dir).map_err(|source| StoreError::io("make", dir, source))?;
    let admitted = identity::read(dir, &disk_identity(config))?;
    let wal = Arc::new(Wal::open_on(&dir.join("log"), admitted, fatal.clone(), disk)?);
    let state = wal.state();
    if !admitted && (state.vote.is_some() || state.last.is_some()) {
        return Err(StoreError::Identity(format!(
            "{} holds a log and no identity file: nobody knows whose votes these are",
            dir.display()
        )));
    }
    let store = Store::open(dir, &wal, config.store, fatal)?;
    Ok((wal, store, admitted))
}

/// Durably: a directory that a power cut takes back would take the votes with it.
fn make_dir(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let parent = std::fs::canonicalize(dir)?.parent().map(Path::to_owned);
    parent.map_or(Ok(()), |parent| sync_dir(&parent))
}

/// openraft's bounds of the random part of an election timeout, from the bounds of the whole.
///
/// It lets a follower stand when the upper bound *and* a random timeout have passed since the last heartbeat. So half of
/// the whole is its upper bound, and the random part is what is left.
fn election_bounds(config: &ConsensusConfig) -> (u64, u64) {
    let heartbeat = millis(config.heartbeat);
    let max = (millis(config.election_max) / 2).max(heartbeat.saturating_add(2));
    let min = millis(config.election_min).saturating_sub(max);
    (min.clamp(heartbeat.saturating_add(1), max.saturating_sub(1)), max)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn raft_config(config: &ConsensusConfig) -> Result<Config, ConsensusError> {
    let (election_min, election_max) = election_bounds(config);
    let wrong = |error: openraft::ConfigError| ConsensusError::Refused(format!("timing: {error}"));
    let raft_config = Config {
        cluster_name: config.mesh.clone(),
        heartbeat_interval: millis(config.heartbeat),
        election_timeout_min: election_min,
        election_timeout_max: election_max,
        install_snapshot_timeout: millis(SNAPSHOT_DEADLINE),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(config.snapshot_every),
        // The log reaches back beyond the older of the two snapshots that are kept, so that it can stand in for the
        // newer one.
        max_in_snapshot_log_to_keep: config.snapshot_every.saturating_mul(2),
        replication_lag_threshold: config.snapshot_every.saturating_mul(2),
        api_channel_size: Some(API_QUEUE_MAX),
        enable_pre_vote: Some(true),
        enable_leader_restore: Some(false),
        // The shortest that openraft accepts: a leader without a quorum falls silent for so long, and so its followers
        // are free to elect another.
        quorum_loss_probe_interval: Some(election_max.saturating_mul(2)),
        ..Config::default()
    };
    raft_config.validate().map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(heartbeat: u64, election_min: u64, election_max: u64) -> ConsensusConfig {
        let millis = Duration::from_millis;
        ConsensusConfig {
            mesh: "test".to_owned(),
            node_id: 1,
            region: "us-east-1".to_owned(),
            advertise: "127.0.0.1:1".to_owned(),
            data_dir: PathBuf::new(),
            bootstrap: Vec::new(),
            heartbeat: millis(heartbeat),
            election_min: millis(election_min),
            election_max: millis(election_max),
            snapshot_every: SNAPSHOT_EVERY_DEFAULT,
            store: StoreOptions::default(),
        }
    }

    #[test]
    fn a_follower_stands_between_the_bounds_that_were_set() {
        for (heartbeat, min, max) in [(300, 1000, 1500), (100, 1000, 2000), (50, 150, 300), (10, 20, 21)] {
            let config = config(heartbeat, min, max);
            let (own_min, own_max) = election_bounds(&config);
            assert!(own_max + own_min >= min, "not before");
            assert!(2 * own_max <= max.max(2 * heartbeat + 4), "not after");
            assert!(own_min > heartbeat && raft_config(&config).is_ok(), "openraft takes it");
        }
    }
}
