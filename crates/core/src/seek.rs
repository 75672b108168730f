//! Which coordinator an agent tries next, and for what: to speak to the leader itself, or, where it is out of reach, to
//! have the session passed on to it by another.
//!
//! Direct first. A leader that does not answer, though a coordinator names it or it was heard before, is reached by way of
//! the others, that of the agent's own region first, each once. Then everything is tried again from the beginning.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::ids::RegionId;

/// Hints followed in a row: two nodes that each name the other must not be asked for ever without a pause.
const HINTS_MAX: u32 = 3;
/// Addresses that are remembered: more than a mesh has coordinators.
const KNOWN_MAX: usize = 64;
/// The leader has to answer for so long before a session that is passed on goes back to it.
const STEADY_MIN: Duration = Duration::from_secs(5);
const STEADY_MAX: Duration = Duration::from_secs(5 * 60);
/// A direct session that lasted for so long makes up for what failed before.
const LASTED: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<A> {
    pub address: A,
    /// The leader that it is to pass the session on to.
    pub pass_on_to: Option<A>,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    AtOnce,
    /// All that there was has been tried.
    AfterAPause,
}

/// `A`: a coordinator's address.
#[derive(Debug)]
pub struct Seeker<A> {
    coordinators: Vec<A>,
    own_region: RegionId,
    regions: BTreeMap<A, RegionId>,
    turn: usize,
    hint: Option<A>,
    hints: u32,
    /// Leaders that did not answer.
    unreached: BTreeSet<A>,
    /// The leader to reach by way of another, and whom not to ask for that any more.
    beyond: Option<A>,
    asked: BTreeSet<A>,
}

impl<A: Ord + Clone> Seeker<A> {
    pub const fn new(coordinators: Vec<A>, own_region: RegionId) -> Self {
        Self {
            coordinators,
            own_region,
            regions: BTreeMap::new(),
            turn: 0,
            hint: None,
            hints: 0,
            unreached: BTreeSet::new(),
            beyond: None,
            asked: BTreeSet::new(),
        }
    }

    /// `None` without any coordinator.
    pub fn target(&mut self) -> Option<Target<A>> {
        let in_turn = self.coordinators.get(self.turn.checked_rem(self.coordinators.len())?).cloned();
        let direct = |address| Target { address, pass_on_to: None };
        if let Some(hint) = self.hint.take() {
            return Some(direct(hint));
        }
        if let Some(leader) = self.beyond.clone()
            && let Some(address) = self.passer_on()
        {
            return Some(Target { address, pass_on_to: Some(leader) });
        }
        in_turn.map(direct)
    }

    /// `address` is in `region`, as it says.
    pub fn learn(&mut self, address: &A, region: RegionId) {
        if self.regions.len() < KNOWN_MAX || self.regions.contains_key(address) {
            self.regions.insert(address.clone(), region);
        }
    }

    /// The target does not lead; it names who does, if it knows.
    pub fn redirect(&mut self, target: &Target<A>, leader: Option<A>) -> Next {
        self.unreached.remove(&target.address);
        match leader {
            Some(leader) if self.unreached.contains(&leader) => self.go_beyond(leader, target),
            Some(leader) if self.hints < HINTS_MAX => {
                self.hints = self.hints.saturating_add(1);
                // Where that is one of ours, the turn goes on from there.
                if let Some(turn) = self.coordinators.iter().position(|ours| *ours == leader) {
                    self.turn = turn;
                }
                self.beyond = None;
                self.hint = Some(leader);
                Next::AtOnce
            }
            _ if target.pass_on_to.is_some() => self.failed(target),
            // It answered, and what it says leads nowhere.
            _ => self.give_up(),
        }
    }

    /// A session that stood, or an answer that was a refusal: whoever spoke is within reach.
    pub fn lost(&mut self, target: &Target<A>) -> Next {
        if target.pass_on_to.is_some() {
            return self.failed(target);
        }
        (self.hint, self.hints) = (None, 0);
        self.turn = self.turn.wrapping_add(1);
        Next::AfterAPause
    }

    /// The target was not reached.
    pub fn failed(&mut self, target: &Target<A>) -> Next {
        let by_hint = self.hints > 0;
        self.hint = None;
        if target.pass_on_to.is_some() {
            self.asked.insert(target.address.clone());
            return self.next_beyond();
        }
        if self.unreached.len() < KNOWN_MAX {
            self.unreached.insert(target.address.clone());
        }
        if by_hint {
            self.hints = 0;
            self.beyond = Some(target.address.clone());
            self.asked.clear();
            return self.next_beyond();
        }
        self.turn = self.turn.wrapping_add(1);
        Next::AfterAPause
    }

    /// The leader was heard at `target`, and is silent now: maybe to us alone.
    pub fn fell_silent(&mut self, target: &Target<A>) -> Next {
        match &target.pass_on_to {
            Some(_) => {
                self.asked.insert(target.address.clone());
            }
            None => {
                self.unreached.insert(target.address.clone());
                self.beyond = Some(target.address.clone());
                self.asked.clear();
            }
        }
        self.next_beyond()
    }

    /// It welcomed us: what failed before may work again.
    pub fn welcomed(&mut self, target: &Target<A>) {
        self.hints = 0;
        self.asked.clear();
        if target.pass_on_to.is_none() {
            self.beyond = None;
            self.unreached.clear();
        }
    }

    fn go_beyond(&mut self, leader: A, target: &Target<A>) -> Next {
        if self.beyond.as_ref() != Some(&leader) {
            self.beyond = Some(leader);
            self.asked.clear();
        }
        // It was asked to, and cannot.
        if target.pass_on_to.is_some() {
            self.asked.insert(target.address.clone());
        }
        self.next_beyond()
    }

    fn next_beyond(&mut self) -> Next {
        if self.passer_on().is_some() {
            return Next::AtOnce;
        }
        self.unreached.clear();
        self.give_up()
    }

    /// The next in turn is tried directly, after a pause.
    fn give_up(&mut self) -> Next {
        (self.hint, self.hints, self.beyond) = (None, 0, None);
        self.asked.clear();
        self.turn = self.turn.wrapping_add(1);
        Next::AfterAPause
    }

    /// Who is asked next to pass the session on.
    fn passer_on(&self) -> Option<A> {
        let may = |address: &&A| {
            self.beyond.as_ref().is_some_and(|leader| leader != *address) && !self.asked.contains(*address)
        };
        let is_near = |address: &&A| self.regions.get(*address).is_some_and(|region| *region == self.own_region);
        let left = || self.coordinators.iter().filter(may);
        let reached = || left().filter(|address| !self.unreached.contains(*address));
        left().find(is_near).or_else(|| reached().next()).or_else(|| left().next()).cloned()
    }
}

/// For how long the leader has to answer before the way to it counts as mended: longer each time that the direct way did
/// not last, so that nothing swings between the two.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub steady: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { steady: STEADY_MIN }
    }
}

impl Patience {
    /// A direct session is over that began by going back, after this time.
    pub fn note(&mut self, lasted: Duration) {
        self.steady = if lasted < LASTED { self.steady.saturating_mul(2).min(STEADY_MAX) } else { STEADY_MIN };
    }
}

#[cfg(test)]
mod tests;
