//! Who may vote: only a node whose disk holds all that its id ever promised.
//!
//! A node that lost its disk and comes back under the same id would vote a second time in a term, and would break the
//! count of copies of entries that it once acknowledged. It cannot tell by itself that it is not new, since its disk is
//! empty either way. So a node with an empty disk refuses every Raft call until it is admitted, which it then writes
//! down (`identity`), and it is admitted
//! - as a founder, once every other founder has answered and none of them holds a vote or an entry. None of them does
//!   before all are admitted. So all founders must be up when a mesh is founded, and a founder whose disk is lost stays
//!   out, as long as one of the others remembers;
//! - as a newcomer, by the leader, which asks just before it adds a node whose id is not among the members.
//!
//! Not covered: all other founders lost their disks too (then nothing is left to break), and a person who removes a
//! node and adds the same id with an empty disk. The latter is safe in Raft, since the entry that added it is newer than
//! anything the id promised before; it is still better to take a new id.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use mesh_proto::v1;
use mesh_runtime::backoff::Backoff;
use tonic::Status;

use super::Founder;
use super::network::Peers;
use super::types::{Member, Raft};
use crate::store::identity::{self, DiskIdentity};
use crate::store::wal::Wal;
use crate::store::{Store, StoreError};

const ASK_DEADLINE: Duration = Duration::from_secs(2);
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);
/// One line in the log for so many rounds of waiting for founders.
const ROUNDS_PER_LINE: u64 = 10;

pub struct Admission {
    data_dir: PathBuf,
    identity: DiskIdentity,
    admitted: AtomicBool,
    wal: Arc<Wal>,
    store: Arc<Store>,
}

enum Found {
    /// Somebody did not answer, or is not ready.
    Wait(String),
    /// Nothing more is to be done here.
    Done,
    Refused(String),
}

impl Admission {
    pub fn new(data_dir: PathBuf, identity: DiskIdentity, admitted: bool, wal: Arc<Wal>, store: Arc<Store>) -> Self {
        Self { data_dir, identity, admitted: AtomicBool::new(admitted), wal, store }
    }

    pub fn is_admitted(&self) -> bool {
        self.admitted.load(Ordering::Acquire)
    }

    /// No vote and no entry.
    pub fn is_pristine(&self) -> bool {
        let state = self.wal.state();
        state.vote.is_none() && state.last.is_none()
    }

    /// Durable before anything is promised.
    pub fn admit(&self) -> Result<(), StoreError> {
        if !self.is_admitted() {
            identity::write(&self.data_dir, &self.identity)?;
            self.admitted.store(true, Ordering::Release);
            tracing::info!(node = self.identity.node, "admitted to the mesh");
        }
        Ok(())
    }

    pub fn standing(&self) -> v1::StandingResponse {
        v1::StandingResponse {
            node: self.identity.node,
            admitted: self.is_admitted(),
            pristine: self.is_pristine(),
            membership: Some(self.store.summary().membership),
            segments_missing: self.store.history().troubled().len() as u64,
        }
    }
}

/// Founds the mesh together with the others, if this node is a founder and has not begun yet.
pub async fn found(admission: Arc<Admission>, raft: Raft, peers: Arc<Peers>, founders: Vec<Founder>) {
    let own = admission.identity.node;
    if !admission.is_pristine() {
        return;
    }
    if !founders.iter().any(|founder| founder.id == own) {
        tracing::info!(
            node = own,
            admitted = admission.is_admitted(),
            "not a founder: waits to be added by the leader"
        );
        return;
    }
    let mut backoff = Backoff::seeded_by_os(RETRY_MIN, RETRY_MAX);
    for round in 0_u64.. {
        match step(&admission, &raft, &peers, &founders).await {
            Found::Done => return,
            Found::Refused(reason) => {
                tracing::error!(node = own, reason, "this node must not take part in the mesh");
                return;
            }
            Found::Wait(reason) if round.is_multiple_of(ROUNDS_PER_LINE) => {
                tracing::info!(node = own, reason, "waiting for the other founders");
            }
            Found::Wait(_) => {}
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

async fn step(admission: &Admission, raft: &Raft, peers: &Peers, founders: &[Founder]) -> Found {
    let own = admission.identity.node;
    let others: Vec<_> = founders.iter().filter(|founder| founder.id != own).collect();
    let answers = join_all(others.iter().map(|founder| ask(peers, founder, false))).await;
    let standings: Vec<_> = match answers.into_iter().collect() {
        Ok(standings) => standings,
        Err(unanswered) => return Found::Wait(unanswered),
    };
    if let Some(refusal) = known_elsewhere(admission, &standings) {
        return refusal;
    }
    if let Err(error) = admission.admit() {
        return Found::Wait(error.to_string());
    }
    if founders.iter().any(|founder| founder.id < own) {
        return Found::Done;
    }
    if let Some(standing) = standings.iter().find(|standing| !standing.admitted) {
        return Found::Wait(format!("node {} has not heard from all founders yet", standing.node));
    }
    let member = |f: &Founder| (f.id, Member { address: f.address.clone(), region: f.region.clone() });
    let members: BTreeMap<u64, Member> = founders.iter().map(member).collect();
    match raft.initialize(members).await {
        Ok(()) => tracing::info!(founders = founders.len(), "the mesh is founded"),
        Err(error) => tracing::info!(%error, "the mesh was not founded by this node"),
    }
    Found::Done
}

/// What it means that another founder has begun: the mesh was founded, and not without every founder's admission.
fn known_elsewhere(admission: &Admission, standings: &[v1::StandingResponse]) -> Option<Found> {
    let own = admission.identity.node;
    let standing = standings.iter().find(|standing| !standing.pristine)?;
    if admission.is_admitted() {
        return Some(Found::Done);
    }
    let nodes = standing.membership.as_ref().map(|membership| &membership.nodes);
    let left_out = nodes.is_some_and(|nodes| !nodes.is_empty() && !nodes.contains_key(&own));
    Some(match left_out {
        true => Found::Wait(format!(
            "node {} is in a mesh without node {own}, which only its leader can add",
            standing.node
        )),
        false => Found::Refused(format!(
            "node {} has begun, which it does not before node {own} is admitted, and the disk here is empty: its \
             votes are lost. Remove node {own} from the mesh and add this one under a new id",
            standing.node,
        )),
    })
}

/// Asks a node for its standing; with `admit` it is let in, if it is new.
pub async fn ask(peers: &Peers, node: &Founder, admit: bool) -> Result<v1::StandingResponse, String> {
    let peer = (node.id, node.address.as_str());
    let request = v1::StandingRequest { admit };
    let asked =
        peers.call(peer, request, ASK_DEADLINE, |mut client, request| async move { client.standing(request).await });
    let wrong = |status: Status| format!("node {} at {}: {}", node.id, node.address, status.message());
    let standing = asked.await.map_err(wrong)?;
    match standing.node == node.id {
        true => Ok(standing),
        false => Err(format!("node {} answers at {}, not node {}", standing.node, node.address, node.id)),
    }
}
