use mesh_core::detect;
use mesh_core::time::duration_millis;

use super::*;

fn signal(observer: &str, subject: &str, reading: Reading) -> Signal {
    Signal {
        observer: observer.parse().expect("an agent"),
        observer_region: "us-west-2".parse().expect("a region"),
        service: "maip".parse().expect("a service"),
        region: "us-east-1".parse().expect("a region"),
        subject: subject.to_owned(),
        reading,
        at: Timestamp::default(),
    }
}

fn passing() -> Reading {
    Reading::Passing { latency: Duration::from_millis(3) }
}

fn failing(row: u64) -> Reading {
    Reading::Failing { reason: "refused".to_owned(), since: Timestamp::from_millis(row) }
}

fn age(seen_s: u64, failing_s: Option<u64>) -> Age {
    Age { seen: Duration::from_secs(seen_s), failing: failing_s.map(Duration::from_secs), alternations: 0 }
}

/// Seconds of this test, which begins at 1,000 on the mesh's clock.
struct Leader {
    signals: Signals,
    start: Instant,
}

impl Leader {
    fn new() -> Self {
        Self { signals: Signals::default(), start: Instant::now() }
    }

    fn hear(&self, second: u64, signal: Signal, age: Age) {
        self.signals.record(signal, age, self.start + Duration::from_secs(second));
    }

    /// When each sight was observed and has failed since, in seconds.
    fn sights(&self, second: u64) -> Vec<(u64, Option<u64>)> {
        let service = "maip".parse().expect("a service");
        let at = Timestamp::from_millis((1_000 + second) * 1000);
        let seconds = |at: Timestamp| (at.as_millis() / 1000).saturating_sub(1_000);
        let sights = self.signals.sights_of(&service, at, self.start + Duration::from_secs(second));
        sights.iter().map(|sight| (seconds(sight.observed_at), sight.failing_since.map(seconds))).collect()
    }
}

#[test]
fn a_sight_is_dated_by_its_age_whatever_the_observers_clock_says() {
    let leader = Leader::new();
    let skewed = Signal { at: Timestamp::from_millis(u64::MAX), ..signal("usw2-a", "api", failing(1)) };
    leader.hear(100, skewed, age(2, Some(30)));
    assert_eq!(leader.sights(105), [(98, Some(70))]);
}

#[test]
fn a_clock_that_was_set_back_silences_no_observer() {
    let leader = Leader::new();
    leader.hear(
        1,
        Signal { at: Timestamp::from_millis(9_000_000), ..signal("usw2-a", "api", passing()) },
        age(0, None),
    );
    leader.hear(2, signal("usw2-a", "api", failing(7)), age(0, Some(0)));
    leader.hear(9, signal("usw2-a", "api", failing(7)), age(0, Some(7)));
    assert_eq!(leader.sights(9), [(9, Some(2))]);
}

#[test]
fn a_new_leader_needs_no_new_window() {
    let leader = Leader::new();
    leader.hear(100, signal("usw2-a", "api", failing(1)), age(1, Some(40)));
    assert_eq!(leader.sights(100), [(99, Some(60))]);
}

#[test]
fn no_row_of_failures_began_before_the_last_pass_that_was_heard_of() {
    let leader = Leader::new();
    leader.hear(100, signal("usw2-a", "api", passing()), age(0, None));
    leader.hear(104, signal("usw2-a", "api", failing(1)), age(0, Some(3_600)));
    assert_eq!(leader.sights(104), [(104, Some(100))], "its clock jumped");
    leader.hear(110, signal("usw2-a", "api", failing(1)), age(0, Some(0)));
    assert_eq!(leader.sights(110), [(110, None)], "its last answer was a pass");
    leader.hear(114, signal("usw2-a", "api", failing(1)), age(0, Some(3_600)));
    assert_eq!(leader.sights(114), [(114, Some(110))]);
}

#[test]
fn an_observer_that_tells_no_duration_has_failed_since_it_was_first_heard_of() {
    let leader = Leader::new();
    leader.hear(10, signal("usw2-a", "api", failing(1)), age(0, None));
    leader.hear(20, signal("usw2-a", "api", failing(1)), age(0, None));
    assert_eq!(leader.sights(20), [(20, Some(10))]);
    leader.hear(30, signal("usw2-a", "api", failing(25)), age(0, None));
    assert_eq!(leader.sights(30), [(30, Some(30))], "another row");
}

#[test]
fn a_repeated_signal_adds_nothing() {
    let leader = Leader::new();
    for _ in 0..3 {
        leader.hear(10, signal("usw2-a", "api", passing()), age(1, None));
    }
    leader.hear(10, signal("usw2-b", "api", passing()), age(5, None));
    assert_eq!(leader.sights(10), [(9, None), (5, None)]);
    assert_eq!(leader.signals.all().len(), 2);
}

#[test]
fn lags_of_before_are_kept_in_the_order_of_their_measurement() {
    let leader = Leader::new();
    let lag = |minute: u64| Signal {
        at: Timestamp::from_millis(minute * 60_000),
        ..signal("usw2-a", "database", Reading::ReplicaLag { lag: Duration::from_secs(minute) })
    };
    for minute in [70, 1, 3, 2, 3, 70] {
        leader.hear(4_200, lag(minute), age(4_200 - minute * 60, None));
    }
    let observed: Vec<u64> = leader.sights(4_200).iter().map(|(observed, _)| observed / 60).collect();
    assert_eq!(observed, [1, 2, 3, 70]);
    assert_eq!(leader.signals.all(), [lag(70)], "people see the newest");
    for minute in 71..200 {
        leader.hear(12_000, lag(minute), age(12_000 - minute * 60, None));
    }
    assert_eq!(leader.sights(12_000).len(), 65);
}

#[test]
fn what_has_changed_is_told_once() {
    let leader = Leader::new();
    let mut changes = leader.signals.changes();
    assert!(!changes.has_changed().expect("the sender lives"));
    leader.hear(1, signal("usw2-a", "api", passing()), age(0, None));
    assert!(changes.has_changed().expect("the sender lives"));
    changes.mark_unchanged();
    let changed: Vec<String> = leader.signals.take_changed().iter().map(ToString::to_string).collect();
    assert_eq!(changed, ["maip"]);
    assert!(leader.signals.take_changed().is_empty());
}

#[test]
fn what_is_as_well_as_before_is_no_news() {
    let leader = Leader::new();
    let news = |leader: &Leader| !leader.signals.take_changed().is_empty();
    leader.hear(1, signal("usw2-a", "api", passing()), age(0, None));
    assert!(news(&leader), "it was not known before");
    for second in 2..10 {
        leader.hear(second, signal("usw2-a", "api", passing()), age(0, None));
        assert!(!news(&leader));
    }
    leader.hear(10, signal("usw2-a", "api", failing(1)), age(0, Some(0)));
    assert!(news(&leader));
    leader.hear(11, signal("usw2-a", "api", failing(1)), age(0, Some(1)));
    assert!(news(&leader), "a failure that goes on comes nearer to a verdict");
    leader.hear(12, signal("usw2-a", "api", passing()), age(0, None));
    assert!(news(&leader));
    leader.hear(20, signal("usw2-a", "api", passing()), age(0, None));
    assert!(news(&leader), "nothing was known of it for a while");
}

#[test]
fn of_too_many_signals_each_subject_shows_as_many_and_what_ails_first() {
    let leader = Leader::new();
    for n in 0..100 {
        let reading = if n == 99 { failing(1) } else { passing() };
        leader.hear(1, signal(&format!("agent-{n}"), "api", reading), age(0, None));
        leader.hear(1, signal(&format!("agent-{n}"), "web", passing()), age(0, None));
    }
    let (all, none) = leader.signals.shown(200);
    assert_eq!((all.len(), none), (200, 0));
    let (shown, left_out) = leader.signals.shown(10);
    assert_eq!((shown.len(), left_out), (10, 190));
    assert_eq!(shown.iter().filter(|signal| signal.subject == "web").count(), 5);
    assert!(shown.iter().any(|signal| matches!(signal.reading, Reading::Failing { .. })));
}

#[test]
fn an_observers_doubt_stands_until_its_next_report() {
    let (signals, observer) = (Signals::default(), "usw2-a".parse().expect("an agent"));
    let doubt = |signals: &Signals| signals.doubts().get(&observer).copied();
    assert_eq!(doubt(&signals), None);
    signals.note_self(&observer, SelfReport { timer_slip: Duration::from_secs(9), peers: 2, peers_dead: 0 });
    assert_eq!(doubt(&signals), Some(detect::Doubt::TimersSlip));
    signals.note_self(&observer, SelfReport::default());
    assert_eq!(doubt(&signals), None);
}

#[test]
fn one_agent_cannot_fill_the_memory() {
    let leader = Leader::new();
    let named = |n: u64| signal("usw2-a", &format!("check-{n}"), passing());
    for n in 0..2 * SIGNALS_PER_AGENT_MAX as u64 {
        leader.hear(n, named(n), age(0, None));
    }
    let kept = leader.sights(2_000);
    assert_eq!(kept.len(), SIGNALS_PER_AGENT_MAX);
    assert!(kept.iter().all(|(observed, _)| *observed >= SIGNALS_PER_AGENT_MAX as u64), "the oldest go first");
    leader.hear(2_000, signal("usw2-b", "api", passing()), age(0, None));
    assert_eq!(leader.signals.all().len(), SIGNALS_PER_AGENT_MAX + 1, "others have room");
}

#[test]
fn what_was_not_heard_again_makes_room() {
    let leader = Leader::new();
    let agents = SIGNALS_MAX / SIGNALS_PER_AGENT_MAX;
    for agent in 0..agents {
        for n in 0..SIGNALS_PER_AGENT_MAX {
            leader.hear(1, signal(&format!("agent-{agent}"), &format!("check-{n}"), passing()), age(0, None));
        }
    }
    leader.hear(2, signal("late", "api", passing()), age(0, None));
    assert_eq!(leader.signals.all().len(), SIGNALS_MAX, "there is no room for another agent");
    leader.hear(1 + duration_millis(KEEP) / 1000, signal("late", "api", passing()), age(0, None));
    assert_eq!(leader.signals.all().len(), 1);
}

#[tokio::test]
async fn the_telling_that_may_complete_a_quorum_is_told_of_and_the_others_are_not() {
    let leader = Leader::new();
    let (service, region) = ("maip".parse().expect("a service"), "us-east-1".parse().expect("a region"));
    let wait = ripening::Wait { sustained: Duration::from_secs(30), short: 2 };
    leader.signals.ripening.expect(&service, BTreeMap::from([(region, wait)]));
    let complete = || futures::FutureExt::now_or_never(leader.signals.ripening.complete()).is_some();
    leader.hear(100, signal("usw2-a", "api", passing()), age(0, None));
    leader.hear(100, signal("usw2-b", "api", failing(1)), age(0, Some(29)));
    leader.hear(100, signal("usw2-c", "api", failing(1)), age(2, Some(31)));
    leader.hear(
        100,
        Signal { region: "us-west-2".parse().expect("a region"), ..signal("usw2-d", "api", failing(1)) },
        age(0, Some(90)),
    );
    let alternating = Age { alternations: 3, ..age(0, Some(60)) };
    leader.hear(100, signal("usw2-e", "api", failing(1)), alternating);
    leader.hear(100, signal("usw2-f", "api", failing(1)), age(0, Some(30)));
    assert!(!complete(), "one of two has seen it for the whole of the time");
    leader.hear(101, signal("usw2-b", "api", failing(1)), age(0, Some(30)));
    assert!(complete());
    leader.hear(101, signal("usw2-g", "api", failing(1)), age(0, Some(30)));
    assert!(!complete(), "the next pass says whether more are missing");
    leader.signals.ripening.expect(&service, BTreeMap::new());
    leader.hear(102, signal("usw2-h", "api", failing(1)), age(0, Some(30)));
    assert!(!complete(), "nothing is waited for");
}

#[test]
fn made_up_subjects_leave_nothing_behind() {
    let leader = Leader::new();
    for n in 0..3 * SIGNALS_PER_AGENT_MAX as u64 {
        leader.hear(n, signal("usw2-a", &format!("check-{n}"), passing()), age(0, None));
    }
    let state = leader.signals.lock();
    assert_eq!((state.subjects().count(), state.total), (SIGNALS_PER_AGENT_MAX, SIGNALS_PER_AGENT_MAX));
    let places = state.by_observer.values().map(|of| of.places.len()).sum::<usize>();
    assert_eq!(places, SIGNALS_PER_AGENT_MAX);
}
