//! One segment's file.

use std::fs::File;
use std::path::Path;

use mesh_proto::{sha256, v1};
use prost::Message;
use v1::snapshot_record::Record;

use super::super::StoreError;
use super::super::snapshot::{Reader, Writer, read_first};
use super::{Entry, Point};

const FORMAT: u32 = 1;

#[derive(Clone, Debug)]
pub struct Segment {
    pub before: Point,
    pub after: Point,
    pub entries: Vec<Entry>,
}

/// Writes `entries` to `path`, durably but for the directory.
pub fn write(path: &Path, before: Point, entries: &[Entry]) -> Result<Point, StoreError> {
    let failed = |source| StoreError::io("write a segment of the history to", path, source);
    let mut head = before.head();
    for entry in entries {
        head = head.follow(&entry.audit).map_err(|error| StoreError::Failed(error.to_string()))?;
    }
    let after = before.next(&head);
    let retired = entries.iter().flat_map(|entry| &entry.retired).map(summary).collect();
    let mut header = v1::SegmentHeader {
        format: FORMAT,
        before: Some(before.into()),
        after: Some(after.into()),
        retired,
        checksum: Vec::new(),
    };
    header.checksum = sha256(&header.encode_to_vec()).0.to_vec();
    let mut writer = Writer::new(File::create(path).map_err(failed)?);
    writer.message(&header).map_err(failed)?;
    for entry in entries {
        writer.entry(entry).map_err(failed)?;
    }
    writer.finish().and_then(|file| file.sync_all()).map_err(failed)?;
    Ok(after)
}

/// The header alone, verified by itself.
pub fn header(path: &Path) -> Result<v1::SegmentHeader, StoreError> {
    let header: v1::SegmentHeader = read_first(path)?;
    check(path, header)
}

fn check(path: &Path, mut header: v1::SegmentHeader) -> Result<v1::SegmentHeader, StoreError> {
    let corrupt = |reason: String| StoreError::SnapshotCorrupt { path: path.to_owned(), reason };
    let checksum = std::mem::take(&mut header.checksum);
    if sha256(&header.encode_to_vec()).0.as_slice() != checksum {
        return Err(corrupt("its header does not match its checksum".to_owned()));
    }
    match header.format {
        FORMAT => Ok(header),
        other => Err(corrupt(format!("format {other}, where {FORMAT} is known"))),
    }
}

pub fn points(path: &Path, header: &v1::SegmentHeader) -> Result<(Point, Point), StoreError> {
    let corrupt = |reason: String| StoreError::SnapshotCorrupt { path: path.to_owned(), reason };
    let point = |point: &Option<v1::ChainPoint>| Point::try_from(point.clone().unwrap_or_default()).map_err(corrupt);
    Ok((point(&header.before)?, point(&header.after)?))
}

impl Segment {
    /// Reads the whole file and verifies everything in it: checksum, chain, and that it ends where it says.
    pub fn read(path: &Path) -> Result<Self, StoreError> {
        let corrupt = |reason: String| StoreError::SnapshotCorrupt { path: path.to_owned(), reason };
        let mut reader = Reader::open(path)?;
        let header = check(path, reader.message()?)?;
        let (before, after) = points(path, &header)?;
        let (mut head, mut entries) = (before.head(), Vec::new());
        while reader.has_more()? {
            let message: v1::SnapshotRecord = reader.message()?;
            match message.record {
                Some(Record::Audit(audit)) => {
                    head = head.follow(&audit).map_err(|error| corrupt(error.to_string()))?;
                    entries.push(Entry { audit, retired: Vec::new() });
                }
                Some(Record::Retired(retired)) => match entries.last_mut() {
                    Some(Entry { audit, retired: runs }) if audit.index == retired.index => runs.extend(retired.run),
                    _ => return Err(corrupt(format!("a run retired at {} stands elsewhere", retired.index))),
                },
                _ => return Err(corrupt("it holds a record of another kind".to_owned())),
            }
        }
        match before.next(&head) == after {
            true => Ok(Self { before, after, entries }),
            false => Err(corrupt(format!("it ends at record {}, not at {}", head.index, after.index))),
        }
    }
}

/// A run in a line, from its whole.
pub fn summary(run: &v1::Run) -> v1::RunSummary {
    let plan = run.plan.as_ref();
    let name = |name: Option<&String>| name.cloned().unwrap_or_default();
    v1::RunSummary {
        run: run.id.clone(),
        service: name(plan.map(|plan| &plan.service)),
        kind: plan.map_or(0, |plan| plan.kind),
        from: name(plan.map(|plan| &plan.from)),
        to: name(plan.map(|plan| &plan.to)),
        state: run.state.clone(),
        paused: run.paused.is_some(),
        requested_by: run.requested_by.clone(),
        started_at: run.started_at,
        ended_at: run.ended_at,
    }
}
