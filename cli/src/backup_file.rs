//! A backup file, checked without the mesh: the checksum over all of it, the audit chain from its first record, and
//! that both end where the header says.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::RangeInclusive;
use std::path::Path;

use mesh_core::fleet::{AgentRecord, EnrolledKey, Freeze, Service};
use mesh_core::ids::{AgentId, Hash32, KeyId, ServiceId};
use mesh_core::run::Run;
use mesh_core::time::Timestamp;
use mesh_proto::audit::{ChainHead, GENESIS};
use mesh_proto::v1;
use prost::Message;
use v1::snapshot_record::Record;

use crate::commands::audit::read_length;

const CHECKSUM_BYTES: u64 = 32;
/// As a coordinator reads them.
const FORMATS: RangeInclusive<u32> = 1..=2;
const BLOCK_BYTES: usize = 1024 * 1024;
/// Of one record: the largest run that the core can hold.
const RECORD_BYTES_MAX: u64 = 1024 * 1024 * 1024;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    pub mesh: String,
    pub made_at: Timestamp,
    pub checksum: Hash32,
    /// The audit chain to its end.
    pub head: ChainHead,
    /// Last log entry that is in it.
    pub index: u64,
    pub services: u64,
    pub runs: u64,
    pub retired: u64,
    pub members: Vec<(u64, String)>,
}

/// What is in the file, or what is wrong with it.
pub fn verify(path: &Path) -> Result<Contents, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    let body = length.checked_sub(CHECKSUM_BYTES).ok_or("it is cut short")?;
    let mut reader = BufReader::with_capacity(BLOCK_BYTES, file);
    let checksum = checksum(&mut reader, body)?;
    reader.seek(SeekFrom::Start(0)).map_err(|error| error.to_string())?;
    let mut records = reader.take(body);
    let header: v1::SnapshotHeader = next(&mut records)?.ok_or("it is empty")?;
    if !FORMATS.contains(&header.format) || !is_whole(&header) || header.mesh.is_empty() {
        return Err("it is not a backup that this meshctl knows".to_owned());
    }
    let mut contents = described(&header)?;
    contents.checksum = checksum;
    let mut state_hash = Vec::new();
    let mut counted = 0;
    while let Some(record) = next::<v1::SnapshotRecord>(&mut records)? {
        let record = record.record.ok_or("a record is of a kind unknown here")?;
        // A run that left the state belongs to the audit record before it.
        counted += u64::from(!matches!(record, Record::Retired(_)));
        count(&mut contents, record, &mut state_hash)?;
    }
    let ends = contents.head.hash.0.as_slice() == header.audit_head.as_slice();
    match ends && (contents.head.records == 0 || state_hash == header.state_hash) {
        true if counted == header.records => Ok(contents),
        true => Err(format!("it holds {counted} records, and its header says {}", header.records)),
        false => Err(format!("its audit ends at record {}, elsewhere than its header says", contents.head.index)),
    }
}

fn checksum(reader: &mut impl Read, body: u64) -> Result<Hash32, String> {
    let computed = mesh_proto::sha256_of(reader.by_ref().take(body)).map_err(|error| error.to_string())?;
    let mut stored = [0; 32];
    reader.read_exact(&mut stored).map_err(|error| error.to_string())?;
    match computed.0 == stored {
        true => Ok(computed),
        false => Err("its checksum does not match its content".to_owned()),
    }
}

/// The history in it begins at the beginning.
fn is_whole(header: &v1::SnapshotHeader) -> bool {
    let beginning = v1::ChainPoint { segments: 0, records: 0, index: 0, hash: GENESIS.0.to_vec() };
    header.base.as_ref().is_none_or(|base| *base == beginning)
}

fn described(header: &v1::SnapshotHeader) -> Result<Contents, String> {
    let meta = v1::RaftSnapshotMeta::decode(header.meta.as_slice()).map_err(|error| error.to_string())?;
    let placed = |id: &Option<v1::RaftLogId>| id.is_none_or(|id| id.leader_id.is_some());
    if !placed(&meta.last_log_id) || !placed(&meta.membership_log_id) {
        return Err("its header names a place in the log without a term".to_owned());
    }
    if [&header.state_hash, &header.audit_head].iter().any(|hash| hash.len() != GENESIS.0.len()) {
        return Err("a hash in its header has not 32 bytes".to_owned());
    }
    let nodes = meta.membership.unwrap_or_default().nodes;
    Ok(Contents {
        mesh: header.mesh.clone(),
        made_at: Timestamp::from_millis(header.made_at),
        index: meta.last_log_id.map_or(0, |id| id.index),
        members: nodes.into_iter().map(|(id, node)| (id, node.address)).collect(),
        ..Contents::default()
    })
}

/// Everything is decoded as a coordinator would: what it could not read is found here, not at three in the morning.
fn count(contents: &mut Contents, record: Record, state_hash: &mut Vec<u8>) -> Result<(), String> {
    let text = |error: mesh_proto::DecodeError| error.to_string();
    match record {
        Record::Mesh(mesh) => drop(mesh.freeze.map(Freeze::try_from).transpose().map_err(text)?),
        Record::Service(named) => {
            <(ServiceId, Service)>::try_from(named).map_err(text)?;
            contents.services += 1;
        }
        Record::Run(run) => {
            Run::try_from(run).map_err(text)?;
            contents.runs += 1;
        }
        Record::Agent(named) => drop(<(AgentId, AgentRecord)>::try_from(named).map_err(text)?),
        Record::Key(named) => drop(<(KeyId, EnrolledKey)>::try_from(named).map_err(text)?),
        Record::Audit(record) => {
            contents.head = contents.head.follow(&record).map_err(|error| error.to_string())?;
            *state_hash = record.state_hash;
        }
        Record::Retired(retired) if retired.index == contents.head.index && contents.head.records > 0 => {
            Run::try_from(retired.run.unwrap_or_default()).map_err(text)?;
            contents.retired += 1;
        }
        Record::Retired(retired) => return Err(format!("a run retired at {} stands elsewhere", retired.index)),
    }
    Ok(())
}

fn next<M: Message + Default>(records: &mut std::io::Take<BufReader<File>>) -> Result<Option<M>, String> {
    let Some(length) = read_length(records)? else { return Ok(None) };
    if length > RECORD_BYTES_MAX || length > records.limit() {
        return Err(format!("a record of {length} bytes"));
    }
    let mut bytes = Vec::new();
    records.take(length).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    M::decode(bytes.as_slice()).map(Some).map_err(|error| error.to_string())
}
