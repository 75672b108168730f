//! Where to: never to a region that is not healthy, has nobody to act, or is itself being left.

use std::collections::BTreeMap;

use super::loss::{LagSample, Onset, expected};
use crate::detect::{Evidence, Observer, RegionVerdict, SILENCE_MAX, Verdict};
use crate::fleet::{Fleet, Service};
use crate::ids::RegionId;
use crate::plan::{PlanKind, PredictedLoss};

/// What speaks against a region as the target.
pub(super) fn unfit(
    fleet: &Fleet,
    to: &RegionId,
    verdicts: &BTreeMap<RegionId, RegionVerdict>,
    evidence: &Evidence,
) -> Vec<String> {
    let mut against = Vec::new();
    match verdicts.get(to) {
        Some(verdict) if verdict.verdict == Verdict::Healthy => {}
        Some(verdict) => against.push(format!(
            "it is {}, and only a healthy region takes over{}",
            verdict.verdict.name(),
            verdict.missing.first().map(|missing| format!(": {missing}")).unwrap_or_default()
        )),
        None => against.push("nothing was measured there: does the service have a check for it?".to_owned()),
    }
    if agents(to, evidence) == 0 {
        against.push(format!(
            "no agent there was heard of in the last {} s, so nobody could act: start one, or look at its log",
            SILENCE_MAX.as_secs()
        ));
    }
    let leaving = fleet.services.values().filter_map(|service| fleet.runs.get(service.current_run.as_ref()?));
    let mut leaving = leaving.filter(|run| run.plan.kind == PlanKind::Failover && run.plan.from == *to);
    if let Some(run) = leaving.next() {
        against.push(format!("run {} is leaving it", run.id));
    }
    against
}

/// Agents of the region that can act now.
pub(super) fn agents(region: &RegionId, evidence: &Evidence) -> usize {
    let heard = evidence.observers.values().filter(|observer| observer.region == *region);
    let can_act = |observer: &&Observer| {
        observer.doubt.is_none() && observer.heard_at.is_some_and(|at| evidence.now.since(at) < SILENCE_MAX)
    };
    heard.filter(can_act).count()
}

/// The fit region with the smallest expected loss; if none is fit, the one that comes nearest.
pub(super) fn choose(
    fleet: &Fleet,
    service: &Service,
    onset: Onset,
    verdicts: &BTreeMap<RegionId, RegionVerdict>,
    evidence: &Evidence,
    samples: &[LagSample],
) -> Option<RegionId> {
    let others = service.manifest.regions.keys().filter(|region| **region != service.active);
    others
        .min_by_key(|region| {
            let loss: PredictedLoss = expected(&service.manifest, region, onset, samples);
            let total = loss.total();
            (unfit(fleet, region, verdicts, evidence).len(), total.is_none(), total)
        })
        .cloned()
}
