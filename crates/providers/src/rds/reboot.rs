//! The reboot that ends the sessions which outlived a fence.
//!
//! A restart counts when it began after the groups were seen closed. That sight was in the whole second which the
//! fence's `provider_time` names, so a restart counts from the next second on; and none is asked for before, so that
//! ours always counts.

use std::time::Duration;

use mesh_core::execute::Observation;
use mesh_core::time::Timestamp;
use serde_json::json;

use super::{Fenced, Readiness, passing, readiness, ready, security_groups, stuck, waits_for};
use crate::aws::rds::{Event, Instance};

/// An HTTP date is rounded down to this.
const DATE_UNIT: Duration = Duration::from_secs(1);

pub(super) fn observe(instance: &Instance, events: &[Event], fence: &Fenced, accepted: bool) -> Observation {
    match readiness(instance) {
        Readiness::Stuck => return stuck(instance),
        Readiness::Passing => return passing(instance),
        Readiness::Available => {}
    }
    if !security_groups::are_active(instance, &fence.security_groups) {
        let now: Vec<_> = instance.security_groups.keys().map(String::as_str).collect();
        let closed: Vec<_> = fence.security_groups.iter().map(String::as_str).collect();
        return Observation::Blocked {
            reason: format!(
                "the security groups are {}, and were {} after the fence: someone changed them; find out who, then \
                 retry the fence",
                now.join(", "),
                closed.join(", ")
            ),
        };
    }
    let from = fence.provider_time_ms.plus(DATE_UNIT);
    if let Some(restarted) = restarted_since(events, from) {
        let read_back = json!({ "restarted_at_ms": restarted, "provider_time_ms": instance.seen_at });
        return Observation::Satisfied { read_back: read_back.to_string() };
    }
    if instance.seen_at < from {
        return waits_for("the second after the fence");
    }
    ready(&json!({ "status": instance.status, "restarted_since_fence": false }), accepted)
}

/// The last restart at or after `from`, unless the shutdown that belongs to it came earlier.
fn restarted_since(events: &[Event], from: Timestamp) -> Option<Timestamp> {
    let restarted = events.iter().rfind(|event| is_restart(event)).filter(|event| event.at >= from)?;
    let previous = events.iter().rfind(|event| is_restart(event) && event.at < restarted.at).map(|event| event.at);
    let shut_down = events
        .iter()
        .rfind(|event| event.message.contains("DB instance shutdown") && event.at <= restarted.at)
        .filter(|event| previous.is_none_or(|previous| event.at > previous));
    shut_down.is_none_or(|event| event.at >= from).then_some(restarted.at)
}

fn is_restart(event: &Event) -> bool {
    event.message.contains("DB instance restarted")
}
