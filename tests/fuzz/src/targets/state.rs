//! Entities, snapshots, segments and backups whose checksums are right: the content decides.

use std::path::Path;

use mesh_coordinator::store::history::segment::{self, Segment};
use mesh_coordinator::store::machine::Machine;
use mesh_coordinator::store::{backup, entities, snapshot as snapshots};
use mesh_core::fleet::Fleet;
use mesh_proto::v1;
use mesh_proto::v1::snapshot_record::Record;
use prost::Message;

use super::history::{body, sealed_segment, snapshot as snapshot_file, with_sealed};
use crate::target::{Shape, Target};

/// A file is read through a buffer of this size.
const BUFFERS: u64 = 4 * 1024 * 1024;

pub fn entities() -> Target {
    let reads = "entities of the replicated state, as snapshots and the store keep them";
    Target::new("entity", reads, Shape::Message, entity_seeds, entity).inputs(10_000).words(super::domain::WORDS)
}

pub fn snapshot() -> Target {
    let seeds = || vec![body(&snapshot_file(None)), body(&snapshot_file(Some("demo")))];
    let reads = "snapshots and backups with a right checksum: by the coordinator, and by `meshctl backup verify`";
    let target = Target::new("snapshot", reads, Shape::Messages, seeds, check);
    target.inputs(400).words(super::domain::WORDS).bytes_max(256 * 1024).allocates(BUFFERS, 1024)
}

pub fn segment() -> Target {
    let seeds = || vec![body(&sealed_segment())];
    let reads = "sealed segments of the history with a right checksum";
    let target = Target::new("segment", reads, Shape::Messages, seeds, |input| with_sealed(input, segment_check));
    target.inputs(2_000).bytes_max(256 * 1024).allocates(BUFFERS, 1024)
}

fn entity_seeds() -> Vec<Vec<u8>> {
    let golden = super::domain::golden_files();
    golden.into_iter().filter(|(name, _)| name.starts_with("snapshot-")).map(|(_, bytes)| bytes).collect()
}

fn entity(input: &[u8]) -> bool {
    let Some(record) = v1::SnapshotRecord::decode(input).ok().and_then(|wire| wire.record) else { return false };
    let mut fleet = Fleet::default();
    let Ok(entity) = entities::insert_record(&mut fleet, record) else { return false };
    let bytes = entities::encode(&fleet, &entity).expect("it was put there");
    let mut again = Fleet::default();
    let key = entities::key(&entity);
    entities::insert(&mut again, &key, &bytes).unwrap_or_else(|error| panic!("it cannot be read back: {error}"));
    assert_eq!(again, fleet, "it is read back as another");
    let record = entities::record(&fleet, &entity).expect("it is there");
    assert!(!matches!(record, Record::Audit(_) | Record::Retired(_)), "an entity became history");
    true
}

fn check(input: &[u8]) -> bool {
    with_sealed(input, |path| {
        let loaded = snapshots::load(path, |_| Ok(()));
        if let Ok((machine, _)) = &loaded {
            let again = Machine::restore(machine.fleet.clone(), machine.summary.clone());
            assert_eq!(again.digest(), machine.digest(), "the same entities have the same digest");
        }
        let backed = both_agree(path);
        loaded.is_ok() || backed
    })
}

/// What `meshctl backup verify` finds good is what a coordinator restores: a person relies on it.
fn both_agree(path: &Path) -> bool {
    let restored = backup::read(path, |_| Ok(()));
    let verified = meshctl::backup_file::verify(path);
    match (&restored, &verified) {
        (Ok((machine, contents)), Ok(verified)) => {
            let facts = (&contents.mesh, contents.made_at, contents.checksum, machine.summary.audit);
            assert_eq!(facts, (&verified.mesh, verified.made_at, verified.checksum, verified.head));
        }
        (Ok(_), Err(reason)) => panic!("a backup that can be restored is called bad: {reason}"),
        (Err(reason), Ok(_)) => panic!("a backup that cannot be restored is called good: {reason}"),
        (Err(_), Err(_)) => {}
    }
    restored.is_ok()
}

fn segment_check(path: &Path) -> bool {
    let header = segment::header(path);
    let Ok(segment) = Segment::read(path) else { return false };
    let points = segment::points(path, &header.expect("its header is read by itself, too")).expect("as it was read");
    assert_eq!(points, (segment.before, segment.after));
    let head = segment.entries.iter().try_fold(segment.before.head(), |head, entry| head.follow(&entry.audit));
    assert_eq!(head.map(|head| segment.before.next(&head)), Ok(segment.after), "its chain holds");
    true
}
