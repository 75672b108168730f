//! Invariant AuditChain: any edit, drop, swap or truncation below a known head is found.

use mesh_core::audit::AuditNote;
use mesh_proto::audit::{ChainHead, next_record, verify_chain_beyond};
use mesh_proto::v1::AuditRecord;
use mesh_proto::{ChainBreak, audit_hash, sha256, verify_chain};

use crate::values::{at, hash, id};

fn chain(len: u8) -> Vec<AuditRecord> {
    let mut head = ChainHead::default();
    let mut records = Vec::new();
    for i in 1..=len {
        let note = AuditNote {
            actor: "mesh".to_owned(),
            kind: "grant".to_owned(),
            service: Some(id("maip")),
            run: (i % 2 == 0).then(|| id("maip-g1")),
            text: format!("record {i}"),
            refused: i % 3 == 0,
        };
        // Blank and membership entries leave gaps in the indexes.
        let record = next_record(&head, u64::from(i) * 3, at(u64::from(i)), &note, vec![i; 40], hash(i));
        head = head.follow(&record).expect("it follows");
        records.push(record);
    }
    records
}

#[test]
fn an_untouched_chain_verifies_and_gives_its_head() {
    let records = chain(9);
    let head = verify_chain(records.clone()).expect("it is whole");
    assert_eq!((head.records, head.index), (9, 27));
    assert_eq!(head.hash.0.as_slice(), records.last().expect("nine").hash.as_slice());
    assert_eq!(verify_chain([]), Ok(ChainHead::default()));
}

#[test]
fn any_edit_of_any_field_is_found() {
    let edits: [fn(&mut AuditRecord); 13] = [
        |r| r.index += 1,
        |r| r.at += 1,
        |r| r.previous[31] ^= 1,
        |r| r.actor.push('x'),
        |r| r.kind.clear(),
        |r| r.service = "other".to_owned(),
        |r| r.run.push('1'),
        |r| r.text = "nothing happened".to_owned(),
        |r| r.refused = !r.refused,
        |r| r.command_hash[0] ^= 0x80,
        |r| r.state_hash[0] ^= 1,
        |r| r.hash[0] ^= 1,
        |r| r.command[0] ^= 1,
    ];
    for at in 0..5 {
        for (n, edit) in edits.iter().enumerate() {
            let mut records = chain(5);
            edit(&mut records[at]);
            assert!(verify_chain(records).is_err(), "edit {n} of record {at} must be found");
        }
    }
}

/// Somebody who edits a record and makes its hash right again breaks the link to the next.
#[test]
fn an_edit_with_its_hash_made_right_is_found_at_the_next_record() {
    for at in 0..4 {
        let mut records = chain(5);
        records[at].text = "nothing happened".to_owned();
        records[at].hash = audit_hash(&records[at]).0.to_vec();
        assert!(matches!(verify_chain(records), Err(ChainBreak::NotFollowing { .. })), "record {at}");
    }
}

#[test]
fn a_replaced_command_is_found_even_with_the_hash_made_right() {
    let mut records = chain(1);
    records[0].command = vec![0; 40];
    records[0].hash = audit_hash(&records[0]).0.to_vec();
    assert_eq!(verify_chain(records), Err(ChainBreak::CommandEdited { index: 3 }));
}

#[test]
fn a_dropped_record_is_found_wherever_it_stood() {
    for at in 0..4 {
        let mut records = chain(5);
        records.remove(at);
        assert!(matches!(verify_chain(records), Err(ChainBreak::NotFollowing { .. })), "record {at}");
    }
}

#[test]
fn swapped_and_doubled_records_are_found() {
    for at in 0..4 {
        let mut records = chain(5);
        records.swap(at, at + 1);
        assert!(matches!(verify_chain(records), Err(ChainBreak::NotFollowing { .. })), "record {at}");
        let mut records = chain(5);
        records.insert(at, records[at].clone());
        assert!(matches!(verify_chain(records), Err(ChainBreak::NotFollowing { .. })), "record {at}");
    }
}

#[test]
fn truncation_below_a_known_head_is_found() {
    let records = chain(6);
    let known = verify_chain(records[..4].to_vec()).expect("it is whole");
    for len in 0..4 {
        let cut = verify_chain_beyond(&known, records[..len].to_vec());
        assert!(matches!(cut, Err(ChainBreak::Truncated { known: 12, .. })), "{len} of 4: {cut:?}");
    }
    for len in 4..=6 {
        assert_eq!(verify_chain_beyond(&known, records[..len].to_vec()).map(|head| head.records), Ok(len as u64));
    }
}

#[test]
fn a_chain_made_anew_from_the_start_does_not_reach_a_known_head() {
    let known = verify_chain(chain(4)).expect("it is whole");
    let mut head = ChainHead::default();
    let mut forged = Vec::new();
    for i in 1..=6_u8 {
        let note = AuditNote {
            actor: "mesh".to_owned(),
            kind: "grant".to_owned(),
            service: None,
            run: None,
            text: "forged".to_owned(),
            refused: false,
        };
        let record = next_record(&head, u64::from(i) * 3, at(1), &note, vec![i], hash(i));
        head = head.follow(&record).expect("it follows");
        forged.push(record);
    }
    assert!(verify_chain(forged.clone()).is_ok(), "in itself it is a chain");
    assert_eq!(verify_chain_beyond(&known, forged), Err(ChainBreak::Forked { known: 12 }));
}

#[test]
fn a_record_with_hashes_of_a_wrong_length_is_refused() {
    for field in ["hash", "previous", "command_hash", "state_hash"] {
        let mut records = chain(1);
        let record = &mut records[0];
        match field {
            "hash" => record.hash.truncate(31),
            "previous" => record.previous.clear(),
            "command_hash" => record.command_hash.push(0),
            _ => record.state_hash.clear(),
        }
        let found = verify_chain(records);
        assert!(matches!(&found, Err(ChainBreak::Malformed { field: name, .. }) if *name == field), "{found:?}");
    }
}

#[test]
fn sha256_is_sha256() {
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(sha256(b"").to_string(), empty);
}
