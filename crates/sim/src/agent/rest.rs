//! Sessions that rest: while nothing changes, a turn of an agent renews what the turn before renewed.
//!
//! An agent whose lanes all rest, whose way to a calm leader is untouched, and whose last turns changed nothing, is not
//! played until something happens that could look at it or change it. Then its last turns are played after all, each at
//! its own time and with its own draws, before what happens goes on: what they leave behind is what all of them would
//! have left, as each overwrites the one before. Only measured lags add up; those are reckoned.

use mesh_core::lease::Standing;

use super::{Agent, Conn, TICK};
use crate::Micros;
use crate::consensus::{Role, coordinator};
use crate::coordinator::LAGS_MAX;
use crate::desk::{Told, ToldLag};
use crate::event::Event;
use crate::rng::Rng;
use crate::world::World;

/// Turns that are played when it wakes: of the first the answer is there, of the last it may be on its way.
const PLAYED_AGAIN: u64 = 2;

/// Since its last turn that was played.
pub struct Rest {
    next: Micros,
    /// The first turn of which the leader was not told yet.
    untold: Micros,
    /// The right to write that each turn renews.
    standing: Option<Standing>,
}

impl Agent {
    pub const fn rests(&self) -> bool {
        self.rest.is_some()
    }
}

impl World {
    /// The right that an agent has now.
    pub fn standing_of(&self, agent: usize) -> Option<Standing> {
        let it = &self.agents[agent];
        match &it.rest {
            Some(rest) => rest.standing,
            None => it.holder.standing(self.stamp(agent)),
        }
    }

    /// A turn is over.
    pub fn next_turn(&mut self, agent: usize) {
        let next = self.now + TICK;
        let standing = self.standing_of(agent);
        let calm = self.calm_of(agent);
        let it = &mut self.agents[agent];
        // What was answered since is of the same state.
        let goes_on = calm.is_some() && calm == it.calm;
        it.calm = calm.or(it.calm);
        if !goes_on {
            let epoch = it.epoch;
            self.at(next, Event::Tick { agent, epoch });
            return;
        }
        it.rest = Some(Rest { next, untold: next, standing });
        self.resting += 1;
    }

    /// Its session, and the leader's state that it lives by, if nothing would come of its next turn.
    fn calm_of(&self, agent: usize) -> Option<(usize, usize)> {
        let conn = self.agents[agent].conn.as_ref().filter(|conn| conn.welcomed)?;
        let node = self.conns[conn.conn].node;
        self.session_is_calm(agent, conn, node).then_some((conn.conn, self.nodes[node].applied))
    }

    fn session_is_calm(&self, agent: usize, conn: &Conn, node: usize) -> bool {
        let it = &self.agents[agent];
        self.rests
            && self.plant.is_none()
            && self.flapping == 0
            && !it.paused
            && !it.looking
            && it.slips.iter().all(|(_, late)| late.is_zero())
            && it.works.is_empty()
            && it.disk.entries.is_empty()
            && it.subjects.iter().all(super::lane::Lane::rests)
            && self.conns[conn.conn].is_quiet()
            && it.gate.is_answered()
            && self.net.is_clear(Self::agents_of(it.region), coordinator(node))
            && self.leader_is_calm(node)
            && self.knows_all(agent, node)
    }

    fn leader_is_calm(&self, node: usize) -> bool {
        let it = &self.nodes[node];
        // Whoever else is down or cut off stays so until a fault ends, which wakes everybody.
        let following = (0..self.nodes.len()).filter(|other| {
            let of = &self.nodes[*other];
            let follows = of.runs() && of.voter && of.role == Role::Follower && of.term == it.term;
            *other != node && follows && self.net.is_clear(coordinator(node), coordinator(*other))
        });
        following.count() + 1 >= self.quorum()
            && self.nodes.iter().all(|of| !of.runs() || of.term <= it.term)
            && self.leads(node)
            && it.runs()
            && it.in_time
            && it.log.len() == it.applied
            && it.office.is_calm(it.applied)
    }

    /// Neither has news for the other.
    fn knows_all(&self, agent: usize, node: usize) -> bool {
        let (it, office) = (&self.agents[agent], &self.nodes[node].office);
        let service = &self.nodes[node].fleet.services[&self.names.service];
        let floor = it.holder.record().floor;
        let told = office.ledger.acked(&self.names.service, &self.names.agents[agent]);
        let newest = service.asks.last().map(|list| list.version);
        let told_all =
            told.is_some_and(|told| told.ack.floor == floor && (!it.holder.may_ask() || Some(told.ack.asks) == newest));
        told_all
            && it.disk.floor == floor
            && it.holder.ack(self.stamp(agent)).promise_left.is_zero()
            && self.nodes[node].fleet.services.values().all(|of| !office.sees_fail(self.names.region(&of.active)))
    }

    /// Does it change, or look at, what somebody who rests would have done?
    pub fn relies_on_rest(&self, event: &Event) -> bool {
        match event {
            Event::Probe { .. }
            | Event::Answer { .. }
            | Event::Tick { .. }
            | Event::Look { .. }
            | Event::Unanswered { .. }
            | Event::ToNode { .. }
            | Event::ToAgent { .. }
            | Event::Flush { .. }
            | Event::ReadIndexed { .. }
            | Event::Resend { .. }
            | Event::Round { .. }
            | Event::Proxy { .. } => false,
            Event::ToPeer { to, .. } => self.agents[*to].rests(),
            Event::Silence { node, epoch, silence } => self.may_be_elected(*node, *epoch, *silence),
            Event::Append { to, from, term, .. } => !self.follows(*to, *from, *term),
            Event::Appended { to, from, .. } => self.may_commit(*to, *from),
            Event::Synced { node, .. } => self.leads(*node),
            Event::People(step) => step.relies_on_agents(),
            Event::Elected { .. }
            | Event::StepDown { .. }
            | Event::Disk { .. }
            | Event::Work { .. }
            | Event::Observed { .. }
            | Event::Effect(_)
            | Event::CallEnded { .. }
            | Event::Promoted { .. }
            | Event::Restart { .. }
            | Event::Zone(_)
            | Event::Mix(_)
            | Event::Fault { .. }
            | Event::Flip { .. } => true,
        }
    }

    /// Their last turns are played before anything else.
    pub fn wake_sessions(&mut self) {
        for agent in 0..self.agents.len() {
            let Some(Rest { next, untold, .. }) = self.agents[agent].rest.take() else { continue };
            let turns = self.now.checked_sub(next).map_or(0, |passed| passed / TICK + 1);
            let first = next + turns.saturating_sub(PLAYED_AGAIN) * TICK;
            self.tell_turns(agent, untold, first);
            if first > next {
                self.renew(agent, first);
            }
            let epoch = self.agents[agent].epoch;
            self.at(first, Event::Tick { agent, epoch });
        }
        self.resting = 0;
    }

    /// Somebody looks at what the leader was told by now.
    pub fn tell_by_now(&mut self) {
        for agent in 0..self.agents.len() {
            let Some(Rest { next, untold, .. }) = self.agents[agent].rest else { continue };
            let Some(passed) = self.now.checked_sub(next) else { continue };
            // Of all turns but the last everything has arrived.
            let last = next + passed / TICK * TICK;
            self.tell_turns(agent, untold, last);
            let told = untold <= last && self.tell_if_arrived(agent, last);
            if let Some(rest) = &mut self.agents[agent].rest {
                rest.untold = if told { last + TICK } else { untold.max(last) };
            }
        }
    }

    /// The turn before `first`: the right that it renewed, and that both were heard.
    fn renew(&mut self, agent: usize, first: Micros) {
        let it = &mut self.agents[agent];
        let (sent, now) = (it.clocks.stamp(first - TICK), it.clocks.stamp(first));
        let Some(conn) = &mut it.conn else { return };
        conn.last_pong = now;
        let node = &mut self.nodes[self.conns[conn.conn].node];
        let (id, service) = (&self.names.service, &node.fleet.services[&self.names.service]);
        let answered = node.clocks.stamp(first - TICK).monotonic;
        let news = node.office.ledger.news(id, service, &self.names.agents[agent], &node.fleet.agents, answered);
        if let Some(news) = news {
            it.holder.hear(&news, sent, now);
        }
        node.office.was_heard(agent, node.clocks.stamp(first).monotonic);
    }

    /// What the turns in between would have told: of lags as far as they are kept, of the rest the last.
    fn tell_turns(&mut self, agent: usize, next: Micros, first: Micros) {
        let has_lag = self.agents[agent].subjects.iter().any(|lane| lane.is_lag);
        // Between two answers of one lane there are at most an interval and a half.
        let rest = (self.set.interval_s * 3 / 2 + 2) * TICK;
        let kept = if has_lag { LAGS_MAX as u64 * self.set.interval_s * TICK + rest } else { rest };
        let mut at = if first.saturating_sub(next) > kept { first - kept } else { next };
        while at < first {
            let told = if first - at > rest { self.lag_of_turn(agent, at) } else { self.news_of_turn(agent, at) };
            if told.is_some() || at + TICK >= first {
                let (ping, news) = self.ways_of_turn(agent, at);
                self.was_told(agent, ping, news, told);
            }
            at += TICK;
        }
    }

    /// As far as it is there by now. True: all of it.
    fn tell_if_arrived(&mut self, agent: usize, at: Micros) -> bool {
        let (ping, news) = self.ways_of_turn(agent, at);
        let arrived = news <= self.now;
        if ping <= self.now {
            let told = if arrived { self.news_of_turn(agent, at) } else { None };
            self.was_told(agent, ping, news, told);
        }
        arrived
    }

    fn news_of_turn(&mut self, agent: usize, at: Micros) -> Option<(Vec<Told>, Vec<ToldLag>)> {
        let now = std::mem::replace(&mut self.now, at);
        let told = self.news_of_lanes(agent);
        self.now = now;
        told
    }

    fn lag_of_turn(&mut self, agent: usize, at: Micros) -> Option<(Vec<Told>, Vec<ToldLag>)> {
        let now = std::mem::replace(&mut self.now, at);
        self.reckon_lanes(agent);
        self.now = now;
        let stamp = self.stamp_at(agent, at);
        let lag = self.agents[agent].subjects.iter().find_map(|lane| lane.last_lag(stamp));
        Some((Vec::new(), lag.into_iter().collect()))
    }

    /// When the ping of a turn arrives, and what it tells after that.
    fn ways_of_turn(&mut self, agent: usize, at: Micros) -> (Micros, Micros) {
        let it = &self.agents[agent];
        let Some(conn) = &it.conn else { return (at, at) };
        let (from, to) = (Self::agents_of(it.region), coordinator(self.conns[conn.conn].node));
        let ping = at + self.net.delay(from, to, &mut self.rng_of_turn(agent, at));
        let news = at + self.net.delay(from, to, &mut self.rng_of_news(agent, at));
        (ping, news.max(ping + 1))
    }

    /// As the leader hears it.
    fn was_told(&mut self, agent: usize, ping: Micros, news: Micros, told: Option<(Vec<Told>, Vec<ToldLag>)>) {
        let Some(conn) = &self.agents[agent].conn else { return };
        let it = &mut self.nodes[self.conns[conn.conn].node];
        let steady = it.clocks.stamp(if told.is_some() { news } else { ping }).monotonic;
        it.office.was_heard(agent, steady);
        if let Some((signals, lags)) = told {
            it.office.hold(agent, signals, &lags, steady);
        }
    }

    /// What a turn's messages meet on their way does not depend on what was said before.
    pub const fn rng_of_turn(&self, agent: usize, at: Micros) -> Rng {
        Rng::of(self.seed, 1 << 63 | (agent as u64) << 48 | at)
    }

    pub const fn rng_of_news(&self, agent: usize, at: Micros) -> Rng {
        Rng::of(self.seed, 1 << 61 | (agent as u64) << 48 | at)
    }
}
