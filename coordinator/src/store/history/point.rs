//! A place between two segments of the history.

use mesh_core::ids::Hash32;
use mesh_proto::{ChainHead, v1};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Whole segments before it.
    pub segments: u64,
    /// Audit records in them.
    pub records: u64,
    /// Of the last of these; 0 without any.
    pub index: u64,
    pub hash: Hash32,
}

impl Default for Point {
    fn default() -> Self {
        let ChainHead { records, index, hash } = ChainHead::default();
        Self { segments: 0, records, index, hash }
    }
}

impl Point {
    /// The chain up to here.
    pub fn head(&self) -> ChainHead {
        ChainHead { records: self.records, index: self.index, hash: self.hash }
    }

    /// After one more segment, which ends with `head`.
    pub fn next(&self, head: &ChainHead) -> Self {
        let ChainHead { records, index, hash } = *head;
        Self { segments: self.segments + 1, records, index, hash }
    }
}

impl From<Point> for v1::ChainPoint {
    fn from(point: Point) -> Self {
        Self { segments: point.segments, records: point.records, index: point.index, hash: point.hash.0.to_vec() }
    }
}

impl TryFrom<v1::ChainPoint> for Point {
    type Error = String;

    fn try_from(point: v1::ChainPoint) -> Result<Self, String> {
        let hash = point.hash.as_slice().try_into().map_err(|_| "a hash has not 32 bytes".to_owned())?;
        Ok(Self { segments: point.segments, records: point.records, index: point.index, hash: Hash32(hash) })
    }
}
