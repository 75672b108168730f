//! The loss to expect (invariant RpoGate): the last lag measured while both ends lived, plus its age at the outage's
//! onset. What a replica reports after its primary's death grows with the time since then and means nothing.

use std::sync::Arc;
use std::time::Duration;

use crate::detect::{Evidence, RegionVerdict, Verdict};
use crate::fleet::Service;
use crate::ids::{AgentId, RegionId};
use crate::manifest::{Manifest, ResourceKind};
use crate::plan::PredictedLoss;
use crate::run::MeasuredLoss;
use crate::signal::Reading;
use crate::time::{Timestamp, duration_millis};

/// A lag of one database, as one observer measured it, by the leader's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LagSample {
    pub resource: Arc<str>,
    pub region: RegionId,
    pub lag: Duration,
    pub at: Timestamp,
    pub observer: AgentId,
    /// What it was read from.
    pub signal: Arc<str>,
}

/// The outage that a loss is counted from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Onset {
    /// When it was first seen. What was accepted before it may be lost.
    pub at: Timestamp,
    /// When the old primary was last known to live; lag measured later counts for nothing.
    pub lived: Timestamp,
}

impl Onset {
    /// Nothing is wrong: the loss of a move that begins now.
    pub const fn now(now: Timestamp) -> Self {
        Self { at: now, lived: now }
    }
}

/// Since when the region fails. Between two probes nobody knows, so it is known to have lived only up to the probe before.
pub fn onset(service: &Service, verdict: &RegionVerdict, now: Timestamp) -> Onset {
    let failing = match verdict.verdict {
        Verdict::Healthy | Verdict::Unknown => None,
        Verdict::Suspect | Verdict::Down => verdict.since,
    };
    let Some(at) = failing else { return Onset::now(now) };
    Onset { at, lived: at.minus(unseen(&service.manifest)) }
}

/// For so long before the first failure nobody knows whether the primary lived.
pub(crate) fn unseen(manifest: &Manifest) -> Duration {
    let critical = manifest.checks.iter().filter(|check| check.critical);
    critical.map(|check| check.interval.saturating_add(check.timeout)).min().unwrap_or_default()
}

/// Of each database in each region the newest lag that was measured while the old primary lived: of the hundreds that may
/// be known, no other counts.
pub fn samples(service: &Service, evidence: &Evidence, onset: Onset) -> Vec<LagSample> {
    let mut samples: Vec<LagSample> = Vec::new();
    for sight in evidence.of_service(&service.manifest.service) {
        let Reading::ReplicaLag { lag } = sight.signal.reading else { continue };
        if sight.observed_at > onset.lived {
            continue;
        }
        let subject = &sight.signal.subject;
        // Sights of one region come together, and in it those of one database.
        let known = samples.last_mut().filter(|last| last.region == sight.signal.region && *last.resource == **subject);
        match known {
            Some(known) if (known.at, known.lag) > (sight.observed_at, lag) => {}
            Some(known) => {
                (known.at, known.lag, known.observer) = (sight.observed_at, lag, sight.signal.observer.clone());
            }
            None => samples.push(LagSample {
                resource: Arc::from(subject.as_str()),
                region: sight.signal.region.clone(),
                lag,
                at: sight.observed_at,
                observer: sight.signal.observer.clone(),
                signal: Arc::from(signal_of(&service.manifest, subject)),
            }),
        }
    }
    samples
}

/// What tells how far a resource's copy is behind.
fn signal_of(manifest: &Manifest, resource: &str) -> String {
    let kind = manifest.resources.iter().find(|known| known.name == resource).map(|known| &known.kind);
    let signal = match kind {
        Some(ResourceKind::Rds { .. }) => "CloudWatch's ReplicaLag",
        Some(ResourceKind::DynamodbGlobalTable { .. }) => "CloudWatch's ReplicationLatency",
        Some(ResourceKind::Postgresql { .. }) => "replayed WAL",
        Some(_) | None => "lag",
    };
    format!("{signal} of {resource}")
}

/// The largest of the databases' expected losses; unknown if one was never measured while both ends lived.
pub fn expected(manifest: &Manifest, to: &RegionId, onset: Onset, samples: &[LagSample]) -> PredictedLoss {
    let mut worst = PredictedLoss::Nothing;
    for resource in promoted(manifest) {
        let loss = of_resource(resource, to, onset, samples);
        if loss.exceeds(&worst) {
            worst = loss;
        }
    }
    worst
}

/// Resources of which the target's copy is promoted.
fn promoted(manifest: &Manifest) -> Vec<&str> {
    let rds = manifest.databases().map(|(name, _, _)| name);
    rds.chain(manifest.postgres().map(|(name, _)| name)).collect()
}

/// The expected loss of one resource.
pub fn of_resource(resource: &str, to: &RegionId, onset: Onset, samples: &[LagSample]) -> PredictedLoss {
    let newest = samples
        .iter()
        .filter(|sample| *sample.resource == *resource && sample.region == *to && sample.at <= onset.lived)
        .max_by_key(|sample| (sample.at, sample.lag));
    match newest {
        Some(sample) => PredictedLoss::Lag {
            lag: sample.lag,
            age: onset.at.since(sample.at),
            observer: sample.observer.to_string(),
            signal: sample.signal.to_string(),
            measured_at: sample.at,
        },
        None => PredictedLoss::Unknown,
    }
}

impl PredictedLoss {
    /// The writes of how long a time; absent when nobody knows.
    pub fn total(&self) -> Option<Duration> {
        match self {
            Self::Nothing => Some(Duration::ZERO),
            Self::Lag { lag, age, .. } => Some(lag.saturating_add(*age)),
            Self::Unknown => None,
        }
    }

    /// The target is known to have every write up to this moment.
    pub fn through(&self) -> Option<Timestamp> {
        match self {
            Self::Lag { lag, measured_at, .. } if *measured_at > Timestamp::default() => Some(measured_at.minus(*lag)),
            Self::Nothing | Self::Lag { .. } | Self::Unknown => None,
        }
    }

    /// When the outage that it is counted to was first seen, or the plan was made.
    pub fn counted_to(&self) -> Option<Timestamp> {
        match self {
            Self::Lag { age, measured_at, .. } if *measured_at > Timestamp::default() => Some(measured_at.plus(*age)),
            Self::Nothing | Self::Lag { .. } | Self::Unknown => None,
        }
    }

    /// Is it more than the other? What nobody knows is more than anything known.
    pub fn exceeds(&self, other: &Self) -> bool {
        match (self.total(), other.total()) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(mine), Some(others)) => mine > others,
        }
    }

    pub fn within(&self, objective: Duration) -> bool {
        self.total().is_some_and(|total| total <= objective)
    }

    /// The word for it in the subjects of approvals.
    pub fn bound(&self) -> String {
        match self.total() {
            Some(Duration::ZERO) => "nothing".to_owned(),
            Some(total) => format!("at-most-{}ms", duration_millis(total)),
            None => "unknown".to_owned(),
        }
    }

    /// Does an approval that was given for `bound` cover it?
    pub fn is_covered_by(&self, bound: &str) -> bool {
        let accepted = match bound {
            "unknown" => return true,
            "nothing" => Some(0),
            _ => bound.strip_prefix("at-most-").and_then(|rest| rest.strip_suffix("ms")).and_then(|ms| ms.parse().ok()),
        };
        let accepted: Option<u64> = accepted;
        match (self.total(), accepted) {
            (Some(total), Some(accepted)) => duration_millis(total) <= accepted,
            (None, _) | (_, None) => false,
        }
    }

    /// For people.
    pub fn in_words(&self) -> String {
        match self {
            Self::Nothing => "nothing: no database is promoted".to_owned(),
            Self::Lag { lag, age, observer, signal, .. } => format!(
                "the writes of up to {} (lag {}{}, measured {} before by {observer})",
                words(lag.saturating_add(*age)),
                words(*lag),
                if signal.is_empty() { String::new() } else { format!(" by {signal}") },
                words(*age)
            ),
            Self::Unknown => "unknown: replication lag was never measured while both ends lived".to_owned(),
        }
    }
}

impl MeasuredLoss {
    /// For people.
    pub fn in_words(&self) -> String {
        match self {
            Self::Nothing { because } => format!("nothing: {because}"),
            Self::Time { lost, source } => format!("the writes of {} (by {source})", words(*lost)),
            Self::Bytes { lost, source } => format!("{lost} bytes of the old primary's log (by {source})"),
            Self::After { through, outage, closed, bytes_at_least, source } => {
                let before = outage.map_or_else(
                    || format!("up to {through}"),
                    |outage| format!("up to {} before the outage was first seen", words(outage.since(*through))),
                );
                let closed = closed.map_or_else(
                    || "nobody proved since when the old region takes no writes".to_owned(),
                    |closed| {
                        format!(
                            "the old region was certainly closed {} after that moment",
                            words(closed.since(*through))
                        )
                    },
                );
                let bytes = bytes_at_least.map(|bytes| format!("; at least {bytes} bytes of it were seen"));
                format!(
                    "not measurable to the write: the target has everything {before} ({source}), and lacks what was \
                     accepted later; {closed}{}",
                    bytes.unwrap_or_default()
                )
            }
            Self::Unknown { reason } => reason.clone(),
        }
    }
}

/// `1.5 s`, `12 s`, `3 min`.
pub(crate) fn words(duration: Duration) -> String {
    let millis = duration_millis(duration);
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..10_000 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        10_000..120_000 => format!("{} s", millis / 1_000),
        120_000..7_200_000 => format!("{} min", millis / 60_000),
        _ => format!("{} h {} min", millis / 3_600_000, millis % 3_600_000 / 60_000),
    }
}
