//! The exported audit: what is edited, dropped, swapped or cut off below a head that somebody kept is found.

use std::sync::LazyLock;

use mesh_core::ids::Hash32;
use mesh_proto::v1::AuditRecord;
use mesh_proto::verify_chain;
use meshctl::commands::audit::verify_file;
use prost::Message;

use super::history::PAST;
use crate::edits::{self, damage as damaged};
use crate::scratch;
use crate::target::{Shape, Target};

pub fn target() -> Target {
    let reads = "exported audit files, as `meshctl audit verify` reads them";
    let target = Target::new("audit", reads, Shape::Messages, || vec![GOOD.0.clone()], check);
    target.inputs(8_000).bytes_max(256 * 1024)
}

pub fn damage() -> Target {
    let reads = "a damaged export, verified against its head";
    Target::new("audit-damage", reads, Shape::Edits, edits::seeds, damage_check)
        .inputs(10_000)
        .allocates(16 * 1024 * 1024, 0)
}

/// The file, its records, and the head.
static GOOD: LazyLock<(Vec<u8>, Vec<AuditRecord>, Hash32)> = LazyLock::new(|| {
    let records: Vec<AuditRecord> = PAST.entries.iter().map(|entry| entry.audit.clone()).collect();
    let file = records.iter().flat_map(Message::encode_length_delimited_to_vec).collect();
    (file, records, PAST.machine.summary.audit.hash)
});

fn check(input: &[u8]) -> bool {
    let chain = scratch::with_file(input, |path| verify_file(path, None)).expect("the file is there");
    let records = records(input);
    if chain.broken.is_none()
        && chain.head.records > 0
        && records.first().is_some_and(|first| first.previous == [0; 32])
    {
        assert_eq!(verify_chain(records), Ok(chain.head), "a chain that is called good holds");
    }
    chain.broken.is_none()
}

fn damage_check(input: &[u8]) -> bool {
    let (good, whole, head) = &*GOOD;
    let (file, _) = damaged(good, input);
    let chain = scratch::with_file(&file, |path| verify_file(path, Some(*head))).expect("the file is there");
    let found = records(&file);
    if chain.broken.is_none() {
        let from = whole.len().saturating_sub(found.len());
        // An export may begin later, and `verify` says so; what it holds is what was exported.
        assert_eq!(found.as_slice(), &whole[from..], "damage was not found");
    }
    chain.broken.is_none()
}

/// As far as they can be parsed.
fn records(mut file: &[u8]) -> Vec<AuditRecord> {
    let mut records = Vec::new();
    while !file.is_empty()
        && let Ok(record) = AuditRecord::decode_length_delimited(&mut file)
    {
        records.push(record);
    }
    records
}
