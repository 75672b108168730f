//! One state of the world, and what can happen in it.
//!
//! Region `y` may write at first; a run wants `x`. Region `w` is a witness. A tick is a nanosecond of the core's clocks, so
//! that a lease of two ticks has no room to hide a mistake of one in drift or margin.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mesh_core::fleet::{AgentRecord, Authority, AuthorityState, Command, Fleet, Service};
use mesh_core::ids::{AgentId, Generation, RegionId, RunId, ServiceId};
use mesh_core::lease::closing::FenceSeen;
use mesh_core::lease::ledger::{elsewhere, floor};
use mesh_core::lease::{
    Ack, Ask, AskList, Case, Closing, Fence, Fencing, Holder, Ledger, News, Refused, Stamp, StandingKind, Terms,
    closing,
};
use mesh_core::time::Timestamp;

use crate::rules::Rules;

/// Ticks of a lease, and of a promise.
const LENGTH: Duration = Duration::from_nanos(2);
/// Ticks that the dead-man fence needs.
const REACTION: u64 = 1;
/// Ticks in which a call that was sent may arrive.
const DEADLINE: u64 = 1;

/// What can happen, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// By region: `y`, `x` or `w` is the first letter of the name.
    pub agents: Vec<&'static str>,
    /// The ask lists, one after the other.
    pub lists: Vec<Vec<&'static str>>,
    /// Agents that may restart, once together.
    pub restarting: Vec<&'static str>,
    pub elections: u8,
    pub runs: u8,
    pub aborts: u8,
    /// Grants by the consent of two people, without a proof.
    pub consents: u8,
    pub calls: u8,
    /// Rounds of asking for promises.
    pub asks: u8,
    pub ticks: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    Tick,
    Ping(AgentId),
    LeaderAnswers(AgentId),
    FormerLeaderAnswers(AgentId),
    Hears(AgentId),
    Asks(AgentId),
    /// The giver, of the asker, who hears the promise at once: it counts from the asking anyway.
    Promises(AgentId, AgentId),
    Told(AgentId),
    /// The leader hears it at once: what is acknowledged stays true, so that it is late makes no difference.
    Acknowledges(AgentId),
    Restarts(AgentId),
    Election,
    Revoke,
    CloseAndGrant,
    Consent,
    Abort,
    ChangeList,
    CallBegins(AgentId),
    CallArrives(AgentId),
}

#[derive(Clone, Debug)]
pub struct World {
    fixed: Arc<Fixed>,
    state: State,
}

impl PartialEq for World {
    /// Of one exploration.
    fn eq(&self, other: &Self) -> bool {
        self.state == other.state
    }
}

impl std::hash::Hash for World {
    fn hash<H: std::hash::Hasher>(&self, hasher: &mut H) {
        self.state.hash(hasher);
    }
}

#[derive(Debug)]
struct Fixed {
    scenario: Scenario,
    rules: Rules,
    id: ServiceId,
    agents: BTreeMap<AgentId, AgentRecord>,
    lists: Vec<BTreeSet<AgentId>>,
    run: RunId,
    service: Service,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    now: u64,
    committed: Committed,
    /// What the leader before the last election knew.
    former: Option<Committed>,
    ledger: Ledger,
    nodes: BTreeMap<AgentId, Node>,
    wire: BTreeSet<Packet>,
    /// When each region last lost its right.
    ended: BTreeMap<RegionId, u64>,
    /// Calls that may still arrive, with the last tick of it.
    calls: BTreeMap<AgentId, u64>,
    arrived: Option<(RegionId, u64)>,
    restarted: bool,
    elections: u8,
    runs: u8,
    aborts: u8,
    consents: u8,
    begun: u8,
    asks: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Committed {
    generation: Generation,
    authority: BTreeMap<RegionId, Authority>,
    asks: Vec<AskList>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Idle,
    Revoked,
    Granted,
    Unwinding,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Node {
    holder: Holder,
    pinged: Option<u64>,
    asked: Option<u64>,
    /// The newest generation at which it was told to make its region one that writes.
    intent: Option<Generation>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Packet {
    Nonce(AgentId, u64),
    Answer(AgentId, u64, Told),
    Ask(AgentId, AgentId, Wanted),
}

/// As the core's, with an order.
type Told = (Generation, Option<(Generation, u64, BTreeSet<AgentId>)>);
type Wanted = (Generation, u64);

impl World {
    pub fn new(scenario: Scenario, rules: Rules) -> Self {
        let names = scenario.agents.iter().copied();
        let record = |name: &str| AgentRecord {
            region: region(name.get(..1).unwrap_or_default()),
            registered_at: Timestamp::default(),
            address: None,
        };
        let agents: BTreeMap<AgentId, AgentRecord> = names.map(|name| (agent(name), record(name))).collect();
        let lists: Vec<BTreeSet<AgentId>> =
            scenario.lists.iter().map(|list| list.iter().copied().map(agent).collect()).collect();
        let generation = Generation(1);
        let granted = Authority { generation, state: AuthorityState::Granted };
        let node = |record: &AgentRecord| Node {
            holder: Holder::default(),
            pinged: None,
            asked: None,
            intent: (record.region == region("y")).then_some(generation),
        };
        let state = State {
            now: 0,
            committed: Committed {
                generation,
                authority: BTreeMap::from([(region("y"), granted)]),
                asks: lists
                    .first()
                    .map(|members| AskList { version: 1, members: members.clone() })
                    .into_iter()
                    .collect(),
                phase: Phase::Idle,
            },
            former: None,
            ledger: Ledger::elected(Duration::ZERO),
            nodes: agents.iter().map(|(id, record)| (id.clone(), node(record))).collect(),
            wire: BTreeSet::new(),
            ended: BTreeMap::new(),
            calls: BTreeMap::new(),
            arrived: None,
            restarted: false,
            elections: scenario.elections,
            runs: scenario.runs,
            aborts: scenario.aborts,
            consents: scenario.consents,
            begun: scenario.calls,
            asks: scenario.asks,
        };
        let id = ServiceId::new("s").expect("a name");
        let run = RunId::new("s-g2").expect("a name");
        let service = service();
        Self { fixed: Arc::new(Fixed { scenario, rules, id, agents, lists, run, service }), state }
    }

    /// Regions of which somebody may write at this moment. Whoever is granted counts from the commit on, which is stricter
    /// than what its agents can do, and spares their part of the space.
    pub fn writers(&self) -> usize {
        if self.fixed.scenario.consents > 0 {
            return self.despite_consent();
        }
        ["y", "x"].into_iter().filter(|name| self.writes(&region(name))).count()
    }

    pub fn is_moved(&self) -> bool {
        matches!(self.state.committed.phase, Phase::Granted)
            || self.state.committed.authority.get(&region("x")).is_some_and(|at| at.state == AuthorityState::Granted)
    }

    pub fn is_ending(&self) -> bool {
        self.wanted().is_some()
    }

    /// Somebody goes on by others' promises alone.
    pub fn is_held(&self) -> bool {
        let now = stamp(self.state.now);
        let held = |node: &Node| node.holder.standing(now).is_some_and(|own| own.kind == StandingKind::Hold);
        self.state.nodes.values().any(held)
    }

    /// Two people may accept that the old region still has a lease. Its hold is another matter: while that lasts, nobody who
    /// promised it takes anything newer.
    fn despite_consent(&self) -> usize {
        let now = stamp(self.state.now);
        let held = |node: &Node| node.holder.standing(now).is_some_and(|own| own.kind == StandingKind::Hold);
        usize::from(self.of(&region("y")).any(|(_, node)| held(node))) + usize::from(self.has_right(&region("x")))
    }

    fn writes(&self, region: &RegionId) -> bool {
        let state = &self.state;
        let granted = state.committed.authority.get(region).is_some_and(|at| at.state == AuthorityState::Granted);
        granted
            || self.has_right(region)
            || state.ended.get(region).is_some_and(|ended| state.now < ended + REACTION)
            || state.arrived.as_ref().is_some_and(|(at, when)| at == region && *when == state.now)
    }

    fn has_right(&self, region: &RegionId) -> bool {
        let now = stamp(self.state.now);
        self.of(region).any(|(_, node)| node.holder.standing(now).is_some())
    }

    /// Who has nothing to renew hears what is new when it is told.
    fn is_granted(&self, id: &AgentId) -> bool {
        let authority = self.region_of(id).and_then(|region| self.state.committed.authority.get(&region));
        let scenario = &self.fixed.scenario;
        let renews = id.as_str().starts_with('y') || scenario.aborts > 0 || scenario.consents > 0;
        renews && authority.is_some_and(|authority| authority.state == AuthorityState::Granted)
    }

    fn of<'a>(&'a self, region: &'a RegionId) -> impl Iterator<Item = (&'a AgentId, &'a Node)> {
        self.state.nodes.iter().filter(move |(id, _)| self.fixed.agents.get(*id).is_some_and(|a| a.region == *region))
    }

    /// All that can happen next; some of it may turn out not to.
    pub fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        let state = &self.state;
        for (id, node) in &state.nodes {
            if node.pinged.is_none_or(|at| at < state.now) && self.is_granted(id) {
                events.push(Event::Ping(id.clone()));
            }
            if node.asked.is_none_or(|at| at < state.now) {
                events.push(Event::Asks(id.clone()));
            }
            events.push(Event::Told(id.clone()));
            events.push(Event::Acknowledges(id.clone()));
            if !state.restarted && self.fixed.scenario.restarting.contains(&id.as_str()) {
                events.push(Event::Restarts(id.clone()));
            }
            if state.begun > 0 && node.intent.is_some() && !state.calls.contains_key(id) {
                events.push(Event::CallBegins(id.clone()));
            }
        }
        for packet in &state.wire {
            match packet {
                Packet::Nonce(id, _) => {
                    events.push(Event::LeaderAnswers(id.clone()));
                    events.push(Event::FormerLeaderAnswers(id.clone()));
                }
                Packet::Answer(id, _, _) => events.push(Event::Hears(id.clone())),
                Packet::Ask(asker, giver, _) => events.push(Event::Promises(asker.clone(), giver.clone())),
            }
        }
        events.extend(state.calls.keys().cloned().map(Event::CallArrives));
        events.extend([Event::Election, Event::Revoke, Event::CloseAndGrant, Event::Abort, Event::ChangeList]);
        if state.consents > 0 {
            events.push(Event::Consent);
        }
        if state.now < self.fixed.scenario.ticks {
            events.push(Event::Tick);
        }
        events
    }

    /// `None` if it cannot happen, or changes nothing.
    pub fn after(&self, event: &Event) -> Option<Self> {
        let mut next = self.clone();
        next.happen(event)?;
        for name in ["y", "x"] {
            let region = region(name);
            if self.has_right(&region) && !next.has_right(&region) {
                next.state.ended.insert(region, next.state.now);
            }
        }
        next.forget();
        Some(next)
    }

    /// What can make no difference any more is made equal.
    fn forget(&mut self) {
        let now = self.state.now;
        self.state.ended.retain(|_, ended| now < *ended + REACTION);
        self.state.arrived.take_if(|(_, when)| *when < now);
        self.state.calls.retain(|_, until| *until >= now);
        for node in self.state.nodes.values_mut() {
            node.pinged.take_if(|at| *at < now);
            node.asked.take_if(|at| *at < now);
        }
    }

    fn happen(&mut self, event: &Event) -> Option<()> {
        match event {
            Event::Tick => self.state.now += 1,
            Event::Ping(id) => self.ping(id)?,
            Event::LeaderAnswers(id) => self.leader_answers(id, false)?,
            Event::FormerLeaderAnswers(id) => self.leader_answers(id, true)?,
            Event::Hears(id) => self.hears(id)?,
            Event::Asks(id) => self.asks(id)?,
            Event::Promises(asker, giver) => self.promises(asker, giver)?,
            Event::Told(id) => self.told(id)?,
            Event::Acknowledges(id) => self.acknowledges(id)?,
            Event::Restarts(id) => self.restarts(id)?,
            Event::Election => self.election()?,
            Event::Revoke => self.revoke()?,
            Event::CloseAndGrant => self.close_and_grant()?,
            Event::Consent => self.consent()?,
            Event::Abort => self.abort()?,
            Event::ChangeList => self.change_list()?,
            Event::CallBegins(id) => self.call_begins(id)?,
            Event::CallArrives(id) => {
                self.state.calls.remove(id)?;
                let region = self.region_of(id)?;
                self.state.arrived = Some((region, self.state.now));
                self.state.nodes.get_mut(id)?.holder.end_call();
            }
        }
        Some(())
    }

    fn ping(&mut self, id: &AgentId) -> Option<()> {
        let now = self.state.now;
        self.state.wire.retain(|packet| !matches!(packet, Packet::Nonce(of, _) | Packet::Answer(of, _, _) if of == id));
        self.state.wire.insert(Packet::Nonce(id.clone(), now));
        self.state.nodes.get_mut(id)?.pinged = Some(now);
        Some(())
    }

    fn leader_answers(&mut self, id: &AgentId, former: bool) -> Option<()> {
        let sent = self.take(|packet| match packet {
            Packet::Nonce(of, sent) if of == id => Some(*sent),
            _ => None,
        })?;
        // ReadIndex: who leads no more cannot confirm that it does.
        let committed = match (former, self.fixed.rules) {
            (true, Rules::AnsweredWithoutReadIndex) => self.state.former.clone()?,
            (true, _) => return None,
            (false, _) => self.state.committed.clone(),
        };
        let service = self.service(&committed);
        let (mut other, at) = (Ledger::default(), self.mono());
        let ledger = if former { &mut other } else { &mut self.state.ledger };
        let news = ledger.news(&self.fixed.id, &service, id, &self.fixed.agents, at)?;
        let lease = news.lease.map(|lease| (lease.generation, lease.asks.version, lease.asks.members));
        self.state.wire.retain(|packet| !matches!(packet, Packet::Answer(of, _, _) if of == id));
        self.state.wire.insert(Packet::Answer(id.clone(), sent, (news.floor, lease)));
        Some(())
    }

    fn hears(&mut self, id: &AgentId) -> Option<()> {
        let (sent, (floor, lease)) = self.take(|packet| match packet {
            Packet::Answer(of, sent, told) if of == id => Some((*sent, told.clone())),
            _ => None,
        })?;
        let (now, rules) = (stamp(self.state.now), self.fixed.rules);
        let sent = if rules == Rules::LeaseFromTheAnswer { now } else { stamp(sent) };
        let lease = lease.map(|(generation, version, members)| mesh_core::lease::Lease {
            generation,
            length: LENGTH,
            asks: AskList { version, members },
        });
        let node = self.state.nodes.get_mut(id)?;
        if rules == Rules::TakesNewerWhilePromised {
            let record = mesh_core::lease::Record { promise: None, ..node.holder.record().clone() };
            node.holder = Holder::restarted(record, now);
        }
        node.holder.hear(&News { floor, lease }, sent, now);
        Some(())
    }

    fn asks(&mut self, id: &AgentId) -> Option<()> {
        let now = self.state.now;
        let node = self.state.nodes.get_mut(id)?;
        let (ask, members) = node.holder.ask(stamp(now))?;
        node.asked = Some(now);
        self.state.asks = self.state.asks.checked_sub(1)?;
        self.state.wire.retain(|packet| !matches!(packet, Packet::Ask(of, _, _) if of == id));
        for giver in members {
            self.state.wire.insert(Packet::Ask(id.clone(), giver, (ask.generation, ask.round)));
        }
        Some(())
    }

    fn promises(&mut self, asker: &AgentId, giver: &AgentId) -> Option<()> {
        let (generation, round) = self.take(|packet| match packet {
            Packet::Ask(from, to, wanted) if from == asker && to == giver => Some(*wanted),
            _ => None,
        })?;
        let (now, rules) = (stamp(self.state.now), self.fixed.rules);
        let ask = Ask { generation, length: LENGTH, round };
        match self.state.nodes.get_mut(giver)?.holder.promise(&ask, now) {
            Ok(()) => {}
            Err(Refused::Newer(_)) if rules == Rules::FloorNotChecked => {}
            Err(_) => return Some(()),
        }
        let holder = &mut self.state.nodes.get_mut(asker)?.holder;
        let members = holder.asks().members.clone();
        holder.promised(giver, round, now);
        if rules == Rules::OnePromiseIsEnough {
            members.iter().for_each(|member| {
                holder.promised(member, round, now);
            });
        }
        Some(())
    }

    fn told(&mut self, id: &AgentId) -> Option<()> {
        let wanted = floor(&self.service(&self.state.committed));
        if self.fixed.rules == Rules::RightKeptAfterAck {
            return None;
        }
        self.state.nodes.get_mut(id)?.holder.end(wanted).then_some(())
    }

    fn acknowledges(&mut self, id: &AgentId) -> Option<()> {
        let (now, rules, wanted) = (stamp(self.state.now), self.fixed.rules, self.wanted()?.1);
        let mut ack = self.state.nodes.get(id)?.holder.ack(now);
        match rules {
            Rules::RightKeptAfterAck => ack = Ack { floor: wanted, writes: None, ..ack },
            Rules::PromisesNotWaitedFor => ack.promise_left = Duration::ZERO,
            Rules::PromisesDenied => {
                ack.promise_left = Duration::ZERO;
                ack.free_for = Duration::MAX;
            }
            _ => {}
        }
        if ack.floor < wanted {
            return None;
        }
        let at = self.mono();
        let before = self.state.ledger.clone();
        self.state.ledger.acknowledged(&self.fixed.id, id, ack, at);
        (self.state.ledger != before).then_some(())
    }

    fn restarts(&mut self, id: &AgentId) -> Option<()> {
        let (now, rules) = (stamp(self.state.now), self.fixed.rules);
        let node = self.state.nodes.get_mut(id)?;
        let mut record = node.holder.record().clone();
        if rules == Rules::PromiseNotOnDisk {
            record.promise = None;
        }
        node.holder = Holder::restarted(record, now);
        self.state.restarted = true;
        // What was said to the process before is lost.
        self.state.wire.retain(|packet| match packet {
            Packet::Answer(of, _, _) | Packet::Nonce(of, _) => of != id,
            Packet::Ask(..) => true,
        });
        Some(())
    }

    fn election(&mut self) -> Option<()> {
        self.state.elections = self.state.elections.checked_sub(1)?;
        self.state.former = (self.fixed.rules == Rules::AnsweredWithoutReadIndex).then(|| self.state.committed.clone());
        let since = if self.fixed.rules == Rules::NoWaitAfterElection { Duration::ZERO } else { self.mono() };
        self.state.ledger = Ledger::elected(since);
        Some(())
    }

    fn revoke(&mut self) -> Option<()> {
        if self.state.committed.phase != Phase::Idle {
            return None;
        }
        self.state.runs = self.state.runs.checked_sub(1)?;
        let wanted = self.state.committed.generation.next();
        self.state.committed.generation = wanted;
        self.state.committed.phase = Phase::Revoked;
        self.state.committed.authority.get_mut(&region("y"))?.state = AuthorityState::Ending { wanted };
        Some(())
    }

    /// The proof, and the grant that it allows.
    fn close_and_grant(&mut self) -> Option<()> {
        let (ending, wanted) = self.wanted()?;
        let newest = self.state.committed.asks.len().saturating_sub(1);
        let skipped = if self.fixed.rules == Rules::AskListNotVersioned { newest } else { 0 };
        let asks = self.state.committed.asks.iter();
        let on_lists: BTreeSet<AgentId> = asks.clone().flat_map(|list| list.members.clone()).collect();
        let reaction = if self.fixed.rules == Rules::NoTimeToReact { 0 } else { REACTION };
        let case = Case {
            service: &self.fixed.id,
            region: &ending,
            wanted,
            holders: self.of(&ending).map(|(id, _)| id.clone()).filter(|id| on_lists.contains(id)).collect(),
            lists: asks.skip(skipped).map(|list| elsewhere(list, &ending, &self.fixed.agents)).collect(),
            terms: Terms { length: LENGTH, margin: Duration::ZERO },
            dead_man: Some(Duration::from_nanos(reaction)),
            fence: FenceSeen::NoSteps,
        };
        let Closing::Proven(proof) = closing(&case, &self.state.ledger, self.mono()) else { return None };
        let other = region(if ending == region("y") { "x" } else { "y" });
        let closed = AuthorityState::Proven { run: self.fixed.run.clone(), proof };
        let committed = &mut self.state.committed;
        committed.authority.get_mut(&ending)?.state = closed;
        committed.authority.insert(other.clone(), Authority { generation: wanted, state: AuthorityState::Granted });
        let older = committed.asks.len().saturating_sub(1);
        committed.asks.drain(..older);
        committed.phase = if committed.phase == Phase::Revoked { Phase::Granted } else { Phase::Idle };
        self.intend(&other, wanted);
        Some(())
    }

    fn consent(&mut self) -> Option<()> {
        let (ending, wanted) = self.wanted()?;
        self.state.consents = self.state.consents.checked_sub(1)?;
        let closed = AuthorityState::ClosedByConsent { run: self.fixed.run.clone(), keys: Vec::new() };
        let target = region("x");
        let committed = &mut self.state.committed;
        committed.authority.get_mut(&ending)?.state = closed;
        committed.authority.insert(target.clone(), Authority { generation: wanted, state: AuthorityState::Granted });
        committed.phase = Phase::Granted;
        self.intend(&target, wanted);
        Some(())
    }

    fn abort(&mut self) -> Option<()> {
        let x = region("x");
        let h = self.state.committed.generation;
        let may_have_called = self
            .of(&x)
            .any(|(id, node)| node.holder.record().open_call == Some(h) || self.state.calls.contains_key(id));
        if may_have_called || self.state.arrived.as_ref().is_some_and(|(at, _)| *at == x) {
            return None;
        }
        let generation = h.next();
        let committed = &mut self.state.committed;
        match committed.phase {
            Phase::Idle | Phase::Unwinding => return None,
            Phase::Revoked => {
                let granted = Authority { generation, state: AuthorityState::Granted };
                committed.authority.insert(region("y"), granted);
                committed.phase = Phase::Idle;
            }
            Phase::Granted => {
                committed.authority.get_mut(&x)?.state = AuthorityState::Ending { wanted: generation };
                committed.phase = Phase::Unwinding;
            }
        }
        committed.generation = generation;
        if committed.phase == Phase::Idle {
            self.intend(&region("y"), generation);
        }
        self.state.aborts = self.state.aborts.checked_sub(1)?;
        Some(())
    }

    fn change_list(&mut self) -> Option<()> {
        let version = self.state.committed.asks.last()?.version;
        let members = self.fixed.lists.get(usize::try_from(version).ok()?)?.clone();
        self.state.committed.asks.push(AskList { version: version + 1, members });
        Some(())
    }

    /// A call that lets its region write, as its newest intent says.
    fn call_begins(&mut self, id: &AgentId) -> Option<()> {
        let now = self.state.now;
        let rules = self.fixed.rules;
        self.state.begun = self.state.begun.checked_sub(1)?;
        let node = self.state.nodes.get_mut(id)?;
        let generation = node.intent?;
        let begun = node.holder.begin_call(generation, Duration::from_nanos(DEADLINE), stamp(now));
        if begun.is_err() && rules != Rules::CallWithoutLease {
            return None;
        }
        self.state.calls.insert(id.clone(), now + DEADLINE);
        Some(())
    }

    fn intend(&mut self, region: &RegionId, generation: Generation) {
        let agents = self.fixed.agents.iter().filter(|(_, record)| record.region == *region);
        for (id, _) in agents {
            if let Some(node) = self.state.nodes.get_mut(id) {
                node.intent = Some(generation);
            }
        }
    }

    /// The region whose right ends, and the generation that is wanted.
    fn wanted(&self) -> Option<(RegionId, Generation)> {
        let mut authority = self.state.committed.authority.iter();
        authority.find_map(|(region, authority)| match authority.state {
            AuthorityState::Ending { wanted } => Some((region.clone(), wanted)),
            _ => None,
        })
    }

    fn region_of(&self, id: &AgentId) -> Option<RegionId> {
        self.fixed.agents.get(id).map(|record| record.region.clone())
    }

    fn mono(&self) -> Duration {
        Duration::from_nanos(self.state.now)
    }

    /// Takes the first packet that `pick` wants off the wire.
    fn take<T>(&mut self, pick: impl Fn(&Packet) -> Option<T>) -> Option<T> {
        let (packet, taken) = self.state.wire.iter().find_map(|packet| Some((packet.clone(), pick(packet)?)))?;
        self.state.wire.remove(&packet);
        Some(taken)
    }

    fn service(&self, committed: &Committed) -> Service {
        let mut service = self.fixed.service.clone();
        service.authority = committed.authority.clone();
        service.asks = committed.asks.clone();
        service
    }
}

/// A service whose fence closes by itself.
fn service() -> Service {
    let yaml = "apiVersion: mesh/v1\nservice: s\nwriter: single\nregions: {y: primary, x: standby}\n\
                objectives: {rto: 1m, rpo: 0s}\nfence: [{lease-endpoint: {reaction: 1s}}]\n";
    let manifest = Box::new(mesh_manifest::parse(yaml, "model.yaml").expect("the manifest is valid"));
    let mut fleet = Fleet::default();
    let command =
        Command::ApplyManifest { manifest, source: yaml.to_owned(), by: "model".to_owned(), expected_version: 0 };
    fleet.apply(Timestamp::default(), &command);
    let mut service = fleet.services.into_values().next().expect("it was applied");
    // Shorter than a manifest may say: a tick is a nanosecond.
    let fences = vec![Fence::LeaseEndpoint { reaction: Duration::from_nanos(REACTION) }];
    service.manifest.fence = Fencing { fences, length: LENGTH, margin: Duration::ZERO };
    service.lease_longest = LENGTH;
    service
}

fn stamp(now: u64) -> Stamp {
    let now = Duration::from_nanos(now);
    Stamp { boottime: now, monotonic: now, realtime: now }
}

fn region(name: &str) -> RegionId {
    RegionId::new(name).expect("a name")
}

fn agent(name: &str) -> AgentId {
    AgentId::new(name).expect("a name")
}
