//! The history that has left the state: sealed segments, `history/<number>.seg`.
//!
//! The audit chain and the ended runs grow for ever; the state, its snapshots and the time to start must not. So the
//! chain is cut into segments by what is in it ([`Cut`]), never by when a node takes a snapshot: the same records make
//! the same files on every coordinator. A snapshot holds only what follows the last segment, and says where that is
//! ([`Point`]). A node that lacks a segment, or finds one damaged, takes it from another coordinator: each segment's
//! end is the beginning of the next, up to a point that the state vouches for.
//!
//! At start only the headers are read. A segment is verified as a whole each time it is read, and once in the
//! background after a start; a damaged one is never served.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use mesh_core::ids::{RunId, ServiceId};
use mesh_proto::{ChainHead, v1};
use prost::Message;

use super::StoreError;
use super::snapshot::sync_dir;
pub use point::Point;
use segment::Segment;

mod point;
pub mod segment;

/// Where a segment ends: with the command that fills it. Part of the format: all coordinators cut alike.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    pub records: u64,
    pub bytes: u64,
}

/// About a hundred runs of a runbook's size; read and verified in well under a second.
pub const CUT: Cut = Cut { records: 4_096, bytes: 16 * 1024 * 1024 };

/// An audit record, and the runs that its command retired.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub audit: v1::AuditRecord,
    pub retired: Vec<v1::Run>,
}

#[derive(Debug)]
pub struct History {
    dir: PathBuf,
    cut: Cut,
    slots: RwLock<Vec<Slot>>,
    /// The segment that was read last: an export asks for a page at a time.
    read: Mutex<Option<Arc<Segment>>>,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    before: Option<Point>,
    after: Option<Point>,
    /// Why it cannot be read; none for a good one.
    trouble: Option<String>,
}

impl History {
    /// Reads the headers. What is missing between the files, and what does not fit, is in [`History::troubled`].
    pub fn open(dir: &Path, cut: Cut) -> Result<Self, StoreError> {
        let failed = |source| StoreError::io("open the history in", dir, source);
        let numbers = list(dir).map_err(failed)?;
        let count = numbers.last().map_or(0, |last| last + 1);
        let mut slots = Vec::new();
        for number in 0..count {
            let slot = match numbers.binary_search(&number) {
                Err(_) => Slot { trouble: Some("missing".to_owned()), ..Slot::default() },
                Ok(_) => slot(&path(dir, number), number, slots.last()),
            };
            slots.push(slot);
        }
        Ok(Self { dir: dir.to_owned(), cut, slots: RwLock::new(slots), read: Mutex::default() })
    }

    /// The state vouches for `point`: segments up to it exist somewhere, whether they are here or not.
    pub fn expect(&self, point: Point) {
        let Some(last) = point.segments.checked_sub(1) else { return };
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        let (last, count) = (at(last), at(point.segments));
        if slots.len() < count {
            slots.resize(count, Slot { trouble: Some("missing".to_owned()), ..Slot::default() });
        }
        if let Some(slot) = slots.get_mut(last) {
            if slot.after.is_some_and(|after| after != point) {
                slot.trouble = Some("it ends elsewhere than the state says".to_owned());
            }
            slot.after = Some(point);
        }
        if let Some(next) = slots.get_mut(count) {
            if next.before.is_some_and(|before| before != point) {
                next.trouble = Some("it begins elsewhere than the state says".to_owned());
            }
            next.before = Some(point);
        }
    }

    /// Sets aside files at the end that nobody can say the end of: what they held follows the last point that is known.
    pub fn forget_unknown_end(&self) -> Result<(), StoreError> {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        while slots.last().is_some_and(|slot| slot.after.is_none()) {
            slots.pop();
            let path = path(&self.dir, slots.len() as u64);
            tracing::warn!(path = %path.display(), "a segment of the history is damaged and set aside; it is made again");
            set_aside(&path)?;
        }
        Ok(())
    }

    /// Where the last segment ends.
    pub fn sealed(&self) -> Point {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        slots.iter().rev().find_map(|slot| slot.after).unwrap_or_default()
    }

    /// The last known end of a segment that is not beyond `head`.
    pub fn base_of(&self, head: &ChainHead) -> Point {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        let points = slots.iter().rev().filter_map(|slot| slot.after);
        points.into_iter().find(|point| point.records <= head.records).unwrap_or_default()
    }

    /// Segments that are missing or damaged, with the reason.
    pub fn troubled(&self) -> Vec<(u64, String)> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        let numbered = slots.iter().zip(0..);
        numbered.filter_map(|(slot, number)| Some((number, slot.trouble.clone()?))).collect()
    }

    pub fn count(&self) -> u64 {
        self.slots.read().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    pub fn path(&self, number: u64) -> PathBuf {
        path(&self.dir, number)
    }

    /// Writes every whole segment that `entries` holds; they follow [`History::sealed`]. Durable when it returns.
    pub fn seal(&self, entries: impl Iterator<Item = Result<Entry, StoreError>>) -> Result<(), StoreError> {
        let mut before = self.sealed();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for entry in entries {
            let entry = entry?;
            bytes += size(&entry);
            batch.push(entry);
            if self.cut.is_full(batch.len(), bytes) {
                before = self.write(before, &batch)?;
                (batch, bytes) = (Vec::new(), 0);
            }
        }
        Ok(())
    }

    fn write(&self, before: Point, batch: &[Entry]) -> Result<Point, StoreError> {
        let path = path(&self.dir, before.segments);
        let part = path.with_extension("part");
        let after = segment::write(&part, before, batch)?;
        self.put(&part, &path)?;
        let slot = Slot { before: Some(before), after: Some(after), trouble: None };
        self.slots.write().unwrap_or_else(PoisonError::into_inner).push(slot);
        tracing::info!(number = before.segments, records = batch.len(), up_to = after.index, "history sealed");
        Ok(after)
    }

    /// Takes a segment that came from another coordinator, if it is exactly the one that belongs there.
    pub fn fill(&self, number: u64, part: &Path) -> Result<(), StoreError> {
        let segment = Segment::read(part)?;
        let wrong = |reason: &str| StoreError::SnapshotCorrupt { path: part.to_owned(), reason: reason.to_owned() };
        {
            let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
            let slot = slots.get(at(number)).ok_or_else(|| wrong("no such segment is known"))?;
            let previous = match number.checked_sub(1) {
                None => Some(Point::default()),
                Some(previous) => slots.get(at(previous)).and_then(|slot| slot.after),
            };
            let next = slots.get(at(number) + 1).and_then(|slot| slot.before);
            let begins = previous.or(slot.before);
            let ends = slot.after.or(next);
            if begins.is_some_and(|begins| begins != segment.before) || ends.is_some_and(|ends| ends != segment.after) {
                return Err(wrong("it does not join what is before and after it here"));
            }
            if begins.is_none() && ends.is_none() {
                return Err(wrong("nothing here says that it belongs here"));
            }
        }
        self.put(part, &path(&self.dir, number))?;
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get_mut(at(number)) {
            *slot = Slot { before: Some(segment.before), after: Some(segment.after), trouble: None };
        }
        Ok(())
    }

    fn put(&self, part: &Path, path: &Path) -> Result<(), StoreError> {
        let failed = |source| StoreError::io("finish a segment of the history in", &self.dir, source);
        fs::rename(part, path).map_err(failed)?;
        sync_dir(&self.dir).map_err(failed)
    }

    /// Reads and verifies a whole segment. A damaged one is remembered as such.
    pub fn segment(&self, number: u64) -> Result<Arc<Segment>, StoreError> {
        let path = path(&self.dir, number);
        let known = {
            let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
            slots.get(at(number)).cloned().unwrap_or_default()
        };
        if let Some(reason) = known.trouble {
            return Err(StoreError::HistoryDamaged { path, reason });
        }
        let reason = match Segment::read(&path) {
            Ok(found) if Some(found.before) == known.before && Some(found.after) == known.after => {
                return Ok(Arc::new(found));
            }
            Ok(_) => "it is another segment than at start".to_owned(),
            Err(StoreError::SnapshotCorrupt { reason, .. }) => reason,
            Err(error) => error.to_string(),
        };
        tracing::error!(
            path = %path.display(), reason,
            "a segment of the history is damaged; it is not served, and taken from another coordinator"
        );
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get_mut(at(number)) {
            slot.trouble = Some(reason.clone());
        }
        Err(StoreError::HistoryDamaged { path, reason })
    }

    /// At most `limit` audit records with an index of at least `from`, and where to go on after the last segment.
    pub fn audit(&self, from: u64, limit: usize) -> Result<Vec<v1::AuditRecord>, StoreError> {
        let mut records = Vec::new();
        for number in self.numbers_from(from) {
            let segment = self.cached(number)?;
            let wanted = segment.entries.iter().map(|entry| &entry.audit).filter(|record| record.index >= from);
            records.extend(wanted.take(limit.saturating_sub(records.len())).cloned());
            let to_its_end = records.last().is_some_and(|last| last.index == segment.after.index);
            if to_its_end {
                self.read.lock().unwrap_or_else(PoisonError::into_inner).take();
            }
            if records.len() >= limit {
                break;
            }
        }
        Ok(records)
    }

    fn cached(&self, number: u64) -> Result<Arc<Segment>, StoreError> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        match read.as_ref() {
            Some(segment) if segment.before.segments == number => Ok(Arc::clone(segment)),
            _ => {
                let segment = self.segment(number)?;
                read.replace(Arc::clone(&segment));
                Ok(segment)
            }
        }
    }

    /// Segments that may hold records of at least `from`.
    fn numbers_from(&self, from: u64) -> Vec<u64> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        let next = slots.iter().skip(1).map(|slot| slot.before).chain([None]);
        let ends = slots.iter().zip(next).map(|(slot, next)| slot.after.or(next));
        // One whose end nobody knows may hold them.
        ends.zip(0..).filter(|(end, _)| end.is_none_or(|end| end.index >= from)).map(|(_, number)| number).collect()
    }

    /// Runs that are in segments, those first that were retired last.
    pub fn retired(&self, service: Option<&ServiceId>, limit: usize) -> Result<Vec<v1::RunSummary>, StoreError> {
        let mut found = Vec::new();
        for number in (0..self.count()).rev() {
            if found.len() >= limit {
                break;
            }
            let path = path(&self.dir, number);
            // A segment that cannot be read hides its runs from the list; asking for one of them says why.
            let Ok(header) = segment::header(&path) else { continue };
            let wanted = |run: &v1::RunSummary| service.is_none_or(|service| run.service == service.as_str());
            found.extend(header.retired.into_iter().rev().filter(wanted));
        }
        found.truncate(limit);
        Ok(found)
    }

    pub fn find_run(&self, id: &RunId) -> Result<Option<v1::Run>, StoreError> {
        for number in (0..self.count()).rev() {
            let held = match segment::header(&path(&self.dir, number)) {
                Ok(header) => header.retired.iter().any(|run| run.run == id.as_str()),
                // It may be in there.
                Err(_) => true,
            };
            if held {
                let segment = self.segment(number)?;
                let mut runs = segment.entries.iter().flat_map(|entry| &entry.retired);
                if let Some(run) = runs.find(|run| run.id == id.as_str()) {
                    return Ok(Some(run.clone()));
                }
            }
        }
        Ok(None)
    }
}

fn slot(path: &Path, number: u64, previous: Option<&Slot>) -> Slot {
    let damaged = |reason: String| {
        tracing::error!(path = %path.display(), reason, "a segment of the history is damaged; it is not served");
        Slot { trouble: Some(reason), ..Slot::default() }
    };
    let points = segment::header(path).and_then(|header| segment::points(path, &header));
    let (before, after) = match points {
        Ok(points) => points,
        Err(StoreError::SnapshotCorrupt { reason, .. }) => return damaged(reason),
        Err(error) => return damaged(error.to_string()),
    };
    let follows = match previous {
        None => before == Point::default(),
        Some(previous) => previous.after.is_none_or(|after| after == before),
    };
    match follows && before.segments == number {
        true => Slot { before: Some(before), after: Some(after), trouble: None },
        false => damaged("it does not follow the segment before it".to_owned()),
    }
}

/// Numbers of the files, in order. Removes what was never finished.
fn list(dir: &Path) -> io::Result<Vec<u64>> {
    fs::create_dir_all(dir)?;
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("part") => fs::remove_file(&path)?,
            Some("seg") => numbers.extend(path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok())),
            _ => {}
        }
    }
    sync_dir(dir)?;
    numbers.sort_unstable();
    Ok(numbers)
}

fn set_aside(path: &Path) -> Result<(), StoreError> {
    match fs::rename(path, path.with_extension("damaged")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io("set aside", path, error)),
        _ => Ok(()),
    }
}

fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}.seg"))
}

impl Cut {
    pub fn is_full(&self, records: usize, bytes: u64) -> bool {
        records as u64 >= self.records || bytes >= self.bytes
    }
}

pub fn size(entry: &Entry) -> u64 {
    let runs: usize = entry.retired.iter().map(Message::encoded_len).sum();
    (entry.audit.encoded_len() + runs) as u64
}

fn at(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
