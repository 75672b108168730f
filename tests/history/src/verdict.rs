//! What both checkers make of a history.

use std::collections::BTreeMap;
use std::fmt;

use crate::intervals::{self, Unsuited};
use crate::line::Line;
use crate::operation::{Malformed, Operation, operations};
use crate::search;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Linearizable,
    /// Why not.
    Not(String),
}

impl Verdict {
    pub fn is_linearizable(&self) -> bool {
        *self == Self::Linearizable
    }
}

/// One object's operations, and what was made of them.
#[derive(Clone, Debug)]
pub struct Judged {
    pub operations: Vec<Operation>,
    pub search: Verdict,
    pub intervals: Result<Verdict, Unsuited>,
}

impl Judged {
    pub fn of(operations: Vec<Operation>) -> Self {
        let (search, intervals) = (search::check(&operations), intervals::check(&operations));
        Self { operations, search, intervals }
    }

    /// Both call it linearizable.
    pub fn is_linearizable(&self) -> bool {
        self.search.is_linearizable() && self.intervals == Ok(Verdict::Linearizable)
    }

    /// Both say that it is not.
    pub fn is_refuted(&self) -> bool {
        let refuted = |verdict: &Verdict| matches!(verdict, Verdict::Not(_));
        refuted(&self.search) && self.intervals.as_ref().is_ok_and(refuted)
    }

    /// Both say the same.
    pub fn is_agreed(&self) -> bool {
        self.is_linearizable() || self.is_refuted()
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |verdict: &Verdict| match verdict {
            Verdict::Linearizable => "linearizable".to_owned(),
            Verdict::Not(why) => format!("not linearizable ({why})"),
        };
        let intervals = self.intervals.as_ref().map_or_else(|why| format!("no verdict ({why})"), shown);
        write!(f, "{} operations; search: {}; intervals: {intervals}", self.operations.len(), shown(&self.search))
    }
}

/// Every object of the history.
pub fn judge(lines: &[Line]) -> Result<BTreeMap<String, Judged>, Malformed> {
    Ok(operations(lines)?.into_iter().map(|(object, operations)| (object, Judged::of(operations))).collect())
}
