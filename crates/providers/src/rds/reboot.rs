//! The reboot that ends the sessions which outlived a fence.
//!
//! A restart counts when it began after the groups were seen closed. The fence's `provider_time` names the whole second
//! of that sight, so there are two proofs:
//! - its events are of a later second;
//! - or they are of that very second, and RDS did not list them yet when it was asked right after the sight: it went
//!   down later than that. Only an older restart could fool this one, if it went down and came up again before the
//!   sight within the same second, and both of its events were listed late; a restart takes RDS longer than that.
//!
//! So the call is made at once, and the restart that it causes always counts, whichever agent looks for it.

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
    if let Some(restarted) = restarted_since(events, fence) {
        let read_back = json!({ "restarted_at_ms": restarted, "provider_time_ms": instance.seen_at });
        return Observation::Satisfied { read_back: read_back.to_string() };
    }
    // Without the second proof a restart of the fence's own second would not count, and be repeated.
    if fence.known_events_ms.is_none() && instance.seen_at < fence.next_second() {
        return waits_for("the second after the fence");
    }
    ready(&json!({ "status": instance.status, "restarted_since_fence": false }), accepted)
}

pub(super) fn is_of_a_restart(event: &Event) -> bool {
    is_restart(event) || is_shutdown(event)
}

impl Fenced {
    fn next_second(&self) -> Timestamp {
        self.provider_time_ms.plus(DATE_UNIT)
    }

    /// Is the event certainly of a later second than the fence's?
    fn is_past(&self, event: &Event) -> bool {
        event.at >= self.next_second()
    }

    /// Had RDS not listed the event when it was asked after the fence, though it could have?
    fn is_new(&self, event: &Event) -> bool {
        event.at >= self.provider_time_ms
            && self.known_events_ms.as_ref().is_some_and(|known| !known.contains(&event.at))
    }
}

/// When the last restart ended, if it began after the fence was seen.
fn restarted_since(events: &[Event], fence: &Fenced) -> Option<Timestamp> {
    let restarted = events.iter().rfind(|event| is_restart(event))?;
    let previous = events.iter().rfind(|event| is_restart(event) && event.at < restarted.at).map(|event| event.at);
    let shut_down = events
        .iter()
        .rfind(|event| is_shutdown(event) && event.at <= restarted.at)
        .filter(|event| previous.is_none_or(|previous| event.at > previous));
    let counts = match shut_down {
        Some(shut_down) => fence.is_past(shut_down) || (fence.is_new(shut_down) && fence.is_new(restarted)),
        None => fence.is_past(restarted),
    };
    counts.then_some(restarted.at)
}

fn is_restart(event: &Event) -> bool {
    event.message.contains("DB instance restarted")
}

fn is_shutdown(event: &Event) -> bool {
    event.message.contains("DB instance shutdown")
}
