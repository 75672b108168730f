//! Lines put together: what was asked with what was answered.

use std::collections::BTreeMap;

use crate::line::{Line, Op, Outcome};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    pub process: u64,
    pub op: Op,
    /// The line at which it was asked.
    pub invoked: usize,
    /// What was answered, and at which line; nothing if nobody knows what became of it.
    pub returned: Option<(usize, Outcome)>,
}

/// The recording contradicts itself: nothing can be said of what was recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("line {line}: process {process} asks {object} while it waits for an answer from it")]
    StillOpen { line: usize, process: u64, object: String },
    #[error("line {line}: process {process} is answered by {object}, which it has not asked")]
    NotAsked { line: usize, process: u64, object: String },
    #[error("line {line}: {outcome:?} is no answer to {op:?}")]
    NoAnswer { line: usize, op: Op, outcome: Outcome },
}

/// The operations on each object, in the order in which they were asked.
pub fn operations(lines: &[Line]) -> Result<BTreeMap<String, Vec<Operation>>, Malformed> {
    let mut all: BTreeMap<String, Vec<Operation>> = BTreeMap::new();
    let mut open: BTreeMap<(u64, &str), usize> = BTreeMap::new();
    for (nth, line) in lines.iter().enumerate() {
        match line {
            Line::Note(_) => {}
            Line::Invoke { process, object, op } => {
                let of_object = all.entry(object.clone()).or_default();
                if open.insert((*process, object), of_object.len()).is_some() {
                    return Err(Malformed::StillOpen { line: nth + 1, process: *process, object: object.clone() });
                }
                of_object.push(Operation { process: *process, op: *op, invoked: nth, returned: None });
            }
            Line::Return { process, object, outcome } => {
                let at = open.remove(&(*process, object.as_str()));
                let asked = at.and_then(|at| all.get_mut(object)?.get_mut(at));
                let not_asked = || Malformed::NotAsked { line: nth + 1, process: *process, object: object.clone() };
                let asked = asked.ok_or_else(not_asked)?;
                if !answers(asked.op, *outcome) {
                    return Err(Malformed::NoAnswer { line: nth + 1, op: asked.op, outcome: *outcome });
                }
                asked.returned = Some((nth, *outcome));
            }
        }
    }
    Ok(all)
}

fn answers(op: Op, outcome: Outcome) -> bool {
    match outcome {
        Outcome::Found { .. } => op == Op::Read,
        Outcome::Written => matches!(op, Op::Write { .. }),
        Outcome::Applied { .. } | Outcome::Refused => matches!(op, Op::Apply { .. }),
        Outcome::NotSent => true,
    }
}

impl Operation {
    pub fn outcome(&self) -> Option<Outcome> {
        self.returned.map(|(_, outcome)| outcome)
    }

    /// Does it say anything, or can it have changed anything?
    pub fn counts(&self) -> bool {
        match self.outcome() {
            Some(Outcome::NotSent) => false,
            None => self.op != Op::Read,
            Some(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invoke(process: u64, op: Op) -> Line {
        Line::Invoke { process, object: "o".to_owned(), op }
    }

    fn answer(process: u64, outcome: Outcome) -> Line {
        Line::Return { process, object: "o".to_owned(), outcome }
    }

    #[test]
    fn what_was_never_answered_stays_open() {
        let lines = [invoke(1, Op::Write { value: 7 }), invoke(2, Op::Read), answer(2, Outcome::NotSent)];
        let all = operations(&lines).expect("a sound recording");
        let [write, read] = all["o"].as_slice() else { panic!("two operations: {all:?}") };
        assert!(write.returned.is_none() && write.counts());
        assert!(!read.counts());
    }

    #[test]
    fn a_recording_that_contradicts_itself_is_none() {
        let twice = [invoke(1, Op::Read), invoke(1, Op::Read)];
        assert!(matches!(operations(&twice), Err(Malformed::StillOpen { line: 2, .. })));
        let unasked = [answer(1, Outcome::Written)];
        assert!(matches!(operations(&unasked), Err(Malformed::NotAsked { line: 1, .. })));
        let other = [invoke(1, Op::Read), answer(1, Outcome::Refused)];
        assert!(matches!(operations(&other), Err(Malformed::NoAnswer { line: 2, .. })));
    }
}
