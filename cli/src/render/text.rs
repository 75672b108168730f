//! Durations, times and shortened texts.

use std::time::Duration;

use mesh_core::notice::{About, AutomaticNote};
use mesh_core::plan::PredictedLoss;
use mesh_core::run::MeasuredLoss;
use mesh_core::time::Timestamp;
use time::OffsetDateTime;
use time::macros::format_description;

/// `350 ms`, `4.2 s`, `5 min`, `2 min 05 s`, `1 h 03 min`.
pub fn duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let seconds = duration.as_secs();
    match millis {
        0..=999 => format!("{millis} ms"),
        1_000..=59_999 => format!("{}.{} s", seconds, (millis % 1000) / 100),
        60_000..=3_599_999 if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        60_000..=3_599_999 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, (seconds % 3600) / 60),
    }
}

/// `+4.2s`, for the first column of a timeline.
pub fn offset(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis < 600_000 {
        format!("+{}.{:03}s", millis / 1000, millis % 1000)
    } else {
        format!("+{}m{:02}s", millis / 60_000, (millis / 1000) % 60)
    }
}

/// `2026-01-31 03:12:45.123Z`.
pub fn time(at: Timestamp) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.as_millis()) * 1_000_000)
        .ok()
        .and_then(|time| time.format(&format).ok())
        .unwrap_or_else(|| at.to_string())
}

/// `spiffe://demo/region/us-east-1/operator/ann` → `ann (operator)`.
pub fn person(spiffe: &str) -> String {
    spiffe
        .parse::<mesh_core::access::Identity>()
        .map_or_else(|_| spiffe.to_owned(), |identity| format!("{} ({})", identity.name, identity.role))
}

pub fn loss(loss: &PredictedLoss) -> String {
    match loss {
        PredictedLoss::Nothing => "nothing: no database is promoted".to_owned(),
        PredictedLoss::Lag { lag, age, observer, signal, measured_at } => {
            let known = *measured_at > Timestamp::default();
            let by = if signal.is_empty() { String::new() } else { format!(" by {signal}") };
            let at = if known { format!(" at {}", time(*measured_at)) } else { String::new() };
            format!(
                "none once the old region is fenced and the replica has caught up; without that the last {} of writes \
                 (lag {}{by}, measured {} before that by {observer}{at})",
                duration(lag.saturating_add(*age)),
                duration(*lag),
                duration(*age)
            )
        }
        PredictedLoss::Unknown => "UNKNOWN: replication lag was never measured while both ends lived".to_owned(),
    }
}

pub fn measured(measured: &MeasuredLoss) -> String {
    match measured {
        MeasuredLoss::Nothing { because } => format!("nothing: {because}"),
        MeasuredLoss::Time { lost, source } => format!("the writes of {} (by {source})", duration(*lost)),
        MeasuredLoss::Bytes { lost, source } => format!("{lost} bytes of the old primary's log (by {source})"),
        MeasuredLoss::After { through, outage, closed, bytes_at_least, source } => {
            let until = |what: &str, at: &Option<Timestamp>| {
                at.map(|at| format!("; {what} {} after that", duration(at.since(*through)))).unwrap_or_default()
            };
            let bytes =
                bytes_at_least.map(|bytes| format!("; at least {bytes} bytes of it were seen")).unwrap_or_default();
            let open = if closed.is_none() { "; nobody proved since when it takes no writes" } else { "" };
            format!(
                "not measurable to the write: the target has everything up to {} ({source}), and lacks what the old region \
                 accepted later{}{}{open}{bytes}",
                time(*through),
                until("the outage was first seen", outage),
                until("the old region was certainly closed", closed),
            )
        }
        MeasuredLoss::Unknown { reason } => format!("unknown: {reason}"),
    }
}

/// At most `max` characters; a longer text ends in `…`.
pub fn clip(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut clipped: String = text.chars().take(max.saturating_sub(1)).collect();
    clipped.push('…');
    clipped
}

/// What was decided automatically, and who was told.
pub fn noted(note: &AutomaticNote) -> String {
    let at = time(note.at);
    let said = match note.about {
        About::ShouldMove => format!("at {at} it should have been moved to {}: {}", note.to, note.text),
        About::Blocked => format!("at {at} it was due to move and was kept from it: {}", note.text),
        About::Began => format!("at {at} a move to {} began by itself", note.to),
    };
    format!("{said}. Told: {}", note.telling())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well_at_every_size() {
        let text = |millis| duration(Duration::from_millis(millis));
        assert_eq!(text(0), "0 ms");
        assert_eq!(text(999), "999 ms");
        assert_eq!(text(4_250), "4.2 s");
        assert_eq!(text(300_000), "5 min");
        assert_eq!(text(125_000), "2 min 05 s");
        assert_eq!(text(3_780_000), "1 h 03 min");
        assert_eq!(offset(Duration::from_millis(4_205)), "+4.205s");
        assert_eq!(offset(Duration::from_secs(605)), "+10m05s");
    }

    #[test]
    fn the_loss_to_expect_is_the_lag_and_its_age() {
        let (lag, age) = (Duration::from_millis(200), Duration::from_secs(3));
        let at = Timestamp::from_millis(1_700_000_000_123);
        let signal = "CloudWatch's ReplicaLag of database".to_owned();
        let said = loss(&PredictedLoss::Lag { lag, age, observer: "usw2-a".to_owned(), signal, measured_at: at });
        assert!(said.contains("the last 3.2 s of writes"), "{said}");
        for source in ["ReplicaLag of database", "3.0 s before", "by usw2-a", "2023-11-14 22:13:20.123Z"] {
            assert!(said.contains(source), "{source}: {said}");
        }
    }

    #[test]
    fn what_cannot_be_counted_is_said_in_so_many_words_with_what_is_known() {
        let at = |second: u64| Timestamp::from_millis(1_700_000_000_000 + second * 1000);
        let measured_loss = MeasuredLoss::After {
            through: at(0),
            outage: Some(at(2)),
            closed: Some(at(16)),
            bytes_at_least: Some(4_096),
            source: "rds-promote-database".to_owned(),
        };
        let said = measured(&measured_loss);
        for known in ["not measurable", "22:13:20.000Z", "2.0 s after", "16.0 s after", "at least 4096 bytes"] {
            assert!(said.contains(known), "{known}: {said}");
        }
    }

    #[test]
    fn times_are_utc_with_milliseconds() {
        assert_eq!(time(Timestamp::from_millis(1_700_000_000_123)), "2023-11-14 22:13:20.123Z");
        assert!(time(Timestamp::from_millis(u64::MAX)).ends_with("ms"));
    }

    #[test]
    fn a_clipped_text_shows_that_it_was_clipped() {
        assert_eq!(clip("short", 5), "short");
        assert_eq!(clip("longer", 5), "long…");
    }
}
