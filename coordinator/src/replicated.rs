//! What the server needs of consensus, as a trait: the services, the sessions and the driver are tested against one
//! process that applies commands to a `Fleet` at once.

use std::sync::Arc;

use mesh_core::fleet::{Command, Fleet, Reply};
use mesh_core::ids::{Hash32, RegionId, RunId, ServiceId};
use mesh_core::time::Timestamp;
use mesh_proto::v1;
use mesh_runtime::blocking;
use tokio::sync::watch;
use tonic::async_trait;

use crate::consensus::{Backup, Consensus, ConsensusError, Leadership};
use crate::store::{Store, StoreError};

#[async_trait]
pub trait Replicated: Send + Sync + 'static {
    /// Commits and applies. Leader only. `NotLeader` and `Unavailable` do not say that it was not committed.
    async fn propose(&self, command: Command) -> Result<Reply, ConsensusError>;

    /// Confirms leadership with a quorum and waits until the local state holds all that was committed before the call.
    async fn read_index(&self) -> Result<(), ConsensusError>;

    /// Calls `look` exactly once, with the applied state. It must be quick: nothing applies meanwhile.
    fn look(&self, look: &mut dyn FnMut(&Fleet));

    /// The mesh's time, never before the last command's.
    fn now(&self) -> Timestamp;

    /// Last applied index; changes after every apply.
    fn applied(&self) -> watch::Receiver<u64>;

    fn leadership(&self) -> watch::Receiver<Leadership>;

    /// Has a leader said something to this node a moment ago? A hint, for what may fail.
    fn hears_leader(&self) -> bool;

    fn membership(&self) -> v1::Membership;

    async fn change_membership(&self, change: MembershipChange) -> Result<(), ConsensusError>;

    fn state_hash(&self) -> Hash32;

    /// At most `limit` audit records, from index `from` on, in order.
    async fn audit(&self, from: u64, limit: usize) -> Result<Vec<v1::AuditRecord>, ConsensusError>;

    /// An ended run that has left the state for the history.
    async fn retired_run(&self, id: &RunId) -> Result<Option<v1::Run>, ConsensusError>;

    /// At most `limit` of these in a line each, those first that left last.
    async fn retired_runs(
        &self,
        service: Option<&ServiceId>,
        limit: usize,
    ) -> Result<Vec<v1::RunSummary>, ConsensusError>;

    /// The whole state and history as one file.
    async fn backup(&self) -> Result<Backup, ConsensusError>;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MembershipChange {
    AddLearner { id: u64, address: String, region: RegionId },
    Promote(u64),
    Remove(u64),
    TransferLeader(u64),
}

impl dyn Replicated {
    pub fn with_fleet<T>(&self, look: impl FnOnce(&Fleet) -> T) -> T {
        let mut look = Some(look);
        let mut seen = None;
        self.look(&mut |fleet| seen = look.take().map(|look| look(fleet)));
        seen.expect("look calls its argument exactly once")
    }
}

#[async_trait]
impl Replicated for Consensus {
    async fn propose(&self, command: Command) -> Result<Reply, ConsensusError> {
        Self::propose(self, command).await
    }

    async fn read_index(&self) -> Result<(), ConsensusError> {
        Self::read_index(self).await
    }

    fn look(&self, look: &mut dyn FnMut(&Fleet)) {
        Self::with_fleet(self, look);
    }

    fn now(&self) -> Timestamp {
        Self::now(self)
    }

    fn applied(&self) -> watch::Receiver<u64> {
        Self::applied(self)
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        Self::leadership(self)
    }

    fn hears_leader(&self) -> bool {
        Self::hears_leader(self)
    }

    fn membership(&self) -> v1::Membership {
        Self::membership(self)
    }

    async fn change_membership(&self, change: MembershipChange) -> Result<(), ConsensusError> {
        match change {
            MembershipChange::AddLearner { id, address, region } => {
                self.add_learner(id, address, region.to_string()).await
            }
            MembershipChange::Promote(id) => self.promote(id).await,
            MembershipChange::Remove(id) => self.remove(id).await,
            MembershipChange::TransferLeader(id) => self.transfer_leader(id).await,
        }
    }

    fn state_hash(&self) -> Hash32 {
        Self::state_hash(self)
    }

    async fn audit(&self, from: u64, limit: usize) -> Result<Vec<v1::AuditRecord>, ConsensusError> {
        reading(self, move |store| store.audit(from, limit)).await
    }

    async fn retired_run(&self, id: &RunId) -> Result<Option<v1::Run>, ConsensusError> {
        let id = id.clone();
        reading(self, move |store| store.retired_run(&id)).await
    }

    async fn retired_runs(
        &self,
        service: Option<&ServiceId>,
        limit: usize,
    ) -> Result<Vec<v1::RunSummary>, ConsensusError> {
        let service = service.cloned();
        reading(self, move |store| store.retired_runs(service.as_ref(), limit)).await
    }

    async fn backup(&self) -> Result<Backup, ConsensusError> {
        Self::backup(self).await
    }
}

/// The history is on disk, and reading it is not quick.
async fn reading<T: Send + 'static>(
    consensus: &Consensus,
    read: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ConsensusError> {
    let store = Arc::clone(consensus.store());
    let read = blocking::run(move || read(&store)).await;
    let failed = |error: &dyn std::fmt::Display| ConsensusError::Storage(error.to_string());
    read.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
}
