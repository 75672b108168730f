//! HumanWins: once a pause or a freeze is answered, and the time is over that the answer names, no mutating call of the run
//! is sent before people let it go on.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_core::execute::Job;
use mesh_core::fleet::Command;
use mesh_core::ids::{RunId, ServiceId};
use mesh_core::time::Timestamp;

use crate::people::Deed;
use crate::world::World;
use crate::{MILLI, Micros};

/// Clocks run apart by less in the seconds that an answer names.
const ROUNDING: Micros = 100 * MILLI;

/// From then on nothing is sent; for a freeze, until then.
#[derive(Clone, Debug)]
struct Halt {
    from: Micros,
    service: ServiceId,
    until: Option<Timestamp>,
    index: usize,
}

#[derive(Default)]
pub struct Halted {
    runs: BTreeMap<RunId, Vec<Halt>>,
    /// The entry of the last word of people that let a run go on.
    lifted: BTreeMap<RunId, usize>,
    freed: BTreeMap<ServiceId, usize>,
}

impl World {
    pub fn judge_halted(&mut self, runs: &[RunId], deed: &Deed, silent: Duration, index: usize) {
        let Deed::Commit(command) = deed else { return };
        let until = match command.as_ref() {
            Command::Freeze { until, .. } => Some(*until),
            _ => None,
        };
        self.reached(if silent.is_zero() { "a halt was acknowledged" } else { "a halt was waited out" });
        let silent = u64::try_from(silent.as_micros()).unwrap_or(Micros::MAX / 2);
        let from = self.now + silent + ROUNDING;
        for id in runs {
            let Some(run) = self.judge.fleet.runs.get(id) else { continue };
            let service = run.plan.service.clone();
            let lifted = self.judge.halted.lifted.get(id).is_some_and(|at| *at > index);
            let freed = until.is_some() && self.judge.halted.freed.get(&service).is_some_and(|at| *at > index);
            if !lifted && !freed {
                let halt = Halt { from, service, until, index };
                self.judge.halted.runs.entry(id.clone()).or_default().push(halt);
            }
        }
    }

    /// Does the word of a person let a run go on?
    pub fn judge_lifted(&mut self, command: &Command) {
        let at = self.judge.committed.len();
        let halted = &mut self.judge.halted;
        match command {
            Command::Resume { run, .. } | Command::Abort { run, .. } => {
                halted.lifted.insert(run.clone(), at);
                if let Some(halts) = halted.runs.get_mut(run) {
                    halts.retain(|halt| halt.until.is_some());
                }
            }
            Command::Unfreeze { service, .. } | Command::Freeze { service, .. } => {
                // A later freeze takes the place of the one before.
                for id in &self.names.services {
                    if service.as_ref().is_none_or(|service| service == id) {
                        halted.freed.insert(id.clone(), at);
                    }
                }
                for halts in halted.runs.values_mut() {
                    halts.retain(|halt| {
                        let meant = service.as_ref().is_none_or(|service| *service == halt.service);
                        halt.until.is_none() || !meant
                    });
                }
            }
            _ => {}
        }
    }

    pub fn judge_human(&mut self, job: &Job) {
        let Some(halts) = self.judge.halted.runs.get(&job.run) else { return };
        let now = self.now;
        // A freeze is over when the latest of the coordinators' clocks says so.
        let latest = self.nodes.iter().map(|node| node.latest_time(now)).max().unwrap_or_default();
        let holds = |halt: &&Halt| now > halt.from && halt.until.is_none_or(|until| latest < until);
        if let Some(halt) = halts.iter().find(holds) {
            let text = format!(
                "{} of {} was called {} ms after the answer to the halt of entry {}",
                job.action.name(),
                job.run,
                (now - halt.from) / MILLI,
                halt.index
            );
            self.violated("HumanWins", text);
        }
    }
}
