//! Changes of verdicts and of what is concluded from them, in the log, each once.

use mesh_core::decide::{Conclusion, Judgement, RuleState};
use mesh_core::detect::{RegionVerdict, Verdict};
use mesh_core::ids::{RegionId, ServiceId};
use tracing::{info, warn};

use super::meters;
use crate::node::Node;

pub fn tell(before: Option<&Judgement>, node: &Node, service: &ServiceId) {
    let Some(now) = node.judgements.of(service) else { return };
    for (region, verdict) in &now.regions {
        let former = before.and_then(|before| before.regions.get(region));
        if is_news(former, verdict) {
            tell_verdict(&now, region, former, verdict);
            meters::verdict(service, region, verdict);
        }
    }
    let gist = gist(&now);
    if before.map(self::gist).as_ref() != Some(&gist) {
        tell_conclusion(&now);
        meters::conclusion(&now, gist.kind);
    }
}

/// The first word of a new leader is news only where something is not well.
fn is_news(former: Option<&RegionVerdict>, now: &RegionVerdict) -> bool {
    match former {
        Some(former) => (former.verdict, former.pattern) != (now.verdict, now.pattern),
        None => now.verdict != Verdict::Healthy,
    }
}

fn tell_verdict(judged: &Judgement, region: &RegionId, former: Option<&RegionVerdict>, now: &RegionVerdict) {
    let before = former.map_or("none", |former| former.verdict.name());
    let (service, verdict, pattern) = (&judged.service, now.verdict.name(), now.pattern.name());
    let (failing, needed, fresh) = (now.quorum.failing, now.quorum.needed, now.quorum.fresh);
    let since_ms = now.since.map(|since| judged.at.since(since).as_millis());
    match now.verdict {
        Verdict::Down => {
            warn!(%service, %region, verdict, pattern, before, failing, needed, fresh, since_ms, "verdict");
        }
        Verdict::Healthy | Verdict::Suspect | Verdict::Unknown => {
            info!(%service, %region, verdict, pattern, before, failing, needed, fresh, since_ms, "verdict");
        }
    }
}

/// What of a conclusion does not change from look to look.
#[derive(Debug, PartialEq, Eq)]
struct Gist {
    kind: &'static str,
    blocking: Vec<&'static str>,
}

fn gist(judged: &Judgement) -> Gist {
    let kind = match judged.conclusion {
        Conclusion::Nothing { .. } => "nothing",
        Conclusion::Blocked { .. } => "blocked",
        Conclusion::Notify { .. } => "notify",
        Conclusion::Act { .. } => "act",
    };
    let blocking = match judged.conclusion {
        Conclusion::Blocked { .. } => judged
            .rules
            .iter()
            .filter(|rule| matches!(rule.state, RuleState::Blocks | RuleState::Missing))
            .map(|rule| rule.rule)
            .collect(),
        Conclusion::Nothing { .. } | Conclusion::Notify { .. } | Conclusion::Act { .. } => Vec::new(),
    };
    Gist { kind, blocking }
}

fn tell_conclusion(judged: &Judgement) {
    let service = &judged.service;
    match &judged.conclusion {
        Conclusion::Nothing { text } => info!(%service, reason = text, "nothing to do"),
        Conclusion::Blocked { text } => {
            warn!(%service, reason = text, blocking = ?gist(judged).blocking, "would act, and must not");
        }
        Conclusion::Notify { to, text } => warn!(%service, %to, reason = text, "a person should act"),
        Conclusion::Act { to, mode } => warn!(%service, %to, ?mode, "acts by itself"),
    }
}
