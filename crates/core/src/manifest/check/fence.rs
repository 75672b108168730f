//! Rules of the `fence` list and of the leases' terms.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{ITEMS_MAX, Problems};
use crate::ids::{RegionId, StepId};
use crate::lease::{ApiStage, DRIFT_PERCENT, Fence, Fencing};
use crate::manifest::{Manifest, WriterMode};

/// Shorter leases end at every lost packet, longer ones keep a dead region's successor waiting.
const LENGTH: RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_secs(60);
const MARGIN: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(30);
/// A check interval, the killing of sessions and the longest request, together.
const REACTION: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(600);
/// With its kind before it, it names a step.
const HOOK_NAME_MAX: usize = 40;
/// Identifiers of APIs and names of stages, as API Gateway takes them.
const API_ID_MAX: usize = 64;
const STAGE_NAME_MAX: usize = 128;

pub(super) fn check_fence(manifest: &Manifest, found: &mut Problems) {
    let fencing = &manifest.fence;
    if fencing.fences.is_empty() {
        found.unless(
            *fencing == Fencing::default(),
            "lease",
            "without a fence there are no leases whose terms these could be",
            "name the fence that ends with them, `lease-endpoint` or `watchdog`, or leave `lease` out",
        );
        return;
    }
    found.unless(
        manifest.writer == WriterMode::Single,
        "fence",
        "a service that is written in every region needs no fence",
        "say `writer: single`, or leave `fence` out",
    );
    found.unless(fencing.fences.len() <= ITEMS_MAX, "fence", "too many", format!("at most {ITEMS_MAX}"));
    within(found, "lease.length", fencing.length, &LENGTH);
    within(found, "lease.margin", fencing.margin, &MARGIN);
    for (i, fence) in fencing.fences.iter().enumerate() {
        let path = format!("fence[{i}]");
        found.unless(
            !fencing.fences.iter().take(i).any(|earlier| earlier == fence),
            &path,
            "it stands in the list twice",
            "name each fence once",
        );
        match fence {
            Fence::LeaseEndpoint { reaction } => {
                within(found, &format!("{path}.lease-endpoint.reaction"), *reaction, &REACTION);
            }
            Fence::Watchdog { reaction } => within(found, &format!("{path}.watchdog.reaction"), *reaction, &REACTION),
            Fence::PostgresqlReadOnly => found.unless(
                manifest.postgres().next().is_some(),
                &format!("{path}.active"),
                "no `postgresql` resource could be made read-only",
                "name the server under resources",
            ),
            Fence::Hook { name } => found.unless(
                StepId::new(name.as_str()).is_ok() && name.len() <= HOOK_NAME_MAX,
                &format!("{path}.hook"),
                format!("{name:?} is no name of a hook"),
                format!("a-z, 0-9, '-', '.' and '_', at most {HOOK_NAME_MAX}: as the agents' configuration has it"),
            ),
            Fence::ApiGatewayThrottle { name, stages } => check_throttle(manifest, name, stages, &path, found),
            Fence::Unfenced => {}
        }
    }
}

fn check_throttle(
    manifest: &Manifest,
    name: &str,
    stages: &BTreeMap<RegionId, ApiStage>,
    path: &str,
    found: &mut Problems,
) {
    let path = format!("{path}.api-gateway-throttle");
    let databases = manifest.databases().count() + manifest.postgres().count();
    found.unless(
        databases > 0 || manifest.fence.is_leased(),
        &path,
        "a throttle closes nothing by itself: API Gateway keeps it on a best-effort basis, and a request may come through",
        "name beside it the fence that closes the region: `lease-endpoint`, `watchdog` or `hook`, or a database",
    );
    let twice = manifest.fence.throttled().filter(|(other, _)| *other == name).count() > 1;
    found.unless(
        !twice,
        &format!("{path}.name"),
        format!("{name:?} is the name of another throttle"),
        "choose another",
    );
    found.unless(
        StepId::new(name).is_ok() && name.len() <= HOOK_NAME_MAX,
        &format!("{path}.name"),
        format!("{name:?} is no name of a step"),
        format!("a-z, 0-9, '-', '.' and '_', at most {HOOK_NAME_MAX}"),
    );
    found.unless(!stages.is_empty(), &format!("{path}.stages"), "no stage", "name the stage of at least one region");
    for (region, of) in stages {
        let path = format!("{path}.stages.{region}");
        found.unless(
            manifest.regions.contains_key(region),
            &path,
            format!("{region} is no region of the service"),
            "correct it, or add the region under regions",
        );
        let word = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        found.unless(
            !of.api.is_empty() && of.api.len() <= API_ID_MAX && word(&of.api),
            &format!("{path}.api"),
            format!("{:?} is no identifier of an API", of.api),
            "as `aws apigatewayv2 get-apis` shows it, like a1b2c3d4e5",
        );
        let named = of.stage.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        found.unless(
            of.stage == "$default" || (!of.stage.is_empty() && of.stage.len() <= STAGE_NAME_MAX && named),
            &format!("{path}.stage"),
            format!("{:?} is no name of a stage", of.stage),
            "as `aws apigatewayv2 get-stages` shows it, like prod or $default",
        );
        for (key, number) in [("rate", of.open.rate), ("burst", of.open.burst)] {
            found.unless(
                number > 0,
                &format!("{path}.{key}"),
                "an open stage with a limit of 0 lets nothing through",
                "the limit that it has while the region serves",
            );
        }
    }
}

fn within(found: &mut Problems, path: &str, given: Duration, bounds: &RangeInclusive<Duration>) {
    let (least, most) = (bounds.start(), bounds.end());
    found.unless(
        bounds.contains(&given),
        path,
        format!("{given:?} is out of bounds"),
        format!("from {least:?} to {most:?}; a lease is waited out for its length, {DRIFT_PERCENT} % and the margin"),
    );
}
