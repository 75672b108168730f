//! What a person reads, as text files. `UPDATE_FIXTURES=1` writes them anew; the difference is then read by a person.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use mesh_core::fleet::Service;
use mesh_core::ids::{AgentId, Generation, Hash32, IntentSeq, RegionId, RunId, StepId};
use mesh_core::plan::Plan;
use mesh_core::planner::{Evidence, plan_failover};
use mesh_core::run::{
    Intent, Need, Outcome, OutcomeResult, Pause, Run, RunState, StepRun, TimelineEntry, Work, WorkState,
};
use mesh_core::time::Timestamp;
use meshctl::output::Paint;
use meshctl::render::{diff, json, plan, progress, report};

const STARTED: u64 = 1_700_000_000_000;

fn fixture(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("created");
        std::fs::write(&path, text).expect("written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{} differs; UPDATE_FIXTURES=1 rewrites it", path.display());
}

fn sample_plan() -> Plan {
    let source = include_str!("../../examples/maip.yaml");
    let manifest = mesh_manifest::parse(source, "maip.yaml").expect("the example is valid");
    let active = manifest.primary().expect("a primary").clone();
    let service = Service {
        manifest,
        version: 1,
        source: source.to_owned(),
        applied_by: "spiffe://demo/region/us-east-1/admin/ann".to_owned(),
        applied_at: Timestamp::from_millis(STARTED),
        generation: Generation(1),
        intent: IntentSeq(1),
        active,
        authority: BTreeMap::new(),
        current_run: None,
        open_calls: Vec::new(),
        armed: true,
    };
    let to = RegionId::new("us-west-2").expect("a region");
    plan_failover(&service, &to, &Evidence::default()).expect("a plan")
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(STARTED + millis)
}

fn done(id: &StepId, seq: u64, start: u64, end: u64) -> StepRun {
    let intent = Intent {
        seq: IntentSeq(seq),
        key: format!("maip-g2/{id}"),
        generation: Generation(2),
        agent: AgentId::new("usw2-a").expect("an agent"),
        opened_at: at(start),
        closed_at: Some(at(end)),
        outcome: Some(Outcome {
            result: OutcomeResult::Done,
            detail: "done".to_owned(),
            read_back: format!("{{\"step\":{seq}}}"),
            before: String::new(),
            calls: 1,
            provider_wait: Duration::from_millis((end - start) / 2),
        }),
    };
    let forward =
        Work { state: WorkState::Done, started_at: Some(at(start)), ended_at: Some(at(end)), intents: vec![intent] };
    StepRun { forward, undo: None }
}

fn sample_run() -> Run {
    let plan = sample_plan();
    let steps: BTreeMap<StepId, StepRun> = plan
        .steps
        .iter()
        .zip(0u64..)
        .map(|(step, n)| (step.id.clone(), done(&step.id, n + 1, n * 1000, n * 1000 + 900)))
        .collect();
    let end = 1000 * plan.steps.len() as u64;
    Run {
        id: RunId::new("maip-g2").expect("a run"),
        plan_hash: Hash32([0xab; 32]),
        plan,
        requested_by: "spiffe://demo/region/us-east-1/operator/ann".to_owned(),
        started_at: at(0),
        state: RunState::Done,
        paused: None,
        unwind: None,
        approvals: Vec::new(),
        steps,
        timeline: vec![
            TimelineEntry { at: at(0), step: None, text: "started".to_owned() },
            TimelineEntry { at: at(end), step: None, text: "done".to_owned() },
        ],
        ended_at: Some(at(end)),
    }
}

fn waiting(mut run: Run) -> Run {
    for step in run.steps.values_mut() {
        *step = StepRun::default();
    }
    (run.state, run.ended_at) = (RunState::Running, None);
    run
}

#[test]
fn a_plan_is_a_tree_that_shows_every_step_with_its_proof_and_undo() {
    let plan = sample_plan();
    let text = plan::render(&plan, &Hash32([0xab; 32]), Paint::PLAIN);
    assert!(plan.steps.iter().all(|step| text.contains(step.id.as_str())), "every step is shown");
    fixture("plan.txt", &text);
}

#[test]
fn a_plan_s_json_has_every_step_and_the_hash() {
    let plan = sample_plan();
    let value = json::plan(&plan, &Hash32([0xab; 32]));
    assert_eq!(value["steps"].as_array().map(Vec::len), Some(plan.steps.len()));
    assert_eq!(value["hash"], "ab".repeat(32));
}

#[test]
fn a_report_says_what_took_how_long_and_what_was_read_back() {
    fixture("report.txt", &report::render(&sample_run(), Paint::PLAIN));
}

#[test]
fn progress_shows_each_change_once() {
    let run = sample_run();
    let before = waiting(run.clone());
    let all = progress::changes(Some(&before), &run, Paint::PLAIN);
    fixture("progress.txt", &(all.join("\n") + "\n"));
    assert!(progress::changes(Some(&run), &run, Paint::PLAIN).is_empty(), "no change, no line");
}

#[test]
fn a_held_run_says_which_decision_it_needs_and_how_to_give_it() {
    let mut run = sample_run();
    let region = RegionId::new("us-east-1").expect("a region");
    let reason = "us-east-1 did not answer within 5 min".to_owned();
    (run.state, run.ended_at) = (RunState::Held { reason, need: Need::Consent { region } }, None);
    run.paused = Some(Pause { by: "spiffe://demo/region/us-east-1/operator/ann".to_owned(), at: at(1) });
    let lines = progress::changes(Some(&waiting(sample_run())), &run, Paint::PLAIN);
    let text = lines.iter().skip(lines.len() - 2).cloned().collect::<Vec<_>>().join("\n") + "\n";
    assert!(text.contains("meshctl approve maip-g2"));
    fixture("held.txt", &text);
}

#[test]
fn a_changed_manifest_is_shown_as_a_line_difference() {
    let old = include_str!("../../examples/maip.yaml");
    let new = old.replace("rpo: 30s", "rpo: 10s");
    fixture("diff.txt", &diff::render(old, &new, Paint::PLAIN));
}
