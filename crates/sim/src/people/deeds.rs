//! What people do at what they see: some of it helps, some of it is wrong, and some is done by those who may not.

use mesh_core::access;
use mesh_core::fleet::Command;
use mesh_core::ids::{RegionId, ServiceId};
use mesh_core::run::{Approval, Need, Run, RunState};
use mesh_core::time::Timestamp;

use super::{Deed, PEOPLE, key, later};
use crate::world::World;

const STATUS: &str = "/mesh.v1.Operator/GetStatus";
const START: &str = "/mesh.v1.Operator/StartRun";
const CONTROL: &str = "/mesh.v1.Operator/ControlRun";
const APPROVE: &str = "/mesh.v1.Operator/Approve";
const ENROLL: &str = "/mesh.v1.Operator/EnrollKey";
const REVOKE: &str = "/mesh.v1.Operator/RevokeKey";
const MEMBERS: &str = "/mesh.v1.Operator/ChangeMembership";
const FREEZE: &str = "/mesh.v1.Operator/Freeze";
const UNFREEZE: &str = "/mesh.v1.Operator/Unfreeze";
const ACKNOWLEDGE: &str = "/mesh.v1.Operator/Acknowledge";
/// What nobody may call, or not those who try.
const ABUSED: [&str; 5] =
    ["/mesh.v1.Operator/Unheard", "/mesh.v1.Raft/Append", "/mesh.v1.AgentSession/Open", ENROLL, "/mesh.v1.Pki/Renew"];

const ANN: usize = 0;
const BOB: usize = 1;
const CYD: usize = 2;
const VIC: usize = 3;
const MAL: usize = 4;

type Asked = (usize, &'static str, Deed);

impl World {
    /// The last faults are over.
    pub fn heals(&self) -> bool {
        self.now >= self.healing_from()
    }

    pub fn some_deed(&mut self, node: usize) -> Option<Asked> {
        let services = self.names.services.len();
        let service = if self.rng.per_mille(600) { 0 } else { self.rng.index(services) };
        let service = self.names.services[service].clone();
        let fleet = &self.nodes[node].fleet;
        let run = fleet.services[&service].current_run.as_ref().and_then(|run| fleet.runs.get(run)).cloned();
        let frozen = fleet.frozen(&service, fleet.now).is_some();
        if self.heals() {
            return self.mend(node);
        }
        if frozen && self.rng.per_mille(400) {
            return Some((ANN, UNFREEZE, commit(Command::Unfreeze { service: Some(service), by: by(ANN) })));
        }
        match run {
            Some(run) => self.about_run(node, &run),
            None => self.about_service(node, service),
        }
    }

    /// Whatever stands still because of people goes on.
    fn mend(&mut self, node: usize) -> Option<Asked> {
        let fleet = &self.nodes[node].fleet;
        let stuck = |run: &&Run| run.paused.is_some() || matches!(run.state, RunState::Held { .. });
        let run = crate::coordinator::running(fleet).find(stuck).cloned();
        let frozen = self.names.services.iter().find(|service| fleet.frozen(service, fleet.now).is_some()).cloned();
        match (run, frozen) {
            (Some(run), _) if run.paused.is_some() => Some((ANN, CONTROL, commit(resume(&run)))),
            (Some(run), _) => self.about_run(node, &run),
            (None, Some(service)) => {
                Some((BOB, UNFREEZE, commit(Command::Unfreeze { service: Some(service), by: by(BOB) })))
            }
            (None, None) => Some((VIC, STATUS, Deed::Read { stale: false })),
        }
    }

    fn about_run(&mut self, node: usize, run: &Run) -> Option<Asked> {
        if run.paused.is_some() {
            return Some((ANN, CONTROL, commit(resume(run))));
        }
        let draw = self.rng.below(100);
        let abort = || Command::Abort { run: run.id.clone(), by: by(BOB), reason: "a person says so".to_owned() };
        let retry = || Command::Retry { run: run.id.clone(), by: by(ANN) };
        let pause = || Command::Pause { run: run.id.clone(), by: by(ANN) };
        match &run.state {
            RunState::Held { need: Need::Consent { .. }, .. } => match draw {
                0..60 => Some(self.approval(node, run, "accept-loss")),
                60..80 => Some((ANN, CONTROL, commit(retry()))),
                _ => Some((BOB, CONTROL, commit(abort()))),
            },
            RunState::Held { need: Need::Approval { .. }, .. } => match draw {
                0..75 => Some(self.approval(node, run, "proceed")),
                _ => Some((BOB, CONTROL, commit(abort()))),
            },
            RunState::Held { need: Need::Decision { step }, .. } => match draw {
                0..45 if !self.heals() => Some((ANN, CONTROL, commit(retry()))),
                0..70 => {
                    let subject = access::skip_subject(&run.id, step, &run.plan_hash);
                    Some(self.signed_approval(node, run, subject))
                }
                _ => Some((BOB, CONTROL, commit(abort()))),
            },
            _ => match draw {
                0..35 => Some((ANN, CONTROL, commit(pause()))),
                35..45 => Some((BOB, CONTROL, commit(abort()))),
                45..60 => Some(self.freeze(node, &run.plan.service.clone())),
                60..70 => Some(self.approval(node, run, "accept-loss")),
                70..80 => Some(self.movement(node, run.plan.service.clone())),
                _ => Some(self.read()),
            },
        }
    }

    /// Something is to be called: what stands still goes on, or the first service is moved, if there is anybody.
    pub fn people_see_to_it(&mut self) {
        let up = self.leader().or_else(|| (0..self.nodes.len()).find(|node| self.nodes[*node].runs()));
        let Some(node) = up.filter(|_| self.set.mix.people.is_some()) else { return };
        let (fleet, service) = (&self.nodes[node].fleet, self.names.service.clone());
        if fleet.frozen(&service, fleet.now).is_some() {
            let all = [None, Some(service.clone())];
            for service in all {
                self.ask(ANN, UNFREEZE, commit(Command::Unfreeze { service, by: by(ANN) }), node);
            }
        }
        let fleet = &self.nodes[node].fleet;
        let run = fleet.services[&service].current_run.as_ref().and_then(|run| fleet.runs.get(run));
        let (person, path, deed) = match run {
            Some(run) if run.paused.is_some() => (ANN, CONTROL, commit(resume(run))),
            // Not always the same: what was tried in vain once may be in vain for ever.
            Some(run @ Run { state: RunState::Held { .. }, .. }) => {
                let run = run.clone();
                let Some(asked) = self.about_run(node, &run) else { return };
                asked
            }
            Some(_) => return,
            None => self.movement(node, service),
        };
        self.ask(person, path, deed, node);
    }

    pub fn ask_as_viewer(&mut self, node: usize) {
        self.ask(VIC, STATUS, Deed::Read { stale: false }, node);
    }

    fn about_service(&mut self, node: usize, service: ServiceId) -> Option<Asked> {
        match self.rng.below(100) {
            0..30 => Some(self.movement(node, service)),
            30..38 => Some(self.freeze(node, &service)),
            38..48 => {
                let command = Command::Acknowledge { service, by: by(ANN) };
                Some((ANN, ACKNOWLEDGE, commit(command)))
            }
            48..56 => Some(self.key_change(node)),
            56..60 => Some(self.membership(node)),
            60..66 => {
                let path = self.rng.pick(&ABUSED);
                Some((self.rng.pick(&[VIC, CYD, MAL]), path, Deed::Abuse))
            }
            _ => Some(self.read()),
        }
    }

    fn read(&mut self) -> Asked {
        let stale = self.rng.per_mille(300);
        (VIC, STATUS, Deed::Read { stale })
    }

    fn freeze(&mut self, node: usize, service: &ServiceId) -> Asked {
        let lasts = self.rng.between(5, 60);
        let until = later(&self.nodes[node].fleet, lasts);
        let all = self.rng.per_mille(200);
        let service = (!all).then(|| service.clone());
        (ANN, FREEZE, commit(Command::Freeze { service, until, by: by(ANN), reason: "a release".to_owned() }))
    }

    fn movement(&mut self, node: usize, service: ServiceId) -> Asked {
        let fleet = &self.nodes[node].fleet;
        let active = self.names.region(&fleet.services[&service].active);
        let other = (active + 1 + self.rng.index(self.set.workloads - 1)) % self.set.workloads;
        let is_first = service == self.names.service;
        // A former primary is no target before it has been made a replica again.
        let rejoin = is_first && self.cloud.servers[other].primary;
        let overridden = self.set.mix.ruled && is_first && self.rng.per_mille(500);
        let approvals = if overridden { self.signatures(node, "") } else { Vec::new() };
        let despite = self.rng.per_mille(200);
        let to: RegionId = self.names.regions[other].clone();
        (ANN, START, Deed::Move { service, to, rejoin, approvals, despite })
    }

    fn approval(&mut self, node: usize, run: &Run, word: &str) -> Asked {
        let bound = if self.rng.per_mille(150) { "at-most-1ms".to_owned() } else { run.loss.bound() };
        let hash = match self.rng.per_mille(100) {
            true => mesh_core::ids::Hash32([9; 32]),
            false => run.plan_hash,
        };
        self.signed_approval(node, run, format!("{word} {} {hash} {bound}", run.id))
    }

    fn signed_approval(&mut self, node: usize, run: &Run, subject: String) -> Asked {
        let person = self.rng.pick(&[ANN, ANN, BOB, CYD, MAL]);
        let approval = self.approval_of(node, person, subject);
        let command = Command::Approve { run: run.id.clone(), approval, by: by(person) };
        (person, APPROVE, commit(command))
    }

    /// By a key of theirs, or by one that they say is another's.
    fn approval_of(&mut self, node: usize, person: usize, subject: String) -> Approval {
        let lasts = self.rng.pick(&[3, 60, 600]);
        let expires_at = later(&self.nodes[node].fleet, lasts);
        let own = self.rng.pick(PEOPLE[person].keys);
        let name = if person == MAL { self.rng.pick(&["ann-1", "bob-1", "mal-1"]) } else { own };
        signed(name, subject, expires_at, person)
    }

    /// Mostly of two people; sometimes of one, or of one with two keys.
    fn signatures(&mut self, node: usize, subject: &str) -> Vec<Approval> {
        let signers: &[(usize, &str)] = match self.rng.below(10) {
            0 => &[(ANN, "ann-1")],
            1 | 2 => &[(ANN, "ann-1"), (ANN, "ann-2")],
            3 => &[(ANN, "ann-1"), (MAL, "bob-1")],
            _ => &[(ANN, "ann-1"), (BOB, "bob-1")],
        };
        let lasts = self.rng.pick(&[1, 60, 600]);
        let until = later(&self.nodes[node].fleet, lasts);
        signers.iter().map(|(person, key)| signed(key, subject.to_owned(), until, *person)).collect()
    }

    fn key_change(&mut self, node: usize) -> Asked {
        let fleet = &self.nodes[node].fleet;
        let extra = key("eve-1");
        if fleet.keys.contains_key(&extra) {
            let approvals = self.signatures(node, &access::revoke_subject(&extra));
            return (BOB, REVOKE, commit(Command::RevokeKey { key: extra, approvals, by: by(BOB) }));
        }
        let public_key = vec![77; 32];
        let hex: String = public_key.iter().map(|byte| format!("{byte:02x}")).collect();
        let approvals = self.signatures(node, &access::enroll_subject(&extra, "eve", &hex));
        let command = Command::EnrollKey { key: extra, owner: "eve".to_owned(), public_key, approvals, by: by(BOB) };
        (BOB, ENROLL, commit(command))
    }

    fn membership(&mut self, node: usize) -> Asked {
        let text = "remove 9".to_owned();
        let approvals = self.signatures(node, &access::membership_subject(&text));
        (ANN, MEMBERS, commit(Command::NoteMembership { text, approvals, by: by(ANN) }))
    }
}

fn by(person: usize) -> String {
    PEOPLE[person].name.to_owned()
}

fn commit(command: Command) -> Deed {
    Deed::Commit(Box::new(command))
}

fn resume(run: &Run) -> Command {
    Command::Resume { run: run.id.clone(), by: by(ANN) }
}

/// What stands for a signature: who made it, and a sum of what it covers.
pub fn signed(key_name: &str, subject: String, expires_at: Timestamp, signer: usize) -> Approval {
    let mut signature = vec![u8::try_from(signer).unwrap_or(u8::MAX)];
    signature.extend(sum(&subject, expires_at).to_le_bytes());
    Approval { key: key(key_name), subject, expires_at, signature, at: Timestamp::default() }
}

pub fn signer(approval: &Approval) -> usize {
    approval.signature.first().map_or(usize::MAX, |signer| usize::from(*signer))
}

pub fn covers(approval: &Approval) -> bool {
    approval.signature.get(1..) == Some(sum(&approval.subject, approval.expires_at).to_le_bytes().as_slice())
}

fn sum(subject: &str, expires_at: Timestamp) -> u64 {
    let mixed = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    subject.bytes().fold(0xcbf2_9ce4_8422_2325 ^ expires_at.as_millis(), mixed)
}
