//! What the log holds of a history's objects.

use std::collections::BTreeMap;
use std::time::Instant;

use mesh_history::committed::Committed;
use mesh_proto::v1;
use prost::Message as _;
use v1::log_command::Command;

use super::objects::{freeze_of, manifest_of, value_in};
use crate::Rig;
use crate::rig::{LONG, POLL};

/// A log, read once or further.
#[derive(Debug, Default)]
pub struct Log {
    next: u64,
    pub entries: BTreeMap<String, Vec<Committed>>,
    /// Commands that were refused when they were carried out.
    pub refused: usize,
}

impl Log {
    /// Reads on to the end. A stream that breaks is asked for again from where it broke.
    pub async fn read(&mut self, rig: &Rig) {
        let deadline = Instant::now() + LONG;
        while let Err(why) = self.read_once(rig).await {
            assert!(Instant::now() < deadline, "the log cannot be read: {why}");
            tokio::time::sleep(POLL).await;
        }
    }

    async fn read_once(&mut self, rig: &Rig) -> Result<(), String> {
        let mut records = rig.mesh().audit(self.next).await.map_err(|failure| failure.to_string())?;
        while let Some(record) = records.next().await.map_err(|failure| failure.to_string())? {
            self.next = record.index + 1;
            self.note(&record);
        }
        Ok(())
    }

    fn note(&mut self, record: &v1::AuditRecord) {
        let command = v1::LogCommand::decode(record.command.as_slice()).expect("a command of ours");
        let (object, text) = match command.command {
            Some(Command::ApplyManifest(apply)) => (manifest_of(&record.service), apply.source),
            Some(Command::Freeze(freeze)) => (freeze_of(&record.service), freeze.reason),
            _ => return,
        };
        if record.refused {
            self.refused += 1;
            return;
        }
        let value = value_in(&text).unwrap_or_else(|| panic!("{object} has no value of ours: {text:?}"));
        let Some(version) = version(&object, &record.text) else { return };
        self.entries.entry(object).or_default().push(Committed { index: record.index, value, version });
    }
}

/// The version that it made, 0 for a freeze; nothing if it was there already.
fn version(object: &str, text: &str) -> Option<u64> {
    if object.ends_with("/freeze") {
        return Some(0);
    }
    let told = text.split_once(": version ").map(|(_, rest)| rest);
    let (version, made) = told.and_then(|told| told.split_once(' ')).unwrap_or_else(|| panic!("{text}"));
    let version = version.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    (made == "of the manifest").then_some(version)
}
