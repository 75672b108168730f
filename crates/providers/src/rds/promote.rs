//! Promotion. What is promoted already is done, whoever did it.

use mesh_core::execute::Observation;
use serde_json::json;

use super::{Readiness, passing, readiness, ready, stuck};
use crate::aws::rds::Instance;

pub(super) fn observe(instance: &Instance, accepted: bool) -> Observation {
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
            });
            Observation::Satisfied { read_back: read_back.to_string() }
        }
    }
}
