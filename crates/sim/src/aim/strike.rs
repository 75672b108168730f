//! Faults that meet a moment in the one way in which a mistake could show.

use super::Moment;
use crate::event::Who;
use crate::fault::{Fault, Planned};
use crate::net::{Part, around_part};
use crate::world::World;
use crate::{MILLI, SECOND};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    /// Every coordinator loses its power right after a commit, while disks are slow.
    Power,
    /// A leader is cut off when it has committed what a person asked for, and has told nobody that it is committed.
    Heir,
    /// Of the coordinators only the leader and one other are left, and calls have no answer.
    Few,
}

impl World {
    pub fn strike(&mut self, strike: Strike, moment: Moment) {
        match (strike, moment) {
            (Strike::Power, _) => {
                let lasts = self.rng.between(300, 3_000) * MILLI;
                self.power_cut(lasts);
            }
            (Strike::Few, Moment::Opened { .. }) => self.leave_few(),
            (Strike::Few | Strike::Heir, _) => {}
        }
    }

    fn leave_few(&mut self) {
        let Some(leader) = self.leader() else { return };
        let (from, lasts) = (self.now, self.rng.between(25, 40) * SECOND);
        let others = (0..self.nodes.len()).filter(|node| *node != leader).skip(1);
        let crashes = others.map(|node| Fault::Crash(Who::Node(node))).collect::<Vec<_>>();
        let gone = from + self.rng.between(100, 3_000) * MILLI;
        for fault in crashes {
            self.plan(Planned { fault, from: gone, until: from + lasts });
        }
        for fault in [Fault::RepliesLost(1_000), Fault::CallsLate(800)] {
            self.plan(Planned { fault, from, until: from + lasts });
        }
    }

    /// A leader has proposed what a person asked for: its followers have it by then, and do not know that it is committed.
    pub fn strike_leader_of_person(&mut self, leader: usize) {
        if self.set.mix.strike != Some(Strike::Heir) || self.now + 60 * SECOND > self.healing_from() {
            return;
        }
        let from = self.now + self.set.far * 3 / 2 + self.nodes[leader].fsync;
        let until = from + self.rng.between(8, 30) * SECOND;
        let fault = Fault::Cut(around_part(leader, Part::Coordinator, self.set.regions));
        self.plan(Planned { fault, from, until });
    }

    /// Somebody asks a new leader what it knows.
    pub fn ask_the_heir(&mut self, leader: usize) {
        if self.set.mix.strike == Some(Strike::Heir) {
            self.ask_as_viewer(leader);
        }
    }
}
