//! ObserverQuorum: an automatic move needs observers in two other regions that were really answered nothing but failures
//! for the whole of `sustained`, up to a moment ago.

use std::collections::BTreeSet;

use mesh_core::plan::Plan;

use crate::world::World;
use crate::{Micros, SECOND};

/// A view that is older has no vote: three intervals, the timeout, the way to the leader and a commit.
const OLD: Micros = 8 * SECOND;
/// For so long a new leader counts on the word of those whom it has not heard yet.
const NEW: Micros = 5 * SECOND;
/// Clocks run apart, and ages are told in milliseconds.
const ROUNDING: Micros = 100_000;

impl World {
    pub fn judge_evidence(&mut self, plan: &Plan) {
        let from = self.names.region(&plan.from);
        let saw = self.saw_it_fail(from);
        let regions: BTreeSet<usize> = saw.iter().map(|agent| self.agents[*agent].region).collect();
        if saw.len() < 2 || regions.len() < 2 {
            let text = format!("moved away from {from}, which {saw:?} of regions {regions:?} saw fail for so long");
            self.violated("ObserverQuorum", text);
            return;
        }
        let well = (0..self.agents.len()).filter(|agent| self.sees_it_well(*agent, from) && !saw.contains(agent));
        let well: Vec<usize> = well.collect();
        if well.len() > saw.len() {
            let text = format!("moved away from {from}, which {saw:?} saw fail and {well:?} did not");
            self.violated("ObserverQuorum", text);
        }
    }

    /// Observers outside to whom it failed without a break.
    pub fn saw_it_fail(&self, region: usize) -> Vec<usize> {
        let outside = (0..self.agents.len()).filter(|agent| self.agents[*agent].region != region);
        outside.filter(|agent| self.row_was_long(*agent, region)).collect()
    }

    fn row_was_long(&self, agent: usize, region: usize) -> bool {
        self.row_of(agent, region).is_some()
    }

    /// An observer outside of which no question is unanswered now.
    fn sees_it_well(&self, agent: usize, region: usize) -> bool {
        let it = &self.agents[agent];
        let rows = self.judge.answers[agent * self.judge.workloads + region];
        let heard = it.conn.as_ref().is_some_and(|conn| conn.welcomed) || self.now - self.judge.led_since < NEW;
        let asks = it.alive && !it.paused && it.names_fail == 0 && heard;
        it.region != region && asks && rows.now.is_none()
    }

    /// The row of failures, up to a moment ago, that was as long as the policy asks.
    pub fn row_of(&self, agent: usize, region: usize) -> Option<(Micros, Micros)> {
        let rows = self.judge.answers[agent * self.judge.workloads + region];
        let wanted = (self.set.sustained_s * SECOND).saturating_sub(ROUNDING);
        let old = OLD + 3 * self.set.interval_s * SECOND;
        let is_long = |(first, last): &(Micros, Micros)| self.now - last <= old && last - first >= wanted;
        [rows.now, rows.before].into_iter().flatten().find(is_long)
    }
}
