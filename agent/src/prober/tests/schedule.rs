//! A thousand rounds of many questions on a clock that stands still while anybody works.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::prober::slots::{AT_ONCE, AT_ONCE_A_REGION};

const ROUNDS: u32 = 1_000;

/// Probes of `dead` last their whole time-out and fail; others answer after `takes`.
struct Slow {
    clock: Arc<SimClock>,
    dead: Option<RegionId>,
    takes: Duration,
    began: Mutex<BTreeMap<String, Vec<Duration>>>,
    under_way: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl Slow {
    fn new(clock: &Arc<SimClock>, dead: Option<&str>, takes: Duration) -> Self {
        Self {
            clock: Arc::clone(clock),
            dead: dead.map(region),
            takes,
            began: Mutex::default(),
            under_way: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
        }
    }

    fn began(&self) -> BTreeMap<String, Vec<Duration>> {
        self.began.lock().expect("no panic").clone()
    }
}

#[async_trait]
impl Probes for Slow {
    async fn ask(&self, question: &probe::Question, about: &RegionId, timeout: Duration) -> Answer {
        let now = self.clock.now();
        self.began.lock().expect("no panic").entry(question.place()).or_default().push(now);
        let at_once = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(at_once, Ordering::SeqCst);
        let is_dead = self.dead.as_ref() == Some(about);
        self.clock.sleep(if is_dead { timeout } else { self.takes }).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        if is_dead { Answer::Failed { reason: "no answer".to_owned() } } else { Answer::Passed { latency: self.takes } }
    }

    async fn rds_lag(&self, _: &str) -> Result<Option<(Duration, Timestamp)>, String> {
        Ok(None)
    }

    async fn dynamodb_lag(&self, _: &str, _: &RegionId) -> Result<Option<(Duration, Timestamp)>, String> {
        Ok(None)
    }

    async fn postgres_lag(
        &self,
        _: &PostgresInstance,
        _: Option<&PostgresInstance>,
        _: Duration,
    ) -> Result<Option<Duration>, String> {
        Ok(None)
    }
}

/// So many checks of one service, each about both regions.
fn many(checks: u32, interval: Duration, timeout: Duration) -> Watched {
    let mut service = watched("us-east-1", "health");
    service.manifest.resources = Vec::new();
    let one = |i: u32| Check { interval, timeout, ..check(&format!("c{i}"), http(&format!("c{i}"))) };
    service.manifest.checks = (0..checks).map(one).collect();
    service
}

#[tokio::test]
async fn a_thousand_rounds_of_slow_probes_do_not_drift() {
    let (clock, interval) = (SimClock::new(), Duration::from_secs(10));
    let start_at = clock.now();
    let slow = Slow::new(&clock, None, Duration::from_millis(8_500));
    let rig = start(clock, slow, vec![many(3, interval, interval)]);
    rig.clock.pass(interval * ROUNDS).await;
    let began = rig.probes.began();
    assert_eq!(began.len(), 6);
    for (place, times) in began {
        let asked = u32::try_from(times.len()).expect("small");
        assert!((ROUNDS - 2..=ROUNDS + 1).contains(&asked), "{place} was asked {asked} times in {ROUNDS} intervals");
        // A schedule that drifted by a thousandth of each turn would be one whole turn late by now.
        let last = *times.last().expect("a thousand") - start_at;
        assert!(last >= interval * (ROUNDS - 1), "{place} was asked last after {last:?}");
        let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max().expect("a thousand");
        assert!(longest <= interval * 3 / 2, "{place} was not asked for {longest:?}");
    }
}

#[tokio::test]
async fn a_dead_region_takes_no_more_than_its_share_and_the_others_are_asked_as_ever() {
    let (clock, second) = (SimClock::new(), Duration::from_secs(1));
    let dead = Slow::new(&clock, Some("us-east-1"), Duration::from_millis(10));
    let checks = u32::try_from(AT_ONCE_A_REGION).expect("small") + 100;
    let rig = start(clock, dead, vec![many(checks, second, second)]);
    rig.clock.pass(second * 20).await;
    let most = rig.probes.most_at_once.load(Ordering::SeqCst);
    assert!(most >= AT_ONCE_A_REGION, "the bound was reached: {most}");
    let began = rig.probes.began();
    let living: Vec<usize> =
        began.iter().filter(|(url, _)| url.contains("us-west-2")).map(|(_, times)| times.len()).collect();
    assert_eq!(living.len(), AT_ONCE_A_REGION + 100);
    assert!(living.iter().all(|asked| *asked >= 18), "each of the living is asked in every turn: {living:?}");
    assert!(most <= AT_ONCE_A_REGION + living.len(), "{most}");
    let failing = |signal: &Signal| matches!(signal.reading, Reading::Failing { .. });
    let of_living = rig.board.present().into_iter().filter(|signal| signal.region == region("us-west-2"));
    assert!(of_living.clone().count() > 0 && !of_living.clone().any(|signal| failing(&signal)));
}

#[tokio::test]
async fn a_probe_that_finds_no_slot_is_this_agents_slip_and_no_failure_of_its_target() {
    let (clock, second) = (SimClock::new(), Duration::from_secs(1));
    // All answer, but so late that three regions' shares are more than there are slots.
    let late = Slow::new(&clock, None, Duration::from_millis(900));
    let mut service = many(u32::try_from(AT_ONCE_A_REGION).expect("small"), second, second);
    for check in &mut service.manifest.checks {
        let Probe::Http { urls, .. } = &mut check.probe else { continue };
        urls.insert(region("eu-central-1"), format!("http://eu-central-1/{}", check.name));
    }
    let rig = start(clock, late, vec![service]);
    rig.clock.pass(second * 6).await;
    let failing = rig.board.present().into_iter().filter(|signal| matches!(signal.reading, Reading::Failing { .. }));
    assert_eq!(failing.count(), 0);
    assert!(rig.slip.worst(rig.clock.stamp()) >= second, "it knows that it is overloaded");
    assert_eq!(rig.probes.most_at_once.load(Ordering::SeqCst), AT_ONCE);
}

#[tokio::test]
async fn an_agent_with_room_does_not_slip() {
    let (clock, second) = (SimClock::new(), Duration::from_secs(1));
    let dead = Slow::new(&clock, Some("us-east-1"), Duration::from_millis(10));
    let rig = start(clock, dead, vec![many(100, second * 10, second)]);
    rig.clock.pass(second * 100).await;
    assert_eq!(rig.slip.worst(rig.clock.stamp()), Duration::ZERO);
    let failing = rig.board.present().into_iter().filter(|signal| matches!(signal.reading, Reading::Failing { .. }));
    assert_eq!(failing.count(), 100, "and it sees the dead region");
}

#[tokio::test]
async fn a_failure_seen_by_an_agent_that_was_held_up_is_no_evidence() {
    struct Stopped(Arc<SimClock>);
    #[async_trait]
    impl Probes for Stopped {
        async fn ask(&self, _: &probe::Question, _: &RegionId, timeout: Duration) -> Answer {
            self.0.jump(timeout * 30);
            Answer::Failed { reason: "no answer in time".to_owned() }
        }

        async fn rds_lag(&self, _: &str) -> Result<Option<(Duration, Timestamp)>, String> {
            Ok(None)
        }

        async fn dynamodb_lag(&self, _: &str, _: &RegionId) -> Result<Option<(Duration, Timestamp)>, String> {
            Ok(None)
        }

        async fn postgres_lag(
            &self,
            _: &PostgresInstance,
            _: Option<&PostgresInstance>,
            _: Duration,
        ) -> Result<Option<Duration>, String> {
            Ok(None)
        }
    }
    let clock = SimClock::new();
    let rig = start(Arc::clone(&clock), Stopped(Arc::clone(&clock)), vec![watched("us-east-1", "health")]);
    let held_up =
        |signal: &Signal| matches!(&signal.reading, Reading::Unknown { reason } if reason.contains("held up"));
    rig.until("it says so", |rig| rig.readings("health").values().any(held_up)).await;
    assert!(!rig.readings("health").values().any(|signal| matches!(signal.reading, Reading::Failing { .. })));
}
