//! The agents that have a session with this node. At most one an agent: a newer one replaces the older.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mesh_core::detect::roll::Roll;
use mesh_core::ids::{AgentId, RegionId};
use tokio::sync::watch;
use tokio::time::Instant;

pub mod evidence;
pub mod leases;
pub mod outcome;
pub mod pongs;
pub mod relay;
pub mod service;
pub mod session;
pub mod signals;
pub mod watchlist;

pub use session::Session;

use crate::driver::ahead::Ahead;

/// Agents of one mesh; what is remembered of them is this many times a few dozen bytes.
pub const AGENTS_MAX: usize = 10_000;
/// Each has a connection of its own, and people and coordinators have some.
const _: () = assert!(AGENTS_MAX < mesh_runtime::grpc::CONNECTIONS_MAX, "every agent must be able to connect");

pub struct Sessions {
    known: Mutex<Known>,
    changed: watch::Sender<u64>,
    pub ahead: Ahead,
    pub leases: leases::LeaseBook,
    pub watchlists: watchlist::Watchlists,
}

#[derive(Default)]
struct Known {
    live: BTreeMap<AgentId, Arc<Session>>,
    /// Agents that had a session and have none now, with when they were last heard.
    gone: BTreeMap<AgentId, Gone>,
}

#[derive(Clone, Debug)]
struct Gone {
    region: RegionId,
    heard: Instant,
}

/// What is known of an agent's presence at this node.
#[derive(Clone, Debug)]
pub struct Presence {
    pub region: RegionId,
    pub heard: Instant,
    pub connected: bool,
    /// The coordinator that passes its session on.
    pub via: Option<String>,
}

impl Default for Sessions {
    fn default() -> Self {
        let leases = leases::LeaseBook::default();
        let changed = watch::channel(0).0;
        Self { known: Mutex::default(), changed, ahead: Ahead::default(), leases, watchlists: Default::default() }
    }
}

impl Sessions {
    /// Makes `session` the agent's one. False if there are too many agents.
    pub fn enter(&self, session: &Arc<Session>) -> bool {
        let replaced = {
            let mut known = self.lock();
            if known.live.len() >= AGENTS_MAX && !known.live.contains_key(&session.agent) {
                return false;
            }
            known.gone.remove(&session.agent);
            known.live.insert(session.agent.clone(), Arc::clone(session))
        };
        if let Some(older) = replaced {
            older.end("a newer session of this agent has begun");
        }
        self.tell();
        true
    }

    /// Forgets `session`, unless a newer one has taken its place.
    pub fn leave(&self, session: &Arc<Session>) {
        {
            let mut known = self.lock();
            if !known.live.get(&session.agent).is_some_and(|live| Arc::ptr_eq(live, session)) {
                return;
            }
            known.live.remove(&session.agent);
            if known.gone.len() >= AGENTS_MAX {
                let oldest = known.gone.iter().min_by_key(|(_, gone)| gone.heard).map(|(agent, _)| agent.clone());
                oldest.map(|agent| known.gone.remove(&agent));
            }
            let gone = Gone { region: session.region.clone(), heard: session.heard() };
            known.gone.insert(session.agent.clone(), gone);
        }
        self.tell();
    }

    pub fn of(&self, agent: &AgentId) -> Option<Arc<Session>> {
        self.lock().live.get(agent).cloned()
    }

    /// The agent's session after `ended`, as soon as there is one.
    pub async fn after(&self, ended: &Arc<Session>) -> Arc<Session> {
        let mut changes = self.changed.subscribe();
        loop {
            match self.of(&ended.agent) {
                Some(newer) if !Arc::ptr_eq(&newer, ended) => return newer,
                Some(_) | None => {}
            }
            if changes.changed().await.is_err() {
                // The sender is ours.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Regions of which an agent had a session a moment ago, and none has one.
    pub fn lately_silent(&self, within: Duration) -> Vec<RegionId> {
        let known = self.lock();
        let mut gone: Vec<RegionId> = known
            .gone
            .values()
            .filter(|gone| gone.heard.elapsed() <= within)
            .map(|gone| gone.region.clone())
            .filter(|region| known.live.values().all(|session| session.region != *region))
            .collect();
        gone.sort();
        gone.dedup();
        gone
    }

    pub fn in_region(&self, region: &RegionId) -> Vec<Arc<Session>> {
        self.lock().live.values().filter(|session| session.region == *region).cloned().collect()
    }

    pub fn live(&self) -> Vec<Arc<Session>> {
        self.lock().live.values().cloned().collect()
    }

    /// How many speak by way of another coordinator.
    pub fn passed_on(&self) -> usize {
        self.lock().live.values().filter(|session| session.via.is_some()).count()
    }

    /// When each of these agents was last heard, if ever. Ask in the order of their names.
    pub fn heard_of<'a>(&self, agents: impl Iterator<Item = &'a AgentId>) -> Vec<Option<Instant>> {
        let known = self.lock();
        let (mut live, mut gone) = (Roll::of(&known.live), Roll::of(&known.gone));
        let heard = |agent| match live.find(agent) {
            Some(session) => Some(session.heard()),
            None => gone.find(agent).map(|gone| gone.heard),
        };
        agents.map(heard).collect()
    }

    /// Every agent that has or had a session here.
    pub fn presence(&self) -> BTreeMap<AgentId, Presence> {
        let known = self.lock();
        let gone = known.gone.iter().map(|(agent, gone)| {
            (agent.clone(), Presence { region: gone.region.clone(), heard: gone.heard, connected: false, via: None })
        });
        let live = known.live.values().map(|session| {
            let (region, via) = (session.region.clone(), session.via.clone());
            let presence = Presence { region, heard: session.heard(), connected: true, via };
            (session.agent.clone(), presence)
        });
        gone.chain(live).collect()
    }

    /// Changes whenever an agent's session begins or ends, or steps are let go that were held.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The driver looks again.
    pub(crate) fn tell(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
