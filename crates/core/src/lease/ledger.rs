//! The leader's memory of leases: when it last answered one for each region, and what the agents acknowledged.
//!
//! It begins empty with each election. Then the election itself counts as the answering of every lease: the leader before
//! answered none that was asked for later.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Ack, AskList, Lease, News, Terms, shrunk, stretched};
use crate::fleet::{AgentRecord, AuthorityState, Service};
use crate::ids::{AgentId, Generation, RegionId, ServiceId};

/// The leader's monotonic clock: time since a moment before its election that is the same all along.
pub type Mono = Duration;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ledger {
    elected: Mono,
    answered: BTreeMap<ServiceId, BTreeMap<RegionId, Mono>>,
    acks: BTreeMap<ServiceId, BTreeMap<AgentId, Acked>>,
}

/// What an agent last acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acked {
    /// What it said of promises is in `free_at`.
    pub ack: Ack,
    /// When its promises have certainly run out.
    pub free_at: Mono,
    /// Since when it acknowledges this floor and may write at nothing older.
    pub since: Mono,
}

impl Ledger {
    pub const fn elected(now: Mono) -> Self {
        Self { elected: now, answered: BTreeMap::new(), acks: BTreeMap::new() }
    }

    /// The answer to an agent's nonce. Call it after a ReadIndex that began when the nonce was here, with the state that
    /// is read then; that a lease is answered is noted before the state is used, so no revocation can miss it.
    pub fn news(
        &mut self,
        id: &ServiceId,
        service: &Service,
        agent: &AgentId,
        agents: &BTreeMap<AgentId, AgentRecord>,
        now: Mono,
    ) -> Option<News> {
        if !service.manifest.fence.is_leased() {
            return None;
        }
        let region = &agents.get(agent)?.region;
        let floor = floor(service);
        let granted = service.authority.get(region).filter(|authority| authority.state == AuthorityState::Granted);
        let listed = service.asks.last().filter(|list| list.members.contains(agent));
        let (Some(authority), Some(list)) = (granted, listed) else { return Some(News { floor, lease: None }) };
        of(&mut self.answered, id).insert(region.clone(), now);
        let members = elsewhere(list, region, agents);
        let lease = Lease {
            generation: authority.generation,
            length: service.manifest.fence.length,
            asks: AskList { version: list.version, members },
        };
        Some(News { floor, lease: Some(lease) })
    }

    /// An agent's report, as it arrives.
    pub fn acknowledged(&mut self, service: &ServiceId, agent: &AgentId, ack: Ack, now: Mono) {
        let acks = of(&mut self.acks, service);
        let writes_older = |ack: &Ack| ack.writes.is_some_and(|writes| writes < ack.floor);
        let known = acks.get(agent).filter(|known| known.ack.floor == ack.floor);
        let since = known.filter(|known| !writes_older(&known.ack)).map_or(now, |known| known.since);
        // Below its floor an agent promises nothing any more: what was once said of its promises stays true, also when
        // they run in full again after a restart.
        let free_at = now.saturating_add(stretched(ack.promise_left)).saturating_sub(shrunk(ack.free_for));
        let free_at = known.map_or(free_at, |known| known.free_at.min(free_at));
        let ack = Ack { promise_left: Duration::ZERO, free_for: Duration::ZERO, ..ack };
        acks.insert(agent.clone(), Acked { ack, free_at, since });
    }

    pub fn acked(&self, service: &ServiceId, agent: &AgentId) -> Option<&Acked> {
        self.acks.get(service)?.get(agent)
    }

    /// When the last lease that anyone can have answered for the region has certainly ended.
    pub fn lease_over(&self, service: &ServiceId, region: &RegionId, terms: Terms) -> Mono {
        let answered = self.answered.get(service).and_then(|of| of.get(region)).copied().unwrap_or_default();
        answered.max(self.elected).saturating_add(terms.waited_out())
    }

    /// Forgets services that are no more.
    pub fn retain(&mut self, keep: impl Fn(&ServiceId) -> bool) {
        self.answered.retain(|service, _| keep(service));
        self.acks.retain(|service, _| keep(service));
    }
}

fn of<'a, K, V>(map: &'a mut BTreeMap<ServiceId, BTreeMap<K, V>>, id: &ServiceId) -> &'a mut BTreeMap<K, V> {
    if !map.contains_key(id) {
        map.insert(id.clone(), BTreeMap::new());
    }
    map.get_mut(id).expect("it is there now")
}

/// The highest generation that was granted or is wanted.
pub fn floor(service: &Service) -> Generation {
    let wanted = service.authority.values().map(|authority| match authority.state {
        AuthorityState::Ending { wanted } => wanted.max(authority.generation),
        AuthorityState::Granted
        | AuthorityState::Closed { .. }
        | AuthorityState::ClosedByConsent { .. }
        | AuthorityState::Proven { .. } => authority.generation,
    });
    wanted.max().unwrap_or_default()
}

/// The members of a list that agents of `region` ask: all of other regions.
pub fn elsewhere(
    list: &AskList,
    region: &RegionId,
    agents: &BTreeMap<AgentId, AgentRecord>,
) -> std::collections::BTreeSet<AgentId> {
    let is_elsewhere = |agent: &&AgentId| agents.get(*agent).is_none_or(|record| record.region != *region);
    list.members.iter().filter(is_elsewhere).cloned().collect()
}
