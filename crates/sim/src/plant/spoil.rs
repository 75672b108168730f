//! Bugs of the core's own functions: what goes into them, or what comes out, is changed on every replica.

use std::time::Duration;

use mesh_core::fleet::{Applied, Command, Fleet};
use mesh_core::ids::RunId;
use mesh_core::manifest::LossPolicy;
use mesh_core::run::{Approval, Cause, Outcome, OutcomeResult, Pause, Run};
use mesh_core::time::Timestamp;

use super::Bug;
use crate::world::World;

impl World {
    /// The first entry of a term.
    pub fn spoil_term(&self, fleet: &mut Fleet) {
        if self.bug(Bug::CoolDownInMemory) {
            fleet.services.values_mut().for_each(|service| service.automatic_at = None);
        }
    }

    pub fn spoil_apply(&self, fleet: &mut Fleet, command: &Command, at: Timestamp) -> Applied {
        match (self.plant, command) {
            (Some(Bug::NoWaves), Command::StartRun { cause: Cause::Automatic { .. }, .. }) => {
                without_others(fleet, |fleet| fleet.apply(at, command))
            }
            (Some(Bug::TwoAtOnce), Command::StartRun { plan, .. }) => {
                if let Some(service) = fleet.services.get_mut(&plan.service) {
                    service.current_run = None;
                }
                fleet.apply(at, command)
            }
            (Some(Bug::ExpiredCounts), _) => fleet.apply(at, &unexpired(command)),
            (Some(Bug::AbortsBlindly), Command::Abort { run, .. }) => {
                close_all(fleet, run);
                fleet.apply(at, command)
            }
            (Some(Bug::AnyDeedAcknowledges), _) => {
                let applied = fleet.apply(at, command);
                if !matches!(command, Command::StartRun { .. }) && applied.note.actor != "mesh" {
                    fleet.services.values_mut().for_each(|service| service.acknowledged_at = Some(at));
                }
                applied
            }
            _ => fleet.apply(at, command),
        }
    }
}

/// After the founding commands.
pub fn spoil_founding(plant: Option<Bug>, fleet: &mut Fleet) {
    match plant {
        Some(Bug::NoOrder) => fleet.services.values_mut().for_each(|service| service.manifest.depends_on.clear()),
        Some(Bug::LossAccepted) => {
            fleet.services.values_mut().for_each(|service| service.manifest.policy.loss = LossPolicy::Accept);
        }
        Some(Bug::OneOwnerTwoKeys) => {
            fleet.keys.iter_mut().for_each(|(id, key)| key.owner = id.to_string());
        }
        _ => {}
    }
}

fn unexpired(command: &Command) -> Command {
    let mut command = command.clone();
    let for_ever = |approval: &mut Approval| approval.expires_at = Timestamp::from_millis(u64::MAX / 2);
    match &mut command {
        Command::Approve { approval, .. } => for_ever(approval),
        Command::StartRun { approvals, .. }
        | Command::EnrollKey { approvals, .. }
        | Command::RevokeKey { approvals, .. }
        | Command::NoteMembership { approvals, .. } => approvals.iter_mut().for_each(for_ever),
        _ => {}
    }
    command
}

fn close_all(fleet: &mut Fleet, run: &RunId) {
    let Some(run) = fleet.runs.get_mut(run) else { return };
    for intent in run.steps.values_mut().flat_map(|step| step.forward.intents.iter_mut()) {
        intent.outcome.get_or_insert_with(|| Outcome {
            result: OutcomeResult::Refused { retry: false },
            detail: "aborted".to_owned(),
            read_back: String::new(),
            before: String::new(),
            calls: 0,
            provider_wait: Duration::ZERO,
        });
    }
}

/// As if nothing else moved.
pub fn without_others<T>(fleet: &mut Fleet, then: impl FnOnce(&mut Fleet) -> T) -> T {
    let hidden = hide(fleet);
    let result = then(fleet);
    show(fleet, hidden);
    result
}

pub fn hide(fleet: &mut Fleet) -> Vec<RunId> {
    let moving = fleet.runs.values_mut().filter(|run| run.ended_at.is_none() && run.paused.is_none());
    let hide = |run: &mut Run| {
        run.paused = Some(Pause { by: String::new(), at: Timestamp::default() });
        run.id.clone()
    };
    moving.map(hide).collect()
}

pub fn show(fleet: &mut Fleet, hidden: Vec<RunId>) {
    for id in hidden {
        if let Some(run) = fleet.runs.get_mut(&id) {
            run.paused = None;
        }
    }
}
