//! An agent's memory, and the list of what it is to watch.

use std::fs;
use std::sync::LazyLock;

use mesh_agent::journal::book::Book;
use mesh_agent::journal::frame::{self, Frame};
use mesh_agent::journal::{Journal, Record};
use mesh_agent::prober::watched::Watched;
use mesh_core::ids::RegionId;
use mesh_core::time::Timestamp;
use mesh_proto::v1;
use prost::Message;

use super::{domain, values};
use crate::edits::{self, damage as damaged};
use crate::scratch;
use crate::target::{Shape, Target};

const MAGIC: &[u8] = b"meshjnl1";

pub fn target() -> Target {
    let reads = "records of the agent's journal, and the book that they add up to";
    Target::new("journal", reads, Shape::Messages, seeds, check).inputs(10_000).words(domain::WORDS)
}

pub fn damage() -> Target {
    let reads = "a damaged journal of an agent, opened";
    Target::new("journal-damage", reads, Shape::Edits, edits::seeds, damage_check).inputs(5_000)
}

pub fn watchlist() -> Target {
    let reads = "services that an agent is told to watch, and the questions they make it ask";
    let seeds = || {
        let manifests = super::mesh::EXAMPLES.iter().map(|(name, yaml)| mesh_manifest::parse(yaml, name));
        let manifests = manifests.map(|parsed| parsed.expect("an example is a manifest")).chain([values::manifest()]);
        let watched = |manifest: mesh_core::manifest::Manifest| v1::WatchedService {
            manifest: Some((&manifest).into()),
            active: "us-east-1".into(),
        };
        manifests.map(|manifest| watched(manifest).encode_to_vec()).collect()
    };
    Target::new("watchlist", reads, Shape::Message, seeds, watch).words(domain::WORDS).inputs(6_000)
}

fn golden() -> Vec<Vec<u8>> {
    let golden = domain::golden_files();
    golden.into_iter().filter(|(name, _)| name.starts_with("journal-")).map(|(_, bytes)| bytes).collect()
}

fn seeds() -> Vec<Vec<u8>> {
    let list = |records: &[Vec<u8>]| records.iter().flat_map(|record| crate::mutate::delimited(record)).collect();
    let mut all = golden();
    let mut seeds = vec![list(&all)];
    // Ends in the middle: accepted, called, not acknowledged.
    all.retain(|record| Record::decode(record).is_ok());
    seeds.push(list(&all[..2]));
    seeds
}

fn check(input: &[u8]) -> bool {
    let (mut rest, mut book, mut accepted) = (input, Book::default(), false);
    while let Some(bytes) = super::apply::next(&mut rest) {
        let Ok(record) = Record::decode(&bytes) else { continue };
        let written = record.encode();
        assert_eq!(Record::decode(&written), Ok(record.clone()), "what was accepted is another once it was stored");
        let framed = frame::encode(&written).expect("a record fits in a frame");
        assert_eq!(frame::decode(&framed), Frame::Whole { body: &written, rest: b"" });
        book.apply(record);
        accepted = true;
    }
    let mut compacted = Book::default();
    book.records(Timestamp::default()).into_iter().for_each(|record| compacted.apply(record));
    assert_eq!(compacted, book, "a journal says something else once it was compacted");
    accepted
}

/// The records of a journal, and its file.
static GOOD: LazyLock<(Vec<Vec<u8>>, Vec<u8>)> = LazyLock::new(|| {
    let dir = scratch::dir();
    let mut journal = Journal::open(dir.path(), Timestamp::default()).expect("a new journal opens");
    let records: Vec<Record> = golden().iter().filter_map(|bytes| Record::decode(bytes).ok()).collect();
    records.iter().for_each(|record| journal.append(record.clone()).expect("it can be written"));
    let file = fs::read(dir.path().join("journal")).expect("it was written");
    (records.iter().map(Record::encode).collect(), file)
});

fn damage_check(input: &[u8]) -> bool {
    let (records, good) = &*GOOD;
    let (file, in_place) = damaged(good, input);
    let dir = scratch::dir();
    fs::write(dir.path().join("journal"), &file).expect("the journal can be written");
    let Ok(journal) = Journal::open(dir.path(), Timestamp::default()) else { return false };
    let kept = bodies(&file);
    assert!(kept.iter().all(|body| records.contains(body)), "a damaged record was accepted");
    if in_place {
        assert!(records.starts_with(&kept), "what stayed in its place is read in another order");
    }
    let mut book = Book::default();
    kept.iter().filter_map(|body| Record::decode(body).ok()).for_each(|record| book.apply(record));
    assert_eq!(*journal.book(), book, "the book holds something else than the records");
    true
}

fn bodies(file: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = file.strip_prefix(MAGIC).expect("a journal that was opened begins as one");
    let mut bodies = Vec::new();
    while let Frame::Whole { body, rest: behind } = frame::decode(rest) {
        bodies.push(body.to_vec());
        rest = behind;
    }
    bodies
}

fn watch(input: &[u8]) -> bool {
    let Some(watched) = v1::WatchedService::decode(input).ok().and_then(|wire| Watched::try_from(wire).ok()) else {
        return false;
    };
    for here in ["us-east-1", "us-west-2", "elsewhere"] {
        let questions = watched.questions(&values::id::<RegionId>(here));
        assert!(questions.iter().all(|(_, question)| !question.interval.is_zero()), "asked without a pause");
    }
    true
}
