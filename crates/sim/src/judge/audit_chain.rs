//! AuditChain: each coordinator's audit has one record for each command that was committed, refused ones too; it reaches
//! what was exported before; and an export that somebody has edited, cut, or taken a record out of is found out.

use std::rc::Rc;

use mesh_core::fleet::Applied;
use mesh_proto::ChainHead;
use mesh_proto::v1::AuditRecord;

use crate::audit::Audit;
use crate::event::Entry;
use crate::world::World;

/// Of seeds without a planted bug, one in so many verifies a whole chain.
const VERIFIED: u64 = 4;

#[derive(Default)]
pub struct Chain {
    /// What every replica must have.
    pub canon: Audit,
    /// A head that somebody took away while all went on.
    exported: Option<ChainHead>,
}

impl World {
    /// A replica has applied a command: its audit grows.
    pub fn audit_applied(&mut self, node: usize, index: usize, entry: &Rc<Entry>, applied: &Applied) {
        let Some(command) = &entry.command else { return };
        self.nodes[node].audited_commands += 1;
        if !self.audited(applied) {
            return;
        }
        let at = self.nodes[node].audit.records.len();
        let known = self.judge.chain.canon.records.get(at).cloned();
        self.nodes[node].audit.append(index + 1, entry.at, command, applied, known.as_ref());
        if self.judge.chain.exported.is_none() && at > 3 {
            self.judge.chain.exported = Some(self.nodes[node].audit.head);
        }
    }

    pub fn judge_audits(&mut self) {
        if self.plant.is_none() && self.rng.below(VERIFIED) != 0 {
            return;
        }
        for node in 0..self.nodes.len() {
            let (has, applied) = (self.nodes[node].audit.records.len(), self.nodes[node].audited_commands);
            if has != applied {
                self.violated("AuditChain", format!("node {node} has {has} records of {applied} commands"));
            }
        }
        let Some(known) = self.judge.chain.exported else { return };
        let Some(node) = self.leader() else { return };
        let genuine: Vec<AuditRecord> =
            self.nodes[node].audit.records.iter().map(|record| (**record).clone()).collect();
        if self.verified_audit(&known, &genuine).is_none() {
            self.violated("AuditChain", format!("the audit of node {node} does not verify"));
        }
        let (altered, what) = self.altered(genuine, &known);
        self.reached("an audit was tampered with");
        if self.verified_audit(&known, &altered).is_some() {
            self.violated("AuditChain", format!("an audit with {what} passes for whole"));
        }
    }

    fn altered(&mut self, mut records: Vec<AuditRecord>, known: &ChainHead) -> (Vec<AuditRecord>, &'static str) {
        let below = usize::try_from(known.records).unwrap_or(records.len()).min(records.len());
        let at = self.rng.index(below);
        let what = match self.rng.below(4) {
            0 => {
                records[at].text.push('!');
                "an edit"
            }
            1 => {
                records.remove(at);
                "a record dropped"
            }
            2 if at > 0 => {
                records.swap(at, at - 1);
                "two records swapped"
            }
            _ => {
                records.truncate(at);
                "its end cut off"
            }
        };
        (records, what)
    }
}
