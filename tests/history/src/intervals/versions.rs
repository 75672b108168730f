//! Values that are applied to an expected version: who stored which version is known, so is the order of all values, and only
//! when each version began is open.
//!
//! `begins[n]` is the earliest moment at which version n can have begun. What was answered raises it: a version begins after its
//! value was first sent and after the last of those who met the version before it had asked. A refusal is an or: the
//! version that was expected began later, or the one that ended the reason to accept came early enough. All of these hold of
//! the smaller of any two solutions if they hold of both, so there is a least one, and raising what must be raised until
//! nothing must finds it. The history is linearizable if in that one nobody met a version before it had begun.

use std::collections::BTreeMap;

use super::{NEVER, Unsuited, Window};
use crate::line::{Op, Outcome};
use crate::operation::Operation;
use crate::verdict::Verdict;

/// Ways to say whose values stood in versions that nobody saw.
const WAYS_MAX: usize = 10_000;

/// A value that somebody wanted to store.
#[derive(Clone, Copy, Debug)]
struct Proposal {
    expected: u64,
    /// When the first of those that may have stored it was sent; nothing if all of them were refused.
    from: Option<usize>,
}

/// A version as it was met.
#[derive(Clone, Debug, Default)]
struct Met {
    value: Option<u64>,
    windows: Vec<Window>,
}

#[derive(Clone, Copy, Debug)]
struct Refusal {
    expected: u64,
    value: u64,
    window: Window,
}

#[derive(Debug, Default)]
struct Facts {
    proposals: BTreeMap<u64, Proposal>,
    met: BTreeMap<u64, Met>,
    refusals: Vec<Refusal>,
}

pub fn check(operations: &[Operation]) -> Result<Verdict, Unsuited> {
    let mut facts = Facts { proposals: proposals(operations)?, ..Facts::default() };
    for operation in operations {
        if let Err(why) = facts.note(operation) {
            return Ok(Verdict::Not(why));
        }
    }
    let stored = match facts.stored() {
        Ok(stored) => stored,
        Err(why) => return Ok(Verdict::Not(why)),
    };
    let ways = stored.iter().try_fold(1_usize, |ways, values| ways.checked_mul(values.len()));
    if ways.is_none_or(|ways| ways > WAYS_MAX) {
        return Err(Unsuited::TooManyWays);
    }
    let mut why = String::new();
    for way in 0..ways.unwrap_or_default() {
        match facts.place(&pick(&stored, way)) {
            Ok(()) => return Ok(Verdict::Linearizable),
            Err(conflict) => why = conflict,
        }
    }
    Ok(Verdict::Not(why))
}

fn proposals(operations: &[Operation]) -> Result<BTreeMap<u64, Proposal>, Unsuited> {
    let mut proposals: BTreeMap<u64, Proposal> = BTreeMap::new();
    for operation in operations {
        let Op::Apply { expected, value } = operation.op else { continue };
        let proposal = proposals.entry(value).or_insert(Proposal { expected, from: None });
        if proposal.expected != expected {
            return Err(Unsuited::NotUnique(value));
        }
        if operation.outcome() != Some(Outcome::Refused) {
            let from = Window::of(operation).from;
            proposal.from = Some(proposal.from.map_or(from, |earlier| earlier.min(from)));
        }
    }
    Ok(proposals)
}

/// One of the values of each version, nothing at first.
fn pick(stored: &[Vec<u64>], mut way: usize) -> Vec<Option<u64>> {
    let picked = stored.iter().map(|values| {
        let at = way.checked_rem(values.len())?;
        way /= values.len();
        values.get(at).copied()
    });
    std::iter::once(None).chain(picked).collect()
}

impl Facts {
    fn note(&mut self, operation: &Operation) -> Result<(), String> {
        let window = Window::of(operation);
        match (operation.op, operation.outcome()) {
            (Op::Read, Some(Outcome::Found { version, value })) => self.meet(version, value, window),
            (Op::Apply { value, .. }, Some(Outcome::Applied { version })) => self.meet(version, Some(value), window),
            (Op::Apply { expected, value }, Some(Outcome::Refused)) => {
                self.refusals.push(Refusal { expected, value, window });
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn meet(&mut self, version: u64, value: Option<u64>, window: Window) -> Result<(), String> {
        if let Some(value) = value {
            let stored = self.proposals.get(&value).filter(|proposal| proposal.from.is_some());
            if stored.and_then(|proposal| proposal.expected.checked_add(1)) != Some(version) {
                return Err(format!(
                    "by line {} version {version} has value {value}, which nobody stored there",
                    window.to
                ));
            }
        } else if version != 0 {
            return Err(format!("by line {} version {version} has no value", window.to));
        }
        let met = self.met.entry(version).or_insert_with(|| Met { value, windows: Vec::new() });
        if met.value != value {
            return Err(format!(
                "by line {} version {version} has value {value:?}, and had {:?}",
                window.to, met.value
            ));
        }
        met.windows.push(window);
        Ok(())
    }

    /// For each version from 1 on whose values it can have had. Up to the last that was met there is one; further ones are
    /// there if somebody may have stored them.
    fn stored(&self) -> Result<Vec<Vec<u64>>, String> {
        let top = self.met.keys().next_back().copied().unwrap_or_default();
        let mut stored = Vec::new();
        for version in 1.. {
            let unseen = || {
                let next =
                    |proposal: &Proposal| proposal.from.is_some() && proposal.expected.checked_add(1) == Some(version);
                self.proposals.iter().filter(|(_, proposal)| next(proposal)).map(|(value, _)| *value).collect()
            };
            let values: Vec<u64> = self.met.get(&version).map_or_else(unseen, |met| met.value.into_iter().collect());
            match values.is_empty() {
                true if version <= top => return Err(format!("nobody can have stored version {version}")),
                true => break,
                false => stored.push(values),
            }
        }
        Ok(stored)
    }

    /// Finds when each version can have begun, if its values are these.
    fn place(&self, values: &[Option<u64>]) -> Result<(), String> {
        let mut begins = self.earliest(values);
        loop {
            settle(&mut begins);
            let Some(late) = self.refusals.iter().find(|refusal| !refusal.holds(&begins, values)) else { break };
            // Version 0 was always there, nobody raises it.
            match index(late.expected).filter(|expected| *expected > 0).and_then(|expected| begins.get_mut(expected)) {
                Some(begin) => *begin = late.window.from,
                None => {
                    return Err(format!(
                        "{} was refused by line {}, and had to be accepted",
                        late.value, late.window.to
                    ));
                }
            }
        }
        let met = self.met.iter().filter_map(|(version, met)| Some((version, met, *begins.get(index(*version)?)?)));
        for (version, met, begin) in met {
            if let Some(early) = met.windows.iter().find(|window| window.to < begin) {
                return Err(format!(
                    "version {version} was met by line {}, and cannot have begun before line {begin}",
                    early.to
                ));
            }
        }
        Ok(())
    }

    fn earliest(&self, values: &[Option<u64>]) -> Vec<usize> {
        let first_sent =
            |value: &Option<u64>| value.and_then(|value| self.proposals.get(&value)?.from).unwrap_or_default();
        let mut begins: Vec<usize> = values.iter().map(first_sent).collect();
        for (version, met) in &self.met {
            let next = index(*version).and_then(|version| begins.get_mut(version + 1));
            if let (Some(next), Some(last)) = (next, met.windows.iter().map(|window| window.from).max()) {
                *next = (*next).max(last);
            }
        }
        begins
    }
}

/// No version begins before the one before it.
fn settle(begins: &mut [usize]) {
    let mut before = 0;
    for begin in begins {
        before = before.max(*begin);
        *begin = before;
    }
}

fn index(version: u64) -> Option<usize> {
    usize::try_from(version).ok()
}

impl Refusal {
    /// Could it be refused? While the expected version stood it would have been accepted, and, if its value was stored there
    /// after all, as long as that stood, too.
    fn holds(&self, begins: &[usize], values: &[Option<u64>]) -> bool {
        let at = |version: Option<usize>| version.and_then(|version| begins.get(version)).copied().unwrap_or(NEVER);
        let expected = index(self.expected);
        let next = expected.and_then(|expected| expected.checked_add(1));
        let is_next = next.and_then(|next| *values.get(next)?) == Some(self.value);
        let over = if is_next { next.and_then(|next| next.checked_add(1)) } else { next };
        let expected_begins = if self.expected == 0 { 0 } else { at(expected) };
        self.window.from <= expected_begins || at(over) <= self.window.to
    }
}
