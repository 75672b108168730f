use mesh_core::ids::Generation;
use mesh_core::plan::{Plan, PlanKind, PredictedLoss, Retry, Reversibility, STEPS_MAX, Step};
use mesh_core::time::duration_millis;
use std::time::Duration;

use crate::DecodeError;
use crate::bounds::{COMPOSED_BYTES_MAX, LIST_LEN_MAX};
use crate::fields::{Fields, strings, timestamp};
use crate::v1::{self, predicted_loss::Loss};

enums! {
    v1::PlanKind, "PlanKind" => PlanKind { Failover, TrafficSetup, Rejoin }
    v1::Reversibility, "Reversibility" => Reversibility { NothingToUndo, Reversible, OneWay }
}

by_value!(Plan => v1::Plan, Step => v1::Step, Retry => v1::Retry);

impl From<&Plan> for v1::Plan {
    fn from(plan: &Plan) -> Self {
        let Plan { service, kind, from, to, manifest_version, generation, steps, warnings, loss } = plan;
        Self {
            service: service.to_string(),
            kind: v1::PlanKind::from(*kind).into(),
            from: from.to_string(),
            to: to.to_string(),
            manifest_version: *manifest_version,
            generation: generation.0,
            steps: steps.iter().map(Into::into).collect(),
            warnings: warnings.clone(),
            loss: Some(loss.into()),
        }
    }
}

impl TryFrom<v1::Plan> for Plan {
    type Error = DecodeError;

    fn try_from(wire: v1::Plan) -> Result<Self, DecodeError> {
        const F: Fields = Fields("Plan");
        let v1::Plan { service, kind, from, to, manifest_version, generation, steps, warnings, loss } = wire;
        F.len("warnings", warnings.len(), LIST_LEN_MAX)?;
        let warning = |text| F.text_max("warnings", text, COMPOSED_BYTES_MAX);
        let plan = Self {
            service: F.name("service", service)?,
            kind: F.enumeration::<v1::PlanKind, _>("kind", kind)?,
            from: F.name("from", from)?,
            to: F.name("to", to)?,
            manifest_version,
            generation: Generation(generation),
            steps: F.list_max("steps", steps, STEPS_MAX)?,
            warnings: warnings.into_iter().map(warning).collect::<Result<_, _>>()?,
            loss: F.message("loss", loss)?,
        };
        plan.check().map_err(|reason| F.refuse("steps", reason))?;
        Ok(plan)
    }
}

impl From<&PredictedLoss> for v1::PredictedLoss {
    fn from(loss: &PredictedLoss) -> Self {
        let loss = match loss {
            PredictedLoss::Nothing => Loss::Nothing(v1::Nothing {}),
            PredictedLoss::Lag { lag, age, observer, signal, measured_at } => Loss::Lag(v1::LagLoss {
                lag_ms: duration_millis(*lag),
                age_ms: duration_millis(*age),
                observer: observer.clone(),
                signal: signal.clone(),
                measured_at: measured_at.as_millis(),
            }),
            PredictedLoss::Unknown => Loss::Unknown(v1::Nothing {}),
        };
        Self { loss: Some(loss) }
    }
}

impl TryFrom<v1::PredictedLoss> for PredictedLoss {
    type Error = DecodeError;

    fn try_from(wire: v1::PredictedLoss) -> Result<Self, DecodeError> {
        match Fields("PredictedLoss").required("loss", wire.loss)? {
            Loss::Nothing(v1::Nothing {}) => Ok(Self::Nothing),
            Loss::Lag(v1::LagLoss { lag_ms, age_ms, observer, signal, measured_at }) => Ok(Self::Lag {
                lag: Duration::from_millis(lag_ms),
                age: Duration::from_millis(age_ms),
                observer: Fields("LagLoss").text("observer", observer)?,
                signal: Fields("LagLoss").text("signal", signal)?,
                measured_at: timestamp(measured_at),
            }),
            Loss::Unknown(v1::Nothing {}) => Ok(Self::Unknown),
        }
    }
}

impl From<&Step> for v1::Step {
    fn from(step: &Step) -> Self {
        let Step { id, title, region, action, after, timeout, retry, reversibility, undo } = step;
        Self {
            id: id.to_string(),
            title: title.clone(),
            region: region.to_string(),
            action: Some(action.into()),
            after: strings(after),
            timeout_ms: duration_millis(*timeout),
            retry: Some(retry.into()),
            reversibility: v1::Reversibility::from(*reversibility).into(),
            undo: undo.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<v1::Step> for Step {
    type Error = DecodeError;

    fn try_from(wire: v1::Step) -> Result<Self, DecodeError> {
        const F: Fields = Fields("Step");
        let v1::Step { id, title, region, action, after, timeout_ms, retry, reversibility, undo } = wire;
        Ok(Self {
            id: F.name("id", id)?,
            title: F.text_max("title", title, COMPOSED_BYTES_MAX)?,
            region: F.name("region", region)?,
            action: F.message("action", action)?,
            after: F.name_set("after", after)?,
            timeout: F.duration("timeout_ms", timeout_ms)?,
            retry: F.message("retry", retry)?,
            reversibility: F.enumeration::<v1::Reversibility, _>("reversibility", reversibility)?,
            undo: F.optional("undo", undo)?,
        })
    }
}

impl From<&Retry> for v1::Retry {
    fn from(retry: &Retry) -> Self {
        let Retry { attempts_max, backoff_min, backoff_max } = retry;
        Self {
            attempts_max: *attempts_max,
            backoff_min_ms: duration_millis(*backoff_min),
            backoff_max_ms: duration_millis(*backoff_max),
        }
    }
}

impl TryFrom<v1::Retry> for Retry {
    type Error = DecodeError;

    fn try_from(wire: v1::Retry) -> Result<Self, DecodeError> {
        const F: Fields = Fields("Retry");
        let v1::Retry { attempts_max, backoff_min_ms, backoff_max_ms } = wire;
        Ok(Self {
            attempts_max,
            backoff_min: F.duration("backoff_min_ms", backoff_min_ms)?,
            backoff_max: F.duration("backoff_max_ms", backoff_max_ms)?,
        })
    }
}
