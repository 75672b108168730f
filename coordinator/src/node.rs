//! One coordinator, as its services and its driver see it.

use std::sync::Arc;

use mesh_core::ids::RegionId;
use mesh_core::time::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::driver::automatic::judgements::Judgements;
use crate::peers::Peers;
use crate::replicated::Replicated;
use crate::sessions::Sessions;
use crate::sessions::pongs::Pongs;
use crate::sessions::signals::Signals;

pub struct Node {
    pub mesh: String,
    pub id: u64,
    pub region: RegionId,
    pub replica: Arc<dyn Replicated>,
    pub sessions: Sessions,
    pub signals: Signals,
    /// What this node makes of each service while it leads.
    pub judgements: Judgements,
    pub pongs: Pongs,
    pub peers: Peers,
    pub timing: Timing,
    /// Cancelled when the process drains: streams end, so that clients go elsewhere.
    pub draining: CancellationToken,
}

#[derive(Clone, Copy, Debug)]
pub struct Timing {
    pub agent_silence: std::time::Duration,
}

impl Node {
    /// The mesh's time, never before the last command's.
    pub fn now(&self) -> Timestamp {
        self.replica.now()
    }

    pub fn leads(&self) -> bool {
        self.replica.leadership().borrow().is_self
    }

    /// Address of the leader, if it is known and is another node.
    pub fn other_leader(&self) -> Option<(u64, String)> {
        let leadership = self.replica.leadership();
        let leadership = leadership.borrow();
        leadership.leader.clone().filter(|(id, _)| *id != self.id)
    }
}
