//! What the decision to act keeps: why a run began, freezes, notes, losses; and the manifest's rules for it.

use std::time::Duration;

use mesh_core::fleet::Freeze;
use mesh_core::manifest::{LossPolicy, RuleScope, SafetyRule, Window};
use mesh_core::run::{Cause, MeasuredLoss, Release};
use mesh_core::time::{Timestamp, duration_millis};

use crate::DecodeError;
use crate::bounds::LIST_LEN_MAX;
use crate::fields::{Decoded, Fields, strings, timestamp};
use crate::v1::{self, measured_loss::Loss};

by_value!(
    Freeze => v1::Freeze,
    MeasuredLoss => v1::MeasuredLoss,
    Release => v1::Release,
    SafetyRule => v1::SafetyRule,
);

pub(super) fn cause(cause: &Cause) -> Option<v1::Judgement> {
    match cause {
        Cause::Asked | Cause::DespiteFreeze { .. } => None,
        Cause::Automatic { judgement } => Some(judgement.as_ref().into()),
    }
}

pub(super) fn despite_freeze(cause: &Cause) -> Option<String> {
    match cause {
        Cause::DespiteFreeze { reason } => Some(reason.clone()),
        Cause::Asked | Cause::Automatic { .. } => None,
    }
}

pub(super) fn read_cause(fields: Fields, wire: Option<v1::Judgement>, despite: Option<String>) -> Decoded<Cause> {
    let judgement = fields.optional("cause", wire)?.map(Box::new);
    match (judgement, despite) {
        (None, None) => Ok(Cause::Asked),
        (None, Some(reason)) => Ok(Cause::DespiteFreeze { reason: fields.text("despite_freeze", reason)? }),
        (Some(judgement), None) => Ok(Cause::Automatic { judgement }),
        (Some(_), Some(_)) => Err(fields.refuse("despite_freeze", "nothing automatic ignores a freeze")),
    }
}

/// What was written before there was a choice says nothing.
pub(super) fn encode_or_default(value: Duration, default: Duration) -> u64 {
    if value == default { 0 } else { duration_millis(value) }
}

pub(super) fn read_or_default(fields: Fields, field: &str, millis: u64, default: Duration) -> Decoded<Duration> {
    if millis == 0 { Ok(default) } else { fields.duration(field, millis) }
}

pub(super) fn read_windows(fields: Fields, given: Vec<String>) -> Decoded<Vec<Window>> {
    fields.len("windows", given.len(), LIST_LEN_MAX)?;
    given.into_iter().map(|text| Window::try_from(text).map_err(|e| fields.refuse("windows", e.to_string()))).collect()
}

pub(super) fn loss(loss: LossPolicy) -> v1::LossPolicy {
    match loss {
        LossPolicy::Block => v1::LossPolicy::Unspecified,
        LossPolicy::Accept => v1::LossPolicy::Accept,
    }
}

pub(super) fn read_loss(fields: Fields, given: i32) -> Decoded<LossPolicy> {
    match v1::LossPolicy::try_from(given) {
        Ok(v1::LossPolicy::Unspecified | v1::LossPolicy::Block) => Ok(LossPolicy::Block),
        Ok(v1::LossPolicy::Accept) => Ok(LossPolicy::Accept),
        Err(_) => Err(fields.refuse("loss", format!("has the unknown value {given}"))),
    }
}

impl From<&SafetyRule> for v1::SafetyRule {
    fn from(rule: &SafetyRule) -> Self {
        let SafetyRule { name, scope, rule } = rule;
        let mesh = match scope {
            RuleScope::Service => false,
            RuleScope::Mesh => true,
        };
        Self { name: name.clone(), mesh, rule: rule.to_string() }
    }
}

impl TryFrom<v1::SafetyRule> for SafetyRule {
    type Error = DecodeError;

    fn try_from(wire: v1::SafetyRule) -> Result<Self, DecodeError> {
        const F: Fields = Fields("SafetyRule");
        let v1::SafetyRule { name, mesh, rule } = wire;
        Ok(Self {
            name: F.text("name", name)?,
            scope: if mesh { RuleScope::Mesh } else { RuleScope::Service },
            rule: rule.try_into().map_err(|e: mesh_core::manifest::PredicateError| F.refuse("rule", e.to_string()))?,
        })
    }
}

impl From<&Freeze> for v1::Freeze {
    fn from(freeze: &Freeze) -> Self {
        let Freeze { until, by, reason, at } = freeze;
        Self { until: until.as_millis(), by: by.clone(), reason: reason.clone(), at: at.as_millis() }
    }
}

impl TryFrom<v1::Freeze> for Freeze {
    type Error = DecodeError;

    fn try_from(wire: v1::Freeze) -> Result<Self, DecodeError> {
        const F: Fields = Fields("Freeze");
        let v1::Freeze { until, by, reason, at } = wire;
        Ok(Self {
            until: timestamp(until),
            by: F.text("by", by)?,
            reason: F.text("reason", reason)?,
            at: timestamp(at),
        })
    }
}

impl From<&MeasuredLoss> for v1::MeasuredLoss {
    fn from(measured: &MeasuredLoss) -> Self {
        let (loss, source) = match measured.clone() {
            MeasuredLoss::Nothing { because } => (Loss::Nothing(because), String::new()),
            MeasuredLoss::Time { lost, source } => (Loss::TimeMs(duration_millis(lost)), source),
            MeasuredLoss::Bytes { lost, source } => (Loss::Bytes(lost), source),
            MeasuredLoss::After { through, outage, closed, bytes_at_least, source } => {
                let after = v1::LostAfter {
                    through: through.as_millis(),
                    outage: outage.map(Timestamp::as_millis),
                    closed: closed.map(Timestamp::as_millis),
                    bytes_at_least,
                };
                (Loss::After(after), source)
            }
            MeasuredLoss::Unknown { reason } => (Loss::Unknown(reason), String::new()),
        };
        Self { loss: Some(loss), source }
    }
}

impl TryFrom<v1::MeasuredLoss> for MeasuredLoss {
    type Error = DecodeError;

    fn try_from(wire: v1::MeasuredLoss) -> Result<Self, DecodeError> {
        const F: Fields = Fields("MeasuredLoss");
        let v1::MeasuredLoss { loss, source } = wire;
        let source = F.text("source", source)?;
        Ok(match F.required("loss", loss)? {
            Loss::Nothing(because) => Self::Nothing { because: F.text("nothing", because)? },
            Loss::TimeMs(ms) => Self::Time { lost: Duration::from_millis(ms), source },
            Loss::Bytes(lost) => Self::Bytes { lost, source },
            Loss::After(v1::LostAfter { through, outage, closed, bytes_at_least }) => Self::After {
                through: timestamp(through),
                outage: outage.map(timestamp),
                closed: closed.map(timestamp),
                bytes_at_least,
                source,
            },
            Loss::Unknown(reason) => Self::Unknown { reason: F.text("unknown", reason)? },
        })
    }
}

impl From<&Release> for v1::Release {
    fn from(release: &Release) -> Self {
        let Release { keys, at } = release;
        Self { keys: strings(keys), at: at.as_millis() }
    }
}

impl TryFrom<v1::Release> for Release {
    type Error = DecodeError;

    fn try_from(wire: v1::Release) -> Result<Self, DecodeError> {
        let v1::Release { keys, at } = wire;
        Ok(Self { keys: Fields("Release").names("keys", keys)?, at: timestamp(at) })
    }
}
