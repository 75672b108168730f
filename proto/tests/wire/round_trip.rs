use std::fmt::Debug;

use mesh_core::execute::CallResult;
use mesh_core::fleet::{AgentRecord, Command, EnrolledKey, Service};
use mesh_core::ids::{AgentId, IntentSeq, KeyId, ServiceId};
use mesh_core::time::Timestamp;
use mesh_proto::{DecodeError, call_ended, log_command, plan_hash, v1};
use prost::Message;

use crate::values::{self, id};

/// Encodes, sends through bytes, decodes.
fn round_trip<C, W>(core: &C)
where
    C: TryFrom<W, Error = DecodeError> + PartialEq + Debug,
    W: Message + Default + for<'a> From<&'a C>,
{
    let bytes = W::from(core).encode_to_vec();
    let wire = W::decode(bytes.as_slice()).expect("what was encoded can be parsed");
    let back = C::try_from(wire).expect("what was encoded is accepted");
    assert_eq!(*core, back);
    assert_eq!(W::from(&back).encode_to_vec(), bytes, "equal values have equal bytes");
}

#[test]
fn a_manifest_comes_back_as_it_was() {
    round_trip::<_, v1::Manifest>(&values::manifest());
}

#[test]
fn every_action_plan_and_loss_comes_back_as_it_was() {
    values::actions().iter().for_each(round_trip::<_, v1::Action>);
    values::hook_actions().iter().for_each(round_trip::<_, v1::Action>);
    values::gateway_actions().iter().for_each(round_trip::<_, v1::Action>);
    round_trip::<_, v1::Fence>(&values::throttle());
    round_trip::<_, v1::AutomaticNote>(&values::note());
    round_trip::<_, v1::Run>(&values::despite());
    values::plans().iter().for_each(round_trip::<_, v1::Plan>);
    values::losses().iter().for_each(round_trip::<_, v1::PredictedLoss>);
}

#[test]
fn every_state_of_a_run_comes_back_as_it_was() {
    values::runs().iter().for_each(round_trip::<_, v1::Run>);
    values::run_states().iter().for_each(round_trip::<_, v1::RunState>);
    values::works().iter().for_each(round_trip::<_, v1::Work>);
    values::outcomes().iter().for_each(round_trip::<_, v1::Outcome>);
    round_trip::<_, v1::Approval>(&values::approval());
}

#[test]
fn every_entity_comes_back_as_it_was() {
    values::services().iter().for_each(round_trip::<_, v1::ServiceEntity>);
    round_trip::<_, v1::AgentEntity>(&values::agent());
    round_trip::<_, v1::KeyEntity>(&values::key());
    let named = <(ServiceId, Service)>::try_from(v1::NamedService::from((&id("maip"), &values::service())));
    assert_eq!(named, Ok((id("maip"), values::service())));
    let named = <(AgentId, AgentRecord)>::try_from(v1::NamedAgent::from((&id("use1-a"), &values::agent())));
    assert_eq!(named, Ok((id("use1-a"), values::agent())));
    let named = <(KeyId, EnrolledKey)>::try_from(v1::NamedKey::from((&id("ada-1"), &values::key())));
    assert_eq!(named, Ok((id("ada-1"), values::key())));
}

#[test]
fn every_signal_job_and_call_result_comes_back_as_it_was() {
    values::signals().iter().for_each(round_trip::<_, v1::Signal>);
    values::jobs().iter().for_each(round_trip::<_, v1::Job>);
    for result in values::call_results() {
        assert_eq!(CallResult::try_from(call_ended(&id("maip"), IntentSeq(1), &result)), Ok(result));
    }
}

#[test]
fn every_survey_question_and_answer_comes_back_as_it_was() {
    values::survey_questions().iter().for_each(round_trip::<_, v1::SurveyQuestion>);
    values::survey_answers().iter().for_each(round_trip::<_, v1::SurveyAnswer>);
}

#[test]
fn every_command_and_reply_comes_back_as_it_was() {
    for (name, command) in values::commands() {
        let stamped = Timestamp::from_millis(1_700_000_000_123);
        let bytes = log_command(stamped, &command).encode_to_vec();
        let wire = v1::LogCommand::decode(bytes.as_slice()).expect("a log command");
        let back = <(Timestamp, Command)>::try_from(wire).expect("it is accepted");
        assert_eq!(back, (stamped, command), "{name}");
    }
    values::replies().iter().for_each(round_trip::<_, v1::CommandReply>);
}

#[test]
fn any_change_of_a_plan_changes_its_hash() {
    let plan = values::plan();
    let mut hashes: Vec<_> = values::plans().iter().map(plan_hash).collect();
    let mut changed = |change: fn(&mut mesh_core::plan::Plan)| {
        let mut other = plan.clone();
        change(&mut other);
        hashes.push(plan_hash(&other));
    };
    changed(|plan| plan.generation = plan.generation.next());
    changed(|plan| plan.manifest_version += 1);
    changed(|plan| std::mem::swap(&mut plan.from, &mut plan.to));
    changed(|plan| plan.steps.truncate(3));
    changed(|plan| plan.steps[0].timeout *= 2);
    changed(|plan| plan.steps[1].after.clear());
    changed(|plan| plan.warnings.push(String::new()));
    let given = hashes.len();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), given, "all of them differ");
}

/// An agent whose report nobody accepts would repeat it for ever.
#[test]
fn an_outcome_is_cut_to_what_its_receiver_accepts() {
    let large = mesh_core::run::Outcome {
        detail: "ä".repeat(100_000),
        read_back: format!("[{}]", "1,".repeat(100_000)),
        before: "x".repeat(1_000_000),
        ..values::outcomes().remove(0)
    };
    let back = mesh_core::run::Outcome::try_from(v1::Outcome::from(&large)).expect("it is accepted");
    assert!(large.detail.starts_with(&back.detail) && back.detail.len() > 8_000);
    assert_eq!(back.before, r#"{"omitted_bytes":1000000}"#);
    assert_eq!(back.result, large.result);
}

#[test]
fn what_decides_and_what_was_lost_comes_back_as_it_was() {
    round_trip::<_, v1::Judgement>(&values::judgement());
    round_trip::<_, v1::Freeze>(&values::freeze());
    values::measured_losses().iter().for_each(round_trip::<_, v1::MeasuredLoss>);
    values::safety_rules().iter().for_each(round_trip::<_, v1::SafetyRule>);
}

/// As versions wrote it that knew no automatic failover.
#[test]
fn what_was_written_before_the_mesh_decided_by_itself_loads_as_it_was_meant() {
    use mesh_core::manifest::{LossPolicy, Manifest, Policy};
    use mesh_core::run::{Cause, Run};
    let older = v1::Run {
        cause: None,
        loss: None,
        measured: None,
        released: None,
        overrides: Vec::new(),
        ..v1::Run::from(&values::run())
    };
    let run = Run::try_from(older).expect("it loads");
    assert_eq!((&run.cause, &run.loss), (&Cause::Asked, &run.plan.loss));
    let mut manifest = v1::Manifest::from(&values::manifest());
    manifest.safety.clear();
    if let Some(policy) = &mut manifest.policy {
        (policy.sustained_ms, policy.cool_down_ms, policy.loss, policy.quorum) = (0, 0, 0, None);
        policy.windows.clear();
    }
    let policy = Manifest::try_from(manifest).expect("it loads").policy;
    let default = Policy::default();
    assert_eq!((policy.sustained, policy.cool_down), (default.sustained, default.cool_down));
    assert_eq!((policy.loss, policy.quorum), (LossPolicy::Block, None));
    let service = v1::ServiceEntity { automatic_at: None, freeze: None, noted: None, ..(&values::service()).into() };
    assert!(Service::try_from(service).is_ok());
}
