//! One check about one region: who sees it fail, and is that a quorum?

use std::collections::{BTreeMap, BTreeSet};

use super::missing;
use super::votes::Vote;
use super::{Evidence, Pattern, Quorum, REGIONS_NEEDED, SETTLE, Verdict};
use crate::fleet::Service;
use crate::ids::{AgentId, RegionId};
use crate::manifest::{Check, Policy, Vantage};
use crate::time::Timestamp;

/// From so many changes to failing on, a check alternates.
const FLAPPING: u32 = 2;

/// What is for people to read: a verdict does without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    All,
    None,
}

/// What all votes on one check come to.
pub struct Finding<'a> {
    pub check: &'a Check,
    pub votes: Vec<Vote<'a>>,
    pub verdict: Verdict,
    pub pattern: Pattern,
    pub since: Option<Timestamp>,
    pub quorum: Quorum,
    pub short: Option<usize>,
    pub missing: Vec<String>,
}

impl Finding<'_> {
    pub fn ails(&self) -> bool {
        matches!(self.verdict, Verdict::Down | Verdict::Suspect)
    }
}

/// Observers outside whose requester-side evidence fails, with the region of each and since when.
pub type SecondKind<'a> = BTreeMap<&'a AgentId, (&'a RegionId, Timestamp)>;

/// The votes of a check, counted.
pub struct Tally<'v, 'a> {
    pub check: &'a Check,
    pub about: &'a RegionId,
    pub policy: &'a Policy,
    pub failing: Vec<&'v Vote<'a>>,
    pub passing: Vec<&'v Vote<'a>>,
    pub own_failing: Vec<&'v Vote<'a>>,
    pub own_passing: Vec<&'v Vote<'a>>,
    /// Second kind: outside, and without a failing vote of their own.
    pub joining: SecondKind<'a>,
    /// Observers that are taken to have a vote.
    pub electorate: usize,
    /// The leader is so new that it may not have heard of all.
    pub settling: bool,
    pub needed: usize,
}

pub fn find<'a>(
    check: &'a Check,
    about: &'a RegionId,
    votes: Vec<Vote<'a>>,
    second: &SecondKind<'a>,
    service: &'a Service,
    evidence: &'a Evidence,
    words: Words,
) -> Finding<'a> {
    let tally = Tally::count(check, about, &votes, second, service, evidence);
    let (verdict, pattern) = tally.verdict();
    let quorum = tally.quorum();
    let since = tally.since();
    let short = tally.short();
    let missing = match words {
        Words::All => missing::of(&tally, verdict, pattern, evidence),
        Words::None => Vec::new(),
    };
    Finding { check, verdict, pattern, since, quorum, short, missing, votes }
}

impl<'v, 'a> Tally<'v, 'a> {
    fn count(
        check: &'a Check,
        about: &'a RegionId,
        votes: &'v [Vote<'a>],
        second: &SecondKind<'a>,
        service: &'a Service,
        evidence: &Evidence,
    ) -> Self {
        let policy = &service.manifest.policy;
        let pick = |outside: bool, wanted: fn(&Vote<'a>) -> bool| -> Vec<&'v Vote<'a>> {
            votes.iter().filter(|vote| vote.outside == outside && wanted(vote)).collect()
        };
        let (failing, mut passing) = (pick(true, Vote::fails), pick(true, Vote::passes));
        let (own_failing, own_passing) = (pick(false, Vote::fails), pick(false, Vote::passes));
        // Two kinds of observers: at least one probe fails as well, for as long.
        let probe_agrees = failing.iter().chain(&own_failing).any(|vote| vote.is_sustained(policy.sustained));
        let mut joining = if probe_agrees { second.clone() } else { SecondKind::new() };
        for vote in &failing {
            joining.remove(vote.observer());
        }
        passing.retain(|vote| !joining.contains_key(vote.observer()));
        let heard = failing.len() + passing.len() + joining.len();
        let settling = evidence.now.since(evidence.led_since) < SETTLE;
        let electorate = if settling { heard.max(registered(check, about, evidence)) } else { heard };
        let majority = electorate / 2 + 1;
        let asked = policy.quorum.map(|quorum| usize::try_from(quorum).unwrap_or(usize::MAX));
        let needed = match asked {
            Some(asked) if settling => asked.max(majority),
            Some(asked) => asked,
            None => majority,
        };
        let needed = needed.max(REGIONS_NEEDED);
        Self { check, about, policy, failing, passing, own_failing, own_passing, joining, electorate, settling, needed }
    }

    fn verdict(&self) -> (Verdict, Pattern) {
        if self.failing.is_empty() && self.joining.is_empty() {
            return self.nobody_outside_sees_it_fail();
        }
        if self.is_down() {
            let by_probes = self.sustained().count() >= self.needed;
            return (Verdict::Down, if by_probes { Pattern::Outage } else { Pattern::Grey });
        }
        let flapping = self.failing.iter().filter(|vote| vote.sight.alternations >= FLAPPING).count();
        let pattern = if flapping * 2 > self.failing.len() {
            Pattern::Flapping
        } else if self.own_contradicts() && self.outnumbers() {
            Pattern::OutsideOnly
        } else if !self.joining.is_empty() {
            Pattern::Grey
        } else if !self.passing.is_empty() {
            Pattern::Asymmetric
        } else {
            Pattern::Outage
        };
        (Verdict::Suspect, pattern)
    }

    fn nobody_outside_sees_it_fail(&self) -> (Verdict, Pattern) {
        let blind = self.passing.is_empty() && self.check.from != Vantage::Own;
        match (self.own_failing.is_empty(), blind) {
            (false, true) => (Verdict::Suspect, Pattern::Blind),
            (false, false) => (Verdict::Suspect, Pattern::LocalOnly),
            (true, true) => (Verdict::Unknown, Pattern::Blind),
            (true, false) if self.passing.is_empty() && self.own_passing.is_empty() => {
                (Verdict::Unknown, Pattern::Blind)
            }
            (true, false) if self.alternates() => (Verdict::Suspect, Pattern::Flapping),
            (true, false) => (Verdict::Healthy, Pattern::Well),
        }
    }

    /// It passes now, as it has passed now and then.
    fn alternates(&self) -> bool {
        let all = self.passing.iter().chain(&self.own_passing);
        let flapping = all.filter(|vote| vote.sight.alternations > FLAPPING).count();
        flapping * 2 > self.passing.len() + self.own_passing.len()
    }

    pub fn is_down(&self) -> bool {
        let ripe = self.sustained().count() + self.joining.len();
        let regions = self.regions(self.sustained());
        ripe >= self.needed && regions.len() >= REGIONS_NEEDED && ripe > self.passing.len() && !self.own_contradicts()
    }

    /// How many more must have seen it fail for the whole of the time. At least one: whatever else is wanted, such as
    /// another region, comes with a view of somebody.
    fn short(&self) -> Option<usize> {
        let fails = !self.failing.is_empty() || !self.joining.is_empty();
        let ripe = self.sustained().count() + self.joining.len();
        let wanted = self.needed.max(self.passing.len() + 1);
        (fails && !self.is_down()).then(|| wanted.saturating_sub(ripe).max(1))
    }

    fn sustained(&self) -> impl Iterator<Item = &'v Vote<'a>> {
        self.failing.iter().copied().filter(|vote| vote.is_sustained(self.policy.sustained))
    }

    /// Regions of the votes and of those that join them.
    fn regions(&self, votes: impl Iterator<Item = &'v Vote<'a>>) -> BTreeSet<&'a RegionId> {
        votes.map(|vote| vote.region).chain(self.joining.values().map(|(region, _)| *region)).collect()
    }

    fn outnumbers(&self) -> bool {
        self.failing.len() + self.joining.len() > self.passing.len()
    }

    /// The region itself sees it well: a pass of now, or one since the others began to see it fail.
    pub fn own_contradicts(&self) -> bool {
        let onset = self.since();
        let of_now = |vote: &&&Vote<'a>| vote.current || onset.is_some_and(|onset| vote.sight.observed_at > onset);
        let passing = self.own_passing.iter().filter(of_now).count();
        passing > self.own_failing.len()
    }

    /// When as many as are needed, or as there are, had begun to see it fail.
    fn since(&self) -> Option<Timestamp> {
        let outside =
            self.failing.iter().map(|vote| vote.since()).chain(self.joining.values().map(|(_, since)| *since));
        let mut since: Vec<Timestamp> = outside.collect();
        if since.is_empty() {
            since = self.own_failing.iter().map(|vote| vote.since()).collect();
        }
        since.sort_unstable();
        let last = since.len().checked_sub(1)?;
        since.get(last.min(self.needed.saturating_sub(1))).copied()
    }

    pub fn quorum(&self) -> Quorum {
        Quorum {
            needed: self.needed,
            fresh: self.failing.len() + self.passing.len() + self.joining.len(),
            failing: self.failing.len() + self.joining.len(),
            regions_failing: self.regions(self.failing.iter().copied()).len(),
            regions_needed: REGIONS_NEEDED,
        }
    }
}

/// Agents that are registered in the regions from which the check is asked, other than the one that it is about.
fn registered(check: &Check, about: &RegionId, evidence: &Evidence) -> usize {
    let regions = evidence.observers.0.by_region.iter();
    let outside = regions.filter(|(region, _)| *region != about && check.is_asked_from(region, about));
    outside.map(|(_, agents)| agents).sum()
}
