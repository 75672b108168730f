use std::collections::{BTreeMap, VecDeque};

use super::item::{ItemKey, Schema, Stored};
use super::{TableKey, value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Creating,
    Updating,
    Deleting,
    Active,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Updating => "UPDATING",
            Self::Deleting => "DELETING",
            Self::Active => "ACTIVE",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Billing {
    OnDemand,
    Provisioned { reads: i64, writes: i64 },
}

/// A write on its way to another replica.
#[derive(Clone, Debug)]
pub struct Change {
    pub key: ItemKey,
    pub stored: Stored,
}

/// What a table knows of another replica of the same global table.
#[derive(Clone, Debug)]
pub struct Peer {
    pub status: Status,
    /// Not there yet, in the order of writing. It waits for as long as either end is gone.
    pub outbox: VecDeque<Change>,
    /// The longest way of those that arrived since the last sample.
    pub slowest_ms: Option<u64>,
}

impl Peer {
    pub fn new(status: Status) -> Self {
        Self { status, outbox: VecDeque::new(), slowest_ms: None }
    }
}

/// A table of one region, which may be a replica of a global one.
#[derive(Clone, Debug)]
pub struct Table {
    pub key: TableKey,
    pub id: String,
    pub schema: Schema,
    pub billing: Billing,
    pub status: Status,
    pub created_ms: u64,
    /// With new and old images, where there is one: global tables replicate by it.
    pub stream: Option<String>,
    /// The other replicas, by region.
    pub peers: BTreeMap<String, Peer>,
    /// Deleted items stay as marks of when, so that an older write that arrives late does not bring them back.
    pub items: BTreeMap<ItemKey, Stored>,
    pub count: Count,
    /// When it was last the source of a new replica.
    pub sourced_ms: Option<u64>,
}

/// `ItemCount` and `TableSizeBytes`, as of the last counting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub period: u64,
    pub items: usize,
    pub bytes: usize,
}

impl Table {
    pub fn is_global(&self) -> bool {
        !self.peers.is_empty()
    }

    pub fn live(&self) -> impl Iterator<Item = (&ItemKey, &value::Item)> {
        self.items.iter().filter_map(|(key, stored)| Some((key, stored.item.as_ref()?)))
    }

    pub fn get(&self, key: &ItemKey) -> Option<&value::Item> {
        self.items.get(key).and_then(|stored| stored.item.as_ref())
    }

    /// Counts what there is if that is due: to be called before anything changes, as the count is one of its period's
    /// beginning.
    pub fn count(&mut self, now_ms: u64, every_ms: u64) {
        let period = now_ms / every_ms.max(1);
        if period != self.count.period {
            let items = self.live().count();
            let bytes = self.live().map(|(_, item)| value::size(item)).sum();
            self.count = Count { period, items, bytes };
        }
    }
}
