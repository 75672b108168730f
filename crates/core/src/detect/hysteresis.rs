//! From single answers to a reading: a single failed probe is not an outage, and a single passed one no recovery.
//!
//! Beside the reading stands what the leader decides by: the present row of failures, which any pass breaks, by the
//! agent's own steady clock. A reading that alternates needs more passes to be well again, and the leader is told
//! so; both end when it has been steady for [`WINDOW`] answers.

use std::collections::VecDeque;
use std::time::Duration;

use crate::lease::Stamp;
use crate::signal::Reading;
use crate::time::Timestamp;

/// Answers after which a change is forgotten.
const WINDOW: u64 = 240;
/// Changes that are remembered; more make no difference.
const ALTERNATIONS_MAX: usize = 8;
/// An alternating reading needs at most so many times as many passes.
const WIDEN_MAX: u32 = 4;

/// When, by clocks that nobody sets, what a signal says was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub at: Stamp,
    /// First failure of the present unbroken row.
    pub failing_from: Option<Stamp>,
    /// How often it began to fail lately.
    pub alternations: u32,
    /// Age that it had already when it was seen.
    pub measured_before: Duration,
}

impl Seen {
    /// Of a measurement that somebody else made at `measured`, by the wall clock.
    pub fn measured(now: Stamp, measured: Timestamp) -> Self {
        Self { at: now, measured_before: now.unix().since(measured), ..Self::default() }
    }

    /// At least the true age: a machine that slept has older signals.
    pub fn age(&self, now: Stamp) -> Duration {
        let boottime = now.boottime.saturating_sub(self.at.boottime);
        boottime.max(now.monotonic.saturating_sub(self.at.monotonic)).saturating_add(self.measured_before)
    }

    /// At most the true time: nothing was seen while the machine slept.
    pub fn failing_for(&self, now: Stamp) -> Duration {
        self.failing_from.map_or(Duration::ZERO, |from| now.monotonic.saturating_sub(from.monotonic))
    }
}

#[derive(Clone, Debug)]
pub struct Hysteresis {
    fail_after: u32,
    pass_after: u32,
    /// Nobody knows what was in a longer pause between two answers: it breaks a row.
    gap_max: Duration,
    passes: u32,
    failures: u32,
    unknowns: u32,
    answers: u64,
    /// First failure of the present unbroken row.
    row: Option<Stamp>,
    /// When the last answer came that was one.
    answered: Option<Stamp>,
    /// Numbers of the answers that made it fail anew.
    alternations: VecDeque<u64>,
    reading: Reading,
}

impl Hysteresis {
    pub fn new(fail_after: u32, pass_after: u32, gap_max: Duration) -> Self {
        Self {
            fail_after: fail_after.max(1),
            pass_after: pass_after.max(1),
            gap_max,
            passes: 0,
            failures: 0,
            unknowns: 0,
            answers: 0,
            row: None,
            answered: None,
            alternations: VecDeque::new(),
            reading: Reading::Unknown { reason: "not enough answers yet".to_owned() },
        }
    }

    pub fn record(&mut self, answer: Result<Duration, String>, at: Stamp) -> Reading {
        self.begin(at);
        match answer {
            Ok(latency) => self.pass(latency),
            Err(reason) => self.fail(reason, at),
        }
        self.reading.clone()
    }

    /// The probe could not ask: neither a pass nor a failure.
    pub fn record_unknown(&mut self, reason: String, at: Stamp) -> Reading {
        self.unknowns = self.unknowns.saturating_add(1);
        if self.unknowns >= self.fail_after {
            (self.passes, self.failures, self.row) = (0, 0, None);
            self.answered = Some(at);
            self.reading = Reading::Unknown { reason };
        }
        self.reading.clone()
    }

    /// It passes, and its last answer did: a further pass changes counters alone.
    pub fn is_steady(&self) -> bool {
        matches!(self.reading, Reading::Passing { .. }) && self.failures == 0 && self.unknowns == 0
    }

    /// As so many passes while it is steady, none longer than a gap after the one before.
    pub fn pass_again(&mut self, passes: u32, last: Stamp) {
        debug_assert!(self.is_steady(), "the answers between would count");
        self.passes = self.passes.saturating_add(passes);
        self.answers = self.answers.saturating_add(u64::from(passes));
        let oldest = self.answers.saturating_sub(WINDOW);
        self.alternations.retain(|answer| *answer > oldest);
        self.answered = Some(last);
    }

    /// What the present reading rests on.
    pub fn seen(&self, now: Stamp) -> Seen {
        let failing = matches!(self.reading, Reading::Failing { .. });
        Seen {
            at: self.answered.unwrap_or(now),
            failing_from: self.row.filter(|_| failing),
            alternations: u32::try_from(self.alternations.len()).unwrap_or(u32::MAX),
            measured_before: Duration::ZERO,
        }
    }

    fn begin(&mut self, at: Stamp) {
        if self.answered.is_some_and(|before| at.since(before) > self.gap_max) {
            (self.passes, self.failures, self.row) = (0, 0, None);
        }
        self.answered = Some(at);
        self.unknowns = 0;
        self.answers = self.answers.saturating_add(1);
        let oldest = self.answers.saturating_sub(WINDOW);
        self.alternations.retain(|answer| *answer > oldest);
    }

    fn pass(&mut self, latency: Duration) {
        (self.failures, self.row) = (0, None);
        self.passes = self.passes.saturating_add(1);
        let passing = matches!(self.reading, Reading::Passing { .. });
        if passing || self.passes >= self.pass_after.saturating_mul(self.widening()) {
            self.reading = Reading::Passing { latency };
        }
    }

    fn fail(&mut self, reason: String, at: Stamp) {
        self.passes = 0;
        self.failures = self.failures.saturating_add(1);
        let begins = self.row.is_none();
        let row = *self.row.get_or_insert(at);
        match &self.reading {
            Reading::Failing { since, .. } => {
                let since = *since;
                if begins {
                    self.alternate();
                }
                self.reading = Reading::Failing { reason, since };
            }
            Reading::Passing { .. } | Reading::ReplicaLag { .. } | Reading::Items { .. } | Reading::Unknown { .. } => {
                if self.failures >= self.fail_after {
                    if matches!(self.reading, Reading::Passing { .. }) {
                        self.alternate();
                    }
                    self.reading = Reading::Failing { reason, since: wall(row) };
                }
            }
        }
    }

    fn alternate(&mut self) {
        if self.alternations.len() >= ALTERNATIONS_MAX {
            self.alternations.pop_front();
        }
        self.alternations.push_back(self.answers);
    }

    fn widening(&self) -> u32 {
        u32::try_from(self.alternations.len()).unwrap_or(WIDEN_MAX).clamp(1, WIDEN_MAX)
    }
}

/// For people: an hour that is wrong here is wrong nowhere else.
fn wall(stamp: Stamp) -> Timestamp {
    stamp.unix()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: Duration = Duration::from_secs(5);

    fn at(second: u64) -> Stamp {
        let second = Duration::from_secs(second);
        Stamp { boottime: second, monotonic: second, realtime: second }
    }

    /// Answers a second apart: `+` passed, `-` failed, `?` unknown, `.` none.
    fn play(hysteresis: &mut Hysteresis, answers: &str) -> Vec<String> {
        let start = hysteresis.answered.map_or(1, |stamp| stamp.monotonic.as_secs() + 1);
        let answers = answers.chars().zip(start..).filter(|(answer, _)| *answer != '.');
        answers
            .map(|(answer, second)| {
                let reading = match answer {
                    '+' => hysteresis.record(Ok(Duration::from_millis(5)), at(second)),
                    '-' => hysteresis.record(Err("refused".to_owned()), at(second)),
                    _ => hysteresis.record_unknown("no resolver".to_owned(), at(second)),
                };
                match reading {
                    Reading::Passing { .. } => "up".to_owned(),
                    Reading::Failing { since, .. } => format!("down@{}", since.as_millis() / 1000),
                    Reading::ReplicaLag { .. } | Reading::Items { .. } => "lag".to_owned(),
                    Reading::Unknown { .. } => "?".to_owned(),
                }
            })
            .collect()
    }

    fn readings(answers: &str) -> Vec<String> {
        play(&mut Hysteresis::new(3, 2, GAP), answers)
    }

    /// Second at which the unbroken row began.
    fn row(hysteresis: &Hysteresis) -> Option<u64> {
        hysteresis.seen(at(0)).failing_from.map(|stamp| stamp.monotonic.as_secs())
    }

    #[test]
    fn a_single_failed_probe_is_not_an_outage() {
        assert_eq!(readings("++-+--+"), ["?", "up", "up", "up", "up", "up", "up"]);
    }

    #[test]
    fn many_passes_of_a_steady_reading_are_as_each_for_itself() {
        for passes in [1, 2, 100, 239, 240, 241] {
            let mut each = Hysteresis::new(2, 1, GAP);
            play(&mut each, "++--++--+++--++++++++++");
            assert!(each.is_steady());
            let (mut at_once, last) = (each.clone(), each.answered.map_or(0, |at| at.monotonic.as_secs()) + passes);
            play(&mut each, &"+".repeat(usize::try_from(passes).expect("few")));
            at_once.pass_again(u32::try_from(passes).expect("few"), at(last));
            assert_eq!(format!("{each:?}"), format!("{at_once:?}"), "{passes} passes");
        }
    }

    #[test]
    fn what_failed_last_is_not_steady() {
        for answers in ["++-", "++--", "++--+", "?", "++?"] {
            let mut hysteresis = Hysteresis::new(2, 2, GAP);
            play(&mut hysteresis, answers);
            assert!(!hysteresis.is_steady(), "{answers}");
        }
    }

    #[test]
    fn an_outage_began_with_the_first_failure_of_its_row() {
        assert_eq!(readings("++---"), ["?", "up", "up", "up", "down@3"]);
    }

    #[test]
    fn a_single_passed_probe_is_no_recovery() {
        assert_eq!(readings("---+-++"), ["?", "?", "down@1", "down@1", "down@1", "down@1", "up"]);
    }

    #[test]
    fn any_pass_breaks_the_row_that_the_leader_decides_by() {
        let mut hysteresis = Hysteresis::new(3, 2, GAP);
        play(&mut hysteresis, "++---");
        assert_eq!(row(&hysteresis), Some(3));
        play(&mut hysteresis, "+");
        assert_eq!(row(&hysteresis), None, "the last answer was a pass");
        play(&mut hysteresis, "--");
        assert_eq!(row(&hysteresis), Some(7));
    }

    #[test]
    fn a_pause_between_two_answers_breaks_the_row() {
        let mut hysteresis = Hysteresis::new(3, 2, GAP);
        play(&mut hysteresis, "---");
        play(&mut hysteresis, ".....-");
        assert_eq!(row(&hysteresis), Some(9), "nobody looked for six seconds");
    }

    #[test]
    fn a_step_of_the_wall_clock_shortens_no_row_and_makes_none_longer() {
        let mut hysteresis = Hysteresis::new(2, 2, GAP);
        let hour = Duration::from_secs(3600);
        let stamp = |second: u64, wall: Duration| Stamp { realtime: wall, ..at(second) };
        hysteresis.record(Err("refused".to_owned()), stamp(1, hour));
        hysteresis.record(Err("refused".to_owned()), stamp(2, Duration::ZERO));
        assert_eq!(row(&hysteresis), Some(1), "set back");
        hysteresis.record(Err("refused".to_owned()), stamp(3, hour * 2));
        assert_eq!(row(&hysteresis), Some(3), "set forward: it may have been suspended");
    }

    #[test]
    fn what_could_not_be_asked_is_no_failure_and_in_the_end_unknown() {
        let mut hysteresis = Hysteresis::new(3, 2, GAP);
        assert_eq!(play(&mut hysteresis, "++--?"), ["?", "up", "up", "up", "up"]);
        let before = hysteresis.seen(at(9));
        assert_eq!(before.at, at(4), "it does not make the last answer younger");
        assert_eq!(play(&mut hysteresis, "??"), ["up", "?"]);
        assert_eq!(play(&mut hysteresis, "--"), ["?", "?"], "the row began anew");
    }

    #[test]
    fn an_alternating_reading_needs_more_passes_and_a_steady_one_is_trusted_again() {
        let mut hysteresis = Hysteresis::new(1, 1, GAP);
        assert_eq!(play(&mut hysteresis, "+-+-+"), ["up", "down@2", "up", "down@4", "down@4"], "two passes now");
        assert_eq!(play(&mut hysteresis, "+-+++"), ["up", "down@7", "down@7", "down@7", "up"], "three");
        assert_eq!(hysteresis.seen(at(0)).alternations, 3);
        play(&mut hysteresis, &"+".repeat(240));
        assert_eq!(hysteresis.seen(at(0)).alternations, 0);
        assert_eq!(play(&mut hysteresis, "-+"), ["down@251", "up"]);
    }
}
