//! What a person reads, as text files. `UPDATE_FIXTURES=1` writes them anew; the difference is then read by a person.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use mesh_core::decide::{Conclusion, JudgementRecord, RuleRecord, RuleState};
use mesh_core::detect::{Pattern, Quorum, RegionVerdict, Sees, Verdict, View};
use mesh_core::fleet::{Freeze, Service};
use mesh_core::ids::{AgentId, Generation, Hash32, IntentSeq, RegionId, RunId, StepId};
use mesh_core::manifest::AutomaticMode;
use mesh_core::plan::Plan;
use mesh_core::planner::{Evidence, plan_failover};
use mesh_core::run::{
    Cause, Intent, Need, Outcome, OutcomeResult, Pause, Run, RunState, StepRun, TimelineEntry, Work, WorkState,
};
use mesh_core::time::Timestamp;
use meshctl::output::Paint;
use meshctl::render::{diff, json, plan, progress, report, status, why};

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

fn sample_service() -> Service {
    let source = include_str!("../../examples/maip.yaml");
    let manifest = mesh_manifest::parse(source, "maip.yaml").expect("the example is valid");
    let active = manifest.primary().expect("a primary").clone();
    Service {
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
        asks: Vec::new(),
        lease_longest: Duration::ZERO,
        automatic_at: None,
        acknowledged_at: None,
        freeze: None,
        noted: None,
    }
}

fn sample_plan() -> Plan {
    let service = sample_service();
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
    let loss = plan.loss.clone();
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
        cause: Cause::Asked,
        loss,
        measured: None,
        released: None,
        overrides: BTreeSet::new(),
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

fn view(observer: &str, region: &str, sees: Sees, counts: bool, because: &str) -> View {
    View {
        observer: AgentId::new(observer).expect("an agent"),
        region: RegionId::new(region).expect("a region"),
        subject: "app".to_owned(),
        sees,
        counts,
        because: because.to_owned(),
    }
}

fn failing(since: u64) -> Sees {
    Sees::Failing { since: at(since), reason: "no answer within 1 s".to_owned() }
}

/// What the mesh made of it 20 s after the beginning.
fn judged(verdict: Verdict, pattern: Pattern, views: Vec<View>, conclusion: Conclusion) -> JudgementRecord {
    let failing = views.iter().filter(|view| view.counts && matches!(view.sees, Sees::Failing { .. })).count();
    let missing = match verdict {
        Verdict::Down => Vec::new(),
        _ => vec!["another observer, in a second region".to_owned()],
    };
    let region = |name: &str| RegionId::new(name).expect("a region");
    let primary = RegionVerdict {
        verdict,
        pattern,
        since: Some(at(13_800)),
        quorum: Quorum { needed: 3, fresh: 4, failing, regions_failing: failing.min(2), regions_needed: 2 },
        short: None,
        views,
        missing,
    };
    let standby = RegionVerdict {
        verdict: Verdict::Healthy,
        pattern: Pattern::Well,
        since: None,
        quorum: Quorum { needed: 3, fresh: 4, failing: 0, regions_failing: 0, regions_needed: 2 },
        short: None,
        views: vec![view("use1-a", "us-east-1", Sees::Passing, true, "")],
        missing: Vec::new(),
    };
    let rule = |rule: &str, state, text: &str| RuleRecord { rule: rule.to_owned(), state, text: text.to_owned() };
    let seen = if verdict == Verdict::Down { RuleState::Held } else { RuleState::Blocks };
    JudgementRecord {
        service: "maip".parse().expect("a service"),
        at: at(20_000),
        regions: BTreeMap::from([(region("us-east-1"), primary), (region("us-west-2"), standby)]),
        rules: vec![
            rule("armed", RuleState::Held, "maip is armed"),
            rule("verdict", seen, "us-east-1 must have been down for 3 s"),
            rule("rpo", RuleState::Missing, "replication lag was never measured while both ends lived"),
            rule("order", RuleState::NotApplicable, "it depends on no other service"),
        ],
        conclusion,
        next_look: Some(at(21_000)),
    }
}

fn local_only() -> JudgementRecord {
    let views = vec![
        view("use1-a", "us-east-1", failing(13_800), false, "it is in the region itself"),
        view("usw2-a", "us-west-2", Sees::Passing, true, ""),
        view(
            "euc1-a",
            "eu-central-1",
            Sees::Unknown { reason: "no name server answers".to_owned() },
            false,
            "it does not know",
        ),
    ];
    let text = "us-east-1 is suspect, not down".to_owned();
    judged(Verdict::Suspect, Pattern::LocalOnly, views, Conclusion::Blocked { text })
}

fn outage() -> JudgementRecord {
    let views = vec![
        view("usw2-a", "us-west-2", failing(13_800), true, ""),
        view("usw2-b", "us-west-2", failing(13_500), true, ""),
        view("euc1-a", "eu-central-1", failing(13_100), true, ""),
    ];
    let to = RegionId::new("us-west-2").expect("a region");
    judged(Verdict::Down, Pattern::Outage, views, Conclusion::Act { to, mode: AutomaticMode::Full })
}

#[test]
fn why_not_shows_who_saw_what_and_the_rule_that_blocks() {
    fixture("why-not.txt", &why::judgement(&local_only(), Paint::PLAIN));
    let value = why::json(&local_only());
    assert_eq!(
        (&value["conclusion"], &value["regions"]["us-east-1"]["pattern"]),
        (&"blocked".into(), &"local-only".into())
    );
}

#[test]
fn why_shows_the_judgement_that_a_run_came_of() {
    let mut run = sample_run();
    fixture("asked.txt", &(why::asked(&run) + "\n"));
    run.cause = Cause::Automatic { judgement: Box::new(outage()) };
    let judged = why::cause(&run).expect("a judgement");
    fixture("why.txt", &why::acted(judged, Paint::PLAIN));
}

#[test]
fn a_headline_changes_only_when_something_else_is_made_of_the_service() {
    let mut later = local_only();
    later.at = at(40_000);
    assert_eq!(why::headline(&local_only()), why::headline(&later));
    assert_eq!(why::headline(&local_only()), "maip: us-east-1 suspect (local-only); does not act: verdict, rpo");
    assert_eq!(why::headline(&outage()), "maip: us-east-1 down (outage); moves to us-west-2");
}

#[test]
fn a_status_shows_verdicts_freezes_and_cool_downs() {
    let mut service = sample_service();
    service.manifest.policy.automatic = AutomaticMode::Full;
    service.automatic_at = Some(at(0));
    let freeze = |until, reason: &str| Freeze {
        until: at(until),
        by: "spiffe://demo/region/us-east-1/operator/ann".to_owned(),
        reason: reason.to_owned(),
        at: at(0),
    };
    service.freeze = Some(freeze(60_000, "a release"));
    let view = status::View {
        mesh: "demo".to_owned(),
        now: at(20_000),
        stale: false,
        answered_by: 1,
        applied_index: 7,
        state_hash: "00".repeat(32),
        services: BTreeMap::from([(service.manifest.service.clone(), service)]),
        agents: Vec::new(),
        membership: Default::default(),
        signals: Vec::new(),
        signals_left_out: 0,
        judgements: BTreeMap::from([("maip".parse().expect("a service"), local_only())]),
        freeze: Some(freeze(19_000, "it is over")),
    };
    fixture("status.txt", &view.render(Paint::PLAIN));
    let lines: Vec<String> = view.lines().into_values().collect();
    fixture("watch.txt", &(lines.join("\n") + "\n"));
    assert_eq!(view.json()["freeze"], serde_json::Value::Null, "it has expired");
}
