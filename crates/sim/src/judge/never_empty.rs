//! NeverEmpty: no batch of the mesh leaves a name without answers, and each leaves there what its plan says.

use std::collections::BTreeMap;

use mesh_core::execute::Job;
use mesh_core::manifest::Routing;
use mesh_core::plan::Action;

use crate::Micros;
use crate::world::World;

/// When somebody else last edited each name.
#[derive(Default)]
pub struct Names {
    pub meddled: BTreeMap<String, Micros>,
}

impl World {
    pub fn judge_answers(&mut self, name: &str, job: Option<&Job>) {
        let sets = &self.zone.names[name].sets;
        let answering = sets.iter().filter(|set| set.routing != Routing::Weighted(0)).count();
        let lacks = job.and_then(|job| match &job.action {
            Action::Route53Replace { sets: wanted, .. } => wanted.iter().find(|set| !sets.contains(set)).cloned(),
            _ => None,
        });
        self.reached("a name was moved");
        if answering == 0 {
            self.violated("NeverEmpty", format!("{name} answers nothing"));
        } else if let Some(set) = lacks {
            self.violated("NeverEmpty", format!("{name} lacks {set:?}"));
        }
    }
}
