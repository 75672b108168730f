//! What one sight is worth.

use std::time::Duration;

use super::checks::{fresh_for, next_within};
use super::{Doubt, Evidence, Observer, SILENCE_MAX, Sees, Sight, View};
use crate::fleet::Service;
use crate::ids::{AgentId, RegionId};
use crate::manifest::Check;
use crate::signal::Reading;
use crate::time::Timestamp;

/// An alternating signal has to fail for at most so many times as long: a later outage is not hidden for ever.
const WIDEN_MAX: u32 = 4;

pub struct Vote<'a> {
    pub sight: &'a Sight,
    pub region: &'a RegionId,
    /// Of another region than the one that is judged.
    pub outside: bool,
    pub standing: Standing<'a>,
    /// Heard of and not overdue, so that a pass is a pass of now.
    pub current: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing<'a> {
    /// It has a vote.
    Votes,
    ObserveOnly,
    NotAsked,
    Unregistered,
    Silent(Option<Duration>),
    Doubts(&'a Doubt),
    Stale(Duration),
    /// Of an earlier version of the manifest.
    Superseded,
    /// It could not find out.
    NoOpinion,
}

impl<'a> Vote<'a> {
    /// None for what is no answer to a health question.
    pub fn of(
        sight: &'a Sight,
        observer: Option<&'a Observer>,
        check: &Check,
        about: &RegionId,
        service: &Service,
        evidence: &'a Evidence,
    ) -> Option<Self> {
        if matches!(sight.signal.reading, Reading::ReplicaLag { .. } | Reading::Items { .. }) {
            return None;
        }
        let region = observer.map_or(&sight.signal.observer_region, |observer| &observer.region);
        let age = evidence.now.since(sight.observed_at);
        let silence = observer.map(|observer| observer.heard_at.map(|heard| evidence.now.since(heard)));
        let doubt = observer.and_then(|observer| observer.doubt.as_ref());
        let standing = match silence {
            _ if !check.is_asked_from(region, about) => Standing::NotAsked,
            None => Standing::Unregistered,
            Some(silence) if silence.is_none_or(|silence| silence > SILENCE_MAX) => Standing::Silent(silence),
            Some(_) if age > fresh_for(check) => Standing::Stale(age),
            Some(_) if sight.observed_at < service.applied_at => Standing::Superseded,
            Some(_) if matches!(sight.signal.reading, Reading::Unknown { .. }) => Standing::NoOpinion,
            Some(_) if check.observe_only => Standing::ObserveOnly,
            Some(_) => doubt.map_or(Standing::Votes, Standing::Doubts),
        };
        Some(Self { sight, region, outside: region != about, standing, current: age <= next_within(check) })
    }

    pub fn votes(&self) -> bool {
        self.standing == Standing::Votes
    }

    pub fn observer(&self) -> &'a AgentId {
        &self.sight.signal.observer
    }

    pub fn fails(&self) -> bool {
        self.votes() && matches!(self.sight.signal.reading, Reading::Failing { .. })
    }

    pub fn passes(&self) -> bool {
        self.votes() && matches!(self.sight.signal.reading, Reading::Passing { .. })
    }

    /// When it began to fail, as far as its present row of failures goes.
    pub fn since(&self) -> Timestamp {
        self.sight.failing_since.unwrap_or(self.sight.observed_at)
    }

    /// Time between the first and the last failure of the unbroken row: what was seen, not what has passed since.
    pub fn seen_failing_for(&self) -> Duration {
        self.sight.failing_since.map_or(Duration::ZERO, |since| self.sight.observed_at.since(since))
    }

    pub fn wanted(&self, sustained: Duration) -> Duration {
        wanted_for(sustained, self.sight.alternations)
    }

    /// Has it seen failures for the whole of the time?
    pub fn is_sustained(&self, sustained: Duration) -> bool {
        let broken = self.sight.failing_since.is_none();
        self.fails() && !broken && self.seen_failing_for() >= self.wanted(sustained)
    }

    pub fn view(&self) -> View {
        let sees = match &self.sight.signal.reading {
            Reading::Failing { reason, .. } => Sees::Failing { since: self.since(), reason: reason.clone() },
            Reading::Unknown { reason } => Sees::Unknown { reason: reason.clone() },
            Reading::Passing { .. } | Reading::ReplicaLag { .. } | Reading::Items { .. } => Sees::Passing,
        };
        View {
            observer: self.observer().clone(),
            region: self.region.clone(),
            subject: self.sight.signal.subject.clone(),
            sees,
            counts: self.outside && self.votes(),
            because: self.because(),
        }
    }

    fn because(&self) -> String {
        match self.standing {
            Standing::Votes if !self.outside => "the region's own view is compared, not counted".to_owned(),
            Standing::Votes if self.fails() && self.sight.failing_since.is_none() => {
                "fresh; its last answer was a pass, too few to be well again".to_owned()
            }
            Standing::Votes if self.fails() => format!("fresh; failures seen over {}", words(self.seen_failing_for())),
            Standing::Votes => "fresh".to_owned(),
            Standing::ObserveOnly => "the check is observed only".to_owned(),
            Standing::NotAsked => "the check is not asked from there any more".to_owned(),
            Standing::Unregistered => "the observer is not registered".to_owned(),
            Standing::Silent(Some(silence)) => format!("the observer has been silent for {}", words(silence)),
            Standing::Silent(None) => "the observer has not been heard of by this leader".to_owned(),
            Standing::Doubts(doubt) => format!("the observer doubts itself: {doubt}"),
            Standing::Stale(age) => format!("seen {} ago, too old", words(age)),
            Standing::Superseded => "seen before the present manifest was applied".to_owned(),
            Standing::NoOpinion => "the observer could not find out".to_owned(),
        }
    }
}

/// How long an observer that has alternated so often must see it fail.
pub fn wanted_for(sustained: Duration, alternations: u32) -> Duration {
    sustained.saturating_mul(alternations.clamp(1, WIDEN_MAX))
}

/// `11 s`, `2.5 s`.
pub fn words(duration: Duration) -> String {
    let millis = duration.as_millis();
    match millis % 1000 {
        part if part < 100 || millis >= 10_000 => format!("{} s", millis / 1000),
        part => format!("{}.{} s", millis / 1000, part / 100),
    }
}
