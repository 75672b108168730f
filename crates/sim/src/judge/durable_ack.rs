//! DurableAck and ReplicaAgreement: what one node calls committed is what every node calls committed there.

use std::rc::Rc;

use crate::event::Entry;
use crate::world::World;

impl World {
    /// True if the entry is the next that anybody commits.
    pub fn agrees_with_committed(&mut self, node: usize, index: usize, entry: &Rc<Entry>) -> bool {
        match self.judge.committed.get(index) {
            Some(known) if Rc::ptr_eq(known, entry) => false,
            Some(_) => {
                self.violated("DurableAck", format!("node {node} applies another entry {index} than was committed"));
                false
            }
            None if index == self.judge.committed.len() => true,
            None => {
                self.violated("DurableAck", format!("node {node} applies entry {index} before those that precede it"));
                false
            }
        }
    }
}
