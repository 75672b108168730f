//! Messages as the core's values: what is accepted is written and accepted again as the same, or it would be lost
//! between a log and a restart.

use std::fmt::Debug;
use std::fs;
use std::path::Path;

use mesh_core::audit::AuditNote;
use mesh_core::decide::JudgementRecord;
use mesh_core::execute::{CallResult, Job};
use mesh_core::fleet::{AgentRecord, Command, EnrolledKey, Freeze, Reply, Service};
use mesh_core::ids::{AgentId, Hash32, IntentSeq, KeyId, ServiceId};
use mesh_core::lease::{AskList, Fence, Proof};
use mesh_core::manifest::Manifest;
use mesh_core::notice::AutomaticNote;
use mesh_core::plan::{Action, Plan, PredictedLoss};
use mesh_core::run::{Approval, MeasuredLoss, Outcome, Run, RunState, Work};
use mesh_core::signal::Signal;
use mesh_core::survey::{Answer, Question};
use mesh_core::time::Timestamp;
use mesh_proto::audit::{ChainHead, next_record};
use mesh_proto::{DecodeError, log_command, plan_hash, v1};
use prost::Message;

use super::values;
use crate::target::{Shape, Target};

type Check = fn(&[u8]) -> bool;

pub fn target() -> Target {
    let reads = "messages as values of the core: plans, runs, manifests, signals, jobs, outcomes, surveys, entities";
    Target::new("domain", reads, Shape::ChosenMessage, seeds, check).inputs(20_000).words(WORDS)
}

pub fn command() -> Target {
    let seeds = || values::commands().iter().map(|(_, command)| encoded(command)).collect();
    let reads = "one command of the replicated log, as it is committed and audited";
    Target::new("command", reads, Shape::Message, seeds, command_check).inputs(15_000).words(WORDS)
}

pub const WORDS: &[&str] =
    &["us-east-1", "us-west-2", "maip", "maip-g7", "step-0", "ada-1", "use1-a", "mon-fri 08:00-18:00", "lag(db) < 5s"];

fn check(input: &[u8]) -> bool {
    let Some((choice, bytes)) = input.split_first() else { return false };
    VALUES[usize::from(*choice) % VALUES.len()](bytes)
}

/// The choice is a place in this list: add at the end.
const VALUES: &[Check] = &[
    plan,
    value::<v1::Run, Run>,
    value::<v1::Manifest, Manifest>,
    value::<v1::Action, Action>,
    value::<v1::Signal, Signal>,
    value::<v1::Job, Job>,
    value::<v1::Outcome, Outcome>,
    value::<v1::ServiceEntity, Service>,
    value::<v1::AgentEntity, AgentRecord>,
    value::<v1::KeyEntity, EnrolledKey>,
    value::<v1::Approval, Approval>,
    value::<v1::CommandReply, Reply>,
    value::<v1::Judgement, JudgementRecord>,
    value::<v1::Freeze, Freeze>,
    value::<v1::AutomaticNote, AutomaticNote>,
    value::<v1::SurveyQuestion, Question>,
    value::<v1::SurveyAnswer, Answer>,
    value::<v1::Fence, Fence>,
    value::<v1::Proof, Proof>,
    value::<v1::AskList, AskList>,
    value::<v1::RunState, RunState>,
    value::<v1::Work, Work>,
    value::<v1::PredictedLoss, PredictedLoss>,
    value::<v1::MeasuredLoss, MeasuredLoss>,
    named,
    call_ended,
];

fn value<W, C>(bytes: &[u8]) -> bool
where
    W: Message + Default + for<'a> From<&'a C>,
    C: TryFrom<W, Error = DecodeError> + PartialEq + Debug,
{
    let Some(value) = W::decode(bytes).ok().and_then(|wire| C::try_from(wire).ok()) else { return false };
    let written = W::from(&value).encode_to_vec();
    let again = C::try_from(W::decode(written.as_slice()).expect("what was written is parsed"));
    let again = again.unwrap_or_else(|error| panic!("what was accepted once is refused once it was stored: {error}"));
    assert_eq!(again, value, "what was accepted is another once it was stored");
    assert_eq!(W::from(&again).encode_to_vec(), written, "equal values have equal bytes");
    true
}

/// Two people sign its hash.
fn plan(bytes: &[u8]) -> bool {
    let accepted = value::<v1::Plan, Plan>(bytes);
    let read = |bytes: &[u8]| v1::Plan::decode(bytes).ok().and_then(|wire| Plan::try_from(wire).ok());
    if let Some(plan) = read(bytes) {
        let stored = v1::Plan::from(&plan).encode_to_vec();
        assert_eq!(read(&stored).map(|plan| plan_hash(&plan)), Some(plan_hash(&plan)), "it has another hash");
    }
    accepted
}

fn named(bytes: &[u8]) -> bool {
    let service = v1::NamedService::decode(bytes).is_ok_and(|wire| <(ServiceId, Service)>::try_from(wire).is_ok());
    let agent = v1::NamedAgent::decode(bytes).is_ok_and(|wire| <(AgentId, AgentRecord)>::try_from(wire).is_ok());
    let key = v1::NamedKey::decode(bytes).is_ok_and(|wire| <(KeyId, EnrolledKey)>::try_from(wire).is_ok());
    service || agent || key
}

fn call_ended(bytes: &[u8]) -> bool {
    let Some(result) = v1::CallEnded::decode(bytes).ok().and_then(|wire| CallResult::try_from(wire).ok()) else {
        return false;
    };
    let again = mesh_proto::call_ended(&values::id("maip"), IntentSeq(1), &result);
    assert_eq!(CallResult::try_from(again), Ok(result));
    true
}

fn command_check(bytes: &[u8]) -> bool {
    let read = |bytes: &[u8]| -> Option<(Timestamp, Command)> { v1::LogCommand::decode(bytes).ok()?.try_into().ok() };
    let Some((at, command)) = read(bytes) else { return false };
    let written = log_command(at, &command).encode_to_vec();
    assert_eq!(read(&written), Some((at, command.clone())), "what was accepted is another once it was stored");
    // As it is audited: under its own hash, whatever it is.
    let note = AuditNote {
        actor: String::new(),
        kind: "fuzz".into(),
        service: None,
        run: None,
        text: String::new(),
        refused: false,
    };
    let record = next_record(&ChainHead::default(), 1, at, &note, bytes.to_vec(), Hash32::default());
    mesh_proto::verify_chain([record]).expect("a record that was made is one");
    true
}

pub fn encoded(command: &Command) -> Vec<u8> {
    log_command(values::at(1_700_000_000_123), command).encode_to_vec()
}

fn seeds() -> Vec<Vec<u8>> {
    fn all<'a, C: 'a, W: Message + From<&'a C>>(choice: u8, values: &'a [C]) -> impl Iterator<Item = Vec<u8>> {
        values.iter().map(move |value| [&[choice], W::from(value).encode_to_vec().as_slice()].concat())
    }
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    seeds.extend(all::<_, v1::Plan>(0, &values::plans()));
    seeds.extend(all::<_, v1::Run>(1, &values::runs()));
    seeds.extend(all::<_, v1::Manifest>(2, &[values::manifest()]));
    seeds.extend(all::<_, v1::Action>(3, &values::actions()));
    seeds.extend(all::<_, v1::Action>(3, &values::hook_actions()));
    seeds.extend(all::<_, v1::Signal>(4, &values::signals()));
    seeds.extend(all::<_, v1::Job>(5, &values::jobs()));
    seeds.extend(all::<_, v1::Outcome>(6, &values::outcomes()));
    seeds.extend(all::<_, v1::ServiceEntity>(7, &values::services()));
    seeds.extend(all::<_, v1::AgentEntity>(8, &[values::agent()]));
    seeds.extend(all::<_, v1::KeyEntity>(9, &[values::key()]));
    seeds.extend(all::<_, v1::Approval>(10, &[values::approval()]));
    seeds.extend(all::<_, v1::CommandReply>(11, &values::replies()));
    seeds.extend(all::<_, v1::Judgement>(12, &[values::judgement()]));
    seeds.extend(all::<_, v1::Freeze>(13, &[values::freeze()]));
    seeds.extend(all::<_, v1::AutomaticNote>(14, &[values::note()]));
    seeds.extend(all::<_, v1::SurveyQuestion>(15, &values::survey_questions()));
    seeds.extend(all::<_, v1::SurveyAnswer>(16, &values::survey_answers()));
    seeds.extend(all::<_, v1::Proof>(18, &values::proofs()));
    seeds.extend(all::<_, v1::RunState>(20, &values::run_states()));
    seeds.extend(all::<_, v1::Work>(21, &values::works()));
    seeds.extend(all::<_, v1::PredictedLoss>(22, &values::losses()));
    seeds.extend(all::<_, v1::MeasuredLoss>(23, &values::measured_losses()));
    seeds
}

/// The bytes on disk, as the golden files keep them.
pub fn golden_files() -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/tests/golden");
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).expect("the golden files are there") {
        let path = entry.expect("an entry").path();
        let digits: String = fs::read_to_string(&path).expect("a golden file").split_whitespace().collect();
        let bytes = (0..digits.len()).step_by(2).filter_map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok());
        files.push((
            path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            bytes.collect(),
        ));
    }
    files.sort();
    files
}
