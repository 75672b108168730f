//! What was acknowledged against what the log holds: each acknowledged change is there exactly once, and none is twice.
//!
//! The log is one order of all changes. That it is an order which time allows (what was answered before another was asked
//! stands before it) is checked here, too.

use std::collections::BTreeMap;

use crate::line::{Op, Outcome};
use crate::operation::Operation;

/// A command in the log that changed an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    pub index: u64,
    pub value: u64,
    /// That it made; 0 for a write.
    pub version: u64,
}

/// What is wrong with the log of one object's changes; nothing if it is as it must be.
pub fn check(operations: &[Operation], log: &[Committed]) -> Vec<String> {
    let mut by_value: BTreeMap<u64, Committed> = BTreeMap::new();
    let mut wrong = Vec::new();
    for entry in log {
        let first = by_value.entry(entry.value).or_insert(*entry);
        if first != entry {
            wrong.push(format!("{} was made twice, at {} and at {}", entry.value, first.index, entry.index));
        }
    }
    let changes = operations.iter().filter(|one| one.counts());
    let mut acknowledged: Vec<(&Operation, u64)> = Vec::new();
    for change in changes {
        let (value, version) = match (change.op, change.outcome()) {
            (Op::Write { value }, Some(Outcome::Written)) => (value, 0),
            (Op::Apply { value, .. }, Some(Outcome::Applied { version })) => (value, version),
            _ => continue,
        };
        match by_value.get(&value) {
            None => wrong.push(format!("{value} was acknowledged, and is not in the log")),
            Some(entry) if entry.version != version => {
                wrong.push(format!(
                    "{value} was acknowledged as version {version}, and is {} in the log",
                    entry.version
                ));
            }
            Some(entry) => acknowledged.push((change, entry.index)),
        }
    }
    wrong.extend(log.iter().filter(|entry| !proposed(operations, entry.value)).map(|entry| {
        let Committed { index, value, .. } = entry;
        format!("{value} stands at {index}, and nobody asked for it, or it was refused, or never sent")
    }));
    wrong.extend(out_of_order(operations, &by_value, &acknowledged));
    wrong
}

fn proposed(operations: &[Operation], committed: u64) -> bool {
    operations.iter().filter(|one| one.counts() && one.outcome() != Some(Outcome::Refused)).any(|one| match one.op {
        Op::Write { value } | Op::Apply { value, .. } => value == committed,
        Op::Read => false,
    })
}

/// A value stands in the log where the first who asked for it was carried out: not before that was asked, and not after
/// any of them was answered.
fn out_of_order(
    operations: &[Operation],
    by_value: &BTreeMap<u64, Committed>,
    acknowledged: &[(&Operation, u64)],
) -> Vec<String> {
    let mut asked: BTreeMap<u64, usize> = BTreeMap::new();
    for one in operations.iter().filter(|one| one.counts()) {
        if let Op::Write { value } | Op::Apply { value, .. } = one.op {
            asked.entry(value).or_insert(one.invoked);
        }
    }
    let mut wrong = Vec::new();
    for (done, index) in acknowledged {
        let Some((answered, _)) = done.returned else { continue };
        for entry in by_value.values().filter(|entry| entry.index < *index) {
            if asked.get(&entry.value).is_some_and(|asked| *asked > answered) {
                wrong.push(format!(
                    "{} stands at {}, before what was answered by line {answered} and stands at {index}",
                    entry.value, entry.index
                ));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(process: u64, value: u64, invoked: usize, returned: Option<usize>) -> Operation {
        let returned = returned.map(|line| (line, Outcome::Written));
        Operation { process, op: Op::Write { value }, invoked, returned }
    }

    fn entry(index: u64, value: u64) -> Committed {
        Committed { index, value, version: 0 }
    }

    #[test]
    fn what_was_acknowledged_is_there_once_and_what_was_lost_at_most_once() {
        let operations = [write(1, 10, 0, Some(1)), write(2, 20, 2, None), write(3, 30, 3, Some(4))];
        assert_eq!(check(&operations, &[entry(5, 10), entry(6, 30)]), Vec::<String>::new());
        assert_eq!(check(&operations, &[entry(5, 10), entry(6, 30), entry(9, 20)]), Vec::<String>::new());
        assert_eq!(check(&operations, &[entry(5, 10)]).len(), 1, "30 is missing");
        assert_eq!(check(&operations, &[entry(5, 10), entry(6, 30), entry(7, 10)]).len(), 1, "10 is there twice");
        assert_eq!(check(&operations, &[entry(5, 10), entry(6, 30), entry(7, 40)]).len(), 1, "nobody asked for 40");
    }

    #[test]
    fn the_log_is_an_order_that_time_allows() {
        let operations = [write(1, 10, 0, Some(1)), write(2, 20, 2, Some(3)), write(3, 30, 4, None)];
        assert_eq!(check(&operations, &[entry(6, 10), entry(5, 20)]).len(), 1, "10 was answered before 20 was asked");
        assert_eq!(check(&operations, &[entry(4, 30), entry(5, 10), entry(6, 20)]).len(), 2, "30 came before its time");
    }

    #[test]
    fn what_was_refused_is_not_there_but_for_somebody_else_s_sake() {
        let op = Op::Apply { expected: 3, value: 7 };
        let refused = Operation { process: 1, op, invoked: 0, returned: Some((1, Outcome::Refused)) };
        let stored = [Committed { index: 9, value: 7, version: 4 }];
        assert_eq!(check(&[refused], &[]), Vec::<String>::new());
        assert_eq!(check(&[refused], &stored).len(), 1);
        let lost = Operation { process: 2, op, invoked: 0, returned: None };
        assert_eq!(check(&[lost, refused], &stored), Vec::<String>::new());
    }

    #[test]
    fn an_applied_value_has_the_version_that_was_told() {
        let op = Op::Apply { expected: 3, value: 7 };
        let told = Operation { process: 1, op, invoked: 0, returned: Some((1, Outcome::Applied { version: 4 })) };
        assert_eq!(check(&[told], &[Committed { index: 9, value: 7, version: 4 }]), Vec::<String>::new());
        assert_eq!(check(&[told], &[Committed { index: 9, value: 7, version: 5 }]).len(), 1);
    }
}
