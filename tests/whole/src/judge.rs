//! What must hold of the whole, looked at after every step of the simulation, and at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mesh_coordinator::consensus::Consensus;
use mesh_core::ids::{Hash32, RunId, ServiceId};

use crate::effects::Effects;
use crate::outages::Outages;
use crate::trace::Trace;

/// As much of the history as a simulation can have.
const AUDIT_MAX: usize = 100_000;
/// Of each rule.
const VIOLATIONS_TOLD: u64 = 3;

#[derive(Default)]
pub struct Judge {
    pub trace: Trace,
    /// Who led each term last.
    leaders: BTreeMap<u64, u64>,
    leads_now: BTreeMap<u64, u64>,
    /// The state after each index, as the first replica had it.
    states: BTreeMap<u64, Hash32>,
    applied: BTreeMap<u64, u64>,
    /// The version of each service that somebody was told is committed.
    promised: BTreeMap<String, u64>,
    /// Runs that somebody was told have begun.
    started: BTreeSet<String>,
    pub effects: Effects,
    pub outages: Outages,
    /// The highest index that a read has shown.
    read: u64,
    pub counts: BTreeMap<&'static str, u64>,
    pub violations: Vec<String>,
    broken: BTreeMap<String, u64>,
    /// The first time that somebody was told of a commit after everything had healed.
    pub whole_since: Option<Duration>,
}

/// What a read must not fall behind.
pub struct Floor {
    index: u64,
    promised: BTreeMap<String, u64>,
}

impl Judge {
    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub fn violated(&mut self, at: Duration, rule: &str, how: impl AsRef<str>) {
        let text = format!("{rule}: {}", how.as_ref());
        self.trace.line(at, format!("VIOLATION {text}"));
        let times = self.broken.entry(rule.to_owned()).or_default();
        *times += 1;
        if *times <= VIOLATIONS_TOLD {
            self.violations.push(format!("{:.3} s: {text}", at.as_secs_f64()));
        }
    }

    pub fn died(&mut self, at: Duration, node: u64, reason: &str) {
        self.violated(at, "Starts", format!("coordinator {node} ends: {reason}"));
    }

    /// Every replica as it is now.
    pub fn look(&mut self, at: Duration, replicas: &[(u64, Arc<Consensus>)]) {
        for (id, replica) in replicas {
            self.look_at_leader(at, *id, replica);
            self.look_at_state(at, *id, replica);
        }
    }

    fn look_at_leader(&mut self, at: Duration, id: u64, replica: &Consensus) {
        let leadership = replica.leadership();
        let leadership = leadership.borrow();
        if !leadership.is_self {
            self.leads_now.remove(&id);
            return;
        }
        let term = leadership.term;
        if self.leads_now.insert(id, term) == Some(term) {
            return;
        }
        self.trace.line(at, format!("c{id} leads term {term}"));
        self.count("leader");
        // A vote is a term and a node: within a term a greater node may still follow on a lesser one, never the reverse.
        let last = self.leaders.entry(term).or_insert(id);
        let before = std::mem::replace(last, id.max(*last));
        if before > id {
            self.violated(at, "OneLeader", format!("coordinator {id} leads term {term} after {before}"));
        }
    }

    fn look_at_state(&mut self, at: Duration, id: u64, replica: &Consensus) {
        let (index, hash) = replica.store().with_machine(|machine| {
            (machine.summary.applied.map_or(0, |place| place.index), machine.summary.state_hash)
        });
        if self.applied.insert(id, index) == Some(index) {
            return;
        }
        self.trace.line(at, format!("c{id} applied {index} {hash}"));
        let first = *self.states.entry(index).or_insert(hash);
        if first != hash {
            self.violated(at, "ReplicaAgreement", format!("coordinator {id} has {hash} at {index}, another {first}"));
        }
        replica.with_fleet(|fleet| self.look_at_fleet(at, index, fleet));
        let mut going: BTreeMap<ServiceId, u64> = BTreeMap::new();
        replica.with_fleet(|fleet| {
            for run in fleet.runs.values().filter(|run| !run.state.is_terminal()) {
                *going.entry(run.plan.service.clone()).or_default() += 1;
            }
        });
        for (service, runs) in going.into_iter().filter(|(_, runs)| *runs > 1) {
            self.violated(at, "BlastCap", format!("{service} has {runs} runs at {index}"));
        }
    }

    /// Somebody was told that this version of a service is committed.
    pub fn promise(&mut self, at: Duration, service: &str, version: u64) {
        self.trace.line(at, format!("told: {service} has version {version}"));
        self.count("acknowledged");
        self.whole_since.get_or_insert(at);
        let known = self.promised.entry(service.to_owned()).or_default();
        *known = version.max(*known);
    }

    pub fn promise_run(&mut self, run: &str) {
        self.started.insert(run.to_owned());
    }

    pub fn begin_read(&self) -> Floor {
        Floor { index: self.read, promised: self.promised.clone() }
    }

    /// What a read showed that began at `floor`.
    pub fn end_read(&mut self, at: Duration, floor: &Floor, index: u64, versions: &BTreeMap<String, u64>) {
        self.count("read");
        if index < floor.index {
            self.violated(at, "Linearizable", format!("a read shows {index}, an earlier one {}", floor.index));
        }
        for (service, promised) in &floor.promised {
            let shown = versions.get(service).copied().unwrap_or_default();
            if shown < *promised {
                let text = format!("a read shows {service} at version {shown}, {promised} was told before");
                self.violated(at, "Linearizable", text);
            }
        }
        self.read = self.read.max(index);
    }

    /// Everything has healed, and they have had their time.
    pub fn end(&mut self, at: Duration, replicas: &[(u64, Arc<Consensus>)], wanted: usize) {
        if replicas.len() != wanted {
            self.violated(at, "Converges", format!("{} of {wanted} coordinators run", replicas.len()));
        }
        let ends: BTreeMap<u64, u64> =
            replicas.iter().map(|(id, replica)| (*id, *replica.applied().borrow())).collect();
        if ends.values().max() != ends.values().min() {
            self.violated(at, "Converges", format!("they have applied as far as {ends:?}"));
        }
        let mut first = None;
        for (id, replica) in replicas {
            self.keeps_its_word(at, *id, replica);
            let history = match replica.audit(0, AUDIT_MAX) {
                Ok(history) => history,
                Err(error) => {
                    self.violated(at, "AuditChain", format!("coordinator {id}: {error}"));
                    continue;
                }
            };
            if let Err(error) = mesh_proto::verify_chain(history.iter().cloned()) {
                self.violated(at, "AuditChain", format!("coordinator {id}: {error}"));
            }
            match &first {
                None => first = Some(history),
                Some(first) if *first != history => {
                    self.violated(at, "ReplicaAgreement", format!("coordinator {id} has another history"));
                }
                Some(_) => {}
            }
        }
        for record in first.unwrap_or_default() {
            self.trace.line(at, format!("commit {} at {} {}", record.index, record.at, hex(&record.hash)));
            self.count("committed");
        }
    }

    fn keeps_its_word(&mut self, at: Duration, id: u64, replica: &Consensus) {
        let versions = replica.with_fleet(|fleet| {
            let version = |service: &String| {
                let id = ServiceId::new(service.clone()).ok()?;
                fleet.services.get(&id).map(|service| service.version)
            };
            self.promised.keys().map(|service| (service.clone(), version(service).unwrap_or_default())).collect()
        });
        let versions: BTreeMap<String, u64> = versions;
        for (service, promised) in self.promised.clone() {
            if versions[&service] < promised {
                let found = versions[&service];
                let text = format!("{service} was told to have version {promised}, coordinator {id} has {found}");
                self.violated(at, "DurableAck", text);
            }
        }
        for run in self.started.clone() {
            let known = RunId::new(run.clone()).is_ok_and(|run| {
                let retired = || replica.store().retired_run(&run).is_ok_and(|run| run.is_some());
                replica.with_fleet(|fleet| fleet.runs.contains_key(&run)) || retired()
            });
            if !known {
                self.violated(at, "DurableAck", format!("run {run} was told to have begun, coordinator {id} has none"));
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
