use std::time::Duration;

use mesh_core::detect::SelfReport;
use mesh_core::execute::{CallResult, Job};
use mesh_core::ids::{Generation, IntentSeq, ServiceId, Token};
use mesh_core::signal::{Reading, Signal};
use mesh_core::time::{Timestamp, duration_millis};

use crate::DecodeError;
use crate::bounds::{DOCUMENT_BYTES_MAX, TEXT_BYTES_MAX, clip};
use crate::fields::{Fields, by_name, timestamp};
use crate::v1;

by_value!(Signal => v1::Signal, Job => v1::Job);

impl From<&Signal> for v1::Signal {
    fn from(signal: &Signal) -> Self {
        let Signal { observer, observer_region, service, region, subject, reading, at } = signal;
        let reason = |text: &String| clip(text, TEXT_BYTES_MAX).to_owned();
        let reading = match reading {
            Reading::Passing { latency } => v1::signal::Reading::PassingMs(duration_millis(*latency)),
            Reading::Failing { reason: text, since } => {
                v1::signal::Reading::Failing(v1::Failing { reason: reason(text), since: since.as_millis() })
            }
            Reading::ReplicaLag { lag } => v1::signal::Reading::ReplicaLagMs(duration_millis(*lag)),
            Reading::Items { from, there, here } => {
                v1::signal::Reading::Items(v1::ItemsCounted { from: from.to_string(), there: *there, here: *here })
            }
            Reading::Unknown { reason: text } => v1::signal::Reading::Unknown(reason(text)),
        };
        Self {
            observer: observer.to_string(),
            observer_region: observer_region.to_string(),
            service: service.to_string(),
            region: region.to_string(),
            subject: subject.clone(),
            reading: Some(reading),
            at: at.as_millis(),
            // Ages are the business of whoever sends it.
            age_ms: 0,
            failing_for_ms: None,
            alternations: 0,
        }
    }
}

impl TryFrom<v1::Signal> for Signal {
    type Error = DecodeError;

    fn try_from(wire: v1::Signal) -> Result<Self, DecodeError> {
        const F: Fields = Fields("Signal");
        let v1::Signal {
            observer,
            observer_region,
            service,
            region,
            subject,
            reading,
            at,
            age_ms: _,
            failing_for_ms: _,
            alternations: _,
        } = wire;
        let reading = match F.required("reading", reading)? {
            v1::signal::Reading::PassingMs(ms) => Reading::Passing { latency: Duration::from_millis(ms) },
            v1::signal::Reading::Failing(v1::Failing { reason, since }) => {
                Reading::Failing { reason: F.text("failing.reason", reason)?, since: timestamp(since) }
            }
            v1::signal::Reading::ReplicaLagMs(ms) => Reading::ReplicaLag { lag: Duration::from_millis(ms) },
            v1::signal::Reading::Items(v1::ItemsCounted { from, there, here }) => {
                Reading::Items { from: F.name("items.from", from)?, there, here }
            }
            v1::signal::Reading::Unknown(reason) => Reading::Unknown { reason: F.text("unknown", reason)? },
        };
        Ok(Self {
            observer: F.name("observer", observer)?,
            observer_region: F.name("observer_region", observer_region)?,
            service: F.name("service", service)?,
            region: F.name("region", region)?,
            subject: F.text("subject", subject)?,
            reading,
            at: timestamp(at),
        })
    }
}

impl From<&SelfReport> for v1::SelfReport {
    fn from(report: &SelfReport) -> Self {
        let SelfReport { timer_slip, peers, peers_dead } = report;
        let count = |count: &usize| u32::try_from(*count).unwrap_or(u32::MAX);
        Self { timer_slip_ms: duration_millis(*timer_slip), peers: count(peers), peers_dead: count(peers_dead) }
    }
}

impl From<v1::SelfReport> for SelfReport {
    fn from(wire: v1::SelfReport) -> Self {
        let v1::SelfReport { timer_slip_ms, peers, peers_dead } = wire;
        let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        Self { timer_slip: Duration::from_millis(timer_slip_ms), peers: count(peers), peers_dead: count(peers_dead) }
    }
}

impl From<&Job> for v1::Job {
    fn from(job: &Job) -> Self {
        let Job {
            service,
            run,
            step,
            direction,
            token: Token { generation, intent },
            key,
            region,
            action,
            time_left,
            retry,
            maybe_sent_since,
            mesh_time,
            retried_by_person,
            evidence,
        } = job;
        Self {
            service: service.to_string(),
            run: run.to_string(),
            step: step.to_string(),
            direction: v1::Direction::from(*direction).into(),
            generation: generation.0,
            intent: intent.0,
            key: key.clone(),
            region: region.to_string(),
            action: Some(action.into()),
            time_left_ms: duration_millis(*time_left),
            retry: Some(retry.into()),
            maybe_sent_since: maybe_sent_since.map(Timestamp::as_millis),
            mesh_time: mesh_time.map(Timestamp::as_millis),
            retried_by_person: *retried_by_person,
            evidence: by_name(evidence, Clone::clone),
        }
    }
}

impl TryFrom<v1::Job> for Job {
    type Error = DecodeError;

    fn try_from(wire: v1::Job) -> Result<Self, DecodeError> {
        const F: Fields = Fields("Job");
        let v1::Job {
            service,
            run,
            step,
            direction,
            generation,
            intent,
            key,
            region,
            action,
            time_left_ms,
            retry,
            maybe_sent_since,
            mesh_time,
            retried_by_person,
            evidence,
        } = wire;
        Ok(Self {
            service: F.name("service", service)?,
            run: F.name("run", run)?,
            step: F.name("step", step)?,
            direction: F.enumeration::<v1::Direction, _>("direction", direction)?,
            token: Token { generation: Generation(generation), intent: IntentSeq(intent) },
            key: F.text("key", key)?,
            region: F.name("region", region)?,
            action: F.message("action", action)?,
            time_left: F.duration("time_left_ms", time_left_ms)?,
            retry: F.message("retry", retry)?,
            maybe_sent_since: maybe_sent_since.map(timestamp),
            mesh_time: mesh_time.map(timestamp),
            retried_by_person,
            evidence: F.map("evidence", evidence, |path, json| F.text_max(path, json, DOCUMENT_BYTES_MAX))?,
        })
    }
}

/// The journal's record of how a call ended; read back with `CallResult::try_from`.
pub fn call_ended(service: &ServiceId, intent: IntentSeq, result: &CallResult) -> v1::CallEnded {
    let (verdict, detail) = match result {
        CallResult::Accepted { reference } => (v1::CallVerdict::Accepted, reference),
        CallResult::NotApplied { reason } => (v1::CallVerdict::NotApplied, reason),
        CallResult::Rejected { reason } => (v1::CallVerdict::Rejected, reason),
        CallResult::Unknown { reason } => (v1::CallVerdict::Unknown, reason),
    };
    v1::CallEnded {
        service: service.to_string(),
        intent: intent.0,
        verdict: verdict.into(),
        detail: clip(detail, TEXT_BYTES_MAX).to_owned(),
    }
}

impl TryFrom<v1::CallEnded> for CallResult {
    type Error = DecodeError;

    fn try_from(wire: v1::CallEnded) -> Result<Self, DecodeError> {
        const F: Fields = Fields("CallEnded");
        let reason = F.text("detail", wire.detail)?;
        match v1::CallVerdict::try_from(wire.verdict) {
            Err(_) => Err(F.refuse("verdict", format!("has the unknown value {}", wire.verdict))),
            Ok(v1::CallVerdict::Unspecified) => Err(F.refuse("verdict", "is unspecified")),
            Ok(v1::CallVerdict::Accepted) => Ok(Self::Accepted { reference: reason }),
            Ok(v1::CallVerdict::NotApplied) => Ok(Self::NotApplied { reason }),
            Ok(v1::CallVerdict::Rejected) => Ok(Self::Rejected { reason }),
            Ok(v1::CallVerdict::Unknown) => Ok(Self::Unknown { reason }),
        }
    }
}
