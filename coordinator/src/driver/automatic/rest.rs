//! How long judging rests after a pass, so that it takes a bounded part of a core whatever there is to judge.

use std::time::Duration;

use tokio::time::Instant;

/// News that come so close together are judged together.
const REST_MIN: Duration = Duration::from_millis(20);
/// Judging takes at most one part in so many of one core.
const REST_FACTOR: u32 = 9;
/// The least rest where a quorum may be complete.
const SHORT_MIN: Duration = Duration::from_millis(2);
/// Beyond one part in ten, so much of judging may be done early at a time: passes of a few seconds of an outage. What is
/// saved while all is well is spent when it matters.
const EARLY_MAX: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Rest {
    /// What early passes may still cost.
    left: Duration,
    /// Of the last pass.
    ended: Option<Instant>,
}

impl Default for Rest {
    fn default() -> Self {
        Self { left: EARLY_MAX, ended: None }
    }
}

impl Rest {
    /// After a pass that has taken so long and ends `now`: the whole rest, and the part of it that no quorum ends.
    pub fn after(&mut self, took: Duration, now: Instant) -> (Duration, Duration) {
        let whole = took.saturating_mul(REST_FACTOR).max(REST_MIN);
        let passed = self.ended.map_or(Duration::ZERO, |ended| now.saturating_duration_since(ended));
        let earned = passed / (REST_FACTOR + 1);
        self.left = (self.left + earned).min(EARLY_MAX).saturating_sub(took);
        self.ended = Some(now);
        let short = if self.left.is_zero() { whole } else { took.max(SHORT_MIN).min(whole) };
        (whole, short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Passes of `took` in `span` of news without end, each of which may complete a quorum, and their share of it.
    fn passes(rest: &mut Rest, start: Instant, took: Duration, span: Duration) -> (u32, Duration) {
        let (mut now, mut count, mut busy) = (start, 0, Duration::ZERO);
        while now < start + span {
            now += took;
            let (_, short) = rest.after(took, now);
            now += short;
            (count, busy) = (count + 1, busy + took);
        }
        (count, busy)
    }

    #[test]
    fn a_quorum_ends_the_rest_of_a_pass_however_long_it_took() {
        let mut rest = Rest::default();
        let (whole, short) = rest.after(40 * MS, Instant::now());
        assert_eq!((whole, short), (360 * MS, 40 * MS));
    }

    #[test]
    fn judging_takes_a_tenth_of_a_core_and_what_it_has_saved() {
        let mut rest = Rest::default();
        let minute = Duration::from_secs(60);
        let (_, busy) = passes(&mut rest, Instant::now(), 30 * MS, minute);
        assert!(busy <= minute / 10 + EARLY_MAX + 100 * MS, "{busy:?}");
        assert!(busy >= minute / 10, "{busy:?}");
    }

    #[test]
    fn a_quiet_time_earns_what_an_outage_spends() {
        let (mut rest, start) = (Rest::default(), Instant::now());
        let minute = Duration::from_secs(60);
        passes(&mut rest, start, 30 * MS, minute);
        assert_eq!(rest.after(30 * MS, start + minute + MS).1, 270 * MS, "nothing is saved");
        let later = start + 2 * minute;
        assert_eq!(rest.after(30 * MS, later).1, 30 * MS);
    }

    #[test]
    fn a_short_pass_is_not_repeated_at_once() {
        let (whole, short) = Rest::default().after(Duration::ZERO, Instant::now());
        assert_eq!((whole, short), (REST_MIN, SHORT_MIN));
    }
}
