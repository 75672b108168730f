//! API Gateway stages: closed beside the fence in the region that is left, opened where the service is to be written.
//!
//! AWS keeps throttles "on a best-effort basis", so that they prove nothing: the grant waits for them, and for the
//! proof besides.

use std::collections::BTreeSet;

use super::{Builder, PlanError, RETRY, step_id};
use crate::ids::{RegionId, StepId};
use crate::lease::ApiStage;
use crate::manifest::{Manifest, WriterMode};
use crate::plan::Action;

impl Builder<'_> {
    pub(super) fn stop_requests(&mut self, fit: &BTreeSet<StepId>) -> Result<Vec<StepId>, PlanError> {
        let timeout = self.manifest.policy.fence_timeout;
        let mut steps = Vec::new();
        for (name, found) in stages(self.manifest, self.from) {
            let title = format!("let no request through {} of API {}", found.stage, found.api);
            let id = step_id(close(found).name(), name)?;
            let (region, undo) = (self.from.clone(), Some(open(found)));
            steps.push(self.push(id, title, region, close(found), fit.clone(), timeout, RETRY, undo));
        }
        Ok(steps)
    }

    /// What an earlier failover closed, or was closed from the first.
    pub(super) fn admit_requests(&mut self, after: &BTreeSet<StepId>) -> Result<Vec<StepId>, PlanError> {
        let timeout = self.manifest.policy.promote_timeout;
        let mut steps = Vec::new();
        for (name, found) in stages(self.manifest, self.to) {
            let title = format!("let requests through {} of API {}", found.stage, found.api);
            let id = step_id(open(found).name(), name)?;
            let (region, undo) = (self.to.clone(), Some(close(found)));
            steps.push(self.push(id, title, region, open(found), after.clone(), timeout, RETRY, undo));
        }
        Ok(steps)
    }
}

pub(super) fn warnings(manifest: &Manifest, from: &RegionId) -> Vec<String> {
    let said = |(name, found): (&str, &ApiStage)| {
        format!(
            "the throttle {name} of API {} in {from} is kept by API Gateway as well as it can: a request may still come \
             through, so it closes nothing by itself",
            found.api
        )
    };
    stages(manifest, from).map(said).collect()
}

fn stages<'m>(manifest: &'m Manifest, region: &'m RegionId) -> impl Iterator<Item = (&'m str, &'m ApiStage)> {
    let single = manifest.writer == WriterMode::Single;
    let here = |(name, stages): (&'m str, &'m std::collections::BTreeMap<RegionId, ApiStage>)| {
        Some((name, stages.get(region)?))
    };
    manifest.fence.throttled().filter(move |_| single).filter_map(here)
}

fn close(of: &ApiStage) -> Action {
    Action::ApiGatewayClose { api: of.api.clone(), stage: of.stage.clone() }
}

fn open(of: &ApiStage) -> Action {
    Action::ApiGatewayOpen { api: of.api.clone(), stage: of.stage.clone(), open: of.open }
}

#[cfg(test)]
mod tests;
