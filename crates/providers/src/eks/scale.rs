//! At least these sizes, on an active and healthy node group. Nothing is ever lowered.

use mesh_core::execute::Observation;

use super::{Readiness, issues, passing, read_back, readiness, ready, stuck};
use crate::aws::eks::{NodeGroup, Sizes};

pub(super) fn observe(found: &NodeGroup, floor: Sizes) -> Observation {
    match readiness(found) {
        Readiness::Stuck => return stuck(found),
        Readiness::Passing => return passing(found),
        Readiness::Active => {}
    }
    let to = Sizes {
        min: found.sizes.min.max(floor.min),
        max: found.sizes.max.max(floor.max),
        desired: found.sizes.desired.max(floor.desired),
    };
    if to != found.sizes {
        return ready(found, to);
    }
    match found.issues.is_empty() && found.status == "ACTIVE" {
        true => Observation::Satisfied { read_back: read_back(found).to_string() },
        false => Observation::Pending {
            note: format!("the sizes are in force, and the node group is {}: {}", found.status, issues(found)),
        },
    }
}
