//! A judgement as it is kept with the run that came of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Conclusion, Judgement, RuleResult, RuleState};
use crate::detect::RegionVerdict;
use crate::ids::{RegionId, ServiceId};
use crate::time::Timestamp;

/// Views kept of each region: a bound on the log entry. Those that count come first.
pub const VIEWS_KEPT: usize = 32;
/// Longest text that is kept of anything in it.
pub const TEXT_KEPT: usize = 512;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgementRecord {
    pub service: ServiceId,
    pub at: Timestamp,
    pub regions: BTreeMap<RegionId, RegionVerdict>,
    pub rules: Vec<RuleRecord>,
    pub conclusion: Conclusion,
    pub next_look: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleRecord {
    pub rule: String,
    pub state: RuleState,
    pub text: String,
}

impl From<&RuleResult> for RuleRecord {
    fn from(result: &RuleResult) -> Self {
        Self { rule: result.rule.to_owned(), state: result.state, text: clip(&result.text) }
    }
}

impl From<&Judgement> for JudgementRecord {
    fn from(judgement: &Judgement) -> Self {
        let kept = |(region, verdict): (&RegionId, &RegionVerdict)| (region.clone(), shortened(verdict));
        Self {
            service: judgement.service.clone(),
            at: judgement.at,
            regions: judgement.regions.iter().map(kept).collect(),
            rules: judgement.rules.iter().map(Into::into).collect(),
            conclusion: judgement.conclusion.clone(),
            next_look: judgement.next_look,
        }
    }
}

fn shortened(verdict: &RegionVerdict) -> RegionVerdict {
    let mut kept = verdict.clone();
    kept.views.sort_by_key(|view| !view.counts);
    kept.views.truncate(VIEWS_KEPT);
    kept.missing.truncate(VIEWS_KEPT);
    kept
}

pub(super) fn clip(text: &str) -> String {
    if text.len() <= TEXT_KEPT {
        return text.to_owned();
    }
    text.chars().take(TEXT_KEPT / 4).chain(std::iter::once('…')).collect()
}
