//! Times as AWS writes and reads them. The double keeps milliseconds since the epoch.

use time::format_description::well_known::{Rfc2822, Rfc3339};
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

pub fn iso(at_ms: u64) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    date(at_ms).format(format).unwrap_or_default()
}

/// An HTTP date: whole seconds, rounded down.
pub fn http_date(at_ms: u64) -> String {
    let text = date(at_ms).format(&Rfc2822).unwrap_or_default();
    text.replace("+0000", "GMT")
}

pub fn parse_iso(text: &str) -> Option<u64> {
    let text = text.trim();
    let zoned = if text.ends_with('Z') || text.contains('+') { text.to_owned() } else { format!("{text}Z") };
    to_ms(OffsetDateTime::parse(&zoned, &Rfc3339).ok()?)
}

/// The date of a signature, `20260102T030405Z`.
pub fn parse_basic(text: &str) -> Option<u64> {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    to_ms(PrimitiveDateTime::parse(text, format).ok()?.assume_utc())
}

pub fn from_seconds(seconds: f64) -> Option<u64> {
    if !(0.0..4.0e10).contains(&seconds) {
        return None;
    }
    format!("{:.0}", seconds * 1000.0).parse().ok()
}

/// Exact: milliseconds of this era are far below 2^53.
pub fn to_seconds(at_ms: u64) -> f64 {
    millis_as_f64(at_ms) / 1000.0
}

pub fn millis_as_f64(ms: u64) -> f64 {
    let (high, low) =
        (u32::try_from(ms >> 32).unwrap_or(u32::MAX), u32::try_from(ms & 0xffff_ffff).unwrap_or(u32::MAX));
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}

fn date(at_ms: u64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn to_ms(at: OffsetDateTime) -> Option<u64> {
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_each_notation() {
        let at = 1_767_323_045_678;
        assert_eq!(iso(at), "2026-01-02T03:04:05.678Z");
        assert_eq!(parse_iso(&iso(at)), Some(at));
        assert_eq!(http_date(at), "Fri, 02 Jan 2026 03:04:05 GMT");
        assert_eq!(parse_basic("20260102T030405Z"), Some(1_767_323_045_000));
        assert_eq!(from_seconds(to_seconds(at)), Some(at));
    }
}
