//! Every message that is sent over the network or stands in a file: whatever is parsed is written again, and that is
//! parsed to the same.

use mesh_proto::v1;
use prost::Message;

use crate::target::{Shape, Target};

type Check = fn(&[u8]) -> bool;

pub fn target() -> Target {
    let reads = "every mesh.v1 message of a call, a stream or a file, as anybody with a connection can send it";
    Target::new("rpc", reads, Shape::ChosenMessage, seeds, check).inputs(60_000)
}

fn check(input: &[u8]) -> bool {
    let Some((choice, bytes)) = input.split_first() else { return false };
    MESSAGES[usize::from(*choice) % MESSAGES.len()](bytes)
}

/// The choice is a place in this list: add at the end.
const MESSAGES: &[Check] = &[
    round_trip::<v1::FromAgent>,
    round_trip::<v1::ToAgent>,
    round_trip::<v1::PromiseRequest>,
    round_trip::<v1::PromiseReply>,
    round_trip::<v1::RaftMessage>,
    round_trip::<v1::StandingRequest>,
    round_trip::<v1::StandingResponse>,
    round_trip::<v1::SegmentRequest>,
    round_trip::<v1::SegmentChunk>,
    round_trip::<v1::SnapshotChunk>,
    round_trip::<v1::RenewRequest>,
    round_trip::<v1::RenewResponse>,
    round_trip::<v1::GetStatusRequest>,
    round_trip::<v1::GetStatusResponse>,
    round_trip::<v1::GetServiceRequest>,
    round_trip::<v1::GetServiceResponse>,
    round_trip::<v1::MakePlanRequest>,
    round_trip::<v1::MakePlanResponse>,
    round_trip::<v1::CheckPlanRequest>,
    round_trip::<v1::CheckPlanResponse>,
    round_trip::<v1::SurveyRequest>,
    round_trip::<v1::SurveyResponse>,
    round_trip::<v1::ApplyManifestRequest>,
    round_trip::<v1::ApplyManifestResponse>,
    round_trip::<v1::SetArmedRequest>,
    round_trip::<v1::StartRunRequest>,
    round_trip::<v1::StartRunResponse>,
    round_trip::<v1::ControlRunRequest>,
    round_trip::<v1::ControlRunResponse>,
    round_trip::<v1::GetRunRequest>,
    round_trip::<v1::GetRunResponse>,
    round_trip::<v1::ListRunsRequest>,
    round_trip::<v1::ListRunsResponse>,
    round_trip::<v1::ApproveRequest>,
    round_trip::<v1::ApproveResponse>,
    round_trip::<v1::ListKeysResponse>,
    round_trip::<v1::EnrollKeyRequest>,
    round_trip::<v1::RevokeKeyRequest>,
    round_trip::<v1::ExportAuditRequest>,
    round_trip::<v1::GetMembershipResponse>,
    round_trip::<v1::ChangeMembershipRequest>,
    round_trip::<v1::ChangeMembershipResponse>,
    round_trip::<v1::BackupChunk>,
    round_trip::<v1::WhyRequest>,
    round_trip::<v1::WhyResponse>,
    round_trip::<v1::WhyNotRequest>,
    round_trip::<v1::WhyNotResponse>,
    round_trip::<v1::FreezeRequest>,
    round_trip::<v1::FreezeResponse>,
    round_trip::<v1::UnfreezeRequest>,
    round_trip::<v1::AcknowledgeRequest>,
    round_trip::<v1::LogCommand>,
    round_trip::<v1::RaftEntry>,
    round_trip::<v1::RaftSnapshotMeta>,
    round_trip::<v1::SnapshotHeader>,
    round_trip::<v1::SnapshotRecord>,
    round_trip::<v1::SegmentHeader>,
    round_trip::<v1::AuditRecord>,
    round_trip::<v1::JournalRecord>,
    round_trip::<v1::CommandReply>,
];

fn round_trip<M: Message + Default + PartialEq>(bytes: &[u8]) -> bool {
    let Ok(message) = M::decode(bytes) else { return false };
    let written = message.encode_to_vec();
    assert_eq!(written.len(), message.encoded_len(), "the length is told wrongly");
    let again = M::decode(written.as_slice()).expect("what was written is parsed");
    // A float that is not a number differs from itself; its bytes do not.
    assert_eq!(again.encode_to_vec(), written, "what was parsed is not what was written");
    true
}

/// The golden bytes of the disk formats, under every choice that reads them, and an empty message for each.
fn seeds() -> Vec<Vec<u8>> {
    let place = |check: Check| MESSAGES.iter().position(|known| std::ptr::fn_addr_eq(*known, check));
    let golden = super::domain::golden_files();
    let of = |check: Check, begins: &str| -> Vec<Vec<u8>> {
        let Some(choice) = place(check).and_then(|place| u8::try_from(place).ok()) else { return Vec::new() };
        let files = golden.iter().filter(|(name, _)| name.starts_with(begins));
        files.map(|(_, bytes)| [&[choice], bytes.as_slice()].concat()).collect()
    };
    let mut seeds: Vec<Vec<u8>> = (0..MESSAGES.len()).filter_map(|n| u8::try_from(n).ok().map(|n| vec![n])).collect();
    seeds.extend(of(round_trip::<v1::LogCommand>, "command-"));
    seeds.extend(of(round_trip::<v1::SnapshotRecord>, "snapshot-"));
    seeds.extend(of(round_trip::<v1::SnapshotHeader>, "snapshot-header"));
    seeds.extend(of(round_trip::<v1::JournalRecord>, "journal-"));
    seeds.extend(of(round_trip::<v1::AuditRecord>, "audit-"));
    seeds
}
