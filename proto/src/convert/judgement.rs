use mesh_core::decide::{Conclusion, JudgementRecord, RuleRecord, RuleState};
use mesh_core::detect::{Pattern, Quorum, RegionVerdict, Sees, Verdict, View};
use mesh_core::time::Timestamp;

use crate::DecodeError;
use crate::bounds::{COMPOSED_BYTES_MAX, LIST_LEN_MAX};
use crate::fields::{Decoded, Fields, by_name, timestamp};
use crate::v1::{self, conclusion::Conclusion as Concluded, observer_view::Sees as Seen};

enums! {
    v1::Verdict, "Verdict" => Verdict { Healthy, Suspect, Down, Unknown }
    v1::Pattern, "Pattern" => Pattern {
        Well, Outage, LocalOnly, OutsideOnly, Asymmetric, Grey, Flapping, Blind, MostRegionsDown
    }
    v1::RuleState, "RuleState" => RuleState { Held, Blocks, Missing, NotApplicable }
}

by_value!(JudgementRecord => v1::Judgement, RuleRecord => v1::RuleResult);

impl From<&JudgementRecord> for v1::Judgement {
    fn from(judgement: &JudgementRecord) -> Self {
        let JudgementRecord { service, at, regions, rules, conclusion, next_look } = judgement;
        Self {
            service: service.to_string(),
            at: at.as_millis(),
            regions: by_name(regions, Into::into),
            rules: rules.iter().map(Into::into).collect(),
            conclusion: Some(conclusion.into()),
            next_look: next_look.map(Timestamp::as_millis),
        }
    }
}

impl TryFrom<v1::Judgement> for JudgementRecord {
    type Error = DecodeError;

    fn try_from(wire: v1::Judgement) -> Result<Self, DecodeError> {
        const F: Fields = Fields("Judgement");
        let v1::Judgement { service, at, regions, rules, conclusion, next_look } = wire;
        Ok(Self {
            service: F.name("service", service)?,
            at: timestamp(at),
            regions: F.map("regions", regions, |path, region| F.nested(path, region))?,
            rules: F.list("rules", rules)?,
            conclusion: F.message("conclusion", conclusion)?,
            next_look: next_look.map(timestamp),
        })
    }
}

impl From<&RegionVerdict> for v1::RegionVerdict {
    fn from(region: &RegionVerdict) -> Self {
        let RegionVerdict { verdict, pattern, since, quorum, short: _, views, missing } = region;
        Self {
            verdict: v1::Verdict::from(*verdict).into(),
            pattern: v1::Pattern::from(*pattern).into(),
            since: since.map(Timestamp::as_millis),
            quorum: Some(quorum.into()),
            views: views.iter().map(Into::into).collect(),
            missing: missing.clone(),
        }
    }
}

impl TryFrom<v1::RegionVerdict> for RegionVerdict {
    type Error = DecodeError;

    fn try_from(wire: v1::RegionVerdict) -> Result<Self, DecodeError> {
        const F: Fields = Fields("RegionVerdict");
        let v1::RegionVerdict { verdict, pattern, since, quorum, views, missing } = wire;
        F.len("missing", missing.len(), LIST_LEN_MAX)?;
        Ok(Self {
            verdict: F.enumeration::<v1::Verdict, _>("verdict", verdict)?,
            pattern: F.enumeration::<v1::Pattern, _>("pattern", pattern)?,
            since: since.map(timestamp),
            quorum: F.message("quorum", quorum)?,
            short: None,
            views: F.list("views", views)?,
            missing: missing.into_iter().map(|text| composed(F, "missing", text)).collect::<Result<_, _>>()?,
        })
    }
}

impl From<&Quorum> for v1::VerdictQuorum {
    fn from(quorum: &Quorum) -> Self {
        let Quorum { needed, fresh, failing, regions_failing, regions_needed } = *quorum;
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            needed: count(needed),
            fresh: count(fresh),
            failing: count(failing),
            regions_failing: count(regions_failing),
            regions_needed: count(regions_needed),
        }
    }
}

impl TryFrom<v1::VerdictQuorum> for Quorum {
    type Error = DecodeError;

    fn try_from(wire: v1::VerdictQuorum) -> Result<Self, DecodeError> {
        let v1::VerdictQuorum { needed, fresh, failing, regions_failing, regions_needed } = wire;
        let count = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
        Ok(Self {
            needed: count(needed),
            fresh: count(fresh),
            failing: count(failing),
            regions_failing: count(regions_failing),
            regions_needed: count(regions_needed),
        })
    }
}

impl From<&View> for v1::ObserverView {
    fn from(view: &View) -> Self {
        let View { observer, region, subject, sees, counts, because } = view;
        let sees = match sees {
            Sees::Passing => Seen::Passing(v1::Nothing {}),
            Sees::Failing { since, reason } => {
                Seen::Failing(v1::ViewFailing { since: since.as_millis(), reason: reason.clone() })
            }
            Sees::Unknown { reason } => Seen::Unknown(reason.clone()),
        };
        Self {
            observer: observer.to_string(),
            region: region.to_string(),
            subject: subject.clone(),
            sees: Some(sees),
            counts: *counts,
            because: because.clone(),
        }
    }
}

impl TryFrom<v1::ObserverView> for View {
    type Error = DecodeError;

    fn try_from(wire: v1::ObserverView) -> Result<Self, DecodeError> {
        const F: Fields = Fields("ObserverView");
        let v1::ObserverView { observer, region, subject, sees, counts, because } = wire;
        let sees = match F.required("sees", sees)? {
            Seen::Passing(v1::Nothing {}) => Sees::Passing,
            Seen::Failing(v1::ViewFailing { since, reason }) => {
                Sees::Failing { since: timestamp(since), reason: composed(F, "failing.reason", reason)? }
            }
            Seen::Unknown(reason) => Sees::Unknown { reason: composed(F, "unknown", reason)? },
        };
        Ok(Self {
            observer: F.name("observer", observer)?,
            region: F.name("region", region)?,
            subject: F.text("subject", subject)?,
            sees,
            counts,
            because: composed(F, "because", because)?,
        })
    }
}

impl From<&RuleRecord> for v1::RuleResult {
    fn from(result: &RuleRecord) -> Self {
        let RuleRecord { rule, state, text } = result;
        Self { rule: rule.clone(), state: v1::RuleState::from(*state).into(), text: text.clone() }
    }
}

impl TryFrom<v1::RuleResult> for RuleRecord {
    type Error = DecodeError;

    fn try_from(wire: v1::RuleResult) -> Result<Self, DecodeError> {
        const F: Fields = Fields("RuleResult");
        let v1::RuleResult { rule, state, text } = wire;
        Ok(Self {
            rule: F.text("rule", rule)?,
            state: F.enumeration::<v1::RuleState, _>("state", state)?,
            text: composed(F, "text", text)?,
        })
    }
}

impl From<&Conclusion> for v1::Conclusion {
    fn from(conclusion: &Conclusion) -> Self {
        let conclusion = match conclusion {
            Conclusion::Nothing { text } => Concluded::Nothing(text.clone()),
            Conclusion::Blocked { text } => Concluded::Blocked(text.clone()),
            Conclusion::Notify { to, text } => {
                Concluded::Notify(v1::ConcludedNotify { to: to.to_string(), text: text.clone() })
            }
            Conclusion::Act { to, mode } => {
                Concluded::Act(v1::ConcludedAct { to: to.to_string(), mode: v1::AutomaticMode::from(*mode).into() })
            }
        };
        Self { conclusion: Some(conclusion) }
    }
}

impl TryFrom<v1::Conclusion> for Conclusion {
    type Error = DecodeError;

    fn try_from(wire: v1::Conclusion) -> Result<Self, DecodeError> {
        const F: Fields = Fields("Conclusion");
        Ok(match F.required("conclusion", wire.conclusion)? {
            Concluded::Nothing(text) => Self::Nothing { text: composed(F, "nothing", text)? },
            Concluded::Blocked(text) => Self::Blocked { text: composed(F, "blocked", text)? },
            Concluded::Notify(v1::ConcludedNotify { to, text }) => {
                Self::Notify { to: F.name("notify.to", to)?, text: composed(F, "notify.text", text)? }
            }
            Concluded::Act(v1::ConcludedAct { to, mode }) => {
                Self::Act { to: F.name("act.to", to)?, mode: F.enumeration::<v1::AutomaticMode, _>("act.mode", mode)? }
            }
        })
    }
}

/// What the core writes out of other texts.
fn composed(of: Fields, field: &str, text: String) -> Decoded<String> {
    of.text_max(field, text, COMPOSED_BYTES_MAX)
}
