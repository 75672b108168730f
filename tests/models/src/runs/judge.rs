//! What must hold of a run, whatever struck it. The judge looks at the provider's own record and at the committed state.

use std::collections::{BTreeMap, BTreeSet};

use mesh_core::ids::Token;
use mesh_core::run::{Direction, OutcomeResult, RunState};

use super::cloud::Effect;
use super::mesh::Mesh;

/// A rule of design.md 4, and what broke it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub rule: &'static str,
    pub what: String,
}

/// `before`: the mesh as the run began.
pub fn judge(before: &Mesh, after: &Mesh) -> Vec<Broken> {
    let mut broken = Vec::new();
    let mut say = |rule, what: String| broken.push(Broken { rule, what });
    let effects: Vec<Effect> = after.cloud.effects.iter().filter(|effect| !effect.harmless).cloned().collect();
    for (key, count) in effects_by_key(&effects) {
        if count > 1 {
            say("OneEffectPerKey", format!("{key} took effect {count} times"));
        }
    }
    let mut newest: BTreeMap<(&str, &str), Token> = BTreeMap::new();
    for effect in &after.cloud.effects {
        let last = newest.entry((effect.resource.as_str(), effect.aspect)).or_insert(effect.token);
        if effect.token.generation < last.generation {
            say("FencedGeneration", format!("{} of {} after {last}", effect.resource, effect.token));
        }
        *last = (*last).max(effect.token);
    }
    for effect in &after.cloud.effects {
        if !committed(after, effect) {
            say("IntentBeforeEffect", format!("{} changed {} without an intent", effect.token, effect.resource));
        }
    }
    let run = after.the_run();
    match &run.state {
        RunState::Done => unfinished(after).into_iter().for_each(|what| say("DoneMeansReadBack", what)),
        RunState::Compensated => not_restored(before, after).into_iter().for_each(|what| say("RepairsAny", what)),
        RunState::Running | RunState::Unwinding => say("Converges", format!("it is {}", run.state.name())),
        RunState::Held { .. } | RunState::Refused { .. } => {}
    }
    for what in failed_although_applied(after) {
        say("UnknownIsNotFailed", what);
    }
    broken
}

fn effects_by_key(effects: &[Effect]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for effect in effects {
        *counts.entry(effect.key.as_str()).or_default() += 1;
    }
    counts
}

fn committed(mesh: &Mesh, effect: &Effect) -> bool {
    let run = mesh.the_run();
    let works = run.steps.values().flat_map(|step| [Some(&step.forward), step.undo.as_ref()]).flatten();
    works.flat_map(|work| &work.intents).any(|intent| {
        (intent.seq, intent.generation, intent.key.as_str())
            == (effect.token.intent, effect.token.generation, effect.key.as_str())
    })
}

/// Mutating steps of a run that is done without the effect that they stand for: exactly one each.
fn unfinished(mesh: &Mesh) -> Vec<String> {
    let run = mesh.the_run();
    let effects: Vec<Effect> = mesh.cloud.effects.iter().filter(|effect| !effect.harmless).cloned().collect();
    let counts = effects_by_key(&effects);
    let forward = run.plan.steps.iter().filter(|step| step.action.mutates());
    let missing = forward.filter(|step| {
        let key = mesh_core::run::effect_key(&run.id, &step.id, Direction::Forward);
        counts.get(key.as_str()) != Some(&1)
    });
    missing.map(|step| format!("{} is done and had no effect", step.id)).collect()
}

/// What of the provider's differs from before, but for what only moves forward: tokens and restarts.
fn not_restored(before: &Mesh, after: &Mesh) -> Vec<String> {
    let names: BTreeSet<&String> = after.cloud.things.keys().chain(before.cloud.things.keys()).collect();
    let mut differences = Vec::new();
    for name in names {
        let (was, is) = (before.cloud.things.get(name), after.cloud.things.get(name));
        let aspects = is.iter().flat_map(|thing| thing.values.iter()).filter(|(aspect, _)| **aspect != "restart");
        for (aspect, value) in aspects {
            let former = was.and_then(|thing| thing.values.get(aspect)).cloned();
            let former = former.unwrap_or_else(|| format!("initial {aspect}"));
            if *value != former {
                differences.push(format!("{aspect} of {name} is {value}, was {former}"));
            }
        }
    }
    differences
}

/// An outcome that says that nothing was changed by an intent whose call took effect.
fn failed_although_applied(mesh: &Mesh) -> Vec<String> {
    let run = mesh.the_run();
    let mut lies = Vec::new();
    for (id, step) in &run.steps {
        let works = [Some(&step.forward), step.undo.as_ref()];
        for intent in works.into_iter().flatten().flat_map(|work| &work.intents) {
            let refused =
                intent.outcome.as_ref().is_some_and(|outcome| matches!(outcome.result, OutcomeResult::Refused { .. }));
            let applied = mesh.cloud.effects.iter().any(|effect| effect.token.intent == intent.seq);
            if refused && applied {
                lies.push(format!("{id}: intent {} is told as refused and took effect", intent.seq));
            }
        }
    }
    lies
}
