//! A coordinator's disk that is good: the state and the history of a failover.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use mesh_coordinator::store::history::segment;
use mesh_coordinator::store::history::{Entry, Point};
use mesh_coordinator::store::machine::{self, Changes, Machine};
use mesh_coordinator::store::snapshot::{KEPT, Snapshots};
use mesh_proto::v1::raft_entry::Payload;
use mesh_proto::{log_command, v1};
use prost::Message;

use super::mesh::HISTORIES;
use crate::scratch;

const CHECKSUM_BYTES: usize = 32;

pub struct Past {
    pub machine: Machine,
    pub entries: Vec<Entry>,
}

/// Of the smallest example, so that a file of it is short.
pub static PAST: LazyLock<Past> = LazyLock::new(|| past(&HISTORIES[2]));

fn past(commands: &[(mesh_core::time::Timestamp, mesh_core::fleet::Command)]) -> Past {
    let mut machine = Machine::default();
    let mut changes = Changes::default();
    let membership = v1::RaftMembership {
        configs: vec![v1::RaftVoters { ids: vec![1] }],
        nodes: [(1, v1::RaftNode { address: "127.0.0.1:1".into(), region: "r1".into() })].into(),
    };
    let commands = commands.iter().map(|(at, command)| Payload::Command(log_command(*at, command).encode_to_vec()));
    for (payload, index) in std::iter::once(Payload::Membership(membership)).chain(commands).zip(0..) {
        let place = v1::RaftLogId { leader_id: Some(v1::RaftLeaderId { term: 1, node: 1 }), index };
        let entry = v1::RaftEntry { log_id: Some(place), payload: Some(payload) };
        machine.apply(entry, &mut changes).expect("a history that was made can be applied");
    }
    let retired = |index: u64| changes.retired.iter().filter(move |(at, _)| *at == index).map(|(_, run)| run.clone());
    let entries = changes.audit.iter();
    let entries =
        entries.map(|audit| Entry { audit: audit.clone(), retired: retired(audit.index).collect() }).collect();
    Past { machine, entries }
}

/// Of a snapshot of all that, or of a backup where `mesh` is its name.
pub fn snapshot(mesh: Option<&str>) -> Vec<u8> {
    let past = &*PAST;
    let dir = scratch::dir();
    let snapshots = Snapshots::open(dir.path(), KEPT).expect("a directory opens");
    let mut header = machine::header(&past.machine.summary, Point::default(), 0);
    if let Some(mesh) = mesh {
        (header.base, header.mesh, header.made_at) = (None, mesh.to_owned(), 1_700_000_000_000);
    }
    let history = past.entries.iter().cloned().map(Ok);
    let part = snapshots.write_part(&past.machine.fleet, &past.machine.summary, header, Point::default(), history);
    fs::read(part.expect("it can be written").path()).expect("it was written")
}

pub fn sealed_segment() -> Vec<u8> {
    let dir = scratch::dir();
    let path = dir.path().join("0000000000.seg");
    segment::write(&path, Point::default(), &PAST.entries).expect("it can be written");
    fs::read(path).expect("it was written")
}

/// Without its checksum.
pub fn body(file: &[u8]) -> Vec<u8> {
    file.get(..file.len().saturating_sub(CHECKSUM_BYTES)).unwrap_or_default().to_vec()
}

/// With the checksum that belongs to it, as somebody who can write files can make it.
pub fn with_sealed<T>(body: &[u8], with: impl FnOnce(&Path) -> T) -> T {
    scratch::with_file(&[body, &mesh_proto::sha256(body).0].concat(), with)
}
