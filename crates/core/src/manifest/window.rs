//! When the mesh may act by itself: spans of the week, in UTC.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;
const DAY_MINUTES: u32 = 24 * 60;
/// 1970-01-01 was a Thursday; the week begins on Monday here.
const FIRST_DAY: u64 = 3;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// `mon-fri 08:00-18:00`, `sat,sun 22:00-02:00`, `daily 00:00-24:00`. One that ends before it begins ends on the next day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Window {
    /// Days on which it opens, from Monday.
    days: [bool; 7],
    /// Minutes of the day, from midnight.
    opens: u32,
    closes: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no window: write DAYS HH:MM-HH:MM in UTC, like `mon-fri 08:00-18:00` or `daily 22:00-02:00`")]
pub struct WindowError {
    pub given: String,
}

impl Window {
    pub fn contains(&self, now: Timestamp) -> bool {
        let day = now.as_millis() / DAY_MS;
        [Some(day), day.checked_sub(1)]
            .into_iter()
            .flatten()
            .any(|day| self.on(day).is_some_and(|(opens, closes)| opens <= now.as_millis() && now.as_millis() < closes))
    }

    /// The next moment after `now` at which it opens.
    pub fn next_opening(&self, now: Timestamp) -> Option<Timestamp> {
        let today = now.as_millis() / DAY_MS;
        (0..=7)
            .filter_map(|ahead| self.on(today.checked_add(ahead)?))
            .map(|(opens, _)| opens)
            .find(|opens| *opens > now.as_millis())
            .map(Timestamp::from_millis)
    }

    /// When it is open on the day with this number since 1970, in milliseconds, if it opens on that day.
    fn on(&self, day: u64) -> Option<(u64, u64)> {
        let weekday = usize::try_from((day + FIRST_DAY) % 7).ok()?;
        if !*self.days.get(weekday)? {
            return None;
        }
        let begins = day.checked_mul(DAY_MS)?;
        let closes = if self.closes > self.opens { self.closes } else { self.closes + DAY_MINUTES };
        let at = |minutes: u32| begins.checked_add(u64::from(minutes) * MINUTE_MS);
        Some((at(self.opens)?, at(closes)?))
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days.iter().all(|day| *day) {
            f.write_str("daily")?;
        } else {
            let named = DAYS.iter().zip(self.days).filter(|(_, open)| *open).map(|(name, _)| *name);
            f.write_str(&named.collect::<Vec<_>>().join(","))?;
        }
        let clock = |minutes: u32| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        write!(f, " {}-{}", clock(self.opens), clock(self.closes))
    }
}

impl FromStr for Window {
    type Err = WindowError;

    fn from_str(given: &str) -> Result<Self, WindowError> {
        parse(given).ok_or_else(|| WindowError { given: given.chars().take(64).collect() })
    }
}

impl TryFrom<String> for Window {
    type Error = WindowError;

    fn try_from(given: String) -> Result<Self, WindowError> {
        given.parse()
    }
}

impl From<Window> for String {
    fn from(window: Window) -> Self {
        window.to_string()
    }
}

fn parse(given: &str) -> Option<Window> {
    let (days, hours) = given.trim().split_once(' ')?;
    let (opens, closes) = hours.trim().split_once('-')?;
    let (opens, closes) = (clock(opens)?, clock(closes)?);
    (opens < DAY_MINUTES && opens != closes).then_some(Window { days: weekdays(days)?, opens, closes })
}

fn weekdays(text: &str) -> Option<[bool; 7]> {
    let mut days = [false; 7];
    if text == "daily" {
        return Some([true; 7]);
    }
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |name: &str| DAYS.iter().position(|day| *day == name);
        let (first, last) = (number(first)?, number(last)?);
        // `fri-mon` goes over the end of the week.
        let length = (last + 7 - first) % 7;
        for day in (first..=first + length).map(|day| day % 7) {
            *days.get_mut(day)? = true;
        }
    }
    Some(days)
}

fn clock(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| (text.len() == 2).then(|| text.parse::<u32>().ok()).flatten();
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let total = hours * 60 + minutes;
    (minutes < 60 && total <= DAY_MINUTES).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Monday, 2024-01-01 00:00 UTC.
    const MONDAY: u64 = 1_704_067_200_000;

    fn at(day: u64, hour: u64, minute: u64) -> Timestamp {
        Timestamp::from_millis(MONDAY + day * DAY_MS + (hour * 60 + minute) * MINUTE_MS)
    }

    fn window(text: &str) -> Window {
        text.parse().expect("a window")
    }

    #[test]
    fn a_window_is_open_from_its_first_minute_to_before_its_last_on_its_days_alone() {
        let work = window("mon-fri 08:00-18:00");
        assert!(!work.contains(at(0, 7, 59)) && work.contains(at(0, 8, 0)));
        assert!(work.contains(at(4, 17, 59)) && !work.contains(at(4, 18, 0)));
        assert!(!work.contains(at(5, 12, 0)), "not on a Saturday");
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_opens() {
        let night = window("fri 22:00-02:00");
        assert!(night.contains(at(4, 23, 0)) && night.contains(at(5, 1, 59)));
        assert!(!night.contains(at(4, 1, 0)) && !night.contains(at(5, 22, 30)));
    }

    #[test]
    fn the_next_opening_is_looked_for_a_week_ahead() {
        assert_eq!(window("mon 08:00-09:00").next_opening(at(0, 8, 0)), Some(at(7, 8, 0)));
        assert_eq!(window("fri-mon 08:00-09:00").next_opening(at(1, 0, 0)), Some(at(4, 8, 0)));
        assert_eq!(window("daily 00:00-24:00").next_opening(at(1, 5, 0)), Some(at(2, 0, 0)));
    }

    #[test]
    fn a_window_reads_back_as_it_was_written_and_nonsense_is_refused() {
        for (given, written) in [
            ("mon-fri 08:00-18:00", "mon,tue,wed,thu,fri 08:00-18:00"),
            ("daily 22:00-02:00", "daily 22:00-02:00"),
            ("sat,sun 00:00-24:00", "sat,sun 00:00-24:00"),
        ] {
            assert_eq!(window(given).to_string(), written);
            assert_eq!(window(written), window(given));
        }
        for bad in ["", "mon", "mon 8:00-9:00", "mon 08:00-08:00", "mun 08:00-09:00", "mon 24:00-25:00", "mon 08:00"] {
            assert!(bad.parse::<Window>().is_err(), "{bad:?} must be refused");
        }
    }
}
