//! ECS services: what is observed of one, for each action on it. The decisions are functions of plain values.

use mesh_core::execute::{CallResult, Job, Observation};
use mesh_core::ids::StepId;
use mesh_core::plan::Action;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::aws::ecs::{Deployment, Ecs, Service};
use crate::aws::error::ReadError;

#[cfg(test)]
mod tests;

pub(crate) struct Services(pub Ecs);

/// What a step's read-back says to the undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
struct Counted {
    desired: u32,
}

/// Written by an observation, carried by the journal, read by the call.
#[derive(Serialize, Deserialize)]
struct Before {
    desired: u32,
    to: u32,
}

impl Services {
    pub(crate) async fn observe(&self, job: &Job, accepted: Option<&str>) -> Observation {
        let looked = match target(&job.action) {
            Some((cluster, service)) => self.0.service(cluster, service).await,
            None => Err(ReadError::NotFound(format!("{} is no ECS action", job.action.name()))),
        };
        match looked {
            Ok(found) => decide(job, &found, accepted.is_some()),
            Err(error) => error.into(),
        }
    }

    pub(crate) async fn call(&self, job: &Job, before: &str) -> CallResult {
        let Some((cluster, service)) = target(&job.action) else {
            return CallResult::Rejected { reason: format!("{} sends no ECS call", job.action.name()) };
        };
        match serde_json::from_str::<Before>(before) {
            Ok(Before { to, .. }) => self.0.set_desired(cluster, service, to).await,
            Err(error) => CallResult::Rejected { reason: format!("what was there before: {error}") },
        }
    }
}

fn target(action: &Action) -> Option<(&str, &str)> {
    match action {
        Action::EcsCheckService { cluster, service }
        | Action::EcsScaleService { cluster, service, .. }
        | Action::EcsRestoreService { cluster, service, .. } => Some((cluster, service)),
        _ => None,
    }
}

fn decide(job: &Job, found: &Service, accepted: bool) -> Observation {
    if found.status != "ACTIVE" {
        return Observation::Blocked {
            reason: format!("the service is {}, which it does not leave by itself: create it anew", found.status),
        };
    }
    if found.daemon {
        return Observation::Blocked {
            reason: "the service runs one task on each instance (DAEMON): it has no count, scale its instances"
                .to_owned(),
        };
    }
    match &job.action {
        Action::EcsScaleService { tasks, .. } => scale(found, *tasks, accepted),
        Action::EcsRestoreService { as_of, .. } => restore(job, found, as_of, accepted),
        _ => Observation::Satisfied { read_back: read_back(found).to_string() },
    }
}

/// At least so many tasks, and the service steady with them.
fn scale(found: &Service, tasks: u32, accepted: bool) -> Observation {
    if found.desired < tasks {
        return ready(found, tasks, accepted);
    }
    let primary = found.deployments.iter().find(|deployment| deployment.status == "PRIMARY");
    if let Some(failed) = primary.filter(|primary| primary.rollout.as_deref() == Some("FAILED")) {
        return Observation::Blocked {
            reason: format!(
                "the deployment failed: {}",
                failed.rollout_reason.as_deref().unwrap_or("without a reason")
            ),
        };
    }
    let rolled_out = primary.is_none_or(|primary| primary.rollout.as_deref().is_none_or(|state| state == "COMPLETED"));
    let alone = found.deployments.iter().filter(|deployment| deployment.status != "INACTIVE").count() <= 1;
    if found.running == found.desired && found.pending == 0 && rolled_out && alone {
        return Observation::Satisfied { read_back: read_back(found).to_string() };
    }
    Observation::Pending { note: why(found, primary) }
}

fn why(found: &Service, primary: Option<&Deployment>) -> String {
    let mut note = format!("{} of {} tasks run, {} pending", found.running, found.desired, found.pending);
    if let Some(primary) = primary {
        if let Some(state) = primary.rollout.as_deref().filter(|state| *state != "COMPLETED") {
            note.push_str(&format!(", the deployment is {state}"));
        }
        if primary.failed_tasks > 0 {
            note.push_str(&format!(", {} tasks failed", primary.failed_tasks));
        }
    }
    if let Some(event) = &found.newest_event {
        note.push_str(&format!("; ECS says: {event}"));
    }
    note
}

/// A service carries no token, so what is there is compared with what this run left. Where the scaling was not seen to
/// its end that is not known, and a person decides.
fn restore(job: &Job, found: &Service, as_of: &StepId, accepted: bool) -> Observation {
    let Some(before) = counted(job, as_of) else {
        return Observation::Blocked {
            reason: format!("there is no read-back of {as_of}, so the count before is not known"),
        };
    };
    if found.desired == before.desired {
        return Observation::Satisfied { read_back: read_back(found).to_string() };
    }
    let left = counted(job, &job.step);
    let is_ours = match left {
        Some(left) => found.desired == left.desired,
        None => false,
    };
    if is_ours {
        return ready(found, before.desired, accepted);
    }
    if job.retried_by_person {
        let mut read_back = read_back(found);
        if let Some(object) = read_back.as_object_mut() {
            object.insert("left_as_others_set_it".to_owned(), json!(true));
        }
        return Observation::Satisfied { read_back: read_back.to_string() };
    }
    Observation::Blocked {
        reason: format!(
            "the service wants {} tasks, before this run it wanted {}{}: someone, or an autoscaler, changed it since. Set \
             it to {}, or retry to leave it as it is",
            found.desired,
            before.desired,
            left.map(|left| format!(", and it left {}", left.desired)).unwrap_or_default(),
            before.desired
        ),
    }
}

fn counted(job: &Job, step: &StepId) -> Option<Counted> {
    serde_json::from_str(job.evidence.get(step)?).ok()
}

fn ready(found: &Service, to: u32, accepted: bool) -> Observation {
    if accepted {
        return Observation::Pending { note: "accepted, and not to be seen yet".to_owned() };
    }
    match serde_json::to_string(&Before { desired: found.desired, to }) {
        Ok(before) => Observation::Ready { before },
        Err(error) => Observation::Blocked { reason: format!("the count cannot be written down: {error}") },
    }
}

fn read_back(found: &Service) -> serde_json::Value {
    json!({ "desired": found.desired, "running": found.running, "status": found.status })
}
