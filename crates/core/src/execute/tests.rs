use super::*;
use crate::ids::{Generation, IntentSeq};

pub(super) fn job() -> Job {
    Job {
        service: ServiceId::new("maip").expect("a name"),
        run: RunId::new("maip-g7").expect("a name"),
        step: StepId::new("rds-promote-database").expect("a name"),
        direction: Direction::Forward,
        token: Token { generation: Generation(7), intent: IntentSeq(12) },
        key: "maip-g7/rds-promote-database".to_owned(),
        region: RegionId::new("us-west-2").expect("a name"),
        action: Action::RdsReboot { instance: "db".to_owned() },
        time_left: Duration::from_secs(300),
        retry: Retry { attempts_max: 3, backoff_min: Duration::from_millis(200), backoff_max: Duration::from_secs(5) },
        maybe_sent_since: None,
        mesh_time: None,
        retried_by_person: false,
        evidence: BTreeMap::new(),
    }
}

fn maybe_sent_before() -> Job {
    Job { maybe_sent_since: Some(Timestamp::from_millis(1)), ..job() }
}

/// After these calls, `since` after the last one.
fn after(results: &[Option<CallResult>], since: Duration) -> Progress {
    let mut progress = Progress { since_call: since, elapsed: since, ..Progress::default() };
    for result in results {
        progress.record_call_started("{}");
        if let Some(result) = result {
            progress.record_call_ended(result.clone());
        }
    }
    progress
}

fn late(progress: Progress) -> Progress {
    Progress { elapsed: Duration::from_secs(301), ..progress }
}

fn accepted() -> Option<CallResult> {
    Some(CallResult::Accepted { reference: "r".to_owned() })
}

fn unknown() -> Option<CallResult> {
    Some(CallResult::Unknown { reason: "timeout".to_owned() })
}

fn not_applied() -> Option<CallResult> {
    Some(CallResult::NotApplied { reason: "throttled".to_owned() })
}

fn rejected() -> Option<CallResult> {
    Some(CallResult::Rejected { reason: "no".to_owned() })
}

fn text(text: &str) -> String {
    text.to_owned()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    Call,
    Wait,
    Done,
    Retry,
    Refused,
    Unknown,
}

fn kind(next: &Next) -> Want {
    match next {
        Next::Call { .. } => Want::Call,
        Next::Wait(_) => Want::Wait,
        Next::Finish(outcome) => match outcome.result {
            OutcomeResult::Done => Want::Done,
            OutcomeResult::Refused { retry: true } => Want::Retry,
            OutcomeResult::Refused { retry: false } => Want::Refused,
            OutcomeResult::Unknown => Want::Unknown,
        },
    }
}

#[test]
fn every_rule_gives_its_next_move() {
    let soon = Duration::from_secs(1);
    let settled = SETTLE;
    let ready = || Observation::Ready { before: text("{}") };
    let pending = || Observation::Pending { note: text("modifying") };
    let satisfied = || Observation::Satisfied { read_back: text("{}") };
    let blocked = || Observation::Blocked { reason: text("no instance") };
    let unreadable = || Observation::Unreadable { reason: text("timeout") };
    let superseded = || Observation::Superseded { found: text("8.1") };
    let ambiguous = || Observation::Ambiguous { reason: text("no read-back") };
    let fresh = Progress::default;
    let rules: Vec<(&str, Job, Progress, Observation, bool, Want)> = vec![
        ("a fresh job calls when ready", job(), fresh(), ready(), true, Want::Call),
        ("without permission nothing is called", job(), fresh(), ready(), false, Want::Wait),
        ("what is there already is done", job(), fresh(), satisfied(), false, Want::Done),
        ("a failed precondition refuses", job(), fresh(), blocked(), true, Want::Refused),
        ("another's change is waited for", job(), fresh(), pending(), true, Want::Wait),
        ("a silent provider is asked again", job(), fresh(), unreadable(), true, Want::Wait),
        ("a newer mutation refuses", job(), fresh(), superseded(), true, Want::Refused),
        ("what cannot be told is unknown", job(), fresh(), ambiguous(), true, Want::Unknown),
        ("time over before a call: try again", job(), late(fresh()), ready(), true, Want::Retry),
        ("time over, never readable: try again", job(), late(fresh()), unreadable(), true, Want::Retry),
        ("time over while another changes it", job(), late(fresh()), pending(), true, Want::Refused),
        ("an unknown call is looked up, not repeated", job(), after(&[unknown()], soon), ready(), true, Want::Wait),
        ("settled and not applied: repeat", job(), after(&[unknown()], settled), ready(), true, Want::Call),
        ("a call lost in a crash is looked up", job(), after(&[None], soon), ready(), true, Want::Wait),
        ("a lost call, settled: repeat", job(), after(&[None], settled), ready(), true, Want::Call),
        (
            "an unknown call and no time: unknown",
            job(),
            late(after(&[unknown()], settled)),
            ready(),
            true,
            Want::Unknown,
        ),
        (
            "an accepted call and no time: unknown",
            job(),
            late(after(&[accepted()], soon)),
            pending(),
            true,
            Want::Unknown,
        ),
        ("a lost call may explain a failed precondition", job(), after(&[None], soon), blocked(), true, Want::Wait),
        ("... until the time is over", job(), late(after(&[None], soon)), blocked(), true, Want::Unknown),
        ("throttled: after a pause again", job(), after(&[not_applied()], soon), ready(), true, Want::Call),
        ("throttled: not at once", job(), after(&[not_applied()], Duration::ZERO), ready(), true, Want::Wait),
        (
            "throttled to the end: certainly nothing changed",
            job(),
            after(&[not_applied(), not_applied(), not_applied()], soon),
            ready(),
            true,
            Want::Retry,
        ),
        (
            "an unknown call is not forgotten by a throttled one",
            job(),
            after(&[unknown(), not_applied(), not_applied()], soon),
            ready(),
            true,
            Want::Unknown,
        ),
        ("a refusal is final", job(), after(&[rejected()], soon), ready(), true, Want::Refused),
        (
            "a refusal after an unknown call is read back again",
            job(),
            after(&[unknown(), rejected()], soon),
            ready(),
            true,
            Want::Wait,
        ),
        (
            "a refusal after an unknown call proves nothing",
            job(),
            after(&[unknown(), rejected()], settled),
            ready(),
            true,
            Want::Unknown,
        ),
        ("an earlier intent may have called: look first", maybe_sent_before(), fresh(), ready(), true, Want::Wait),
        (
            "an earlier intent's call did not appear: call",
            maybe_sent_before(),
            after(&[], settled),
            ready(),
            true,
            Want::Call,
        ),
        (
            "an earlier intent's call, no time: unknown",
            maybe_sent_before(),
            late(fresh()),
            ready(),
            true,
            Want::Unknown,
        ),
    ];
    for (rule, job, progress, observation, permitted, want) in rules {
        let got = next(&job, &progress, &observation, permitted);
        assert_eq!(kind(&got), want, "{rule}: {got:?}");
    }
}

#[test]
fn a_job_given_up_before_any_call_changed_nothing() {
    let refused = give_up(&job(), &Progress::default(), "stale generation");
    assert_eq!(refused.result, OutcomeResult::Refused { retry: false });
    assert_eq!(give_up(&job(), &after(&[None], SETTLE), "stale generation").result, OutcomeResult::Unknown);
    let throttled = give_up(&job(), &after(&[not_applied()], SETTLE), "stale generation");
    assert_eq!(throttled.result, OutcomeResult::Refused { retry: false });
}

#[test]
fn the_state_before_the_first_call_that_may_have_been_applied_is_what_the_outcome_reports() {
    let mut progress = Progress::default();
    progress.record_call_started("first");
    progress.record_call_ended(CallResult::NotApplied { reason: text("someone changed it meanwhile") });
    progress.record_call_started("second");
    assert_eq!(progress.before.as_deref(), Some("second"));
    progress.record_call_ended(CallResult::Unknown { reason: text("timeout") });
    progress.record_call_started("third");
    assert_eq!(progress.before.as_deref(), Some("second"));
}

#[test]
fn a_pause_follows_the_time_spent_and_the_time_that_a_look_takes() {
    let pause = |elapsed_ms: u64, look_ms: u64| {
        let (elapsed, look_took) = (Duration::from_millis(elapsed_ms), Duration::from_millis(look_ms));
        let progress = Progress { elapsed, look_took, ..Progress::default() };
        match next(&job(), &progress, &Observation::Pending { note: String::new() }, true) {
            Next::Wait(pause) => u64::try_from(pause.as_millis()).expect("it is short"),
            other => panic!("it has to wait, not {other:?}"),
        }
    };
    assert_eq!(pause(0, 0), 10);
    assert_eq!(pause(3_000, 4), 30, "seen at most a hundredth late");
    assert_eq!(pause(3_000, 150), 300, "a look takes a third of the time at most");
    assert_eq!(pause(3_000, 60_000), 1_000, "one slow look does not make the agent blind");
    assert_eq!(pause(299_000, 150), 2_990);
    let long = Job { time_left: Duration::from_secs(3600), ..job() };
    let late = Progress { elapsed: Duration::from_secs(3000), ..Progress::default() };
    let waits = next(&long, &late, &Observation::Pending { note: String::new() }, true);
    assert_eq!(waits, Next::Wait(POLL_MAX));
}
