//! The second checker: computes when each value must have been there, and looks for contradictions. It tries no orders, and
//! needs values that are unique: each is written by one write, or applied with one expected version.
//!
//! Time is counted in lines: moment n lies before line n, and any number of things can happen in it, in any order.

use crate::line::Op;
use crate::operation::Operation;
use crate::verdict::Verdict;

mod versions;
mod zones;

/// This checker has no word on the history.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsuited {
    #[error("{0} is written, or applied with another expected version, a second time")]
    NotUnique(u64),
    #[error("one object is written and applied to")]
    Mixed,
    #[error("too many ways to fill versions that nobody saw")]
    TooManyWays,
}

pub fn check(operations: &[Operation]) -> Result<Verdict, Unsuited> {
    let counted: Vec<Operation> = operations.iter().filter(|one| one.counts()).copied().collect();
    let any = |kind: fn(&Op) -> bool| counted.iter().any(|one| kind(&one.op));
    let (writes, applies) = (any(|op| matches!(op, Op::Write { .. })), any(|op| matches!(op, Op::Apply { .. })));
    match (writes, applies) {
        (true, true) => Err(Unsuited::Mixed),
        (true, false) => zones::check(&counted),
        (false, _) => versions::check(&counted),
    }
}

/// The moments at which an operation can have happened, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    from: usize,
    to: usize,
}

/// Later than everything.
const NEVER: usize = usize::MAX;

impl Window {
    fn of(operation: &Operation) -> Self {
        Self { from: operation.invoked + 1, to: operation.returned.map_or(NEVER, |(line, _)| line) }
    }
}
