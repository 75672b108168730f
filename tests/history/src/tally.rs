//! What a history consists of: one without concurrency, refusals or lost answers shows little.

use std::fmt;
use std::ops::AddAssign;

use crate::line::{Op, Outcome};
use crate::operation::Operation;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub reads: usize,
    pub written: usize,
    pub applied: usize,
    pub refused: usize,
    /// Changes of which nobody knows whether they were made.
    pub unknown: usize,
    /// Reads without an answer, and what never left its client.
    pub nothing: usize,
    /// Answered reads that were under way at the same time as a change that was answered, too.
    pub overlapping: usize,
}

impl Tally {
    pub fn of(operations: &[Operation]) -> Self {
        let mut tally = Self::default();
        for one in operations {
            match (one.outcome(), one.op) {
                (Some(Outcome::Found { .. }), _) => {
                    tally.reads += 1;
                    let mut changes = operations.iter().filter(|other| other.op != Op::Read && other.counts());
                    tally.overlapping += usize::from(changes.any(|change| overlap(one, change)));
                }
                (Some(Outcome::Written), _) => tally.written += 1,
                (Some(Outcome::Applied { .. }), _) => tally.applied += 1,
                (Some(Outcome::Refused), _) => tally.refused += 1,
                (Some(Outcome::NotSent), _) | (None, Op::Read) => tally.nothing += 1,
                (None, Op::Write { .. } | Op::Apply { .. }) => tally.unknown += 1,
            }
        }
        tally
    }

    pub fn operations(&self) -> usize {
        self.reads + self.written + self.applied + self.refused + self.unknown + self.nothing
    }
}

fn overlap(one: &Operation, other: &Operation) -> bool {
    let begins_in = |one: &Operation, other: &Operation| other.returned.is_some_and(|(line, _)| one.invoked < line);
    begins_in(one, other) && begins_in(other, one)
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.reads += other.reads;
        self.written += other.written;
        self.applied += other.applied;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.nothing += other.nothing;
        self.overlapping += other.overlapping;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reads, written, applied, refused, unknown, nothing, overlapping } = self;
        write!(
            f,
            "{} operations: {reads} reads ({overlapping} during a change), {written} writes, {applied} applied, {refused} \
             refused, {unknown} of unknown outcome, {nothing} without any",
            self.operations()
        )
    }
}
