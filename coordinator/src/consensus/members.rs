//! Changes of the coordinators' membership, one node at a time.

use std::collections::BTreeSet;
use std::time::Duration;

use mesh_proto::v1;
use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::metrics::RaftMetrics;

use super::errors::{forwarded, stopped};
use super::types::{Member, Types};
use super::{Consensus, ConsensusError, Founder, admission};

/// For a change to commit; a joint change commits twice.
const CHANGE_DEADLINE: Duration = Duration::from_secs(10);
const TRANSFER_DEADLINE: Duration = Duration::from_secs(5);
/// A learner within so many entries of the leader's log needs one round to catch up.
const PROMOTE_LAG_MAX: u64 = 100;

type Metrics = RaftMetrics<Types>;

impl Consensus {
    pub fn membership(&self) -> v1::Membership {
        let metrics = self.metrics();
        let config = &metrics.membership_config;
        let voters: BTreeSet<u64> = config.voter_ids().collect();
        let member = |(id, member): (&u64, &Member)| v1::Member {
            id: *id,
            address: member.address.clone(),
            region: member.region.clone(),
            voter: voters.contains(id),
            matched_index: matched(&metrics, *id),
            last_heard_ms_ago: heard(&metrics, *id)
                .map(|ago| u64::try_from(ago.as_millis()).unwrap_or(u64::MAX))
                .filter(|_| *id != self.config.node_id),
        };
        v1::Membership {
            leader: metrics.current_leader.unwrap_or_default(),
            term: metrics.current_term,
            members: config.nodes().map(member).collect(),
        }
    }

    /// Adds a node that gets the log and does not vote. It must be up: the leader asks it first whether it is new.
    pub async fn add_learner(&self, id: u64, address: String, region: String) -> Result<(), ConsensusError> {
        self.read_index().await?;
        if id == 0 {
            return Err(ConsensusError::Refused("node ids begin with 1".to_owned()));
        }
        let member = Member { address: address.clone(), region: region.clone() };
        match self.metrics().membership_config.get_node(&id) {
            Some(known) if *known == member => return Ok(()),
            Some(known) => return Err(refused(format!("node {id} is a member already, at {}", known.address))),
            None => {}
        }
        let node = Founder { id, address, region };
        let standing = admission::ask(&self.peers, &node, true).await.map_err(ConsensusError::Refused)?;
        if !standing.admitted {
            return Err(refused(format!("node {id} holds a log but no identity: empty its data directory first")));
        }
        let change = self.raft.add_learner(id, member, false);
        committed(tokio::time::timeout(CHANGE_DEADLINE, change).await)
    }

    /// Makes a learner that has caught up a voter.
    pub async fn promote(&self, id: u64) -> Result<(), ConsensusError> {
        self.read_index().await?;
        let metrics = self.metrics();
        if metrics.membership_config.voter_ids().any(|voter| voter == id) {
            return Ok(());
        }
        if metrics.membership_config.get_node(&id).is_none() {
            return Err(refused(format!("node {id} is not a member: add it as a learner first")));
        }
        self.check_follows(&metrics, id, PROMOTE_LAG_MAX)?;
        self.check_history(&metrics, id).await?;
        let change = self.raft.change_membership(ChangeMembers::AddVoterIds([id].into()), true);
        committed(tokio::time::timeout(CHANGE_DEADLINE, change).await)
    }

    pub async fn remove(&self, id: u64) -> Result<(), ConsensusError> {
        self.read_index().await?;
        let config = self.metrics().membership_config;
        if id == self.config.node_id {
            return Err(refused(format!("node {id} leads: transfer its leadership first")));
        }
        if config.get_node(&id).is_none() {
            return Ok(());
        }
        let change = match config.voter_ids().any(|voter| voter == id) {
            true => ChangeMembers::RemoveVoters([id].into()),
            false => ChangeMembers::RemoveNodes([id].into()),
        };
        committed(tokio::time::timeout(CHANGE_DEADLINE, self.raft.change_membership(change, false)).await)
    }

    /// Hands leadership to a voter that has the whole log and answers now. openraft cannot take a transfer back: the
    /// old leader takes no proposals while it waits for the new one.
    pub async fn transfer_leader(&self, id: u64) -> Result<(), ConsensusError> {
        self.read_index().await?;
        if id == self.config.node_id {
            return Ok(());
        }
        let metrics = self.metrics();
        if !metrics.membership_config.voter_ids().any(|voter| voter == id) {
            return Err(refused(format!("node {id} is not a voter")));
        }
        self.check_follows(&metrics, id, 0)?;
        let mut leadership = self.leadership();
        self.raft.trigger().transfer_leader(id).await.map_err(stopped)?;
        let led = leadership.wait_for(|now| now.leader.as_ref().is_some_and(|(leader, _)| *leader == id));
        match tokio::time::timeout(TRANSFER_DEADLINE, led).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(ConsensusError::Unavailable(format!("node {id} has not taken over in time"))),
        }
    }

    /// `id` has answered within an election's time and lacks at most `lag_max` entries.
    fn check_follows(&self, metrics: &Metrics, id: u64, lag_max: u64) -> Result<(), ConsensusError> {
        match heard(metrics, id) {
            Some(ago) if ago <= self.config.election_min => {}
            Some(ago) => return Err(refused(format!("node {id} was last heard {} ms ago", ago.as_millis()))),
            None => return Err(refused(format!("node {id} has not answered this leader yet"))),
        }
        let last = metrics.last_log_index.unwrap_or_default();
        let lag = last.saturating_sub(matched(metrics, id).unwrap_or_default());
        match lag <= lag_max {
            true => Ok(()),
            false => Err(refused(format!("node {id} lacks {lag} entries of the log"))),
        }
    }

    /// A voter stands in for those whose disks are lost: it has the whole history, too.
    async fn check_history(&self, metrics: &Metrics, id: u64) -> Result<(), ConsensusError> {
        let Some(member) = metrics.membership_config.get_node(&id) else { return Ok(()) };
        let node = Founder { id, address: member.address.clone(), region: member.region.clone() };
        let standing = admission::ask(&self.peers, &node, false).await.map_err(ConsensusError::Refused)?;
        match standing.segments_missing {
            0 => Ok(()),
            missing => Err(refused(format!("node {id} still lacks {missing} segments of the history: try again soon"))),
        }
    }

    pub(super) fn metrics(&self) -> Metrics {
        self.raft.metrics().borrow_watched().clone()
    }
}

fn refused(reason: String) -> ConsensusError {
    ConsensusError::Refused(reason)
}

fn matched(metrics: &Metrics, id: u64) -> Option<u64> {
    let place = metrics.replication.as_ref()?.get(&id)?.as_ref()?;
    Some(place.index)
}

fn heard(metrics: &Metrics, id: u64) -> Option<Duration> {
    let at = metrics.heartbeat.as_ref()?.get(&id)?.as_ref()?;
    Some(openraft::Instant::elapsed(&**at))
}

type Changed<T> = Result<Result<T, RaftError<Types, ClientWriteError<Types>>>, tokio::time::error::Elapsed>;

fn committed<T>(changed: Changed<T>) -> Result<(), ConsensusError> {
    match changed {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(to)))) => Err(forwarded(to)),
        Ok(Err(RaftError::APIError(ClientWriteError::LogEntryDiscarded(_)))) => {
            Err(ConsensusError::Unavailable("leadership was lost while the change was made".to_owned()))
        }
        Ok(Err(RaftError::APIError(error))) => Err(refused(error.to_string())),
        Ok(Err(RaftError::Fatal(fatal))) => Err(stopped(fatal)),
        Err(_) => Err(ConsensusError::Unavailable("the change has not committed in time".to_owned())),
    }
}
