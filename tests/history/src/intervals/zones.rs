//! Values that are written whatever was there: the zones of Gibbons and Korach (Testing Shared Memories, 1997).
//!
//! A value's write and its reads share the moments from the first that ended to the last that began. If the last began after
//! the first had ended the value was there for all that time, and no other was; else there is a moment in which all of them
//! can have happened at once.

use std::collections::BTreeMap;

use super::{Unsuited, Window};
use crate::line::{Op, Outcome};
use crate::operation::Operation;
use crate::verdict::Verdict;

#[derive(Clone, Copy, Debug)]
struct Zone {
    value: Option<u64>,
    first_end: usize,
    last_begin: usize,
}

pub fn check(operations: &[Operation]) -> Result<Verdict, Unsuited> {
    // What was there at first was written before everything.
    let mut written = BTreeMap::from([(None, Window { from: 0, to: 0 })]);
    for operation in operations {
        if let Op::Write { value } = operation.op
            && written.insert(Some(value), Window::of(operation)).is_some()
        {
            return Err(Unsuited::NotUnique(value));
        }
    }
    let mut reads: BTreeMap<Option<u64>, Vec<Window>> = BTreeMap::new();
    for operation in operations {
        match operation.outcome() {
            Some(Outcome::Found { version: 0, value }) => reads.entry(value).or_default().push(Window::of(operation)),
            Some(Outcome::Found { version, .. }) => {
                return Ok(Verdict::Not(format!("version {version} was read of what has none")));
            }
            _ => {}
        }
    }
    let mut zones = Vec::with_capacity(written.len());
    for (value, windows) in &reads {
        let Some(write) = written.get(value) else {
            return Ok(Verdict::Not(format!("{} was read and never written", shown(*value))));
        };
        if let Some(early) = windows.iter().find(|read| read.to < write.from) {
            let line = early.to;
            return Ok(Verdict::Not(format!("{} was read by line {line}, before it was written", shown(*value))));
        }
    }
    for (value, write) in &written {
        let of_value = reads.get(value).into_iter().flatten();
        let zone = of_value.fold(Zone { value: *value, first_end: write.to, last_begin: write.from }, |zone, read| {
            Zone { first_end: zone.first_end.min(read.to), last_begin: zone.last_begin.max(read.from), ..zone }
        });
        zones.push(zone);
    }
    Ok(conflict(zones).map_or(Verdict::Linearizable, Verdict::Not))
}

/// In order of time: each zone against the one that holds the longest of those before it.
fn conflict(zones: Vec<Zone>) -> Option<String> {
    let (mut lasting, moments): (Vec<Zone>, Vec<Zone>) =
        zones.into_iter().partition(|zone| zone.first_end < zone.last_begin);
    lasting.sort_unstable_by_key(|zone| zone.first_end);
    for pair in lasting.windows(2) {
        if let [one, next] = pair
            && next.first_end < one.last_begin
        {
            return Some(format!(
                "{} was there until line {} at least, and {} from line {} on",
                shown(one.value),
                one.last_begin,
                shown(next.value),
                next.first_end
            ));
        }
    }
    for moment in moments {
        // Those that last do not overlap: the last to begin before the moment's end is the one that may cover it.
        let before = lasting.partition_point(|zone| zone.first_end < moment.last_begin);
        let covering = before.checked_sub(1).and_then(|at| lasting.get(at));
        if let Some(zone) = covering.filter(|zone| moment.first_end < zone.last_begin) {
            return Some(format!(
                "{} was there between lines {} and {}, while only {} can have been",
                shown(moment.value),
                moment.last_begin,
                moment.first_end,
                shown(zone.value)
            ));
        }
    }
    None
}

fn shown(value: Option<u64>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |value| format!("value {value}"))
}
