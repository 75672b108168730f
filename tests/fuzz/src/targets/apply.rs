//! Committed commands, applied: none of them ends the process, and what they made of the state stands in the store so
//! that it is read back as the same.

use mesh_coordinator::store::entities;
use mesh_coordinator::store::machine::{Changes, Machine, decode_command};
use mesh_core::engine;
use mesh_core::fleet::Fleet;
use mesh_core::ids::{AgentId, KeyId, RegionId, RunId, ServiceId};
use mesh_core::planner::{self, Evidence};
use mesh_core::run::Run;
use mesh_proto::v1::raft_entry::Payload;
use mesh_proto::{log_command, v1};
use prost::Message;

use super::mesh::{HISTORIES, view};
use super::{domain, values};
use crate::target::{Shape, Target};

/// A failover of the largest example is shorter.
const COMMANDS_MAX: usize = 512;

pub fn target() -> Target {
    let reads = "committed commands in any order: applied, stored, read back, and what the leader would do next";
    let target = Target::new("apply", reads, Shape::Messages, seeds, check);
    target.inputs(400).words(domain::WORDS).bytes_max(256 * 1024).allocates(16 * 1024 * 1024, 256)
}

fn seeds() -> Vec<Vec<u8>> {
    let history = |commands: &Vec<(mesh_core::time::Timestamp, mesh_core::fleet::Command)>| {
        commands.iter().flat_map(|(at, command)| log_command(*at, command).encode_length_delimited_to_vec()).collect()
    };
    let mut seeds: Vec<Vec<u8>> = HISTORIES.iter().map(history).collect();
    let all = values::commands();
    seeds.push(
        all.iter()
            .flat_map(|(_, command)| {
                log_command(values::at(1_700_000_000_123), command).encode_length_delimited_to_vec()
            })
            .collect(),
    );
    seeds
}

fn check(input: &[u8]) -> bool {
    let (mut machine, mut stored) = (Machine::default(), Fleet::default());
    let (mut rest, mut accepted) = (input, false);
    for index in 1..=COMMANDS_MAX as u64 {
        let Some(command) = next(&mut rest) else { break };
        // A command that this version cannot read stops the node before anything is applied.
        if decode_command(&command).is_err() {
            continue;
        }
        let place = v1::RaftLogId { leader_id: Some(v1::RaftLeaderId { term: 1, node: 1 }), index };
        let entry = v1::RaftEntry { log_id: Some(place), payload: Some(Payload::Command(command)) };
        let mut changes = Changes::default();
        machine.apply(entry, &mut changes).expect("a command that can be read can be applied");
        store(&mut stored, changes);
        accepted = true;
    }
    assert_eq!(stored, machine.fleet, "what was stored is not what was applied");
    lead(&machine.fleet);
    accepted
}

pub fn next(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let length = prost::decode_length_delimiter(&mut *rest).ok()?;
    let (message, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(message.to_vec())
}

/// As the store of applied state does it, and a snapshot.
fn store(stored: &mut Fleet, changes: Changes) {
    for (key, value) in changes.entities {
        match value {
            Some(bytes) => {
                entities::insert(stored, &key, &bytes)
                    .unwrap_or_else(|error| panic!("what was applied cannot be read back: {error}"));
            }
            None => forget(stored, &key),
        }
    }
    for (_, run) in changes.retired {
        Run::try_from(run).expect("a run that has left the state can be read back");
    }
}

fn forget(stored: &mut Fleet, key: &str) {
    let (kind, name) = key.split_once('/').expect("the mesh itself stays");
    let gone = match kind {
        "service" => stored.services.remove(&name.parse::<ServiceId>().expect("a name")).is_some(),
        "run" => stored.runs.remove(&name.parse::<RunId>().expect("a name")).is_some(),
        "agent" => stored.agents.remove(&name.parse::<AgentId>().expect("a name")).is_some(),
        "key" => stored.keys.remove(&name.parse::<KeyId>().expect("a name")).is_some(),
        _ => false,
    };
    assert!(gone, "{key} was not there");
}

/// What a leader asks of such a state each time it looks.
fn lead(fleet: &Fleet) {
    let view = view(fleet);
    engine::next_wakeup(fleet, &view);
    for command in engine::next(fleet, &view) {
        let mut next = fleet.clone();
        next.apply(fleet.now, &command);
    }
    for run in fleet.runs.values() {
        for (step, direction, _) in run.open_intents() {
            engine::job(fleet, &run.id, &step.id, direction, fleet.now);
        }
    }
    for service in fleet.services.values() {
        let regions: Vec<&RegionId> = service.manifest.regions.keys().collect();
        for to in regions {
            if let Ok(plan) = planner::plan_failover(service, to, &Evidence::default()) {
                let wire = v1::Plan::decode(v1::Plan::from(&plan).encode_to_vec().as_slice()).expect("it is parsed");
                assert_eq!(mesh_core::plan::Plan::try_from(wire), Ok(plan), "a plan that was made cannot be stored");
            }
        }
    }
}
