//! The audit, after someone had it in their hands.

use mesh_proto::v1::AuditRecord;
use mesh_suite::Rig;
use mesh_suite::ctl::Said;
use prost::Message;

pub async fn an_export_proves_what_was_done_to_it(rig: &Rig) {
    let path = rig.path("audit").display().to_string();
    let exported = rig.ctl(&["--json", "audit", "export", "-o", &path]).await.expect(0).json();
    let head = exported["head_hash"].as_str().expect("a head").to_owned();
    rig.ctl(&["audit", "verify"]).await.expect(0);
    rig.ctl(&["audit", "verify", "--head", &head]).await.expect(0);
    rig.ctl(&["audit", "verify", "--head", &"0".repeat(64)]).await.expect(1);
    rig.ctl(&["audit", "export", "-o", &path]).await.expect(2);

    let bytes = std::fs::read(&path).expect("the export");
    let records = decode(&bytes);
    assert!(records.len() > 4, "a mesh that was set up has a history");
    let whole = verify(rig, &encode(&records), Some(&head)).await.expect(0);
    assert!(whole.stdout.contains(&head), "{whole:?}");

    let mut edited = records.clone();
    edited[2].actor = "spiffe://demo/region/us-east-1/admin/mallory".to_owned();
    broken_at(rig, &encode(&edited), records[2].index).await;
    let mut another_command = records.clone();
    another_command[2].command.push(0);
    broken_at(rig, &encode(&another_command), records[2].index).await;
    let mut swapped = records.clone();
    swapped.swap(1, 2);
    broken_at(rig, &encode(&swapped), records[2].index).await;
    let mut dropped = records.clone();
    dropped.remove(2);
    broken_at(rig, &encode(&dropped), records[3].index).await;
    let last = records.len() - 1;
    broken_at(rig, &bytes[..bytes.len() - 1], records[last].index).await;

    // Cut between two records, the chain holds by itself: the head that was kept elsewhere tells.
    let cut = encode(&records[..last]);
    verify(rig, &cut, None).await.expect(0);
    let found = verify(rig, &cut, Some(&head)).await.expect(1);
    assert!(found.stdout.contains("cut off"), "{found:?}");
    let begins_later = verify(rig, &encode(&records[2..]), None).await.expect(0);
    assert!(begins_later.stdout.contains("NOT checked"), "{begins_later:?}");
    verify(rig, b"not an audit", None).await.expect(1);
}

async fn broken_at(rig: &Rig, bytes: &[u8], index: u64) {
    let said = verify(rig, bytes, None).await.expect(1);
    assert!(said.stdout.contains(&format!("BROKEN at index {index}:")), "{index}: {said:?}");
}

async fn verify(rig: &Rig, bytes: &[u8], head: Option<&str>) -> Said {
    let path = rig.path("tampered");
    std::fs::write(&path, bytes).expect("writable");
    let path = path.display().to_string();
    match head {
        None => rig.ctl(&["audit", "verify", &path]).await,
        Some(head) => rig.ctl(&["audit", "verify", &path, "--head", head]).await,
    }
}

fn decode(mut bytes: &[u8]) -> Vec<AuditRecord> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        records.push(AuditRecord::decode_length_delimited(&mut bytes).expect("a record"));
    }
    records
}

fn encode(records: &[AuditRecord]) -> Vec<u8> {
    records.iter().flat_map(AuditRecord::encode_length_delimited_to_vec).collect()
}
