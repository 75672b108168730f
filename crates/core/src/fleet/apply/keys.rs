//! Enrolled approval keys and the two-person rule (invariant TwoPerson).

use std::collections::BTreeSet;

use super::{Change, KEYS_MAX, Outcome, conflict, invalid, not_found, precondition, refuse};
use crate::access;
use crate::fleet::{EnrolledKey, Entity, Fleet, Refusal, RefusalCode, Reply};
use crate::ids::KeyId;
use crate::run::Approval;

impl Fleet {
    pub(super) fn enroll_key(
        &mut self,
        id: &KeyId,
        owner: &str,
        public_key: &[u8],
        approvals: &[Approval],
        by: &str,
    ) -> Outcome {
        if public_key.len() != 32 {
            return Err(invalid(format!("an Ed25519 public key has 32 bytes, this one {}", public_key.len())));
        }
        if owner.is_empty() {
            return Err(invalid("a key needs an owner"));
        }
        if let Some(known) = self.keys.get(id) {
            if known.public_key == public_key && known.owner == owner {
                let text = format!("key {id} is enrolled already");
                return Ok(Change { reply: Reply::Ok, touched: Vec::new(), text });
            }
            return Err(conflict(format!("key {id} is enrolled with another owner or public key")));
        }
        if let Some((other, _)) = self.keys.iter().find(|(_, key)| key.public_key == public_key) {
            return Err(conflict(format!("this public key is enrolled already, as {other}")));
        }
        if self.keys.len() >= KEYS_MAX {
            return Err(precondition(format!("a mesh keeps at most {KEYS_MAX} keys")));
        }
        let hex: String = public_key.iter().map(|byte| format!("{byte:02x}")).collect();
        self.require_two(&access::enroll_subject(id, owner, &hex), approvals)?;
        let key = EnrolledKey {
            owner: owner.to_owned(),
            public_key: public_key.to_vec(),
            enrolled_by: by.to_owned(),
            enrolled_at: self.now,
        };
        self.keys.insert(id.clone(), key);
        Ok(Change {
            reply: Reply::Ok,
            touched: vec![Entity::Key(id.clone())],
            text: format!("key {id} of {owner} enrolled"),
        })
    }

    pub(super) fn revoke_key(&mut self, id: &KeyId, approvals: &[Approval]) -> Outcome {
        if !self.keys.contains_key(id) {
            return Err(not_found(format!("no key {id}: `meshctl keys list`")));
        }
        self.require_two(&access::revoke_subject(id), approvals)?;
        self.keys.remove(id);
        let mut touched = vec![Entity::Key(id.clone())];
        touched.extend(self.withdraw_consents(id));
        touched.extend(self.withdraw_releases(id));
        Ok(Change { reply: Reply::Ok, touched, text: format!("key {id} revoked") })
    }

    /// What a key approved before it was revoked, perhaps because it was stolen, counts for nothing that is to come.
    fn withdraw_consents(&mut self, key: &KeyId) -> Vec<Entity> {
        let mut touched = Vec::new();
        for run in self.runs.values_mut().filter(|run| !run.state.is_terminal()) {
            let before = run.approvals.len();
            run.approvals.retain(|approval| approval.key != *key);
            if run.approvals.len() < before {
                touched.push(Entity::Run(run.id.clone()));
            }
        }
        touched
    }

    /// As long as nothing was done that it released.
    fn withdraw_releases(&mut self, key: &KeyId) -> Vec<Entity> {
        let by_key = |run: &&mut crate::run::Run| run.released.as_ref().is_some_and(|known| known.keys.contains(key));
        let mut held = Vec::new();
        for run in self.runs.values_mut().filter(|run| !run.state.is_terminal()).filter(by_key) {
            let released = run.released.take();
            let begun = run.plan.steps.iter().filter(|step| run.awaits_release(step)).any(|step| {
                run.steps.get(&step.id).is_some_and(|work| work.forward.state != crate::run::WorkState::Waiting)
            });
            if begun {
                run.released = released;
            } else {
                held.push(run.id.clone());
            }
        }
        held.iter().flat_map(|id| self.settle(id)).collect()
    }

    pub(super) fn note_membership(&mut self, text: &str, approvals: &[Approval]) -> Outcome {
        self.require_two(&access::membership_subject(text), approvals)?;
        Ok(Change { reply: Reply::Ok, touched: Vec::new(), text: format!("membership: {text}") })
    }

    /// Two owners have signed exactly this, unless there are not yet two owners to sign it: with two keys of one person
    /// nobody could ever add a second.
    fn require_two(&self, subject: &str, approvals: &[Approval]) -> Result<(), Refusal> {
        let owners: BTreeSet<&str> = self.keys.values().map(|key| key.owner.as_str()).collect();
        if owners.len() < access::OWNERS_BEFORE_TWO_PERSON {
            return Ok(());
        }
        let mut owners = BTreeSet::new();
        for approval in approvals.iter().filter(|approval| approval.subject == subject) {
            owners.insert(self.check_approval(approval)?);
        }
        if owners.len() >= access::APPROVALS_NEEDED {
            return Ok(());
        }
        Err(refuse(
            RefusalCode::NeedsApproval,
            format!(
                "needs approvals of {} owners for {subject:?}, has {}: `meshctl approval sign`",
                access::APPROVALS_NEEDED,
                owners.len()
            ),
        ))
    }
}
