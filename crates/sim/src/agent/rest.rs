//! Sessions that rest: while nothing changes, a turn of an agent renews what the turn before renewed.
//!
//! An agent whose lanes all rest, whose way to a calm leader is untouched, and whose last turns changed nothing, is not
//! played until something happens that could look at it or change it. Then its last turns are played after all, each at
//! its own time and with its own draws, before what happens goes on: what they leave behind is what all of them would
//! have left, as each overwrites the one before. Only measured lags add up; those are reckoned.

use mesh_core::lease::Standing;

use super::{Agent, TICK};
use crate::Micros;
use crate::consensus::{Role, coordinator};
use crate::coordinator::LAGS_MAX;
use crate::desk::{Told, ToldLag};
use crate::event::Event;
use crate::rng::Rng;
use crate::world::World;

/// Turns in a row that changed nothing before it rests.
const CALM_TURNS: u32 = 2;
/// Turns that are played when it wakes: the way there and back is shorter than one.
const PLAYED_AGAIN: u64 = 3;

/// Since its last turn that was played.
pub struct Rest {
    next: Micros,
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
        let (next, calm) = (self.now + TICK, self.session_is_calm(agent));
        let standing = self.standing_of(agent);
        let it = &mut self.agents[agent];
        it.calm = if calm { it.calm + 1 } else { 0 };
        if it.calm < CALM_TURNS {
            let epoch = it.epoch;
            self.at(next, Event::Tick { agent, epoch });
            return;
        }
        it.rest = Some(Rest { next, standing });
        self.resting += 1;
    }

    fn session_is_calm(&self, agent: usize) -> bool {
        let it = &self.agents[agent];
        let Some(conn) = it.conn.as_ref().filter(|conn| conn.welcomed) else { return false };
        let node = self.conns[conn.conn].node;
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
            | Event::Proxy { .. } => false,
            Event::ToPeer { to, .. } => self.agents[*to].rests(),
            Event::Silence { node, epoch, silence } => self.may_be_elected(*node, *epoch, *silence),
            Event::Round { node, epoch } => self.will_judge(*node, *epoch),
            Event::Elected { .. }
            | Event::StepDown { .. }
            | Event::Append { .. }
            | Event::Appended { .. }
            | Event::Synced { .. }
            | Event::Disk { .. }
            | Event::Work { .. }
            | Event::Observed { .. }
            | Event::Effect(_)
            | Event::CallEnded { .. }
            | Event::Promoted { .. }
            | Event::Restart { .. }
            | Event::People(_)
            | Event::Zone(_)
            | Event::Mix(_)
            | Event::Fault { .. }
            | Event::Flip { .. } => true,
        }
    }

    /// Their last turns are played before anything else.
    pub fn wake_sessions(&mut self) {
        for agent in 0..self.agents.len() {
            let Some(Rest { next, .. }) = self.agents[agent].rest.take() else { continue };
            self.agents[agent].calm = 0;
            let turns = self.now.checked_sub(next).map_or(0, |passed| passed / TICK + 1);
            let first = next + turns.saturating_sub(PLAYED_AGAIN) * TICK;
            if first > next {
                self.tell_turns(agent, next, first);
                self.renew(agent, first);
            }
            let epoch = self.agents[agent].epoch;
            self.at(first, Event::Tick { agent, epoch });
        }
        self.resting = 0;
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
        let (now, kept) = (self.now, if has_lag { LAGS_MAX as u64 * self.set.interval_s * TICK + rest } else { rest });
        let mut at = if first - next > kept { first - kept } else { next };
        while at < first {
            self.now = at;
            let told = if first - at > rest {
                self.reckon_lanes(agent);
                let stamp = self.stamp(agent);
                let lag = self.agents[agent].subjects.iter().find_map(|lane| lane.last_lag(stamp));
                Some((Vec::new(), lag.into_iter().collect()))
            } else {
                self.news_of_lanes(agent)
            };
            if let Some((signals, lags)) = told {
                self.was_told(agent, at, signals, &lags);
            }
            at += TICK;
        }
        self.now = now;
    }

    /// As the leader hears what leaves at `at`, after that turn's ping.
    fn was_told(&mut self, agent: usize, at: Micros, signals: Vec<Told>, lags: &[ToldLag]) {
        let mut rng = self.rng_of_turn(agent, at);
        let it = &self.agents[agent];
        let Some(conn) = &it.conn else { return };
        let (node, from) = (self.conns[conn.conn].node, Self::agents_of(it.region));
        let ping = at + self.net.delay(from, coordinator(node), &mut rng);
        let arrives = (at + self.net.delay(from, coordinator(node), &mut rng)).max(ping + 1);
        let it = &mut self.nodes[node];
        let steady = it.clocks.stamp(arrives).monotonic;
        it.office.hold(agent, signals, lags, steady);
    }

    /// What a turn's messages meet on their way does not depend on what was said before.
    pub fn rng_of_turn(&self, agent: usize, at: Micros) -> Rng {
        Rng::of(self.seed, 1 << 63 | (agent as u64) << 48 | at)
    }
}
