use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const DIGITS: usize = 6;
const UNIT: i64 = 1_000_000;
/// More digits could not be told apart as a floating-point number with six behind the point.
const WHOLE_MAX: i64 = 1_000_000_000;

/// A number with at most six digits behind the point, between minus and plus a thousand million: exact, so that two
/// manifests are the same when they read the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Decimal(i64);

impl Decimal {
    pub fn from_millionths(millionths: i64) -> Option<Self> {
        (millionths.unsigned_abs() <= (WHOLE_MAX * UNIT).unsigned_abs()).then_some(Self(millionths))
    }

    pub const fn millionths(self) -> i64 {
        self.0
    }

    #[allow(
        clippy::cast_precision_loss,
        reason = "fewer than 2^53 millionths are exact, more are as near as any float"
    )]
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no number with at most six digits behind the point, up to 1000000000")]
pub struct DecimalError;

impl FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let (negative, unsigned) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
        let digits = |part: &str| !part.is_empty() && part.len() <= 16 && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || fraction.len() > DIGITS {
            return Err(DecimalError);
        }
        let whole: i64 = whole.parse().map_err(|_| DecimalError)?;
        let fraction: i64 = format!("{fraction:0<DIGITS$}").parse().map_err(|_| DecimalError)?;
        let millionths = whole.checked_mul(UNIT).and_then(|whole| whole.checked_add(fraction)).ok_or(DecimalError)?;
        Self::from_millionths(if negative { -millionths } else { millionths }).ok_or(DecimalError)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, fraction) = (self.0.unsigned_abs() / 1_000_000, self.0.unsigned_abs() % 1_000_000);
        let fraction = format!("{fraction:0>DIGITS$}");
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{sign}{whole}"),
            fraction => write!(f, "{sign}{whole}.{fraction}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_again_and_nothing_is_rounded() {
        for (text, millionths, shown) in [
            ("0.05", 50_000, "0.05"),
            ("5", 5_000_000, "5"),
            ("-1.5", -1_500_000, "-1.5"),
            ("0.000001", 1, "0.000001"),
            ("007.10", 7_100_000, "7.1"),
            ("1000000000", 1_000_000_000_000_000, "1000000000"),
        ] {
            let read: Decimal = text.parse().expect(text);
            assert_eq!((read.millionths(), read.to_string().as_str()), (millionths, shown), "{text}");
        }
        for text in
            ["", "-", ".", ".5", "1.", "1e3", "0.0000001", "1000000001", "+1", "1_0", "99999999999999999", "nan"]
        {
            assert_eq!(text.parse::<Decimal>(), Err(DecimalError), "{text}");
        }
    }
}
