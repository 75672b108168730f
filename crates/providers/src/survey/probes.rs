//! Do the check endpoints answer, as seen from here?

use futures::future::join_all;
use mesh_core::ids::RegionId;
use mesh_core::manifest::Check;
use mesh_core::survey::{Examination, Finding};

use super::Scene;
use crate::probe::{Answer, Question};

pub(super) async fn look(scene: &Scene<'_>, examination: &Examination) -> Vec<Finding> {
    let checks = &examination.manifest.checks;
    if !examination.probe {
        let unasked = || {
            let text = "its endpoints were not asked: agents ask what was applied, or what one who may apply it drafts";
            Finding::warning(format!("{} checks", scene.region), text, "apply the manifest, or ask as an admin")
        };
        return if checks.is_empty() { Vec::new() } else { vec![unasked()] };
    }
    let asked = checks.iter().flat_map(|check| {
        examination.manifest.regions.keys().map(move |region| one(scene, examination, check, region))
    });
    join_all(asked).await.into_iter().flatten().collect()
}

async fn one(scene: &Scene<'_>, examination: &Examination, check: &Check, region: &RegionId) -> Option<Finding> {
    if !check.is_asked_from(scene.region, region) {
        return None;
    }
    let question = Question::of(check, &examination.manifest, region, &examination.active)?;
    let subject = format!("{} check {} of {region}", scene.region, check.name);
    let (place, mend) =
        (question.place(), "make it answer, open the way from the agents to it, or correct the manifest");
    Some(match scene.asks.ask(&question, region, check.timeout).await {
        Answer::Passed { latency } => {
            Finding::ok(subject, format!("{place} passes within {} ms", latency.as_millis().max(1)))
        }
        Answer::Failed { reason } => {
            let text = format!("{place}: {reason}");
            // A standby may be scaled to nothing until it is needed.
            if check.critical && !check.observe_only && *region == examination.active {
                Finding::problem(subject, text, mend)
            } else {
                Finding::warning(subject, text, mend)
            }
        }
        Answer::Unknown { reason } => {
            let mend = "see that the agent can ask: its resolvers, its role, the files that the manifest names";
            Finding::unknown(subject, format!("{place}: {reason}"), mend)
        }
    })
}
