//! From what agents see to a verdict on each region of a service. Pure: evidence and time come in, verdicts go out.
//!
//! A region is *down* when a quorum of observers outside it, in at least two regions, has seen one critical check fail
//! without a break, from a first failure to a last one that lie at least `policy.sustained` apart. All times are the leader's:
//! an observer says how long ago it saw something, never when, so no clock but the leader's has to be right, and a delay on the way
//! makes an outage look younger. Whatever is not known, is too old, or comes from an observer that doubts itself
//! has no vote. Everything else that is not well is *suspect*, with a pattern that names what it looks like.
//!
//! Requester-side checks (error rates, alarms) are a second kind of observer: they complete the quorum where at least one
//! probe fails as well, and alone they make a region suspect, since all who ask them hear the same source.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fleet::Service;
use crate::ids::{AgentId, RegionId, ServiceId};
use crate::signal::Signal;
use crate::time::Timestamp;

use tally::Words;

mod checks;
pub mod doubt;
pub mod hysteresis;
mod missing;
mod region;
pub mod roll;
mod tally;
#[cfg(test)]
mod tests;
mod votes;

pub use checks::fresh_for;
pub use doubt::{Doubt, Isolation, SelfReport};
pub use votes::wanted_for;

/// Regions that must agree, whatever the number of observers: one region's uplink is no evidence.
pub const REGIONS_NEEDED: usize = 2;
/// An observer says something every second; after so long it has no voice.
pub const SILENCE_MAX: Duration = Duration::from_secs(6);
/// For so long a new leader counts every registered observer as one that may yet see the region well. An agent misses its
/// leader after 3 s and needs up to 2 s to find the next.
pub const SETTLE: Duration = Duration::from_secs(6);
/// Views of one region that are kept for people; the vote counts all.
pub const VIEWS_MAX: usize = 64;

/// All that one leader knows at `now`, in its own clock.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    pub now: Timestamp,
    pub led_since: Timestamp,
    pub observers: Observers,
    pub sights: Sights,
}

/// Every registered agent. Copies share it: it is the same for all services.
#[derive(Clone, Debug, Default)]
pub struct Observers(Arc<Registered>);

#[derive(Debug, Default)]
struct Registered {
    observers: BTreeMap<AgentId, Observer>,
    /// How many each region has.
    by_region: BTreeMap<RegionId, usize>,
}

impl From<BTreeMap<AgentId, Observer>> for Observers {
    fn from(observers: BTreeMap<AgentId, Observer>) -> Self {
        let mut by_region = BTreeMap::new();
        for observer in observers.values() {
            *by_region.entry(observer.region.clone()).or_default() += 1;
        }
        Self(Arc::new(Registered { observers, by_region }))
    }
}

impl Deref for Observers {
    type Target = BTreeMap<AgentId, Observer>;

    fn deref(&self) -> &Self::Target {
        &self.0.observers
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observer {
    pub region: RegionId,
    /// `None`: this leader never heard of it.
    pub heard_at: Option<Timestamp>,
    pub doubt: Option<Doubt>,
}

/// One observer's view of one subject, dated by the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    pub signal: Arc<Signal>,
    /// Of the last answer that counts: arrival less the age that the observer gave.
    pub observed_at: Timestamp,
    /// First failure of the present unbroken row; none if it does not fail, or its last answer was a pass.
    pub failing_since: Option<Timestamp>,
    pub heard_at: Timestamp,
    /// How often it went from passing to failing lately, as the observer counts.
    pub alternations: u32,
}

/// Sights in the order of service, region, subject and observer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sights(Vec<Sight>);

impl From<Vec<Sight>> for Sights {
    fn from(mut sights: Vec<Sight>) -> Self {
        sights.sort_by(|a, b| place(a).cmp(&place(b)));
        Self(sights)
    }
}

impl Deref for Sights {
    type Target = [Sight];

    fn deref(&self) -> &[Sight] {
        &self.0
    }
}

fn place(sight: &Sight) -> (&ServiceId, &RegionId, &str, &AgentId) {
    (&sight.signal.service, &sight.signal.region, &sight.signal.subject, &sight.signal.observer)
}

impl Evidence {
    pub fn new(
        now: Timestamp,
        led_since: Timestamp,
        observers: impl Into<Observers>,
        sights: impl Into<Sights>,
    ) -> Self {
        Self { now, led_since, observers: observers.into(), sights: sights.into() }
    }

    pub fn of_service(&self, service: &ServiceId) -> &[Sight] {
        let start = self.sights.partition_point(|sight| sight.signal.service < *service);
        let end = self.sights.partition_point(|sight| sight.signal.service <= *service);
        self.sights.get(start..end).unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Healthy,
    Suspect,
    Down,
    /// No fresh data: never `Down`.
    Unknown,
}

impl Verdict {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Suspect => "suspect",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }
}

/// What it looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    Well,
    /// It fails for those outside.
    Outage,
    /// It fails for its own region alone.
    LocalOnly,
    /// It fails for those outside and passes for its own region.
    OutsideOnly,
    /// It fails for some outside and passes for others: a link between regions.
    Asymmetric,
    /// Some of its checks fail and others pass, or its requests fail and its probes pass.
    Grey,
    /// It alternates: it has to fail for longer than usual before it counts as down.
    Flapping,
    /// Nobody outside can say.
    Blind,
    /// Most regions of the service look dead, which is rather ourselves: nothing counts as down.
    MostRegionsDown,
}

impl Pattern {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Outage => "outage",
            Self::LocalOnly => "local-only",
            Self::OutsideOnly => "outside-only",
            Self::Asymmetric => "asymmetric",
            Self::Grey => "grey",
            Self::Flapping => "flapping",
            Self::Blind => "blind",
            Self::MostRegionsDown => "most-regions-down",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionVerdict {
    pub verdict: Verdict,
    pub pattern: Pattern,
    /// Of a failure: when as many as are needed (or as there are) had begun to see it.
    pub since: Option<Timestamp>,
    /// Of the check that decides.
    pub quorum: Quorum,
    /// Observers that must yet have seen it fail for the whole of the time before it can be down; none if it does not fail,
    /// or is down. For the leader's own next look: nobody else is told.
    #[serde(skip)]
    pub short: Option<usize>,
    /// At most [`VIEWS_MAX`], those that fail first.
    pub views: Vec<View>,
    /// What is wanted yet for `down`, in words; empty when it is down, or when nothing fails.
    pub missing: Vec<String>,
}

/// Observers outside the region, of one check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quorum {
    pub needed: usize,
    /// That have a vote.
    pub fresh: usize,
    /// That see it fail now, for however long.
    pub failing: usize,
    /// Regions of those.
    pub regions_failing: usize,
    pub regions_needed: usize,
}

/// What one observer sees of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    pub observer: AgentId,
    /// The observer's region.
    pub region: RegionId,
    pub subject: String,
    pub sees: Sees,
    /// Does it have a vote on whether the region is down?
    pub counts: bool,
    /// Why it counts or not.
    pub because: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "sees")]
pub enum Sees {
    Passing,
    Failing { since: Timestamp, reason: String },
    Unknown { reason: String },
}

/// A verdict on every region of the service's manifest.
pub fn assess(service: &Service, evidence: &Evidence) -> BTreeMap<RegionId, RegionVerdict> {
    let mut verdicts: BTreeMap<RegionId, RegionVerdict> = service
        .manifest
        .regions
        .keys()
        .map(|region| (region.clone(), region::assess_region(service, region, evidence, Words::All)))
        .collect();
    region::doubt_ourselves(&mut verdicts);
    verdicts
}

/// The verdict on one region and what it looks like, as [`assess`] has them, without a word; evidence about that region is
/// enough. `None` where the others have a say in it: it looks dead, and most regions do not die at once.
pub fn glance(service: &Service, region: &RegionId, evidence: &Evidence) -> Option<(Verdict, Pattern)> {
    let verdict = region::assess_region(service, region, evidence, Words::None);
    (!region::looks_dead(&verdict)).then_some((verdict.verdict, verdict.pattern))
}
