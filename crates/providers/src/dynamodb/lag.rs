//! Is replication behind by no more than may be lost? Asked of the region that is left, which may be dead: then there
//! is nothing to measure, and nothing to wait for.

use std::time::Duration;

use mesh_core::execute::Observation;
use mesh_core::ids::RegionId;
use mesh_core::time::duration_millis;
use serde_json::json;

use crate::aws::cloudwatch::Latency;

pub(super) fn observe(latency: &Latency, from: &RegionId, lag_max: Duration) -> Observation {
    match latency {
        Latency::Unreachable(reason) => unmeasured(&format!("CloudWatch of {from} does not answer: {reason}")),
        Latency::Measured(points) => match points.last() {
            // DynamoDB publishes a latency only when it has replicated something.
            None => {
                unmeasured(&format!("{from} has published no latency in the last ten minutes: nothing was written"))
            }
            Some(newest) if newest.lag <= lag_max => {
                let read_back = json!({ "lag_ms": duration_millis(newest.lag), "at_ms": newest.at });
                Observation::Satisfied { read_back: read_back.to_string() }
            }
            Some(newest) => Observation::Pending {
                note: format!(
                    "replication from {from} is {} ms behind (at {}), {} ms may be lost",
                    duration_millis(newest.lag),
                    newest.at,
                    duration_millis(lag_max)
                ),
            },
        },
    }
}

fn unmeasured(reason: &str) -> Observation {
    Observation::Satisfied { read_back: json!({ "lag_ms": null, "unmeasured": reason }).to_string() }
}
