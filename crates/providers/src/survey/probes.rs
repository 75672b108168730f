//! Do the check endpoints answer, as seen from here?

use futures::future::join_all;
use mesh_core::ids::RegionId;
use mesh_core::manifest::{Check, Probe};
use mesh_core::survey::{Examination, Finding};

use super::Scene;
use crate::probe;

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
    let (place, answer) = match &check.probe {
        Probe::Http { urls, expect_status, body_contains } => {
            let url = urls.get(region)?;
            let asked = probe::http(url, *expect_status, body_contains.as_deref(), check.timeout, scene.resolver);
            (url, asked.await)
        }
        Probe::Tcp { addresses } => {
            let address = addresses.get(region)?;
            (address, probe::tcp(address, check.timeout, scene.resolver).await)
        }
    };
    let subject = format!("{} check {} of {region}", scene.region, check.name);
    Some(match answer {
        Ok(latency) => Finding::ok(subject, format!("{place} answers within {} ms", latency.as_millis().max(1))),
        Err(reason) => {
            let text = format!("{place}: {reason}");
            let mend = "make it answer, open the way from the agents to it, or correct the manifest";
            // A standby may be scaled to nothing until it is needed.
            if check.critical && *region == examination.active {
                Finding::problem(subject, text, mend)
            } else {
                Finding::warning(subject, text, mend)
            }
        }
    })
}
