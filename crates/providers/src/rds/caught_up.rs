//! Has the replica everything that the fenced primary ever accepted?
//!
//! After the fence and its reboot nothing more is accepted. A datapoint of ReplicaLag says: at some moment not before
//! its timestamp the replica was at most this much behind. When timestamp less lag is not before the restart, the
//! replica has all of it.

use std::time::Duration;

use mesh_core::execute::Observation;
use serde_json::json;

use super::{Readiness, Rebooted, passing, readiness, stuck, waits_for};
use crate::aws::cloudwatch::LagPoint;
use crate::aws::rds::{Instance, Replication};

/// The primary's reboot breaks replication too, for the seconds until the replica has connected again.
const RECONNECT: Duration = Duration::from_secs(60);

pub(super) fn observe(instance: &Instance, lag: &[LagPoint], rebooted: Option<&Rebooted>) -> Observation {
    if instance.source.is_none() {
        let read_back = json!({
            "standalone": true,
            "status": instance.status,
            "note": "promoted already: there is nothing left to catch up with",
        });
        return Observation::Satisfied { read_back: read_back.to_string() };
    }
    if let Readiness::Stuck = readiness(instance) {
        return stuck(instance);
    }
    if let Some(broken) = instance.replication.iter().find(|replication| is_broken(replication)) {
        let just_restarted =
            rebooted.is_some_and(|rebooted| instance.seen_at.since(rebooted.restarted_at_ms) < RECONNECT);
        if just_restarted && broken.status != "terminated" {
            return Observation::Pending {
                note: format!("replication is {} since the primary restarted", broken.status),
            };
        }
        return Observation::Blocked {
            reason: format!(
                "replication is {}: {}; the replica will not catch up, so promoting it loses what it lacks",
                broken.status, broken.message
            ),
        };
    }
    if let Readiness::Passing = readiness(instance) {
        return passing(instance);
    }
    let Some(rebooted) = rebooted else {
        return waits_for("the read-back of the reboot");
    };
    let last_write = rebooted.restarted_at_ms.max(rebooted.provider_time_ms);
    let covers = |point: &&LagPoint| {
        let lag_ms = mesh_core::time::duration_millis(point.lag);
        point.at.as_millis().checked_sub(lag_ms).is_some_and(|reached| reached >= last_write.as_millis())
    };
    if let Some(point) = lag.iter().find(covers) {
        let read_back = json!({
            "lag_ms": mesh_core::time::duration_millis(point.lag),
            "measured_at_ms": point.at,
            "last_write_before_ms": last_write,
        });
        return Observation::Satisfied { read_back: read_back.to_string() };
    }
    let note = lag.last().map_or_else(
        || "no replication lag was published in the last ten minutes".to_owned(),
        |point| format!("lag {} ms at {}, not yet past the fence", point.lag.as_millis(), point.at),
    );
    Observation::Pending { note }
}

fn is_broken(replication: &Replication) -> bool {
    !replication.normal || matches!(replication.status.as_str(), "error" | "terminated" | "stopped")
}
