//! Consensus of one process: what is proposed is applied at once, unless the test holds it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use mesh_coordinator::consensus::{Backup, ConsensusError, Leadership};
use mesh_coordinator::replicated::{MembershipChange, Replicated};
use mesh_core::fleet::{Command, Fleet, Reply};
use mesh_core::ids::{Hash32, RunId, ServiceId};
use mesh_core::time::Timestamp;
use mesh_proto::v1;
use mesh_runtime::clock;
use tokio::sync::watch;
use tonic::async_trait;

/// What all nodes of a test share: one state, one leader.
pub struct Shared {
    fleet: Mutex<Fleet>,
    commands: Mutex<Vec<Command>>,
    changes: Mutex<Vec<MembershipChange>>,
    applied: watch::Sender<u64>,
    /// Whether commits and confirmations go through.
    quorum: watch::Sender<bool>,
    /// Whether commits alone go through.
    commits: watch::Sender<bool>,
    /// Proposals that were made, and confirmations that were refused.
    pub proposed: watch::Sender<u64>,
    pub refused: watch::Sender<u64>,
    /// How often a node has looked at the state.
    looks: AtomicU64,
    /// Whether those who follow hear the leader.
    pub hears_leader: AtomicBool,
    nodes: Mutex<Vec<(u64, String, watch::Sender<Leadership>)>>,
}

impl Shared {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            fleet: Mutex::default(),
            commands: Mutex::default(),
            changes: Mutex::default(),
            applied: watch::channel(0).0,
            quorum: watch::channel(true).0,
            commits: watch::channel(true).0,
            proposed: watch::channel(0).0,
            refused: watch::channel(0).0,
            looks: AtomicU64::new(0),
            hears_leader: AtomicBool::new(true),
            nodes: Mutex::default(),
        })
    }

    pub fn join(self: &Arc<Self>, id: u64, address: &str) -> Arc<Fake> {
        let leadership = watch::channel(Leadership::default());
        self.nodes.lock().expect("no panic").push((id, address.to_owned(), leadership.0));
        Arc::new(Fake { id, shared: Arc::clone(self), leadership: leadership.1 })
    }

    pub fn elect(&self, leader: u64) {
        let nodes = self.nodes.lock().expect("no panic");
        let address = nodes.iter().find(|(id, _, _)| *id == leader).map(|(id, address, _)| (*id, address.clone()));
        for (id, _, leadership) in nodes.iter() {
            leadership.send_modify(|now| {
                *now = Leadership { term: now.term + 1, leader: address.clone(), is_self: *id == leader };
            });
        }
    }

    pub fn set_quorum(&self, there: bool) {
        self.quorum.send_replace(there);
    }

    /// Proposals made meanwhile commit later.
    pub fn set_commits(&self, going: bool) {
        self.commits.send_replace(going);
    }

    pub fn apply(&self, command: &Command) -> Reply {
        let reply = self.fleet.lock().expect("no panic").apply(clock::unix_now(), command).reply;
        self.commands.lock().expect("no panic").push(command.clone());
        self.applied.send_modify(|index| *index += 1);
        reply
    }

    pub fn with_fleet<T>(&self, look: impl FnOnce(&Fleet) -> T) -> T {
        look(&self.fleet.lock().expect("no panic"))
    }

    pub fn looks(&self) -> u64 {
        self.looks.load(Ordering::Relaxed)
    }

    pub fn commands(&self) -> Vec<Command> {
        self.commands.lock().expect("no panic").clone()
    }

    pub fn membership_changes(&self) -> Vec<MembershipChange> {
        self.changes.lock().expect("no panic").clone()
    }

    /// Waits until `count` has reached `least`.
    pub async fn counted(&self, count: &watch::Sender<u64>, least: u64) {
        let mut count = count.subscribe();
        let reached = count.wait_for(|count| *count >= least);
        let reached = tokio::time::timeout(crate::world::PATIENCE, reached).await;
        reached.expect("it happens").expect("the sender lives");
    }

    /// Waits until the state is as wanted.
    pub async fn until(&self, what: &str, holds: impl Fn(&Fleet) -> bool) {
        let mut applied = self.applied.subscribe();
        let seen = async {
            while !self.with_fleet(&holds) {
                applied.changed().await.expect("the sender lives");
            }
        };
        tokio::time::timeout(crate::world::PATIENCE, seen).await.unwrap_or_else(|_| panic!("never: {what}"));
    }
}

pub struct Fake {
    id: u64,
    shared: Arc<Shared>,
    leadership: watch::Receiver<Leadership>,
}

impl Fake {
    fn check(&self) -> Result<(), ConsensusError> {
        let leadership = self.leadership.borrow();
        if leadership.is_self { Ok(()) } else { Err(ConsensusError::NotLeader { leader: leadership.leader.clone() }) }
    }
}

#[async_trait]
impl Replicated for Fake {
    async fn propose(&self, command: Command) -> Result<Reply, ConsensusError> {
        self.check()?;
        self.shared.proposed.send_modify(|count| *count += 1);
        let mut quorum = self.shared.quorum.subscribe();
        quorum.wait_for(|there| *there).await.expect("the sender lives");
        let mut commits = self.shared.commits.subscribe();
        commits.wait_for(|going| *going).await.expect("the sender lives");
        self.check()?;
        Ok(self.shared.apply(&command))
    }

    async fn read_index(&self) -> Result<(), ConsensusError> {
        self.check()?;
        if *self.shared.quorum.borrow() {
            return Ok(());
        }
        self.shared.refused.send_modify(|count| *count += 1);
        Err(ConsensusError::Unavailable("no quorum".to_owned()))
    }

    fn look(&self, look: &mut dyn FnMut(&Fleet)) {
        self.shared.looks.fetch_add(1, Ordering::Relaxed);
        self.shared.with_fleet(look);
    }

    fn now(&self) -> Timestamp {
        self.shared.with_fleet(|fleet| fleet.now).max(clock::unix_now())
    }

    fn applied(&self) -> watch::Receiver<u64> {
        self.shared.applied.subscribe()
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    fn hears_leader(&self) -> bool {
        self.shared.hears_leader.load(Ordering::Relaxed)
    }

    fn membership(&self) -> v1::Membership {
        let leadership = self.leadership.borrow();
        let leader = leadership.leader.as_ref().map_or(0, |(id, _)| *id);
        let nodes = self.shared.nodes.lock().expect("no panic");
        let members = nodes.iter().map(|(id, address, _)| v1::Member {
            id: *id,
            address: address.clone(),
            region: "us-east-1".to_owned(),
            voter: true,
            ..Default::default()
        });
        v1::Membership { leader, term: leadership.term, members: members.collect() }
    }

    async fn change_membership(&self, change: MembershipChange) -> Result<(), ConsensusError> {
        self.check()?;
        self.shared.changes.lock().expect("no panic").push(change);
        Ok(())
    }

    fn state_hash(&self) -> Hash32 {
        Hash32([u8::try_from(self.id).expect("few nodes"); 32])
    }

    async fn audit(&self, from: u64, limit: usize) -> Result<Vec<v1::AuditRecord>, ConsensusError> {
        let last = *self.shared.applied.borrow();
        let records = (from.max(1)..=last).take(limit).map(|index| v1::AuditRecord { index, ..Default::default() });
        Ok(records.collect())
    }

    async fn retired_run(&self, _: &RunId) -> Result<Option<v1::Run>, ConsensusError> {
        Ok(None)
    }

    async fn retired_runs(&self, _: Option<&ServiceId>, _: usize) -> Result<Vec<v1::RunSummary>, ConsensusError> {
        Ok(Vec::new())
    }

    async fn backup(&self) -> Result<Backup, ConsensusError> {
        Err(ConsensusError::Unavailable("nothing is on a disk".to_owned()))
    }
}
