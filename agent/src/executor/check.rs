//! What would happen if a step were offered now: one observation, no journal, no call.

use mesh_core::execute::{Job, Observation};
use mesh_proto::v1::CheckVerdict;

use super::Executor;

impl Executor {
    pub async fn check(&self, job: &Job) -> (CheckVerdict, String) {
        let shared = &self.shared;
        if job.region != shared.settings.region {
            return (CheckVerdict::Blocked, format!("this agent serves {}", shared.settings.region));
        }
        let observation = tokio::select! {
            biased;
            observation = shared.provider.observe(job, None) => observation,
            () = shared.clock.sleep(shared.settings.observe_deadline) => Observation::Unreadable {
                reason: format!("no answer within {:?}", shared.settings.observe_deadline),
            },
        };
        verdict(observation)
    }
}

fn verdict(observation: Observation) -> (CheckVerdict, String) {
    match observation {
        Observation::Satisfied { read_back } => (CheckVerdict::Satisfied, read_back),
        Observation::Ready { before } => (CheckVerdict::Ready, before),
        // The step waits for such a change to end by itself.
        Observation::Pending { note } => (CheckVerdict::Ready, format!("a change is under way: {note}")),
        Observation::Blocked { reason } => (CheckVerdict::Blocked, reason),
        Observation::Superseded { found } => (CheckVerdict::Blocked, format!("a newer mutation is there: {found}")),
        Observation::Ambiguous { reason } | Observation::Unreadable { reason } => (CheckVerdict::Unknown, reason),
    }
}
