//! A mesh that has done something: the commands of a failover from its manifest on, for seeds that go deep.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use mesh_core::engine::{self, AgentPresence, View};
use mesh_core::fleet::{Command, Fleet};
use mesh_core::ids::{AgentId, RegionId, ServiceId};
use mesh_core::planner::{self, Evidence};
use mesh_core::run::{Cause, Outcome, OutcomeResult};
use mesh_core::time::Timestamp;
use mesh_manifest::parse;

use super::values::id;

/// More than any failover of the examples needs.
const ROUNDS_MAX: u64 = 120;

pub const EXAMPLES: [(&str, &str); 4] = [
    ("checks.yaml", include_str!("../../../../examples/checks.yaml")),
    ("maip.yaml", include_str!("../../../../examples/maip.yaml")),
    ("minimal.yaml", include_str!("../../../../examples/minimal.yaml")),
    ("postgres.yaml", include_str!("../../../../examples/postgres.yaml")),
];

/// The commands of each example's failover, with their times.
pub static HISTORIES: LazyLock<Vec<Vec<(Timestamp, Command)>>> =
    LazyLock::new(|| EXAMPLES.iter().map(|(name, yaml)| history(name, yaml)).collect());

fn history(name: &str, yaml: &str) -> Vec<(Timestamp, Command)> {
    let manifest = parse(yaml, name).expect("an example is a manifest");
    let service = manifest.service.clone();
    let mut told = Told::default();
    told.tell(Command::NameMesh { mesh: "demo".to_owned() });
    let regions: Vec<RegionId> = manifest.regions.keys().cloned().collect();
    for (nth, region) in regions.iter().enumerate() {
        for name in ["a", "b"] {
            told.tell(Command::RegisterAgent { agent: id(&format!("r{nth}-{name}")), region: region.clone() });
        }
    }
    let manifest = Box::new(manifest);
    let by = || "spiffe://demo/region/r0/operator/ada".to_owned();
    told.tell(Command::ApplyManifest { manifest, source: yaml.to_owned(), by: by(), expected_version: 0 });
    told.tell(Command::SetArmed { service: service.clone(), armed: true, by: by() });
    let members: BTreeSet<AgentId> = told.fleet.agents.keys().cloned().collect();
    told.tell(Command::SetAskList { service: service.clone(), members });
    let active = told.fleet.services[&service].active.clone();
    if let Some(to) = regions.iter().find(|region| **region != active) {
        told.fail_over(&service, to, by());
    }
    told.commands
}

#[derive(Default)]
struct Told {
    fleet: Fleet,
    commands: Vec<(Timestamp, Command)>,
    second: u64,
}

impl Told {
    fn tell(&mut self, command: Command) {
        let at = Timestamp::from_millis(1_700_000_000_000 + self.second * 1_000);
        self.fleet.apply(at, &command);
        self.commands.push((at, command));
    }

    fn fail_over(&mut self, service: &ServiceId, to: &RegionId, by: String) {
        let plan = planner::plan_failover(&self.fleet.services[service], to, &Evidence::default());
        let Ok(plan) = plan else { return };
        let (plan_hash, plan) = (mesh_proto::plan_hash(&plan), Box::new(plan));
        let (safety, approvals) = (Vec::new(), Vec::new());
        self.tell(Command::StartRun { plan, plan_hash, by, cause: Cause::Asked, safety, approvals });
        for _ in 0..ROUNDS_MAX {
            self.second += 2;
            let due = engine::next(&self.fleet, &view(&self.fleet));
            due.into_iter().for_each(|command| self.tell(command));
            self.close_intents();
        }
    }

    fn close_intents(&mut self) {
        let open: Vec<Command> = self
            .fleet
            .runs
            .values()
            .flat_map(|run| {
                run.open_intents().map(|(step, direction, intent)| (run.id.clone(), step, direction, intent))
            })
            .map(|(run, step, direction, intent)| Command::CloseIntent {
                run,
                step: step.id.clone(),
                direction,
                seq: intent.seq,
                outcome: done(),
            })
            .collect();
        open.into_iter().for_each(|command| self.tell(command));
    }
}

fn done() -> Outcome {
    Outcome {
        result: OutcomeResult::Done,
        read_back: "{}".to_owned(),
        before: "{}".to_owned(),
        ..super::values::outcomes().remove(0)
    }
}

/// All agents are there and were heard just now.
pub fn view(fleet: &Fleet) -> View {
    let presence = |region: &RegionId| AgentPresence { region: region.clone(), last_heard: fleet.now, load: 0 };
    let agents = fleet.agents.iter().map(|(id, record)| (id.clone(), presence(&record.region))).collect();
    View { now: fleet.now, agents, agent_silence: Duration::from_secs(6), led_since: Timestamp::default() }
}
