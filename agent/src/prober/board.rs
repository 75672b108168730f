//! The newest signal of each subject. Probes publish, the session reads.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem::discriminant;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mesh_core::detect::hysteresis::Seen;
use mesh_core::detect::{Isolation, SelfReport};
use mesh_core::ids::{RegionId, ServiceId};
use mesh_core::signal::{Reading, Signal};
use mesh_core::time::duration_millis;
use mesh_proto::v1;
use tokio::sync::watch;

use crate::clock::Stamp;

/// Measurements of replica lag that are kept of each subject: a new leader learns from them what the lag was before an
/// outage. CloudWatch has one a minute, so an hour's.
const LAGS_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    pub service: ServiceId,
    pub region: RegionId,
    /// Name of the check or of the resource.
    pub name: String,
}

/// At most one signal a question, and its lags; questions are bounded by the prober.
#[derive(Default)]
pub struct Board {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    posted: BTreeMap<Subject, Posted>,
    /// Counts what was published.
    published: u64,
    isolation: Isolation,
}

struct Posted {
    signal: Signal,
    seen: Seen,
    number: u64,
    /// Earlier measurements, the oldest first.
    lags: VecDeque<(Signal, Seen)>,
}

impl Board {
    /// A signal of another kind than the last wakes the session, and so does each failure, of which one makes an outage long
    /// enough. Another value of the same kind goes out with the next round.
    pub fn publish(&self, signal: Signal, seen: Seen) {
        let subject =
            Subject { service: signal.service.clone(), region: signal.region.clone(), name: signal.subject.clone() };
        let mut state = self.lock();
        state.published = state.published.saturating_add(1);
        let number = state.published;
        let former = state.posted.remove(&subject);
        let same = former.as_ref().is_some_and(|it| discriminant(&it.signal.reading) == discriminant(&signal.reading));
        let failing = matches!(signal.reading, Reading::Failing { .. });
        let lags = former.map(|former| former.earlier(&signal)).unwrap_or_default();
        state.posted.insert(subject, Posted { signal, seen, number, lags });
        let (peers, peers_dead) = state.peers();
        let isolated = SelfReport { peers, peers_dead, ..SelfReport::default() }.most_look_dead();
        state.isolation.note(isolated, seen.at);
        drop(state);
        if failing || !same {
            self.changed.send_replace(());
        }
    }

    /// Nobody asks this any more.
    pub fn retract(&self, subject: &Subject) {
        self.lock().posted.remove(subject);
    }

    pub fn present(&self) -> Vec<Signal> {
        self.lock().posted.values().map(|posted| posted.signal.clone()).collect()
    }

    /// What was published after number `after`, as it is told at `now`, and the newest number. After 0 it is everything,
    /// earlier lags too.
    pub fn news(&self, after: u64, now: Stamp) -> (Vec<v1::Signal>, u64) {
        let state = self.lock();
        let newer = state.posted.values().filter(|posted| posted.number > after);
        let news = newer.flat_map(|posted| {
            let earlier = posted.lags.iter().filter(|_| after == 0);
            earlier.map(|(signal, seen)| (signal, seen)).chain([(&posted.signal, &posted.seen)])
        });
        (news.map(|(signal, seen)| told(signal, seen, &state.isolation, now)).collect(), state.published)
    }

    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Regions that are asked about, and how many of them look dead: something fails and nothing passes.
    pub fn peers(&self) -> (usize, usize) {
        self.lock().peers()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn peers(&self) -> (usize, usize) {
        let (mut alive, mut failing) = (BTreeSet::new(), BTreeSet::new());
        for Posted { signal, .. } in self.posted.values() {
            match signal.reading {
                Reading::Passing { .. } => alive.insert(&signal.region),
                Reading::Failing { .. } => failing.insert(&signal.region),
                Reading::ReplicaLag { .. } | Reading::Items { .. } | Reading::Unknown { .. } => false,
            };
        }
        (alive.union(&failing).count(), failing.difference(&alive).count())
    }
}

impl Posted {
    /// The lags to keep behind `next`, of another time of measurement each.
    fn earlier(self, next: &Signal) -> VecDeque<(Signal, Seen)> {
        let is_lag = |signal: &Signal| matches!(signal.reading, Reading::ReplicaLag { .. });
        let mut lags = self.lags;
        if is_lag(&self.signal) && is_lag(next) && self.signal.at != next.at {
            lags.push_back((self.signal, self.seen));
        }
        while lags.len() >= LAGS_MAX {
            lags.pop_front();
        }
        lags
    }
}

fn told(signal: &Signal, seen: &Seen, isolation: &Isolation, now: Stamp) -> v1::Signal {
    let failing = matches!(signal.reading, Reading::Failing { .. });
    v1::Signal {
        age_ms: duration_millis(seen.age(now)),
        failing_for_ms: failing.then(|| duration_millis(isolation.failing_for(seen, now))),
        alternations: seen.alternations,
        ..v1::Signal::from(signal)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mesh_core::ids::AgentId;
    use mesh_core::time::Timestamp;

    use super::*;

    fn signal(subject: &str, region: &str, reading: Reading) -> Signal {
        Signal {
            observer: AgentId::new("usw2-a").expect("a name"),
            observer_region: RegionId::new("us-west-2").expect("a name"),
            service: ServiceId::new("maip").expect("a name"),
            region: RegionId::new(region).expect("a name"),
            subject: subject.to_owned(),
            reading,
            at: Timestamp::default(),
        }
    }

    fn passing(millis: u64) -> Reading {
        Reading::Passing { latency: Duration::from_millis(millis) }
    }

    fn failing() -> Reading {
        Reading::Failing { reason: "refused".to_owned(), since: Timestamp::default() }
    }

    fn stamp(monotonic: u64, boottime: u64, wall: u64) -> Stamp {
        let [monotonic, boottime, realtime] = [monotonic, boottime, wall].map(Duration::from_secs);
        Stamp { boottime, monotonic, realtime }
    }

    #[test]
    fn a_change_of_kind_and_every_failure_wake_the_session_and_every_round_has_what_is_new() {
        let (board, now) = (Board::default(), Stamp::default());
        let mut changes = board.changes();
        let mut woken = || {
            let woken = changes.has_changed().expect("the board lives");
            changes.mark_unchanged();
            woken
        };
        board.publish(signal("api", "us-east-1", passing(1)), Seen::default());
        assert!(woken());
        let (_, told) = board.news(0, now);
        board.publish(signal("api", "us-east-1", passing(2)), Seen::default());
        assert!(!woken());
        let (news, told) = board.news(told, now);
        assert_eq!(news.len(), 1);
        assert_eq!(board.news(told, now).0.len(), 0, "nothing was seen since");
        assert_eq!(board.news(0, now).0.len(), 1);
        for _ in 0..2 {
            board.publish(signal("api", "us-east-1", failing()), Seen::default());
            assert!(woken());
        }
        assert!(!woken());
    }

    #[test]
    fn age_and_duration_come_from_clocks_that_nobody_sets() {
        let board = Board::default();
        let from = stamp(100, 100, 5_000);
        let seen = Seen { at: stamp(110, 110, 90_000), failing_from: Some(from), ..Seen::default() };
        board.publish(signal("api", "us-east-1", failing()), seen);
        let told = |now| board.news(0, now).0.first().map(|signal| (signal.age_ms, signal.failing_for_ms));
        assert_eq!(told(stamp(112, 112, 0)), Some((2_000, Some(12_000))), "a clock set back");
        assert_eq!(told(stamp(112, 112, 900_000)), Some((2_000, Some(12_000))), "a clock set forward");
        assert_eq!(told(stamp(112, 712, 0)), Some((602_000, Some(12_000))), "a machine that slept: old, and no longer");
        assert_eq!(told(stamp(0, 0, 0)), Some((0, Some(0))), "clocks that ran backwards");
    }

    #[test]
    fn what_failed_while_this_agent_was_cut_off_is_no_long_outage_when_one_region_answers_again() {
        let board = Board::default();
        let at = |secs| Seen { at: stamp(secs, secs, secs), failing_from: Some(stamp(10, 10, 10)), ..Seen::default() };
        board.publish(signal("api", "us-east-1", failing()), at(40));
        board.publish(signal("api", "us-west-2", failing()), at(40));
        board.publish(signal("api", "us-west-2", passing(3)), at(41));
        let told = |secs| {
            let (news, _) = board.news(0, stamp(secs, secs, secs));
            news.iter().find_map(|signal| signal.failing_for_ms)
        };
        assert_eq!(told(42), Some(1_000));
        board.publish(signal("api", "us-east-1", failing()), at(50));
        assert_eq!(told(50), Some(9_000), "it still fails, and the other region answers");
    }

    #[test]
    fn a_new_session_hears_the_lags_of_before() {
        let board = Board::default();
        for minute in 0..70 {
            let lag = Reading::ReplicaLag { lag: Duration::from_secs(minute) };
            let signal = Signal { at: Timestamp::from_millis(minute * 60_000), ..signal("database", "us-west-2", lag) };
            for asked in 0..12 {
                let now = stamp(minute * 60 + asked * 5, minute * 60 + asked * 5, minute * 60 + asked * 5);
                board.publish(signal.clone(), Seen::measured(now, signal.at));
            }
        }
        let now = stamp(70 * 60, 70 * 60, 70 * 60);
        let (news, told) = board.news(0, now);
        let ages: Vec<u64> = news.iter().map(|signal| signal.age_ms / 60_000).collect();
        assert_eq!(ages, (1..=64).rev().collect::<Vec<u64>>(), "one a measurement, the oldest first");
        assert!(board.news(told, now).0.is_empty());
    }

    #[test]
    fn a_region_looks_dead_of_which_nothing_passes() {
        let board = Board::default();
        board.publish(signal("database", "us-east-1", Reading::ReplicaLag { lag: Duration::ZERO }), Seen::default());
        assert_eq!(board.peers(), (0, 0), "a lag says nothing of that");
        board.publish(signal("api", "us-east-1", failing()), Seen::default());
        board.publish(signal("api", "us-west-2", failing()), Seen::default());
        board.publish(signal("web", "us-west-2", passing(3)), Seen::default());
        assert_eq!(board.peers(), (2, 1));
    }
}
