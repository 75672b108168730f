//! Each coordinator's audit: what `coordinator/src/store/machine.rs` appends for each command, by the chain that runs in
//! production (`mesh_proto::audit`).

use std::rc::Rc;

use mesh_core::fleet::{Applied, Command};
use mesh_core::ids::Hash32;
use mesh_core::time::Timestamp;
use mesh_proto::v1::AuditRecord;
use mesh_proto::{ChainHead, audit};
use prost::Message;

use crate::plant::Bug;
use crate::world::World;

#[derive(Clone, Debug, Default)]
pub struct Audit {
    pub records: Vec<Rc<AuditRecord>>,
    pub head: ChainHead,
}

impl Audit {
    /// The next record, or the same that another replica has made of the same.
    pub fn append(
        &mut self,
        index: usize,
        at: Timestamp,
        command: &Command,
        applied: &Applied,
        known: Option<&Rc<AuditRecord>>,
    ) {
        let note = &applied.note;
        let fits = |record: &&Rc<AuditRecord>| {
            record.previous == self.head.hash.0 && record.text == note.text && record.refused == note.refused
        };
        let record = known.filter(fits).cloned().unwrap_or_else(|| {
            let bytes = mesh_proto::log_command(at, command).encode_to_vec();
            Rc::new(audit::next_record(&self.head, index as u64, at, note, bytes, Hash32([0; 32])))
        });
        let hash = record.hash.as_slice().try_into().map(Hash32).expect("it was made here");
        self.head = ChainHead { records: self.head.records + 1, index: index as u64, hash };
        self.records.push(record);
    }
}

impl World {
    pub fn audited(&self, applied: &Applied) -> bool {
        !(applied.note.refused && self.bug(Bug::RefusedUnaudited))
    }

    /// What `meshctl audit verify` says of an export, where `known` was the head of an earlier one.
    pub fn verified_audit(&self, known: &ChainHead, records: &[AuditRecord]) -> Option<ChainHead> {
        let known = if self.bug(Bug::TruncationUnseen) { ChainHead::default() } else { *known };
        let mut records = records.to_vec();
        if self.bug(Bug::EditUnseen) {
            let canon = &self.judge.chain.canon.records;
            for record in &mut records {
                let known = canon.iter().find(|known| known.index == record.index);
                record.text = known.map_or_else(String::new, |known| known.text.clone());
            }
        }
        audit::verify_chain_beyond(&known, records).ok()
    }
}
