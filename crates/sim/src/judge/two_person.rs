//! TwoPerson: data loss, overrides, keys and membership need the signatures of two people, each by a key that was enrolled
//! for its owner, over exactly this, and not expired.

use std::collections::{BTreeMap, BTreeSet};

use mesh_core::fleet::{AuthorityState, Command};
use mesh_core::ids::{KeyId, RunId};
use mesh_core::plan::PredictedLoss;
use mesh_core::run::{Approval, Run, WorkState};
use mesh_core::time::Timestamp;

use crate::event::Log;
use crate::people::{PEOPLE, deeds};
use crate::world::World;

#[derive(Default)]
pub struct Ring {
    /// Owners of the keys that are enrolled.
    keys: BTreeMap<KeyId, String>,
    approvals: BTreeMap<RunId, Vec<Approval>>,
    released: BTreeSet<RunId>,
    consented: BTreeSet<RunId>,
}

impl Ring {
    pub fn of(log: &Log) -> Self {
        let mut ring = Self::default();
        for entry in log.iter() {
            if let Some(Command::EnrollKey { key, owner, .. }) = &entry.command {
                ring.keys.insert(key.clone(), owner.clone());
            }
        }
        ring
    }

    /// Who really signed, if it counts at this time.
    fn signer(&self, approval: &Approval, at: Timestamp) -> Option<&'static str> {
        let person = PEOPLE.get(deeds::signer(approval))?;
        let theirs = person.keys.contains(&approval.key.as_str());
        let enrolled = self.keys.contains_key(&approval.key);
        (theirs && enrolled && deeds::covers(approval) && approval.expires_at > at).then_some(person.name)
    }

    fn people(&self, approvals: &[Approval], at: Timestamp, counts: impl Fn(&str) -> bool) -> usize {
        let counted = approvals.iter().filter(|approval| counts(&approval.subject));
        counted.filter_map(|approval| self.signer(approval, at)).collect::<BTreeSet<_>>().len()
    }

    fn owners(&self) -> usize {
        self.keys.values().collect::<BTreeSet<_>>().len()
    }
}

impl World {
    /// After the command was accepted.
    pub fn judge_two_person(&mut self, command: &Command, at: Timestamp) {
        match command {
            Command::EnrollKey { key, owner, public_key, approvals, .. } => {
                let hex: String = public_key.iter().map(|byte| format!("{byte:02x}")).collect();
                let known = self.judge.ring.keys.contains_key(key);
                if !known {
                    self.needs_two(approvals, &format!("enroll-key {key} {owner} {hex}"), at);
                }
                self.judge.ring.keys.insert(key.clone(), owner.clone());
            }
            Command::RevokeKey { key, approvals, .. } => {
                self.needs_two(approvals, &format!("revoke-key {key}"), at);
                self.judge.ring.keys.remove(key);
            }
            Command::NoteMembership { text, approvals, .. } => {
                self.needs_two(approvals, &format!("membership {text}"), at);
            }
            Command::StartRun { plan_hash, approvals, plan, .. } => {
                let run = self.judge.fleet.runs.values().find(|run| run.plan_hash == *plan_hash);
                for rule in run.map(|run| run.overrides.clone()).unwrap_or_default() {
                    self.reached("a safety rule was overridden");
                    self.needs_two(approvals, &format!("override-rule {rule} {} {plan_hash}", plan.service), at);
                }
            }
            Command::Approve { run, approval, .. } => {
                if self.judge.ring.signer(approval, at).is_none() {
                    let text =
                        format!("{} of {run} was taken from {}, who did not sign it", approval.subject, approval.key);
                    self.violated("TwoPerson", text);
                }
                self.judge.ring.approvals.entry(run.clone()).or_default().push(approval.clone());
                self.judge_skipped(run, at);
            }
            _ => {}
        }
        self.judge_consents(at);
    }

    fn needs_two(&mut self, approvals: &[Approval], subject: &str, at: Timestamp) {
        if self.judge.ring.owners() < 2 {
            return;
        }
        self.reached("two people decided");
        let people = self.judge.ring.people(approvals, at, |of| of == subject);
        if people < 2 {
            self.violated("TwoPerson", format!("{people} people signed {subject:?}"));
        }
    }

    fn judge_skipped(&mut self, id: &RunId, at: Timestamp) {
        let Some(run) = self.judge.fleet.runs.get(id) else { return };
        let left = |reason: &str| reason.starts_with("left as it is");
        let skipped = run.steps.iter().filter(|(_, step)| {
            matches!(&step.forward.state, WorkState::Skipped { reason } if left(reason))
                && step.forward.ended_at == Some(at)
        });
        let steps: Vec<String> = skipped.map(|(step, _)| format!("skip-step {id} {step} {}", run.plan_hash)).collect();
        let approvals = self.judge.ring.approvals.get(id).cloned().unwrap_or_default();
        for subject in steps {
            self.needs_two(&approvals, &subject, at);
        }
    }

    /// A region that counts as closed because people say so; a run of mode `fence` that goes on.
    fn judge_consents(&mut self, at: Timestamp) {
        let mut wrong = Vec::new();
        let (fleet, ring) = (&self.judge.fleet, &self.judge.ring);
        let (mut released, mut consented) = (Vec::new(), Vec::new());
        for service in fleet.services.values() {
            for authority in service.authority.values() {
                if let AuthorityState::ClosedByConsent { run, .. } = &authority.state
                    && !ring.consented.contains(run)
                    && let Some(run) = fleet.runs.get(run)
                {
                    consented.push(run.id.clone());
                    if self.in_favour(run, "accept-loss", at) < 2 {
                        wrong.push(format!("{} counts as closed by consent of too few", run.plan.from));
                    }
                }
            }
            let run = service.current_run.as_ref().and_then(|run| fleet.runs.get(run));
            if let Some(run) = run.filter(|run| run.released.is_some() && !ring.released.contains(&run.id)) {
                released.push(run.id.clone());
                if self.in_favour(run, "proceed", at) < 1 && self.in_favour(run, "accept-loss", at) < 2 {
                    wrong.push(format!("{} goes on, and nobody has approved it", run.id));
                }
            }
        }
        for run in released {
            self.reached("people let a run go on");
            self.judge.ring.released.insert(run);
        }
        for run in consented {
            self.reached("people accepted a loss");
            self.judge.ring.consented.insert(run);
        }
        wrong.into_iter().for_each(|text| self.violated("TwoPerson", text));
    }

    /// People who signed this for this run, this plan, and at least this loss.
    fn in_favour(&self, run: &Run, word: &str, at: Timestamp) -> usize {
        let Some(approvals) = self.judge.ring.approvals.get(&run.id) else { return 0 };
        let head = format!("{word} {} {} ", run.id, run.plan_hash);
        let expected = match &run.loss {
            PredictedLoss::Nothing => Some(0),
            PredictedLoss::Lag { lag, age, .. } => Some((*lag + *age).as_millis()),
            PredictedLoss::Unknown => None,
        };
        let covered = |bound: &str| match (bound, expected) {
            ("unknown", _) | ("nothing", Some(0)) => true,
            (bound, Some(expected)) => {
                let most = bound.strip_prefix("at-most-").and_then(|most| most.strip_suffix("ms"));
                most.and_then(|most| most.parse::<u128>().ok()).is_some_and(|most| expected <= most)
            }
            (_, None) => false,
        };
        self.judge.ring.people(approvals, at, |of| of.strip_prefix(&head).is_some_and(covered))
    }
}
