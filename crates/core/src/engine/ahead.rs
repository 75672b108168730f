//! What will be due once a command is applied: the leader commits it in the same round.

use super::{View, next};
use crate::fleet::{Command, Fleet, Reply};
use crate::ids::ServiceId;
use crate::plan::STEPS_MAX;

/// The intents and grants that become due by `command`, each by those before it, in the order in which they must be
/// applied. Foresight, not permission: each is checked again when it is applied, against what was committed by then.
/// `flying`: commands about the same service that were proposed before this one and may not be applied yet. `bars`: does
/// the leader keep this command back, in this state?
pub fn after(
    fleet: &Fleet,
    view: &View,
    flying: &[Command],
    command: &Command,
    bars: impl Fn(&Fleet, &Command) -> bool,
) -> Vec<Command> {
    let Some(service) = service_of(fleet, command) else { return Vec::new() };
    let (mut ahead, mut view) = (only(fleet, &service, view), view.clone());
    for command in flying {
        // Refused if it is applied already.
        apply(&mut ahead, &mut view, command);
    }
    // Those are proposed already, by the leader's ordinary round.
    let due_before = next(&ahead, &view);
    let is_new = |command: &Command| !due_before.iter().any(|due| opens_same(due, command));
    if !apply(&mut ahead, &mut view, command) {
        return Vec::new();
    }
    let mut commands = Vec::new();
    while commands.len() < STEPS_MAX {
        let opens = |command: &Command| opens_same(command, command) && is_new(command) && !bars(&ahead, command);
        let Some(command) = next(&ahead, &view).into_iter().find(opens) else { return commands };
        if !apply(&mut ahead, &mut view, &command) {
            return commands;
        }
        commands.push(command);
    }
    commands
}

/// False if it is refused.
fn apply(ahead: &mut Fleet, view: &mut View, command: &Command) -> bool {
    if matches!(ahead.apply(view.now, command).reply, Reply::Refused(_)) {
        return false;
    }
    // So that of several steps which become due at once each agent of a region gets its share.
    if let Command::OpenIntent { agent, .. } = command
        && let Some(presence) = view.agents.get_mut(agent)
    {
        presence.load = presence.load.saturating_add(1);
    }
    true
}

/// Do both open the same step?
fn opens_same(one: &Command, other: &Command) -> bool {
    match (one, other) {
        (
            Command::OpenIntent { run, step, direction, .. },
            Command::OpenIntent { run: other_run, step: other_step, direction: other_direction, .. },
        ) => (run, step, direction) == (other_run, other_step, other_direction),
        (Command::Grant { run, step }, Command::Grant { run: other_run, step: other_step }) => {
            (run, step) == (other_run, other_step)
        }
        _ => false,
    }
}

/// The service that a command is about, if it can make a step due. What people order is followed by the leader's
/// ordinary round.
pub fn service_of(fleet: &Fleet, command: &Command) -> Option<ServiceId> {
    match command {
        Command::StartRun { plan, .. } => Some(plan.service.clone()),
        Command::CloseIntent { run, .. } | Command::ProveClosed { run, .. } => {
            fleet.runs.get(run).map(|run| run.plan.service.clone())
        }
        _ => None,
    }
}

/// The part of the state that decides about one service.
fn only(fleet: &Fleet, id: &ServiceId, view: &View) -> Fleet {
    let service = fleet.services.get(id);
    let run = service.and_then(|service| fleet.runs.get(service.current_run.as_ref()?));
    Fleet {
        mesh: fleet.mesh.clone(),
        now: fleet.now,
        services: service.map(|service| (id.clone(), service.clone())).into_iter().collect(),
        runs: run.map(|run| (run.id.clone(), run.clone())).into_iter().collect(),
        agents: fleet
            .agents
            .iter()
            .filter(|(agent, _)| view.agents.contains_key(*agent))
            .map(|(agent, record)| (agent.clone(), record.clone()))
            .collect(),
        keys: fleet.keys.clone(),
        freeze: fleet.freeze.clone(),
    }
}

#[cfg(test)]
mod tests;
