//! The bytes on disk. A change here makes logs, snapshots and journals of running meshes unreadable or different:
//! change the .proto files by adding fields, never by changing these. After adding, write the files anew with
//! `MESH_BLESS=1 cargo test -p mesh-proto golden`, run the tests again, and read the difference before you commit it.

use std::path::PathBuf;

use mesh_core::audit::AuditNote;
use mesh_core::fleet::Command;
use mesh_core::ids::IntentSeq;
use mesh_core::time::Timestamp;
use mesh_proto::audit::{ChainHead, next_record};
use mesh_proto::{call_ended, log_command, v1};
use prost::Message;

use crate::values::{self, at, hash, id};

#[test]
fn the_bytes_on_disk_are_those_of_the_golden_files() {
    let bless = std::env::var_os("MESH_BLESS").is_some();
    let mut differing = Vec::new();
    for (name, bytes) in formats() {
        let path = golden(&name);
        if bless {
            std::fs::write(&path, to_hex(&bytes)).expect("the golden file can be written");
        }
        if std::fs::read_to_string(&path).unwrap_or_default() != to_hex(&bytes) {
            differing.push(name);
        }
    }
    assert!(differing.is_empty(), "these formats changed: {differing:?}");
}

#[test]
fn every_golden_file_belongs_to_a_format() {
    let known: Vec<PathBuf> = formats().iter().map(|(name, _)| golden(name)).collect();
    for entry in std::fs::read_dir(golden("x").parent().expect("a directory")).expect("golden files") {
        let path = entry.expect("an entry").path();
        assert!(known.contains(&path), "{} is left over", path.display());
    }
}

/// What an older version wrote is what this one reads.
#[test]
fn golden_commands_and_entities_decode_to_what_they_were() {
    let read = |name: &str| {
        let text = std::fs::read_to_string(golden(name)).expect("a golden file");
        from_hex(&text)
    };
    for (name, command) in values::commands() {
        let wire = v1::LogCommand::decode(read(&format!("command-{name}")).as_slice()).expect("a command");
        assert_eq!(<(Timestamp, Command)>::try_from(wire), Ok((at(1_700_000_000_123), command)), "{name}");
    }
    let service = v1::ServiceEntity::decode(read("entity-service").as_slice()).expect("a service");
    assert_eq!(service.try_into(), Ok(values::service()));
    let run = v1::Run::decode(read("entity-run").as_slice()).expect("a run");
    assert_eq!(run.try_into(), Ok(values::run()));
    let agent = v1::AgentEntity::decode(read("entity-agent").as_slice()).expect("an agent");
    assert_eq!(agent.try_into(), Ok(values::agent()));
    let key = v1::KeyEntity::decode(read("entity-key").as_slice()).expect("a key");
    assert_eq!(key.try_into(), Ok(values::key()));
    let record = v1::AuditRecord::decode(read("audit-record").as_slice()).expect("a record");
    assert!(mesh_proto::verify_chain([record]).is_ok());
}

fn formats() -> Vec<(String, Vec<u8>)> {
    let mut formats: Vec<(String, Vec<u8>)> =
        values::commands().iter().map(|(name, command)| (format!("command-{name}"), command_bytes(command))).collect();
    let mut add = |name: &str, bytes: Vec<u8>| formats.push((name.to_owned(), bytes));
    let freeze = Some((&values::freeze()).into());
    let mesh = v1::MeshEntity { mesh: "demo".to_owned(), now: 1_700_000_000_123, freeze };
    add("entity-mesh", mesh.encode_to_vec());
    add("entity-service", v1::ServiceEntity::from(&values::service()).encode_to_vec());
    add("entity-run", v1::Run::from(&values::run()).encode_to_vec());
    add("entity-agent", v1::AgentEntity::from(&values::agent()).encode_to_vec());
    add("entity-key", v1::KeyEntity::from(&values::key()).encode_to_vec());
    add("audit-record", audit_record().encode_to_vec());
    for (name, record) in snapshot_records(mesh) {
        add(name, v1::SnapshotRecord { record: Some(record) }.encode_to_vec());
    }
    let header = v1::SnapshotHeader {
        format: 1,
        meta: vec![1, 2, 3],
        state_hash: hash(4).0.to_vec(),
        audit_head: hash(5).0.to_vec(),
        records: 6,
        ..Default::default()
    };
    add("snapshot-header", header.encode_to_vec());
    for (name, record) in journal_records() {
        add(name, v1::JournalRecord { at: 1_700_000_000_456, record: Some(record) }.encode_to_vec());
    }
    formats
}

fn command_bytes(command: &Command) -> Vec<u8> {
    log_command(at(1_700_000_000_123), command).encode_to_vec()
}

fn audit_record() -> v1::AuditRecord {
    let note = AuditNote {
        actor: "spiffe://demo/region/us-east-1/operator/ada".to_owned(),
        kind: "pause".to_owned(),
        service: Some(id("maip")),
        run: Some(id("maip-g7")),
        text: "paused maip-g7".to_owned(),
        refused: true,
    };
    let command = Command::Pause { run: id("maip-g7"), by: note.actor.clone() };
    next_record(&ChainHead::default(), 12, at(1_700_000_000_123), &note, command_bytes(&command), hash(9))
}

fn snapshot_records(mesh: v1::MeshEntity) -> Vec<(&'static str, v1::snapshot_record::Record)> {
    use v1::snapshot_record::Record;
    vec![
        ("snapshot-mesh", Record::Mesh(mesh)),
        ("snapshot-service", Record::Service((&id("maip"), &values::service()).into())),
        ("snapshot-run", Record::Run((&values::run()).into())),
        ("snapshot-agent", Record::Agent((&id("use1-a"), &values::agent()).into())),
        ("snapshot-key", Record::Key((&id("ada-1"), &values::key()).into())),
        ("snapshot-audit", Record::Audit(audit_record())),
    ]
}

fn journal_records() -> Vec<(&'static str, v1::journal_record::Record)> {
    use v1::journal_record::Record;
    let service = || "maip".to_owned();
    let result = values::call_results().remove(0);
    let outcome = values::outcomes().pop().map(Into::into);
    let before = "{}".to_owned();
    vec![
        ("journal-accepted", Record::Accepted((&values::jobs()[0]).into())),
        ("journal-call-started", Record::CallStarted(v1::CallStarted { service: service(), intent: 21, before })),
        ("journal-call-ended", Record::CallEnded(call_ended(&id("maip"), IntentSeq(21), &result))),
        ("journal-outcome", Record::Outcome(v1::JournalOutcome { service: service(), intent: 21, outcome })),
        ("journal-acknowledged", Record::Acknowledged(v1::OutcomeAck { service: service(), intent: 21 })),
        ("journal-floor", Record::Floor(v1::Floor { service: service(), generation: 7 })),
    ]
}

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.hex"))
}

/// Lower-case hex, 32 bytes a line.
fn to_hex(bytes: &[u8]) -> String {
    let line = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n";
    bytes.chunks(32).map(line).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|i| u8::from_str_radix(&digits[i..i + 2], 16).expect("hex")).collect()
}
