//! The audit: export it, and check its hash chain.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use mesh_core::ids::Hash32;
use mesh_proto::audit::{ChainHead, GENESIS};
use mesh_proto::v1::AuditRecord;
use prost::Message;
use serde_json::json;

use super::Context;
use crate::args::admin::AuditCommand;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};

/// Largest record that is read from a file: a command is at most a gRPC message.
const RECORD_LEN_MAX: u64 = 8 * 1024 * 1024;
/// Longest varint of a length.
const VARINT_LEN_MAX: u32 = 10;

pub async fn audit(context: &Context, command: AuditCommand) -> Outcome {
    match command {
        AuditCommand::Export { output, from } => export(context, &output, from).await,
        AuditCommand::Verify { file: Some(file), head } => verdict(context, verify_file(&file, head)?),
        AuditCommand::Verify { file: None, head } => {
            let mut stream = context.mesh()?.audit(0).await?;
            // The mesh keeps every record: its chain begins at the beginning.
            let mut chain = Chain { whole: true, known: head, ..Chain::default() };
            while let Some(record) = stream.next().await? {
                if !chain.take(&record) {
                    break;
                }
            }
            chain.end();
            verdict(context, chain)
        }
    }
}

async fn export(context: &Context, path: &Path, from: u64) -> Outcome {
    let refuse = |error: std::io::Error| Failure::file(path, "write", &error);
    let mut stream = context.mesh()?.audit(from).await?;
    let mut file = BufWriter::new(File::create_new(path).map_err(refuse)?);
    let mut records = 0u64;
    let mut head = None;
    while let Some(record) = stream.next().await? {
        file.write_all(&record.encode_length_delimited_to_vec()).map_err(refuse)?;
        records = records.saturating_add(1);
        head = Some((record.index, crate::signing::hex(&record.hash)));
    }
    file.into_inner().map_err(|error| refuse(error.into_error())).and_then(|file| file.sync_all().map_err(refuse))?;
    let (index, hash) = head.unwrap_or((0, GENESIS.to_string()));
    let value = json!({ "file": path, "records": records, "head_index": index, "head_hash": hash });
    context.output.either(&value, || {
        format!(
            "{records} records, head {index} {hash}\nKeep the head elsewhere: `meshctl audit verify --head HASH` proves later that nothing was cut off."
        )
    })?;
    Ok(Exit::Ok)
}

/// A check under way: where it stands, and the first break.
#[derive(Debug, Default)]
pub struct Chain {
    pub head: ChainHead,
    /// The first record must be the first of all.
    whole: bool,
    first: Option<u64>,
    /// It began in the middle: what came before is not in the file.
    begins_later: bool,
    /// A head that someone kept, until a record with it has come.
    known: Option<Hash32>,
    pub broken: Option<(u64, String)>,
}

impl Chain {
    /// False once the chain is broken.
    fn take(&mut self, record: &AuditRecord) -> bool {
        if self.first.is_none() && !self.whole {
            self.head = start(record);
            self.begins_later = self.head.index > 0;
        }
        self.first.get_or_insert(record.index);
        match self.head.follow(record) {
            Ok(head) => {
                self.head = head;
                self.known.take_if(|known| *known == head.hash);
            }
            Err(error) => self.broken = Some((record.index, error.to_string())),
        }
        self.broken.is_none()
    }

    /// Nothing follows.
    fn end(&mut self) {
        if let Some(known) = self.known.filter(|_| self.broken.is_none()) {
            let reason = format!("no record has the head {known}: the chain was cut off before it, or replaced");
            self.broken = Some((self.head.index.saturating_add(1), reason));
        }
    }
}

/// A file that was exported from a later index has no first record to start from: its own link is taken.
fn start(first: &AuditRecord) -> ChainHead {
    let previous = <[u8; 32]>::try_from(first.previous.as_slice()).map_or(GENESIS, Hash32);
    if previous == GENESIS {
        return ChainHead::default();
    }
    ChainHead { records: 0, index: first.index.saturating_sub(1), hash: previous }
}

/// Reads an exported file to its end, or to the first break.
pub fn verify_file(path: &Path, head: Option<Hash32>) -> Result<Chain, Failure> {
    let file = File::open(path).map_err(|error| Failure::file(path, "read", &error))?;
    let mut reader = BufReader::new(file);
    let mut chain = Chain { known: head, ..Chain::default() };
    loop {
        match read_record(&mut reader) {
            Ok(Some(record)) => {
                if !chain.take(&record) {
                    return Ok(chain);
                }
            }
            Ok(None) => {
                chain.end();
                return Ok(chain);
            }
            Err(reason) => {
                let next = chain.head.index.saturating_add(1);
                chain.broken =
                    Some((next, format!("the record after index {} cannot be read: {reason}", chain.head.index)));
                return Ok(chain);
            }
        }
    }
}

/// The next length-delimited record; `None` at a clean end.
fn read_record(reader: &mut impl Read) -> Result<Option<AuditRecord>, String> {
    let Some(length) = read_length(reader)? else { return Ok(None) };
    if length > RECORD_LEN_MAX {
        return Err(format!("its length {length} is beyond the limit of {RECORD_LEN_MAX}"));
    }
    let mut bytes = Vec::new();
    reader.take(length).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 != length {
        return Err("the file ends within it".to_owned());
    }
    AuditRecord::decode(bytes.as_slice()).map(Some).map_err(|error| error.to_string())
}

pub fn read_length(reader: &mut impl Read) -> Result<Option<u64>, String> {
    let mut length = 0u64;
    for nth in 0..VARINT_LEN_MAX {
        let mut byte = [0u8; 1];
        if reader.read(&mut byte).map_err(|error| error.to_string())? == 0 {
            return if nth == 0 { Ok(None) } else { Err("the file ends within a length".to_owned()) };
        }
        let [byte] = byte;
        length |= u64::from(byte & 0x7f).checked_shl(7 * nth).unwrap_or(u64::MAX);
        if byte & 0x80 == 0 {
            return Ok(Some(length));
        }
    }
    Err("its length is no varint".to_owned())
}

fn verdict(context: &Context, chain: Chain) -> Outcome {
    let head = chain.head;
    let value = json!({
        "ok": chain.broken.is_none(),
        "records": head.records,
        "first_index": chain.first,
        "begins_later": chain.begins_later,
        "head_index": head.index,
        "head_hash": head.hash,
        "broken_index": chain.broken.as_ref().map(|(index, _)| index),
        "reason": chain.broken.as_ref().map(|(_, reason)| reason),
    });
    context.output.either(&value, || in_words(&chain))?;
    Ok(if chain.broken.is_some() { Exit::Failed } else { Exit::Ok })
}

fn in_words(chain: &Chain) -> String {
    let head = chain.head;
    let mut text = match &chain.broken {
        None => format!("the chain holds: {} records, head {} {}", head.records, head.index, head.hash),
        Some((index, reason)) => {
            format!("the chain is BROKEN at index {index}: {reason}\n{} records before it hold", head.records)
        }
    };
    if let Some(first) = chain.first.filter(|_| chain.begins_later) {
        text.push_str(&format!(
            "\nIt begins at index {first}: earlier records are not in this file and were NOT checked."
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use mesh_core::audit::AuditNote;
    use mesh_core::time::Timestamp;
    use mesh_proto::audit::next_record;

    use super::*;

    fn records(count: u64) -> Vec<AuditRecord> {
        let mut head = ChainHead::default();
        (1..=count)
            .map(|index| {
                let note = AuditNote {
                    actor: "mesh".to_owned(),
                    kind: "grant".to_owned(),
                    service: None,
                    run: None,
                    text: format!("record {index}"),
                    refused: false,
                };
                let record =
                    next_record(&head, index, Timestamp::from_millis(index), &note, vec![1], Hash32::default());
                head = head.follow(&record).expect("a chain");
                record
            })
            .collect()
    }

    fn check(records: &[AuditRecord], cut: usize) -> Chain {
        let mut bytes: Vec<u8> = records.iter().flat_map(AuditRecord::encode_length_delimited_to_vec).collect();
        bytes.truncate(bytes.len() - cut);
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("audit");
        std::fs::write(&path, bytes).expect("written");
        verify_file(&path, None).expect("a readable file")
    }

    #[test]
    fn an_exported_chain_holds_alone_also_when_it_begins_later() {
        let all = records(20);
        assert!(check(&all, 0).broken.is_none());
        let later = check(&all[5..], 0);
        assert!(later.broken.is_none());
        assert_eq!((later.head.index, later.begins_later), (20, true));
        assert!(in_words(&later).contains("NOT checked"), "what was not there must be said");
    }

    #[test]
    fn the_live_chain_must_begin_at_its_beginning() {
        let mut chain = Chain { whole: true, ..Chain::default() };
        assert!(!chain.take(&records(20)[5]), "a mesh that hides its first records is found");
    }

    #[test]
    fn a_head_that_was_kept_shows_that_the_end_is_missing() {
        let all = records(20);
        let known = Hash32(all[19].hash.as_slice().try_into().expect("a hash"));
        let mut chain = Chain { whole: true, known: Some(known), ..Chain::default() };
        assert!(all[..19].iter().all(|record| chain.take(record)));
        chain.end();
        assert!(in_words(&chain).contains("cut off"), "{}", in_words(&chain));
        let mut chain = Chain { whole: true, known: Some(known), ..Chain::default() };
        assert!(all.iter().all(|record| chain.take(record)));
        chain.end();
        assert!(chain.broken.is_none());
    }

    #[test]
    fn an_edit_a_drop_a_swap_and_a_cut_are_each_found_at_their_index() {
        let all = records(20);
        let mut edited = all.clone();
        edited[6].text.push('!');
        assert_eq!(check(&edited, 0).broken.expect("found").0, 7);
        let mut dropped = all.clone();
        dropped.remove(9);
        assert_eq!(check(&dropped, 0).broken.expect("found").0, 11);
        let mut swapped = all.clone();
        swapped.swap(3, 4);
        assert_eq!(check(&swapped, 0).broken.expect("found").0, 5);
        assert_eq!(check(&all, 3).broken.expect("found").0, 20);
    }
}
