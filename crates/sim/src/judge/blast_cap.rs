//! BlastCap: a service is in one transition at a time; services that move by themselves are at most four, leave one region,
//! and none begins before what it depends on has moved.

use std::collections::BTreeMap;

use mesh_core::fleet::{Applied, Reply};
use mesh_core::ids::{RegionId, RunId, ServiceId};
use mesh_core::plan::{Plan, PlanKind};
use mesh_core::run::{Cause, RunState};

use crate::setting::LIGHTS_MAX;
use crate::world::World;

/// Of one wave.
const WAVE: usize = 4;

#[derive(Clone, Debug)]
struct Move {
    service: ServiceId,
    from: RegionId,
    failover: bool,
    automatic: bool,
}

#[derive(Default)]
pub struct Moves(BTreeMap<RunId, Move>);

impl World {
    /// A run has begun. False: it was there already.
    pub fn judge_waves(&mut self, plan: &Plan, cause: &Cause, applied: &Applied) -> bool {
        let Reply::RunStarted { run, existing: false } = &applied.reply else { return false };
        let fleet = &self.judge.fleet;
        let going = |id: &RunId| fleet.runs.get(id).is_some_and(|run| run.ended_at.is_none());
        self.judge.moves.0.retain(|id, _| going(id));
        let others: Vec<(RunId, Move)> = self.judge.moves.0.iter().map(|(id, of)| (id.clone(), of.clone())).collect();
        if let Some((id, _)) = others.iter().find(|(_, other)| other.service == plan.service) {
            self.violated("BlastCap", format!("{run} began while {id} has not ended"));
        }
        let automatic = matches!(cause, Cause::Automatic { .. });
        if automatic {
            self.judge_wave(run, plan, &others);
        }
        let (service, from) = (plan.service.clone(), plan.from.clone());
        let failover = plan.kind == PlanKind::Failover;
        self.judge.moves.0.insert(run.clone(), Move { service, from, failover, automatic });
        true
    }

    fn judge_wave(&mut self, run: &RunId, plan: &Plan, others: &[(RunId, Move)]) {
        let moves = |id: &RunId| {
            let run = &self.judge.fleet.runs[id];
            run.paused.is_none() && matches!(run.state, RunState::Running | RunState::Unwinding)
        };
        let moving: Vec<&Move> = others.iter().filter(|(id, of)| of.automatic && moves(id)).map(|(_, of)| of).collect();
        let (count, elsewhere) = (moving.len(), moving.iter().any(|of| of.from != plan.from));
        if count > 0 {
            self.reached("services moved together");
        }
        if count >= WAVE {
            self.violated("BlastCap", format!("{run} began while {count} services move"));
        }
        if elsewhere {
            self.violated("BlastCap", format!("{run} leaves {} while others leave another region", plan.from));
        }
        if let Some(first) = self.needs(&plan.service) {
            let still_there = self.judge.fleet.services[&first].active == plan.from;
            let moving = others.iter().any(|(_, of)| of.service == first && of.failover && of.from == plan.from);
            self.reached("a service moved after one that it depends on");
            if still_there || moving {
                self.violated("BlastCap", format!("{run} began before {first}, which it depends on, had moved"));
            }
        }
    }

    /// As the manifests were written.
    fn needs(&self, service: &ServiceId) -> Option<ServiceId> {
        let nth = self.names.services.iter().position(|known| known == service)?;
        match nth {
            1 => Some(self.names.services[0].clone()),
            nth if nth == LIGHTS_MAX => Some(self.names.services[nth - 1].clone()),
            _ => None,
        }
    }
}
