//! FailoverDeadline: with everything else well and no other fault, a region that is lost for good is followed by another that
//! takes writes, within what its policy and its lease add up to.

use mesh_core::time::Timestamp;

use crate::world::World;
use crate::zone::Mark;
use crate::{Micros, SECOND};

/// An election, and a new leader's wait for observers that it has not heard.
const LEADER: Micros = (3 + 6 + 6) * SECOND;
/// Looks, fences that nobody answers, a promotion, an agent that is asked in vain, ways.
const EFFECTS: Micros = 60 * SECOND;

/// Of so many answers an observer remembers how often they turned to failures.
const ANSWERS_REMEMBERED: u64 = 240;

pub struct Finale {
    from: usize,
    began: Micros,
    deadline: Micros,
    wrote: Option<Micros>,
}

impl World {
    /// The region is lost now. Is there anything that keeps the service from moving?
    pub fn judge_finale(&mut self, from: usize) {
        let Some(leader) = self.leader() else { return };
        let id = self.names.service.clone();
        let at: Timestamp = self.nodes[leader].latest_time(self.now);
        let service = &self.judge.fleet.services[&id];
        let frozen = service.freeze.iter().chain(&self.judge.fleet.freeze).any(|freeze| freeze.until > at);
        let cool_down = std::time::Duration::from_secs(self.set.cool_down_s);
        let barred = self.judge.flaps.bars(&id, at, cool_down + std::time::Duration::from_secs(60));
        let targets: Vec<usize> = (0..self.set.workloads).filter(|to| *to != from).collect();
        let fit = targets.iter().all(|to| {
            let server = &self.cloud.servers[*to];
            !server.primary && !server.promoting && !self.would_lose(from, *to) && !self.alternated(*to)
        });
        let writes = self.cloud.primary_writes(from);
        let guarded = self.zone.names.values().all(|name| matches!(name.mark, Mark::One(_)));
        let idle = service.current_run.is_none() && service.armed;
        if frozen || barred || !fit || !writes || !guarded || !idle || self.set.mix.asks_first {
            self.reached("a last loss that may not be followed");
            return;
        }
        let set = &self.set;
        let seen = (u64::from(set.fail_after) + 2) * (set.interval_s + 1) * SECOND + set.sustained_s * SECOND;
        let closed = 2 * (set.lease_s * 102 / 100 + 3) * SECOND + set.reaction_s * SECOND;
        let (began, deadline) = (self.now, self.now + LEADER + seen + closed + EFFECTS);
        self.judge.finale = Some(Finale { from, began, deadline, wrote: None });
        self.reached("a last loss that must be followed");
    }

    /// What failed and recovered three times lately is no target for anybody who saw it.
    fn alternated(&self, region: usize) -> bool {
        let lately = self.now.saturating_sub(ANSWERS_REMEMBERED * (self.set.interval_s + 1) * SECOND);
        let third = |agent: usize| self.judge.answers[agent * self.judge.workloads + region].began[2];
        (0..self.agents.len()).filter_map(third).any(|began| began > lately)
    }

    pub fn judge_wrote(&mut self) {
        let now = self.now;
        let Some(finale) = &self.judge.finale else { return };
        if finale.wrote.is_some() {
            return;
        }
        let elsewhere = (0..self.set.workloads).any(|to| to != finale.from && self.cloud.primary_writes(to));
        if let Some(finale) = self.judge.finale.as_mut().filter(|_| elsewhere) {
            finale.wrote = Some(now);
        }
    }

    pub fn judge_finale_over(&mut self) {
        let Some(Finale { from, began, deadline, wrote }) = self.judge.finale.take() else { return };
        if wrote.is_none_or(|wrote| wrote > deadline) {
            let bound = (deadline - began) / SECOND;
            let took = wrote.map(|wrote| (wrote - began) / SECOND);
            self.violated(
                "FailoverDeadline",
                format!("region {from} was lost: {took:?} s, where {bound} s are the bound"),
            );
        }
    }
}
