use mesh_core::execute::CallResult;
use mesh_core::ids::Generation;
use mesh_core::run::{Outcome, OutcomeResult};

use super::*;
use crate::fixtures::{job, record};

fn outcome() -> Outcome {
    Outcome {
        result: OutcomeResult::Done,
        detail: "done".to_owned(),
        read_back: "{}".to_owned(),
        before: "{\"was\":1}".to_owned(),
        calls: 2,
        provider_wait: std::time::Duration::from_millis(5),
    }
}

/// One intent from its offer to its acknowledgement, and another that is still open.
fn story() -> Vec<Record> {
    let (first, second) = (job(3, 7), job(4, 8));
    let (one, two) = (IntentId::from(&first), IntentId::from(&second));
    let started = |intent: &IntentId| Event::CallStarted { intent: intent.clone(), before: "{\"was\":1}".to_owned() };
    let ended = |intent: &IntentId, result| Event::CallEnded { intent: intent.clone(), result };
    [
        Event::Accepted(Box::new(first)),
        started(&one),
        ended(&one, CallResult::Unknown { reason: "timeout".to_owned() }),
        Event::Accepted(Box::new(second)),
        started(&one),
        started(&two),
        ended(&one, CallResult::Accepted { reference: "C1".to_owned() }),
        Event::Outcome { intent: one.clone(), outcome: outcome() },
        Event::Acknowledged { intent: one },
        ended(&two, CallResult::NotApplied { reason: "throttled".to_owned() }),
        started(&two),
    ]
    .into_iter()
    .enumerate()
    .map(|(at, event)| record(at as u64 + 1, event))
    .collect()
}

fn book_of(records: &[Record]) -> Book {
    let mut book = Book::default();
    records.iter().cloned().for_each(|record| book.apply(record));
    book
}

fn open(directory: &Path) -> Result<Journal, JournalError> {
    Journal::open(directory, Timestamp::from_millis(99))
}

fn write(directory: &Path, records: &[Record]) {
    let mut journal = open(directory).expect("a new journal opens");
    records.iter().for_each(|record| journal.append(record.clone()).expect("the disk takes it"));
}

#[test]
fn a_crash_between_any_two_records_loses_nothing_that_was_appended() {
    for length in 0..=story().len() {
        let directory = tempfile::tempdir().expect("a directory");
        let (written, later) = (&story()[..length], &story()[length..]);
        write(directory.path(), written);
        assert_eq!(open(directory.path()).expect("opens").book(), &book_of(written), "after {length} records");
        // Opening compacted it: the story goes on from there as if nothing had happened.
        write(directory.path(), later);
        assert_eq!(open(directory.path()).expect("opens").book(), &book_of(&story()), "restart after {length}");
    }
}

#[test]
fn a_torn_tail_is_cut_off_wherever_it_tore() {
    let directory = tempfile::tempdir().expect("a directory");
    let (last, earlier) = story().split_last().map(|(last, rest)| (last.clone(), rest.to_vec())).expect("records");
    write(directory.path(), &earlier);
    let path = directory.path().join(FILE_NAME);
    let whole = std::fs::read(&path).expect("readable");
    let tail = frame::encode(&last.encode()).expect("a short record");
    for kept in 0..tail.len() {
        // The size may have been extended before the data came: zeros in its place.
        for filler in [0, tail.len() - kept] {
            let torn = [&whole[..], &tail[..kept], &vec![0; filler][..]].concat();
            std::fs::write(&path, torn).expect("writable");
            assert_eq!(open(directory.path()).expect("opens").book(), &book_of(&earlier), "{kept} bytes kept");
        }
    }
}

#[test]
fn damage_before_the_last_record_refuses_to_start_and_says_what_to_do() {
    let directory = tempfile::tempdir().expect("a directory");
    write(directory.path(), &story());
    let path = directory.path().join(FILE_NAME);
    let whole = std::fs::read(&path).expect("readable");
    let last = frame::encode(&story().last().expect("records").encode()).expect("short").len();
    for at in (0..whole.len() - last).step_by(3) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x40;
        std::fs::write(&path, damaged).expect("writable");
        let error = open(directory.path()).expect_err("damage is found");
        assert!(matches!(error, JournalError::Damaged { .. }), "byte {at}: {error}");
        assert!(error.to_string().contains("give the agent a new name"), "{error}");
    }
}

#[test]
fn a_half_written_compaction_is_ignored() {
    let directory = tempfile::tempdir().expect("a directory");
    write(directory.path(), &story());
    std::fs::write(directory.path().join(NEW_FILE_NAME), b"meshjnl1half").expect("writable");
    assert_eq!(open(directory.path()).expect("opens").book(), &book_of(&story()));
}

#[test]
fn the_file_stays_bounded_however_long_the_history() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut journal = Journal::open_with(directory.path(), Timestamp::default(), 20_000).expect("opens");
    for seq in 1..500 {
        let job = job(3, seq);
        let intent = IntentId::from(&job);
        for event in [
            Event::Accepted(Box::new(job)),
            Event::Outcome { intent: intent.clone(), outcome: outcome() },
            Event::Acknowledged { intent },
        ] {
            journal.append(record(seq, event)).expect("the disk takes it");
        }
    }
    let length = std::fs::metadata(directory.path().join(FILE_NAME)).expect("there").len();
    assert!(length < 40_000, "{length} bytes");
    let book = journal.book();
    assert_eq!(book.floor(&job(3, 1).service), Generation(3));
    assert!(book.is_settled(&IntentId::from(&job(3, 499))));
    assert!(book.is_settled(&IntentId::from(&job(3, 2))), "older than all that are remembered");
    assert!(!book.is_settled(&IntentId::from(&job(3, 500))));
}

#[test]
fn one_journal_has_one_owner() {
    let directory = tempfile::tempdir().expect("a directory");
    let _owner = open(directory.path()).expect("opens");
    assert!(matches!(open(directory.path()), Err(JournalError::InUse { .. })));
}

#[test]
fn a_call_that_started_without_an_end_is_doubtful_and_one_not_applied_is_not() {
    let job = job(3, 7);
    let intent = IntentId::from(&job);
    let started = Event::CallStarted { intent: intent.clone(), before: "{}".to_owned() };
    let not_applied = CallResult::NotApplied { reason: "throttled".to_owned() };
    let mut book = book_of(&[record(1, Event::Accepted(Box::new(job))), record(2, started)]);
    assert_eq!(book.entry(&intent).and_then(|e| e.doubtful_since), Some(Timestamp::from_millis(2)));
    assert!(book.entry(&intent).is_some_and(|e| e.progress.lost_a_call()));
    book.apply(record(3, Event::CallEnded { intent: intent.clone(), result: not_applied }));
    assert_eq!(book.entry(&intent).and_then(|e| e.doubtful_since), None);
}
