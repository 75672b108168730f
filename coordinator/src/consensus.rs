//! The replicated log and state of the coordinators.
//!
//! Everything else of the coordinator sees this module's [`Consensus`] only; openraft, raft-log and sled are named
//! nowhere else. Commands go in by [`Consensus::propose`], the state is read by [`Consensus::with_fleet`], and whatever
//! leaves the process (a read that must not be stale, a permission for an agent) waits for [`Consensus::read_index`]
//! first: being leader by one's own account proves nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::fleet::{Command, Fleet, Reply};
use mesh_core::ids::Hash32;
use mesh_proto::v1;
use mesh_runtime::tls::Identities;
use tokio::sync::watch;

/// One of the coordinators that found a new mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Founder {
    pub id: u64,
    pub address: String,
    pub region: String,
}

#[derive(Clone, Debug)]
pub struct ConsensusConfig {
    pub mesh: String,
    pub node_id: u64,
    pub region: String,
    /// `host:port` that the other coordinators dial.
    pub advertise: String,
    pub data_dir: PathBuf,
    /// Only for the first start of a new mesh; every founder lists the same set. Empty for a node that joins later.
    pub bootstrap: Vec<Founder>,
    pub heartbeat: Duration,
    pub election_min: Duration,
    pub election_max: Duration,
    /// A snapshot is taken after so many entries.
    pub snapshot_every: u64,
}

/// Entries between snapshots: small enough to replay in seconds, large enough that snapshots are rare.
pub const SNAPSHOT_EVERY_DEFAULT: u64 = 5_000;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    pub term: u64,
    /// Id and address, as this node knows it.
    pub leader: Option<(u64, String)>,
    /// This node believes to lead. It is proven only by [`Consensus::read_index`].
    pub is_self: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum ConsensusError {
    #[error("this coordinator does not lead")]
    NotLeader { leader: Option<(u64, String)> },
    /// Nothing is known of the outcome: a proposal may still commit.
    #[error("no answer from a quorum: {0}")]
    Unavailable(String),
    /// The request itself breaks a rule, and nothing was proposed.
    #[error("{0}")]
    Refused(String),
    #[error("storage failed: {0}")]
    Storage(String),
}

pub struct Consensus {
    leadership: watch::Sender<Leadership>,
    applied: watch::Sender<u64>,
    fleet: Fleet,
}

/// The generated server's type, to be mounted by whoever serves gRPC.
pub type RaftService = v1::raft_server::RaftServer<RaftHandler>;

pub struct RaftHandler {}

impl Consensus {
    pub async fn start(_config: ConsensusConfig, _identities: Arc<Identities>) -> Result<Arc<Self>, ConsensusError> {
        Err(ConsensusError::Unavailable("not built yet".to_owned()))
    }

    /// The gRPC service `Raft`, to be mounted behind the authorization layer.
    pub fn raft_service(&self) -> RaftService {
        v1::raft_server::RaftServer::new(RaftHandler {})
    }

    /// Commits one command and applies it. Leader only. `Unavailable` means unknown: it may still commit.
    pub async fn propose(&self, _command: Command) -> Result<Reply, ConsensusError> {
        Err(ConsensusError::NotLeader { leader: None })
    }

    /// Proves by a round of a quorum that this node leads, and waits until its state holds all that was committed
    /// before.
    pub async fn read_index(&self) -> Result<(), ConsensusError> {
        Err(ConsensusError::NotLeader { leader: None })
    }

    /// Reads this node's own state, which may be stale. `read` must be short: it holds up the next apply.
    pub fn with_fleet<T>(&self, read: impl FnOnce(&Fleet) -> T) -> T {
        read(&self.fleet)
    }

    /// Index of the last applied entry; changes after each apply.
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.applied.subscribe()
    }

    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.subscribe()
    }

    pub fn membership(&self) -> v1::Membership {
        v1::Membership::default()
    }

    pub async fn add_learner(&self, _id: u64, _address: String, _region: String) -> Result<(), ConsensusError> {
        Err(ConsensusError::NotLeader { leader: None })
    }

    pub async fn promote(&self, _id: u64) -> Result<(), ConsensusError> {
        Err(ConsensusError::NotLeader { leader: None })
    }

    pub async fn remove(&self, _id: u64) -> Result<(), ConsensusError> {
        Err(ConsensusError::NotLeader { leader: None })
    }

    pub async fn transfer_leader(&self, _id: u64) -> Result<(), ConsensusError> {
        Err(ConsensusError::NotLeader { leader: None })
    }

    /// The state hash after the entry of [`Consensus::applied`].
    pub fn state_hash(&self) -> Hash32 {
        Hash32::default()
    }

    /// At most `limit` audit records with an index of at least `from_index`, in order.
    pub fn audit(&self, _from_index: u64, _limit: usize) -> Result<Vec<v1::AuditRecord>, ConsensusError> {
        Ok(Vec::new())
    }

    pub async fn shutdown(&self) {}
}

#[tonic::async_trait]
impl v1::raft_server::Raft for RaftHandler {
    async fn append(&self, _: tonic::Request<v1::RaftMessage>) -> Result<tonic::Response<v1::RaftMessage>, tonic::Status> {
        Err(tonic::Status::unavailable("not started"))
    }
    async fn vote(&self, _: tonic::Request<v1::RaftMessage>) -> Result<tonic::Response<v1::RaftMessage>, tonic::Status> {
        Err(tonic::Status::unavailable("not started"))
    }
    async fn pre_vote(&self, _: tonic::Request<v1::RaftMessage>) -> Result<tonic::Response<v1::RaftMessage>, tonic::Status> {
        Err(tonic::Status::unavailable("not started"))
    }
    async fn snapshot(
        &self,
        _: tonic::Request<tonic::Streaming<v1::SnapshotChunk>>,
    ) -> Result<tonic::Response<v1::RaftMessage>, tonic::Status> {
        Err(tonic::Status::unavailable("not started"))
    }
    async fn transfer_leader(
        &self,
        _: tonic::Request<v1::RaftMessage>,
    ) -> Result<tonic::Response<v1::RaftMessage>, tonic::Status> {
        Err(tonic::Status::unavailable("not started"))
    }
    async fn standing(
        &self,
        _: tonic::Request<v1::StandingRequest>,
    ) -> Result<tonic::Response<v1::StandingResponse>, tonic::Status> {
        Err(tonic::Status::unavailable("not started"))
    }
}
