//! Undo of a scaling: the sizes of before, unless someone else has changed them since.
//!
//! A node group carries no token, so what is there is compared with what this run left. Where the scaling was not seen
//! to its end, what it left is not known, and a person decides: nodes that someone added in an incident are not taken away.

use mesh_core::execute::Observation;
use serde_json::json;

use super::{Readiness, passing, read_back, readiness, ready};
use crate::aws::eks::{NodeGroup, Sizes};

pub(super) fn observe(
    found: &NodeGroup,
    before: Option<Sizes>,
    left: Option<Sizes>,
    leave_anothers: bool,
) -> Observation {
    let Some(before) = before else {
        return Observation::Blocked { reason: "the sizes before the scaling are not known".to_owned() };
    };
    let now = found.sizes;
    match readiness(found) {
        Readiness::Active => {}
        Readiness::Passing => return passing(found),
        // What ails it, with the former sizes there is nothing left to undo.
        Readiness::Stuck if now == before => {}
        Readiness::Stuck => return super::stuck(found),
    }
    if now == before {
        return Observation::Satisfied { read_back: read_back(found).to_string() };
    }
    let is_ours = match left {
        // A cluster's autoscaler moves the desired size between the other two, and nothing else does so unasked.
        Some(left) => now.min == left.min && now.max == left.max,
        None => false,
    };
    if is_ours {
        return ready(found, before);
    }
    if leave_anothers {
        let mut read_back = read_back(found);
        if let Some(object) = read_back.as_object_mut() {
            object.insert("left_as_others_set_it".to_owned(), json!(true));
        }
        return Observation::Satisfied { read_back: read_back.to_string() };
    }
    Observation::Blocked {
        reason: format!(
            "the node group's sizes are {}, before this run they were {}{}: someone changed them since. Set them to what \
             they were before, or retry to leave them as they are",
            text(now),
            text(before),
            left.map(|left| format!(", and it left {}", text(left))).unwrap_or_default()
        ),
    }
}

fn text(sizes: Sizes) -> String {
    format!("min {}, max {}, desired {}", sizes.min, sizes.max, sizes.desired)
}
