//! When a question's turns are. Each is reckoned from the first, not from the end of the one before it: a slow probe
//! loses turns, and makes no other late. When in its turn it is asked is drawn anew each time: a region that fails at a
//! steady beat of an interval's fraction would otherwise fail whenever it is looked at, and so for all observers.

use std::time::Duration;

use rand::Rng;

/// Of the interval: the part of a turn in which its question is asked; the rest is for a slot that is waited for.
const SPREAD: f64 = 0.9;
/// Of the interval: so much later in its turn than the one before at most. Two questions lie at most one and a half
/// intervals apart, which `mesh_core::detect` counts on.
const LATER_MAX: f64 = 0.5;
/// Of the interval: the first answers come soon, and not all at once.
const FIRST: f64 = 0.5;

/// Times are of the steady clock.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Of the first turn on the grid; one comes before it, so that the first answer is early.
    anchor: Duration,
    interval: Duration,
    first: Option<Duration>,
    /// Turns on the grid that were given out or lost.
    turns: u64,
    /// Of the interval: when in its turn the last one was.
    offset: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    pub at: Duration,
    /// From when on the next one is due.
    pub over: Duration,
}

impl Schedule {
    pub fn new(now: Duration, interval: Duration, rng: &mut impl Rng) -> Self {
        let interval = interval.max(Duration::from_millis(1));
        let phase = interval.mul_f64(rng.random_range(0.0..1.0));
        let anchor = now.saturating_add(phase).saturating_add(interval.mul_f64(FIRST));
        Self { anchor, interval, first: Some(now.saturating_add(phase.mul_f64(FIRST))), turns: 0, offset: 0.0 }
    }

    /// The next turn that is not over, and how many were lost before it.
    pub fn next(&mut self, now: Duration, rng: &mut impl Rng) -> (Turn, u64) {
        if let Some(at) = self.first.take() {
            return (Turn { at, over: self.anchor }, 0);
        }
        let begun = now.checked_sub(self.anchor).map_or(0, |passed| {
            let turns = passed.as_nanos() / self.interval.as_nanos().max(1);
            u64::try_from(turns).unwrap_or(u64::MAX).saturating_add(1)
        });
        // One that has begun already may still be asked while it lasts, if nothing was asked in it.
        let turn = self.turns.max(begun.saturating_sub(1));
        let lost = turn.saturating_sub(self.turns);
        self.turns = turn.saturating_add(1);
        self.offset = rng.random_range(0.0..(self.offset + LATER_MAX).min(SPREAD));
        let at = self.grid(turn).saturating_add(self.interval.mul_f64(self.offset)).max(now);
        (Turn { at, over: self.grid(self.turns) }, lost)
    }

    fn grid(&self, turn: u64) -> Duration {
        let nanos = self.interval.as_nanos().saturating_mul(u128::from(turn));
        self.anchor.saturating_add(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);
    const START: Duration = Duration::from_secs(5_000);
    const ROUNDS: u32 = 1_000;

    fn rng(seed: u64) -> StdRng {
        StdRng::seed_from_u64(seed)
    }

    /// Turns that are taken when each probe takes so long.
    fn taken(took: impl Fn(u32) -> Duration) -> (Vec<Turn>, u64) {
        let (mut rng, mut now, mut lost) = (rng(7), START, 0);
        let mut schedule = Schedule::new(now, INTERVAL, &mut rng);
        let mut turns = Vec::new();
        for round in 0..ROUNDS {
            let (turn, missed) = schedule.next(now, &mut rng);
            lost += missed;
            now = now.max(turn.at) + took(round);
            turns.push(turn);
        }
        (turns, lost)
    }

    #[test]
    fn slow_probes_move_no_later_turn() {
        let (quick, none) = taken(|_| Duration::from_millis(1));
        let (slow, also_none) = taken(|_| Duration::from_millis(8_900));
        assert_eq!((none, also_none), (0, 0));
        let last = |turns: &[Turn]| turns.last().expect("a thousand").over;
        assert_eq!(last(&quick), last(&slow), "the thousandth turn is when it was to be");
        assert!(last(&quick) <= START + INTERVAL * (ROUNDS + 1));
    }

    #[test]
    fn a_probe_longer_than_the_interval_loses_turns_and_never_bursts() {
        let (turns, lost) = taken(|round| if round % 10 == 3 { INTERVAL * 4 } else { Duration::from_millis(5) });
        assert!(lost >= 200, "{lost} turns were lost");
        for pair in turns.windows(2).skip(1) {
            let [before, after] = pair else { continue };
            assert!(after.at >= before.over, "two turns in one interval: {before:?} {after:?}");
        }
    }

    #[test]
    fn no_beat_of_an_interval_s_fraction_is_met_by_every_question() {
        let down = |at: Duration, beat: Duration| (at.as_nanos() / beat.as_nanos()).is_multiple_of(2);
        for seed in 0..200 {
            let (mut rng, mut now) = (rng(seed), START);
            let mut schedule = Schedule::new(now, INTERVAL, &mut rng);
            let mut rows = [0u32; 3];
            let mut longest = 0;
            for _ in 0..100 {
                now = schedule.next(now, &mut rng).0.at;
                for (row, beats) in rows.iter_mut().zip([2, 4, 10]) {
                    *row = if down(now, INTERVAL / beats) { *row + 1 } else { 0 };
                    longest = longest.max(*row);
                }
            }
            assert!(longest < 40, "seed {seed}: {longest} questions in a row met the same half of a beat");
        }
    }

    #[test]
    fn a_process_that_was_stopped_begins_where_the_grid_is_now() {
        let mut rng = rng(1);
        let mut schedule = Schedule::new(START, INTERVAL, &mut rng);
        let (first, _) = schedule.next(START, &mut rng);
        let (second, _) = schedule.next(first.at, &mut rng);
        let later = second.over + INTERVAL * 50 + INTERVAL / 2;
        let (turn, lost) = schedule.next(later, &mut rng);
        assert_eq!(lost, 50);
        assert!(turn.at < turn.over && later < turn.over, "the present turn is still asked");
        let (next, lost) = schedule.next(later, &mut rng);
        assert_eq!(lost, 0);
        assert!(next.at >= turn.over);
    }

    #[test]
    fn questions_that_begin_together_are_spread_over_the_interval() {
        let mut seeds = rng(3);
        let mut tenths = [0u32; 10];
        for _ in 0..ROUNDS {
            let mut schedule = Schedule::new(START, INTERVAL, &mut seeds);
            let (first, _) = schedule.next(START, &mut seeds);
            assert!(first.at <= START + INTERVAL.mul_f64(FIRST), "the first answer is early");
            let (second, _) = schedule.next(first.at, &mut seeds);
            let place = (second.at - START).as_secs() % INTERVAL.as_secs();
            if let Some(tenth) = usize::try_from(place).ok().and_then(|place| tenths.get_mut(place)) {
                *tenth += 1;
            }
        }
        assert!(tenths.iter().all(|count| (50..200).contains(count)), "{tenths:?}");
    }

    #[test]
    fn one_questions_turns_do_not_stay_in_step_with_anothers() {
        let (turns, _) = taken(|_| Duration::ZERO);
        let gaps: Vec<Duration> =
            turns.windows(2).skip(1).filter_map(|pair| Some(pair.last()?.at - pair.first()?.at)).collect();
        assert!(gaps.iter().all(|gap| *gap <= INTERVAL * 3 / 2), "detection counts on it");
        let distinct: std::collections::BTreeSet<_> = gaps.iter().collect();
        assert!(distinct.len() > 900, "{} different gaps", distinct.len());
    }
}
