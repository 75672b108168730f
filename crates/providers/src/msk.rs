//! MSK clusters: is the one of this region active?

use mesh_core::execute::Observation;
use serde_json::json;

use crate::aws::kafka::{Cluster, Kafka};

pub(crate) async fn observe(kafka: &Kafka, name: &str) -> Observation {
    match kafka.cluster(name).await {
        Ok(found) => decide(name, &found),
        Err(error) => error.into(),
    }
}

fn decide(name: &str, found: &Cluster) -> Observation {
    match found.state.as_str() {
        // It serves while it heals a broker, is updated or maintained.
        "ACTIVE" | "HEALING" | "UPDATING" | "MAINTENANCE" => {
            Observation::Satisfied { read_back: json!({ "arn": found.arn, "state": found.state }).to_string() }
        }
        "CREATING" | "REBOOTING_BROKER" => Observation::Pending { note: format!("the cluster is {}", found.state) },
        state => {
            Observation::Blocked { reason: format!("cluster {name} is {state}, which it does not leave by itself") }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_that_serves_will_do_and_one_that_failed_will_not() {
        for (state, expected) in [
            ("ACTIVE", "satisfied"),
            ("HEALING", "satisfied"),
            ("CREATING", "pending"),
            ("REBOOTING_BROKER", "pending"),
            ("FAILED", "blocked"),
            ("DELETING", "blocked"),
        ] {
            let seen = decide("maip", &Cluster { arn: "arn".to_owned(), state: state.to_owned() });
            let kind = match seen {
                Observation::Satisfied { .. } => "satisfied",
                Observation::Pending { .. } => "pending",
                Observation::Blocked { .. } => "blocked",
                _ => "other",
            };
            assert_eq!(kind, expected, "{state}");
        }
    }
}
