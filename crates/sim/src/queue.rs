//! What is on its way, by time. What happens in the same microsecond happens in the order of what it is (so that the order
//! does not depend on when it was caused), and then in the order in which it was caused.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::Micros;
use crate::event::Event;

#[derive(Default)]
pub struct Queue {
    heap: BinaryHeap<Key>,
    slots: Vec<Option<Item>>,
    free: Vec<u32>,
    order: u32,
}

pub struct Item {
    pub at: Micros,
    /// When it was to happen; what is asked of a process that stands still happens later.
    pub due: Micros,
    pub code: u64,
    pub event: Event,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    at: Micros,
    code: u64,
    order: u32,
    slot: u32,
}

impl Queue {
    pub fn push(&mut self, at: Micros, due: Micros, event: Event) {
        self.order = self.order.wrapping_add(1);
        let code = event.code();
        let item = Some(Item { at, due, code, event });
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = item;
                slot
            }
            None => {
                self.slots.push(item);
                u32::try_from(self.slots.len() - 1).expect("fewer events than that")
            }
        };
        self.heap.push(Key { at, code, order: self.order, slot });
    }

    /// The next, if it is due by then.
    pub fn pop(&mut self, until: Micros) -> Option<Item> {
        if self.heap.peek()?.at > until {
            return None;
        }
        let Key { slot, .. } = self.heap.pop()?;
        self.free.push(slot);
        self.slots[slot as usize].take()
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    /// The earliest is the greatest, as a heap wants it.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.code, other.order).cmp(&(self.at, self.code, self.order))
    }
}
