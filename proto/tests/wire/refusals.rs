//! What no core value could have produced is refused, and the error names the field.

use mesh_core::execute::{CallResult, Job};
use mesh_core::fleet::{Command, EnrolledKey, Reply, Service};
use mesh_core::manifest::{Manifest, Vantage};
use mesh_core::plan::{Action, Plan};
use mesh_core::run::{Approval, Outcome, Run};
use mesh_core::signal::Signal;
use mesh_core::survey::{Answer, Inventory, Question};
use mesh_core::time::Timestamp;
use mesh_proto::{DecodeError, bounds, v1};

use crate::values;

/// Decodes after an edit and gives the error's text.
fn refused<C, W>(mut wire: W, edit: impl FnOnce(&mut W)) -> String
where
    C: TryFrom<W, Error = DecodeError> + std::fmt::Debug,
{
    edit(&mut wire);
    C::try_from(wire).expect_err("it must be refused").to_string()
}

fn manifest(edit: impl FnOnce(&mut v1::Manifest)) -> String {
    refused::<Manifest, _>((&values::manifest()).into(), edit)
}

fn plan(edit: impl FnOnce(&mut v1::Plan)) -> String {
    refused::<Plan, _>((&values::plan()).into(), edit)
}

fn run(edit: impl FnOnce(&mut v1::Run)) -> String {
    refused::<Run, _>((&values::run()).into(), edit)
}

#[track_caller]
fn begins(error: &str, path: &str) {
    assert!(error.starts_with(path), "{error:?} must begin with {path:?}");
}

#[test]
fn an_unspecified_or_unknown_enum_is_refused() {
    begins(&manifest(|m| m.writer = 0), "Manifest.writer: is unspecified");
    begins(&manifest(|m| m.writer = 99), "Manifest.writer: has the unknown value 99");
    begins(&manifest(|m| m.regions.values_mut().for_each(|r| *r = 0)), "Manifest.regions.us-east-1: is unspecified");
    begins(&manifest(|m| m.policy.as_mut().expect("a policy").automatic = 9), "Manifest.policy.automatic: ");
    begins(&plan(|p| p.kind = 0), "Plan.kind: is unspecified");
    begins(&plan(|p| p.steps[3].reversibility = -1), "Plan.steps[3].reversibility: has the unknown value -1");
    let outcome = refused::<Outcome, v1::Outcome>((&values::outcomes()[0]).into(), |o| o.result = 0);
    begins(&outcome, "Outcome.result: is unspecified");
    let job = refused::<Job, v1::Job>((&values::jobs()[0]).into(), |j| j.direction = 7);
    begins(&job, "Job.direction: ");
}

/// What was stored before there was a choice.
#[test]
fn a_check_without_a_vantage_is_asked_from_both_sides_and_counts() {
    let mut wire = v1::Manifest::from(&values::manifest());
    wire.checks.truncate(1);
    wire.checks.iter_mut().for_each(|check| (check.asked_from, check.observe_only) = (0, false));
    let read = Manifest::try_from(wire).expect("it is accepted");
    let check = read.checks.first().expect("a check");
    assert_eq!((check.from, check.observe_only), (Vantage::Both, false));
    begins(&manifest(|m| m.checks[0].asked_from = 9), "Manifest.checks[0].asked_from: has the unknown value 9");
}

#[test]
fn a_threshold_beyond_what_is_compared_is_refused() {
    let edit = |m: &mut v1::Manifest| {
        let thresholds = m.checks.iter_mut().filter_map(|check| match &mut check.probe {
            Some(v1::check::Probe::Cloudwatch(probe)) => probe.threshold.as_mut(),
            _ => None,
        });
        thresholds.for_each(|threshold| threshold.above = Some(i64::MAX));
    };
    let error = manifest(edit);
    assert!(error.contains("probe.threshold.above: "), "{error}");
}

#[test]
fn a_missing_oneof_or_message_is_refused() {
    begins(&manifest(|m| m.policy = None), "Manifest.policy: is missing");
    begins(&manifest(|m| m.checks[1].probe = None), "Manifest.checks[1].probe: is missing");
    begins(&manifest(|m| m.resources[0].kind = None), "Manifest.resources[0].kind: is missing");
    let sets = |m: &mut v1::Manifest| m.traffic[0].active.values_mut().for_each(|sets| sets.sets[0].data = None);
    begins(&manifest(sets), "Manifest.traffic[0].active.us-east-1[0].data: is missing");
    begins(&plan(|p| p.loss = None), "Plan.loss: is missing");
    begins(&plan(|p| p.steps[0].action = None), "Plan.steps[0].action: is missing");
    begins(&plan(|p| p.steps[2].retry = None), "Plan.steps[2].retry: is missing");
    begins(&run(|r| r.state = None), "Run.state: is missing");
    begins(&run(|r| r.state = Some(v1::RunState { state: None })), "Run.state.state: is missing");
    let empty: Result<(Timestamp, Command), _> = v1::LogCommand { at: 1, command: None }.try_into();
    begins(&empty.expect_err("it must be refused").to_string(), "LogCommand.command: is missing");
    let reply = Reply::try_from(v1::CommandReply { reply: None });
    begins(&reply.expect_err("it must be refused").to_string(), "CommandReply.reply: is missing");
    let signal = refused::<Signal, v1::Signal>((&values::signals()[0]).into(), |s| s.reading = None);
    begins(&signal, "Signal.reading: is missing");
    let action = Action::try_from(v1::Action { action: None });
    begins(&action.expect_err("it must be refused").to_string(), "Action.action: is missing");
}

#[test]
fn a_bad_name_is_refused_wherever_it_stands() {
    begins(&manifest(|m| m.service = "Maip".to_owned()), "Manifest.service: ");
    begins(&manifest(|m| m.depends_on.push("../etc".to_owned())), "Manifest.depends_on: ");
    begins(&manifest(|m| _ = m.regions.insert("a\u{1b}[31m".to_owned(), 1)), "Manifest.regions: ");
    begins(&plan(|p| p.to = String::new()), "Plan.to: region \"\": must not be empty");
    begins(&plan(|p| p.steps[0].id = "x".repeat(64)), "Plan.steps[0].id: ");
    begins(&run(|r| r.id = "maip g7".to_owned()), "Run.id: ");
    let service = |s: &mut v1::ServiceEntity| s.current_run = Some("/".to_owned());
    begins(&refused::<Service, _>((&values::service()).into(), service), "ServiceEntity.current_run: ");
}

#[test]
fn a_number_out_of_range_is_refused() {
    let weight = |weight| {
        move |m: &mut v1::Manifest| {
            m.traffic[0].active.values_mut().flat_map(|sets| &mut sets.sets).for_each(|set| set.weight = weight);
        }
    };
    begins(&manifest(weight(256)), "Manifest.traffic[0].active.us-east-1[0].weight: ");
    begins(&manifest(weight(1)), "Manifest.traffic[0].active.us-east-1[0].weight: is for weighted records only");
    begins(&manifest(|m| m.verify[0].expect_status = 70_000), "Manifest.verify[0].expect_status: 70000 is no HTTP");
    begins(&manifest(|m| m.rto_ms = u64::MAX), "Manifest.rto_ms: ");
    begins(&plan(|p| p.steps[0].timeout_ms = u64::MAX), "Plan.steps[0].timeout_ms: ");
    let heavy = |sets: &mut v1::RecordSet| sets.weight = 300;
    let set = refused::<mesh_core::manifest::RecordSet, v1::RecordSet>((&values::record_sets()[3]).into(), heavy);
    begins(&set, "RecordSet.weight: is 300");
}

#[test]
fn bytes_of_a_wrong_length_are_refused() {
    begins(&run(|r| r.plan_hash.truncate(31)), "Run.plan_hash: has 31 bytes, 32 are needed");
    let approval = |a: &mut v1::Approval| a.signature.push(0);
    begins(&refused::<Approval, _>((&values::approval()).into(), approval), "Approval.signature: has 65 bytes");
    let key = |k: &mut v1::KeyEntity| k.public_key.clear();
    begins(&refused::<EnrolledKey, _>((&values::key()).into(), key), "KeyEntity.public_key: has 0 bytes");
}

#[test]
fn lists_and_texts_above_their_bounds_are_refused() {
    let long = || "x".repeat(bounds::TEXT_BYTES_MAX + 1);
    begins(&manifest(|m| m.description = long()), "Manifest.description: has 8193 bytes");
    begins(&manifest(|m| m.checks = vec![m.checks[0].clone(); 257]), "Manifest.checks: has 257 entries");
    let regions = |m: &mut v1::Manifest| m.regions = (0..300).map(|i| (format!("r{i}"), 1)).collect();
    begins(&manifest(regions), "Manifest.regions: has 300 entries");
    begins(&plan(|p| p.steps = vec![p.steps[0].clone(); 65]), "Plan.steps: has 65 entries, at most 64");
    begins(&run(|r| r.timeline = vec![r.timeline[0].clone(); 5000]), "Run.timeline: has 5000 entries");
    let outcome = |o: &mut v1::Outcome| o.read_back = "x".repeat(bounds::DOCUMENT_BYTES_MAX + 1);
    begins(&refused::<Outcome, _>((&values::outcomes()[0]).into(), outcome), "Outcome.read_back: ");
    let source = |s: &mut v1::ServiceEntity| s.source = "x".repeat(bounds::SOURCE_BYTES_MAX + 1);
    begins(&refused::<Service, _>((&values::service()).into(), source), "ServiceEntity.source: ");
    let call = v1::CallEnded { service: "maip".to_owned(), intent: 1, verdict: 1, detail: long() };
    begins(&CallResult::try_from(call).expect_err("it must be refused").to_string(), "CallEnded.detail: ");
}

#[test]
fn a_doubled_member_of_a_set_is_refused() {
    begins(&manifest(|m| m.depends_on.push("auth".to_owned())), "Manifest.depends_on: holds a member twice");
    begins(&plan(|p| p.steps[1].after.push("step-0".to_owned())), "Plan.steps[1].after: holds a member twice");
}

#[test]
fn a_plan_that_its_own_rules_forbid_is_refused() {
    begins(&plan(|p| p.steps.clear()), "Plan.steps: a plan needs at least one step");
    begins(&plan(|p| p.steps.reverse()), "Plan.steps: step step-30 waits for step-29");
    begins(&plan(|p| p.steps[1].id = "step-0".to_owned()), "Plan.steps: step step-0");
    begins(&plan(|p| p.steps[0].undo = None), "Plan.steps: step step-0: a reversible step");
}

/// Seeded garbage and mutilated messages: an error or a value, never the end of the process.
#[test]
fn no_bytes_end_the_process() {
    use prost::Message;
    let run = v1::Run::from(&values::run()).encode_to_vec();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut draw = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..3_000 {
        let mut bytes = run.clone();
        for _ in 0..=draw() % 4 {
            let at = usize::try_from(draw() % bytes.len() as u64).expect("an index");
            bytes[at] = draw().to_le_bytes()[0];
        }
        if let Ok(wire) = v1::Run::decode(bytes.as_slice())
            && let Ok(run) = Run::try_from(wire)
        {
            let again = Run::try_from(v1::Run::from(&run)).expect("what was accepted can be stored and read");
            assert_eq!(run, again);
        }
    }
}

#[test]
fn a_survey_that_no_agent_of_this_version_could_have_made_is_refused() {
    let inventory = |edit: fn(&mut v1::Inventory)| refused::<Inventory, _>((&values::inventory()).into(), edit);
    begins(&inventory(|i| i.databases = vec![v1::FoundDatabase::default(); 257]), "Inventory.databases: has 257");
    begins(&inventory(|i| i.topics[0] = "x".repeat(3000)), "Inventory.topics: has 3000 bytes");
    begins(&inventory(|i| i.gaps[0].level = 0), "Inventory.gaps[0].level: is unspecified");
    begins(&inventory(|i| i.zones[0].names[0].sets[0].data = None), "Inventory.zones[0].names[0].sets[0].data");
    let answer = refused::<Answer, v1::SurveyAnswer>((&values::survey_answers()[0]).into(), |a| a.answer = None);
    begins(&answer, "SurveyAnswer.answer: is missing");
    let question = |edit: fn(&mut v1::Examination)| {
        refused::<Question, v1::SurveyQuestion>((&values::survey_questions()[2]).into(), |wire| {
            match &mut wire.question {
                Some(v1::survey_question::Question::Examine(examination)) => edit(examination),
                _ => panic!("an examination"),
            }
        })
    };
    begins(&question(|e| e.manifest = None), "SurveyQuestion.examine.manifest: is missing");
    begins(&question(|e| e.depth = 0), "SurveyQuestion.examine.depth: is unspecified");
}
