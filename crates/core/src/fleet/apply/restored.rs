//! What a group that is founded from a backup must assume: that everything went on after the backup was made.
//!
//! Runs, grants and calls that followed it are unknown. So no run goes on, nothing is armed, and the numbers by which
//! providers and agents tell newer from older jump beyond whatever can have been given out.

use super::{CALL_LIFETIME, Change, Outcome};
use crate::fleet::{Entity, Fleet, OpenCall, Reply};
use crate::ids::{Generation, Hash32, IntentSeq, RunId};
use crate::run::{Direction, Outcome as StepOutcome, OutcomeResult, Run, RunState};
use crate::time::Timestamp;

/// More generations than a service can go through between two backups: each is at least one run.
pub const GENERATION_MARGIN: u64 = 1_000;
/// As many intents as these can have: 64 steps, two directions, and rarely more than a few attempts of each.
pub const INTENT_MARGIN: u64 = 1_000_000;

impl Fleet {
    pub(super) fn restored(&mut self, backup: Hash32, made_at: Timestamp, lost_at: Timestamp) -> Outcome {
        let now = self.now;
        let until = lost_at.min(now).plus(CALL_LIFETIME);
        let mut touched = Vec::new();
        let mut ended = Vec::new();
        for (id, service) in &mut self.services {
            service.armed = false;
            service.generation = Generation(service.generation.0.saturating_add(GENERATION_MARGIN));
            service.intent = IntentSeq(service.intent.0.saturating_add(INTENT_MARGIN));
            // Whatever the old group had sent, known or not, is covered by the one that stands for anything.
            service.open_calls.clear();
            if until > now {
                let resource = OpenCall::ANYTHING.to_owned();
                service.open_calls.push(OpenCall { resource, generation: service.generation, until });
            }
            ended.extend(service.current_run.take());
            touched.push(Entity::Service(id.clone()));
        }
        let reason = format!("the mesh was restored from a backup of {made_at}: how this run went on is not known");
        for id in &ended {
            self.end_unknown(id, &reason);
            touched.push(Entity::Run(id.clone()));
        }
        let text = format!(
            "restored from backup {} made at {made_at}: {} services are not armed, {} runs ended",
            backup.short(),
            self.services.len(),
            ended.len()
        );
        Ok(Change { reply: Reply::Ok, touched, text })
    }

    fn end_unknown(&mut self, id: &RunId, reason: &str) {
        let now = self.now;
        let Some(run) = self.runs.get_mut(id) else { return };
        close_intents(run, reason, now);
        run.state = RunState::Refused { reason: reason.to_owned() };
        run.paused = None;
        run.ended_at = Some(now);
        super::runs::note(run, now, None, reason.to_owned());
    }
}

fn close_intents(run: &mut Run, reason: &str, now: Timestamp) {
    let open: Vec<_> = run.open_intents().map(|(step, direction, _)| (step.id.clone(), direction)).collect();
    for (id, direction) in open {
        let step = run.steps.get_mut(&id);
        let work = step.and_then(|step| match direction {
            Direction::Forward => Some(&mut step.forward),
            Direction::Undo => step.undo.as_mut(),
        });
        let Some(intent) = work.and_then(|work| work.intents.last_mut()) else { continue };
        intent.closed_at = Some(now);
        intent.outcome = Some(StepOutcome {
            result: OutcomeResult::Unknown,
            detail: reason.to_owned(),
            read_back: String::new(),
            before: String::new(),
            calls: 0,
            provider_wait: std::time::Duration::ZERO,
        });
    }
}
