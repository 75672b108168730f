//! ReplicaAgreement: what an entry does on one replica it does on every replica, and at the end their states are equal.

use mesh_core::fleet::{Applied, Fleet};

use crate::people::digest_of;
use crate::world::World;

/// By index: what was noted of the entry, and the state after it.
#[derive(Default)]
pub struct Results(Vec<(u64, u64)>);

impl Results {
    pub fn after(founding: usize) -> Self {
        Self(vec![(0, 0); founding])
    }

    pub fn add(&mut self, applied: Option<&Applied>, fleet: &Fleet) {
        self.0.push((sum(applied), digest_of(fleet)));
    }

    pub fn digest(&self, index: usize) -> Option<u64> {
        self.0.get(index.checked_sub(1)?).map(|(_, digest)| *digest)
    }
}

impl World {
    pub fn judge_applied(&mut self, node: usize, index: usize, applied: Option<&Applied>) {
        let Some(known) = self.judge.results.0.get(index).copied() else { return };
        let own = (sum(applied), self.digest(node));
        if own != known {
            let text = format!("node {node} makes of entry {index} something else than others do");
            self.violated("ReplicaAgreement", text);
        }
    }

    pub fn judge_states(&mut self) {
        for node in 0..self.nodes.len() {
            let it = &self.nodes[node];
            if it.alive && it.applied == self.judge.committed.len() && it.fleet != self.judge.fleet {
                self.violated("ReplicaAgreement", format!("the state of node {node} is another one at the end"));
            }
        }
    }
}

fn sum(applied: Option<&Applied>) -> u64 {
    let Some(applied) = applied else { return 0 };
    let mixed = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let note = &applied.note;
    let text = note.kind.bytes().chain(note.text.bytes()).fold(0xcbf2_9ce4_8422_2325, mixed);
    text ^ u64::from(note.refused) << 63
}
