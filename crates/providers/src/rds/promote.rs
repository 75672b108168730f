//! Promotion. What is promoted already is done, whoever did it.

use mesh_core::execute::Observation;
use mesh_core::time::duration_millis;
use serde_json::json;

use super::{Readiness, passing, readiness, ready, stuck};
use crate::aws::cloudwatch::LagPoint;
use crate::aws::rds::Instance;

/// Ten minutes, one a minute, and what a period of a second adds of the newest.
const POINTS_MAX: usize = 32;

/// Is it out of replication, and serving?
pub(super) fn is_done(instance: &Instance) -> bool {
    matches!((readiness(instance), &instance.source), (Readiness::Available, None))
}

/// `lag`: what was published of it while it was a replica.
pub(super) fn observe(instance: &Instance, lag: &[LagPoint], accepted: bool) -> Observation {
    match (readiness(instance), &instance.source) {
        (Readiness::Stuck, _) => stuck(instance),
        (Readiness::Passing, _) => passing(instance),
        (Readiness::Available, Some(source)) => ready(
            &json!({
                "source": source,
                "status": instance.status,
                "backup_retention_days": instance.backup_retention_days,
            }),
            accepted,
        ),
        (Readiness::Available, None) => {
            let read_back = json!({
                "source": null,
                "status": instance.status,
                "backup_retention_days": instance.backup_retention_days,
                "provider_time_ms": instance.seen_at,
                "replica_lag": told(lag),
            });
            Observation::Satisfied { read_back: read_back.to_string() }
        }
    }
}

/// `AT:LAG`, in milliseconds, for whoever knows since when the lag means nothing.
fn told(lag: &[LagPoint]) -> Option<String> {
    let newest = lag.iter().rev().take(POINTS_MAX).rev();
    let points: Vec<String> =
        newest.map(|point| format!("{}:{}", point.at.as_millis(), duration_millis(point.lag))).collect();
    (!points.is_empty()).then(|| points.join(" "))
}
