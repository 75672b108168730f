//! The first checker: the search of Wing and Gong with Lowe's memory of what was tried, as `todc-utils` has it. It looks for
//! an order in which a sequential object gives every answer.

use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action, History};
use todc_utils::specifications::Specification;

use crate::line::{Op, Outcome};
use crate::operation::Operation;
use crate::verdict::Verdict;

/// The object, one operation after the other.
struct Cell;

/// Version and value.
type State = (u64, Option<u64>);

impl Specification for Cell {
    type State = State;
    type Operation = (Op, Option<Outcome>);

    fn init() -> State {
        (0, None)
    }

    fn apply((op, outcome): &Self::Operation, state: &State) -> (bool, State) {
        let (next, answer) = step(*op, *state);
        let fits = outcome.is_none_or(|outcome| outcome == answer);
        (fits, if fits { next } else { *state })
    }
}

fn step(op: Op, state: State) -> (State, Outcome) {
    let (version, now) = state;
    match op {
        Op::Read => (state, Outcome::Found { version, value: now }),
        Op::Write { value } => ((version, Some(value)), Outcome::Written),
        Op::Apply { value, .. } if now == Some(value) => (state, Outcome::Applied { version }),
        Op::Apply { expected, value } if expected == version => {
            ((version + 1, Some(value)), Outcome::Applied { version: version + 1 })
        }
        Op::Apply { .. } => (state, Outcome::Refused),
    }
}

pub fn check(operations: &[Operation]) -> Verdict {
    let counted: Vec<&Operation> =
        operations.iter().filter(|one| one.counts() && !is_unseen(one, operations)).collect();
    if counted.is_empty() {
        return Verdict::Linearizable;
    }
    let mut events: Vec<(usize, usize, bool)> = Vec::with_capacity(2 * counted.len());
    for (nth, operation) in counted.iter().enumerate() {
        events.push((operation.invoked, nth, false));
        // What is open for ever may come after everything else: there it changes nothing for anybody.
        events.push((operation.returned.map_or(usize::MAX, |(line, _)| line), nth, true));
    }
    events.sort_unstable();
    let actions = events.into_iter().filter_map(|(_, nth, ends)| {
        let operation = counted.get(nth)?;
        let said = (operation.op, operation.outcome());
        // Each operation is a process of its own: the checker orders by time alone.
        Some((nth, if ends { Action::Response(said) } else { Action::Call(said) }))
    });
    if WGLChecker::<Cell>::is_linearizable(History::from_actions(actions.collect())) {
        Verdict::Linearizable
    } else {
        Verdict::Not("no order of the operations explains every answer".to_owned())
    }
}

/// A write that nobody knows of and nobody read: with or without it the history is as good, and the search is spared each
/// place at which it might have been.
fn is_unseen(operation: &Operation, all: &[Operation]) -> bool {
    let Op::Write { value: written } = operation.op else { return false };
    let found = |one: &Operation| matches!(one.outcome(), Some(Outcome::Found { value, .. }) if value == Some(written));
    operation.returned.is_none() && !all.iter().any(found)
}
