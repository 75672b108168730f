//! When Route 53 is asked whether a change is in sync. It serves few requests, and its name servers as many as one
//! likes: so they are looked at often, and once one of them shows the token, Route 53 is asked at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Between two questions while the name servers show the old token.
const ASK_UNSEEN_EVERY: Duration = Duration::from_secs(2);
/// Between two questions when the token is shown, or when nobody can say.
const ASK_EVERY: Duration = Duration::from_millis(350);
/// A pause is at least this share of the time already spent.
const ASK_SHARE: u32 = 50;
/// Sights in a row that failed, after which the name servers are not asked for this change any more.
const BLIND_AFTER: u32 = 3;
/// Changes that are followed, and zones whose server is known; the oldest make room.
const KEPT_MAX: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Watches {
    changes: Mutex<BTreeMap<String, Watch>>,
    servers: Mutex<BTreeMap<String, SocketAddr>>,
}

#[derive(Debug)]
struct Watch {
    since: Instant,
    asked: Instant,
    shown: bool,
    failed: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Wait,
    /// Is it in sync?
    Ask,
    /// It probably is: look at the records in the same moment.
    AskAndList,
}

impl Watches {
    pub(super) fn wants_a_sight(&self, change: &str) -> bool {
        lock(&self.changes).get(change).is_some_and(|watch| !watch.shown && watch.failed < BLIND_AFTER)
    }

    /// What to do about `change` now. `shown`: does a name server show its token, if one was asked and answered?
    pub(super) fn turn(&self, change: &str, shown: Option<bool>, now: Instant) -> Turn {
        let mut changes = lock(&self.changes);
        let Some(watch) = changes.get_mut(change) else {
            make_room(&mut changes);
            changes.insert(change.to_owned(), Watch { since: now, asked: now, shown: false, failed: 0 });
            return Turn::Ask;
        };
        match shown {
            Some(shown) => (watch.shown, watch.failed) = (shown, 0),
            None if !watch.shown => watch.failed = watch.failed.saturating_add(1),
            None => {}
        }
        if shown == Some(true) {
            watch.asked = now;
            return Turn::AskAndList;
        }
        let blind = watch.failed >= BLIND_AFTER;
        let every = if watch.shown || blind { ASK_EVERY } else { ASK_UNSEEN_EVERY };
        let pause = every.max(now.saturating_duration_since(watch.since) / ASK_SHARE);
        if now.saturating_duration_since(watch.asked) < pause {
            return Turn::Wait;
        }
        watch.asked = now;
        Turn::Ask
    }

    pub(super) fn server(&self, zone: &str) -> Option<SocketAddr> {
        lock(&self.servers).get(zone).copied()
    }

    pub(super) fn note_server(&self, zone: &str, server: SocketAddr) {
        let mut servers = lock(&self.servers);
        if servers.len() >= KEPT_MAX {
            servers.clear();
        }
        servers.insert(zone.to_owned(), server);
    }
}

fn make_room(changes: &mut BTreeMap<String, Watch>) {
    if changes.len() >= KEPT_MAX {
        let oldest = changes.iter().min_by_key(|(_, watch)| watch.since).map(|(change, _)| change.clone());
        oldest.map(|change| changes.remove(&change));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_a_name_server_shows_is_asked_for_at_once_and_before_that_rarely() {
        let (watches, start) = (Watches::default(), Instant::now());
        let turn = |ms: u64, shown| watches.turn("C1", shown, start + Duration::from_millis(ms));
        assert!(!watches.wants_a_sight("C1"), "it is asked for in any case");
        assert_eq!(turn(0, None), Turn::Ask);
        assert!(watches.wants_a_sight("C1"));
        let asked = (1..150).filter(|n| turn(n * 10, Some(false)) == Turn::Ask).count();
        assert_eq!(asked, 0);
        assert_eq!(turn(1_510, Some(true)), Turn::AskAndList);
        assert!(!watches.wants_a_sight("C1"), "it was seen");
        assert_eq!(turn(1_600, None), Turn::Wait, "the other name servers lag");
        assert_eq!(turn(1_860, None), Turn::Ask);
    }

    #[test]
    fn without_name_servers_to_ask_the_change_is_asked_for_at_an_even_pace() {
        let (watches, start) = (Watches::default(), Instant::now());
        let turn = |ms: u64, shown| watches.turn("C1", shown, start + Duration::from_millis(ms));
        assert_eq!(turn(0, None), Turn::Ask);
        assert_eq!([turn(10, None), turn(20, None), turn(30, None)], [Turn::Wait; 3]);
        assert!(!watches.wants_a_sight("C1"), "three failures are enough");
        let asked: Vec<u64> = (4..=210).map(|n| n * 10).filter(|ms| turn(*ms, None) == Turn::Ask).collect();
        assert_eq!(asked, [350, 700, 1_050, 1_400, 1_750, 2_100]);
        assert_eq!(turn(60_000, None), Turn::Ask);
        assert_eq!([turn(60_900, None), turn(61_250, None)], [Turn::Wait, Turn::Ask], "a fiftieth of the time spent");
    }

    #[test]
    fn only_so_many_changes_are_followed() {
        let (watches, start) = (Watches::default(), Instant::now());
        for n in 0..2 * KEPT_MAX {
            let millis = u64::try_from(n).expect("it is small");
            watches.turn(&format!("C{n}"), None, start + Duration::from_millis(millis));
        }
        assert_eq!(lock(&watches.changes).len(), KEPT_MAX);
        assert!(watches.wants_a_sight(&format!("C{}", 2 * KEPT_MAX - 1)), "the newest are kept");
    }
}
