//! Rules of the `fence` list and of the leases' terms.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{ITEMS_MAX, Problems};
use crate::ids::StepId;
use crate::lease::{DRIFT_PERCENT, Fence};
use crate::manifest::{Manifest, WriterMode};

/// Shorter leases end at every lost packet, longer ones keep a dead region's successor waiting.
const LENGTH: RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_secs(60);
const MARGIN: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(30);
/// A check interval, the killing of sessions and the longest request, together.
const REACTION: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(600);
/// With its kind before it, it names a step.
const HOOK_NAME_MAX: usize = 40;

pub(super) fn check_fence(manifest: &Manifest, found: &mut Problems) {
    let fencing = &manifest.fence;
    if !fencing.is_leased() {
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
            Fence::Unfenced => {}
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
