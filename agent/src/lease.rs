//! The agent's right to let its region write, for each service with leases. `mesh_core::lease::Holder` decides; here it is
//! kept, on disk where it must be, and shared between the session, the gate, the promises and the endpoint.
//!
//! What is told to anyone is on disk first: a floor in a standing, a promise in its reply. The rights themselves live in
//! memory alone, so that an agent starts fenced.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mesh_core::ids::{AgentId, Generation, RegionId, ServiceId};
use mesh_core::lease::holder::Promise;
use mesh_core::lease::{Ask, Holder, Lease, News, NoRight, Refused, Standing, StandingKind};
use mesh_proto::v1;
use tokio::sync::watch;

use crate::clock::{Clock, Stamp};
use crate::journal::{Event, JournalError, Log, Record};

pub mod asking;
pub mod endpoint;
pub mod peers;
pub mod serving;
#[cfg(test)]
mod tests;

/// Services of which rights are kept: as many as a mesh has.
pub const SERVICES_MAX: usize = 1_000;
/// A call that lets somebody write must end within this share of a lease, so that renewals once a second always leave
/// room for it.
const CALL_SHARE: u32 = 2;

pub struct Leases {
    clock: Arc<dyn Clock>,
    log: Arc<dyn Log>,
    region: RegionId,
    /// Longest time of any call.
    call_deadline: Duration,
    state: Mutex<BTreeMap<ServiceId, Kept>>,
    changed: watch::Sender<()>,
    /// A renewal is wanted now.
    wanted: watch::Sender<u64>,
}

#[derive(Default)]
struct Kept {
    holder: Holder,
    /// Does the service have leases? If not, nothing here holds anything back.
    leased: bool,
    length: Duration,
    addresses: BTreeMap<AgentId, Option<String>>,
}

/// What the endpoint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    pub service: ServiceId,
    pub region: RegionId,
    /// `None`: its region may not write.
    pub standing: Option<Standing>,
}

/// A round of asking for promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    pub service: ServiceId,
    pub ask: Ask,
    pub givers: Vec<(AgentId, String)>,
}

impl Leases {
    /// Fenced, with the floors and promises of the journal.
    pub fn start(log: Arc<dyn Log>, clock: Arc<dyn Clock>, region: RegionId, call_deadline: Duration) -> Arc<Self> {
        let now = clock.stamp();
        let mut state = BTreeMap::new();
        log.read(&mut |book| {
            for service in book.services() {
                let holder = Holder::restarted(book.lease_record(service), now);
                state.insert(service.clone(), Kept { holder, ..Kept::default() });
            }
        });
        let (changed, wanted) = (watch::Sender::new(()), watch::Sender::new(0));
        Arc::new(Self { clock, log, region, call_deadline, state: Mutex::new(state), changed, wanted })
    }

    /// The services with leases, with their lengths, as the watchlist has them.
    pub fn watch(&self, leased: &BTreeMap<ServiceId, Duration>) {
        let mut state = self.lock();
        for (service, length) in leased {
            if state.len() < SERVICES_MAX || state.contains_key(service) {
                let kept = state.entry(service.clone()).or_default();
                (kept.leased, kept.length) = (true, *length);
            }
        }
        for (service, kept) in state.iter_mut() {
            kept.leased = leased.contains_key(service);
        }
    }

    /// What the leader said in answer to a ping that left at `sent`.
    pub fn hear(self: &Arc<Self>, news: Vec<v1::LeaseNews>, sent: Stamp) -> Result<(), String> {
        let now = self.clock.stamp();
        for news in news {
            let (service, news, addresses) = heard(news)?;
            let raised = {
                let mut state = self.lock();
                let Some(kept) = kept(&mut state, &service) else { continue };
                kept.leased = true;
                if let Some(lease) = &news.lease {
                    kept.length = lease.length;
                    kept.addresses = addresses;
                }
                kept.holder.hear(&news, sent, now)
            };
            if raised {
                self.write_floor(service, news.floor);
            }
        }
        self.changed.send_replace(());
        Ok(())
    }

    /// "g ends, `wanted` is wanted". Returns when that is on disk, so that it may be acknowledged.
    pub async fn end(&self, service: &ServiceId, wanted: Generation) -> Result<(), JournalError> {
        {
            let mut state = self.lock();
            let Some(kept) = kept(&mut state, service) else { return Ok(()) };
            kept.holder.end(wanted);
        }
        self.changed.send_replace(());
        self.append(Event::Floor { service: service.clone(), generation: wanted }).await
    }

    /// Something of this generation is about to be done.
    pub fn raise(&self, service: &ServiceId, generation: Generation) {
        if let Some(kept) = self.lock().get_mut(service) {
            kept.holder.end(generation);
        }
        self.changed.send_replace(());
    }

    /// A promise to an agent of another region, on disk when this returns it.
    pub async fn promise(&self, service: &ServiceId, ask: &Ask) -> Result<Result<(), Refused>, JournalError> {
        let now = self.clock.stamp();
        {
            let mut state = self.lock();
            let Some(kept) = kept(&mut state, service) else { return Err(JournalError::Failed) };
            if let Err(refused) = kept.holder.promise(ask, now) {
                return Ok(Err(refused));
            }
        }
        let promise = Promise { generation: ask.generation, length: ask.length };
        self.append(Event::Promised { service: service.clone(), promise }).await?;
        Ok(Ok(()))
    }

    /// The rounds to begin now: of services whose right is running out, because nobody renews it.
    pub fn rounds(&self) -> Vec<Round> {
        let now = self.clock.stamp();
        let mut rounds = Vec::new();
        for (service, kept) in self.lock().iter_mut().filter(|(_, kept)| kept.leased) {
            let plenty = kept.holder.standing(now).is_some_and(|own| own.left > kept.length / 2);
            let addresses: Option<Vec<(AgentId, String)>> =
                kept.addresses.iter().map(|(agent, at)| Some((agent.clone(), at.clone()?))).collect();
            let Some(addresses) = addresses.filter(|_| !plenty) else { continue };
            if let Some((ask, members)) = kept.holder.ask(now) {
                let givers = addresses.into_iter().filter(|(agent, _)| members.contains(agent)).collect();
                rounds.push(Round { service: service.clone(), ask, givers });
            }
        }
        rounds
    }

    /// True once all have promised: the region may write for a promise's length from the asking.
    pub fn promised(&self, service: &ServiceId, giver: &AgentId, round: u64) -> bool {
        let now = self.clock.stamp();
        let held = self.lock().get_mut(service).is_some_and(|kept| kept.holder.promised(giver, round, now));
        if held {
            self.changed.send_replace(());
        }
        held
    }

    /// May this region write? `None` for a service of which this agent knows no lease.
    pub fn right(&self, service: &ServiceId) -> Option<Right> {
        let now = self.clock.stamp();
        let state = self.lock();
        let kept = state.get(service).filter(|kept| kept.leased)?;
        Some(Right { service: service.clone(), region: self.region.clone(), standing: kept.holder.standing(now) })
    }

    /// May a call that lets this region write start now? Always, where there are no leases.
    pub fn permits_call(&self, service: &ServiceId, generation: Generation) -> Result<(), NoRight> {
        let now = self.clock.stamp();
        match self.lock().get(service).filter(|kept| kept.leased) {
            Some(kept) => kept.holder.permits_call(generation, kept.deadline(self.call_deadline), now),
            None => Ok(()),
        }
    }

    /// As [`Self::permits_call`]; with `true` it is open here until [`Self::end_call`], and in the journal as the call.
    pub fn begin_call(&self, service: &ServiceId, generation: Generation) -> bool {
        let now = self.clock.stamp();
        let mut state = self.lock();
        let Some(kept) = state.get_mut(service).filter(|kept| kept.leased) else { return true };
        let deadline = kept.deadline(self.call_deadline);
        kept.holder.begin_call(generation, deadline, now).is_ok()
    }

    pub fn end_call(&self, service: &ServiceId) {
        if let Some(kept) = self.lock().get_mut(service) {
            kept.holder.end_call();
        }
    }

    /// How long such a call may take: less than the lease that permits it.
    pub fn call_deadline(&self, service: &ServiceId) -> Duration {
        let longest = self.call_deadline;
        self.lock().get(service).filter(|kept| kept.leased).map_or(longest, |kept| kept.deadline(longest))
    }

    /// What the leader is told: no floor that is not on disk.
    pub fn standings(&self) -> Vec<v1::LeaseStanding> {
        let now = self.clock.stamp();
        let mut on_disk = BTreeMap::new();
        self.log.read(&mut |book| {
            on_disk = book.services().map(|service| (service.clone(), book.floor(service))).collect();
        });
        let state = self.lock();
        let leased = state.iter().filter(|(_, kept)| kept.leased);
        leased
            .map(|(service, kept)| {
                let mut ack = kept.holder.ack(now);
                ack.floor = ack.floor.min(on_disk.get(service).copied().unwrap_or_default());
                mesh_proto::lease_standing(service.to_string(), &ack)
            })
            .collect()
    }

    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Length of the shortest lease.
    pub fn shortest(&self) -> Option<Duration> {
        self.lock().values().filter(|kept| kept.leased).map(|kept| kept.length).min()
    }

    /// A renewal is wanted now, not with the next ping.
    pub fn want_renewal(&self) {
        self.wanted.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub fn renewals_wanted(&self) -> watch::Receiver<u64> {
        self.wanted.subscribe()
    }

    /// Not waited for: until it is on disk, no standing says it.
    fn write_floor(self: &Arc<Self>, service: ServiceId, generation: Generation) {
        let leases = Arc::clone(self);
        tokio::spawn(async move {
            // The journal has told who must know.
            let _ = leases.append(Event::Floor { service, generation }).await;
        });
    }

    async fn append(&self, event: Event) -> Result<(), JournalError> {
        self.log.append(Record { at: self.clock.stamp().unix(), event }).await
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ServiceId, Kept>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn deadline(&self, deadline: Duration) -> Duration {
        deadline.min(self.length / CALL_SHARE)
    }
}

impl Right {
    pub fn state(&self) -> &'static str {
        match self.standing.map(|standing| standing.kind) {
            Some(StandingKind::Lease) => "lease",
            Some(StandingKind::Hold) => "hold",
            None => "none",
        }
    }
}

fn kept<'a>(state: &'a mut BTreeMap<ServiceId, Kept>, service: &ServiceId) -> Option<&'a mut Kept> {
    if state.len() >= SERVICES_MAX && !state.contains_key(service) {
        return None;
    }
    Some(state.entry(service.clone()).or_default())
}

type Heard = (ServiceId, News, BTreeMap<AgentId, Option<String>>);

fn heard(wire: v1::LeaseNews) -> Result<Heard, String> {
    let said = |error: mesh_core::ids::NameError| format!("a lease that is none: {error}");
    let service = ServiceId::new(wire.service).map_err(said)?;
    let mut addresses = BTreeMap::new();
    let lease = match wire.lease {
        None => None,
        Some(offer) => {
            for asked in offer.asks.into_iter().take(mesh_core::lease::ASK_MEMBERS_MAX) {
                addresses.insert(AgentId::new(asked.agent).map_err(said)?, asked.address);
            }
            let members: BTreeSet<AgentId> = addresses.keys().cloned().collect();
            Some(Lease {
                generation: Generation(offer.generation),
                length: Duration::from_millis(offer.length_ms),
                asks: mesh_core::lease::AskList { version: offer.asks_version, members },
            })
        }
    };
    Ok((service, News { floor: Generation(wire.floor), lease }, addresses))
}
