//! SelfDoubt: an observer that stood still a moment ago, or to which most regions look dead, has no vote.

use std::collections::BTreeSet;

use mesh_core::plan::Plan;

use crate::setting::AGENTS_PER_REGION;
use crate::world::World;
use crate::{MILLI, Micros, SECOND};

/// A timer that is later is a slip.
const SLIP: Micros = SECOND;
/// So long after it goes on, everybody has been told.
const TOLD: Micros = 2_500 * MILLI;
/// So long it is remembered, by any clock.
const REMEMBERED: Micros = 9 * SECOND;

/// Each agent's last standstill that it can notice, and when most regions looked dead to it last.
pub struct Stood {
    still: Vec<Option<(Micros, Micros)>>,
    /// When its process began.
    began: Vec<Micros>,
    alone: Vec<Option<Micros>>,
}

impl Stood {
    pub fn of(agents: usize) -> Self {
        Self { still: vec![None; agents], began: vec![0; agents], alone: vec![None; agents] }
    }
}

impl World {
    pub fn judge_stood(&mut self, agent: usize, from: Micros) {
        let stood = &mut self.judge.stood;
        stood.still[agent] = Some((from.max(stood.began[agent]), self.now));
    }

    /// A new process has not stood still.
    pub fn judge_began(&mut self, agent: usize) {
        let stood = &mut self.judge.stood;
        (stood.still[agent], stood.began[agent]) = (None, self.now);
    }

    /// It is about to be answered.
    pub fn judge_alone(&mut self, agent: usize) {
        if self.sees_most_dead(agent) {
            self.judge.stood.alone[agent] = Some(self.now);
        }
    }

    /// At the proposal, since the commit may be later than what it was judged from.
    pub fn judge_doubts(&mut self, node: usize, plan: &Plan) {
        let from = self.names.region(&plan.from);
        let saw = self.saw_it_fail(from);
        if self.leader() != Some(node) {
            return;
        }
        let doubtful: BTreeSet<usize> = saw.iter().copied().filter(|agent| self.is_doubtful(*agent, from)).collect();
        if doubtful.is_empty() {
            return;
        }
        self.reached("an observer in doubt saw the region fail");
        let sure: BTreeSet<usize> = saw.iter().filter(|agent| !doubtful.contains(agent)).copied().collect();
        let regions: BTreeSet<usize> = sure.iter().map(|agent| agent / AGENTS_PER_REGION).collect();
        if regions.len() < 2 {
            let text = format!("moved away from {from} by the word of {saw:?}, of whom {doubtful:?} doubt themselves");
            self.violated("SelfDoubt", text);
        }
    }

    fn is_doubtful(&self, agent: usize, from: usize) -> bool {
        self.stood_still(agent) || self.sees_most_dead(agent) || self.saw_it_alone(agent, from)
    }

    /// Without the time in which most regions looked dead to it, the row is shorter than the policy asks.
    fn saw_it_alone(&self, agent: usize, from: usize) -> bool {
        let (Some(alone), Some((_, last))) = (self.judge.stood.alone[agent], self.row_of(agent, from)) else {
            return false;
        };
        last.saturating_sub(alone) + (self.set.interval_s + 1) * SECOND < self.set.sustained_s * SECOND
    }

    fn stood_still(&self, agent: usize) -> bool {
        self.judge.stood.still[agent].is_some_and(|(from, until)| {
            let since = self.now - until;
            until - from > 2 * SLIP && (TOLD..REMEMBERED).contains(&since)
        })
    }

    fn sees_most_dead(&self, agent: usize) -> bool {
        let known = u64::from(self.set.fail_after) * self.set.interval_s * SECOND + TOLD;
        // What the process before was answered is not known to this one.
        let began = self.judge.stood.began[agent];
        let dead = (0..self.judge.workloads).filter(|about| {
            let rows = self.judge.answers[agent * self.judge.workloads + about];
            rows.now.is_some_and(|(first, last)| {
                last.saturating_sub(first.max(began)) > known && self.now - last < 3 * self.set.interval_s * SECOND
            })
        });
        dead.count() * 2 > self.judge.workloads
    }
}
