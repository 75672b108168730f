//! The leader's book of leases: what it answered, what was acknowledged, and what is due of it. One for each term: a new
//! leader knows nothing, and waits.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use mesh_core::engine;
use mesh_core::fleet::{AuthorityState, Command, Fleet, Service};
use mesh_core::ids::{AgentId, Generation, ServiceId};
use mesh_core::lease::due::{self, Due};
use mesh_core::lease::{Ledger, Mono, News};
use mesh_core::time::duration_millis;
use mesh_proto::v1;
use tokio::time::Instant;
use tracing::{debug, info};
use v1::to_agent::Message;

use super::Session;
use crate::node::Node;

/// Standings in one message: as many as a mesh has services.
const STANDINGS_MAX: usize = 1_000;

pub struct LeaseBook {
    /// Before any election of this process.
    started: Instant,
    of_term: Mutex<(u64, Ledger)>,
}

impl Default for LeaseBook {
    fn default() -> Self {
        Self { started: Instant::now(), of_term: Mutex::default() }
    }
}

impl LeaseBook {
    /// `None` for a term that is over. Whoever reads the state as well does so in here: then an answered lease is seen
    /// by whoever sees its revocation.
    pub fn with<T>(&self, term: u64, look: impl FnOnce(&mut Ledger, Mono) -> T) -> Option<T> {
        let mut of_term = self.of_term.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.started.elapsed();
        if term < of_term.0 {
            return None;
        }
        if term > of_term.0 {
            *of_term = (term, Ledger::elected(now));
        }
        Some(look(&mut of_term.1, now))
    }
}

fn term(node: &Node) -> Option<u64> {
    let leadership = node.replica.leadership();
    let leadership = leadership.borrow();
    leadership.is_self.then_some(leadership.term)
}

/// What each of these agents is told with its pong. Call it after their ReadIndex.
pub fn news<'a>(node: &Node, agents: impl Iterator<Item = &'a AgentId>) -> Vec<Vec<v1::LeaseNews>> {
    let agents: Vec<&AgentId> = agents.collect();
    let told = term(node).and_then(|term| {
        node.sessions.leases.with(term, |ledger, now| {
            node.replica.with_fleet(|fleet| {
                // Once for all who ask: most services of a large mesh have no leases.
                let leased = fleet.services.iter().filter(|(_, service)| service.manifest.fence.is_leased());
                let leased: Vec<(&ServiceId, &Service)> = leased.collect();
                agents.iter().map(|agent| of_agent(fleet, &leased, ledger, agent, now)).collect()
            })
        })
    });
    told.unwrap_or_else(|| agents.iter().map(|_| Vec::new()).collect())
}

fn of_agent(
    fleet: &Fleet,
    leased: &[(&ServiceId, &Service)],
    ledger: &mut Ledger,
    agent: &AgentId,
    now: Mono,
) -> Vec<v1::LeaseNews> {
    let news = leased.iter().filter_map(|(id, service)| {
        let news = ledger.news(id, service, agent, &fleet.agents, now)?;
        Some(wire(fleet, id, news))
    });
    news.collect()
}

fn wire(fleet: &Fleet, service: &ServiceId, news: News) -> v1::LeaseNews {
    let asked = |agent: AgentId| v1::AskedAgent {
        address: fleet.agents.get(&agent).and_then(|record| record.address.clone()),
        agent: agent.to_string(),
    };
    v1::LeaseNews {
        service: service.to_string(),
        floor: news.floor.0,
        lease: news.lease.map(|lease| v1::LeaseOffer {
            generation: lease.generation.0,
            length_ms: duration_millis(lease.length),
            asks_version: lease.asks.version,
            asks: lease.asks.members.into_iter().map(asked).collect(),
        }),
    }
}

/// What an agent reports of its own rights and promises.
pub fn record(node: &Node, session: &Session, standings: Vec<v1::LeaseStanding>) {
    let Some(term) = term(node).filter(|_| !standings.is_empty()) else { return };
    let changed = node.sessions.leases.with(term, |ledger, now| {
        let mut changed = false;
        for standing in standings.into_iter().take(STANDINGS_MAX) {
            let ack = mesh_proto::lease_ack(&standing);
            let Ok(service) = ServiceId::new(standing.service) else { continue };
            let known = ledger.acked(&service, &session.agent).map(|known| (known.ack.floor, known.ack.writes));
            changed |= known != Some((ack.floor, ack.writes));
            ledger.acknowledged(&service, &session.agent, ack, now);
        }
        changed
    });
    if changed == Some(true) {
        node.sessions.tell();
    }
}

/// What is due of leases now; and every agent with a session has been told what has ended.
pub fn due(node: &Node, view: &engine::View) -> Due {
    tell_ended(node);
    let due = term(node).and_then(|term| {
        node.sessions.leases.with(term, |ledger, now| {
            node.replica.with_fleet(|fleet| {
                ledger.retain(|service| fleet.services.contains_key(service));
                due::due(fleet, view, ledger, now)
            })
        })
    });
    let due = due.unwrap_or_default();
    for (service, region, missing) in &due.missing {
        debug!(%service, %region, missing, "not proven closed yet");
    }
    due
}

fn tell_ended(node: &Node) {
    let ended = node.replica.with_fleet(ended);
    if ended.is_empty() {
        return;
    }
    for session in node.sessions.live() {
        for (service, wanted) in session.first_told(&ended) {
            info!(agent = %session.agent, %service, %wanted, "told that what is older has ended");
            session.send(Message::Revoked(v1::Revoked { service: service.to_string(), wanted: wanted.0 }));
        }
    }
}

fn ended(fleet: &Fleet) -> BTreeSet<(ServiceId, Generation)> {
    let endings = fleet.services.iter().flat_map(|(id, service)| {
        service.authority.values().filter_map(move |authority| match authority.state {
            AuthorityState::Ending { wanted } => Some((id.clone(), wanted)),
            AuthorityState::Granted
            | AuthorityState::Closed { .. }
            | AuthorityState::ClosedByConsent { .. }
            | AuthorityState::Proven { .. } => None,
        })
    });
    endings.collect()
}

/// The agent's address for promises, committed where it changed.
pub async fn note_address(node: &Arc<Node>, agent: &AgentId, address: Option<String>) {
    let known = node.replica.with_fleet(|fleet| fleet.agents.get(agent).map(|record| record.address.clone()));
    if known.is_none_or(|known| known == address) {
        return;
    }
    let command = Command::NoteAddress { agent: agent.clone(), address };
    // Not worth a session: it is tried again with the agent's next one.
    if let Err(error) = node.replica.propose(command).await {
        info!(%agent, %error, "its address for promises is not committed");
    }
}
