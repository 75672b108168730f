//! One direction between two parties: what it does to packets, and what it has done.

use std::time::{Duration, Instant};

use rand::Rng;

const PERMILLE: u16 = 1000;

/// As it is set. Nothing overtakes on a link: jitter delays what comes after, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    pub delay: Duration,
    /// Up to so much more, evenly spread.
    pub jitter: Duration,
    /// Of a thousand packets.
    pub loss_permille: u16,
    pub cut: bool,
}

/// Packets by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub forwarded: u64,
    /// Of those forwarded.
    pub delayed: u64,
    pub lost: u64,
    pub cut: u64,
    /// The network holds no more.
    pub overflowed: u64,
}

#[derive(Debug, Default)]
pub struct Line {
    pub link: Link,
    pub counters: Counters,
    last_arrival: Option<Instant>,
}

impl Line {
    /// When a packet that is sent now arrives, if it does.
    pub fn arrival(&mut self, now: Instant, chance: &mut impl Rng) -> Option<Instant> {
        if self.link.cut {
            self.counters.cut += 1;
            return None;
        }
        if chance.random_range(0..PERMILLE) < self.link.loss_permille {
            self.counters.lost += 1;
            return None;
        }
        let jitter = chance.random_range(Duration::ZERO..=self.link.jitter);
        let arrival = self.last_arrival.map_or(now, |last| last.max(now)).max(now + self.link.delay + jitter);
        self.counters.forwarded += 1;
        self.counters.delayed += u64::from(arrival > now);
        self.last_arrival = Some(arrival);
        Some(arrival)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn line(link: Link) -> (Line, StdRng) {
        (Line { link, ..Line::default() }, StdRng::seed_from_u64(7))
    }

    #[test]
    fn nothing_overtakes_whatever_the_jitter() {
        let (ms, began) = (Duration::from_millis, Instant::now());
        let (mut line, mut chance) = line(Link { delay: ms(30), jitter: ms(20), ..Link::default() });
        let mut last = began;
        for nth in 0..1000 {
            let sent = began + ms(nth);
            let arrival = line.arrival(sent, &mut chance).expect("no loss, no cut");
            assert!(arrival >= last && arrival >= sent + ms(30), "packet {nth}");
            last = arrival;
        }
        assert_eq!((line.counters.forwarded, line.counters.delayed), (1000, 1000));
    }

    #[test]
    fn a_shorter_delay_waits_for_what_is_on_its_way() {
        let (ms, began) = (Duration::from_millis, Instant::now());
        let (mut line, mut chance) = line(Link { delay: ms(100), ..Link::default() });
        assert_eq!(line.arrival(began, &mut chance), Some(began + ms(100)));
        line.link.delay = Duration::ZERO;
        assert_eq!(line.arrival(began + ms(1), &mut chance), Some(began + ms(100)));
    }

    #[test]
    fn loss_is_as_set_and_every_packet_is_counted_once() {
        let (mut line, mut chance) = line(Link { loss_permille: 200, ..Link::default() });
        let now = Instant::now();
        let arrived = (0..10_000).filter(|_| line.arrival(now, &mut chance).is_some()).count() as u64;
        assert_eq!((line.counters.forwarded, line.counters.lost), (arrived, 10_000 - arrived));
        assert!((1800..2200).contains(&line.counters.lost), "{:?}", line.counters);
    }

    #[test]
    fn a_cut_lets_nothing_pass_and_a_healed_link_everything() {
        let (mut line, mut chance) = line(Link { cut: true, ..Link::default() });
        let now = Instant::now();
        assert_eq!(line.arrival(now, &mut chance), None);
        line.link.cut = false;
        assert_eq!(line.arrival(now, &mut chance), Some(now));
        assert_eq!((line.counters.cut, line.counters.forwarded, line.counters.delayed), (1, 1, 0));
    }

    #[test]
    fn a_link_that_loses_all_loses_all() {
        let (mut line, mut chance) = line(Link { loss_permille: PERMILLE, ..Link::default() });
        assert!((0..1000).all(|_| line.arrival(Instant::now(), &mut chance).is_none()));
    }
}
