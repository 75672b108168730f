//! Numbers of up to 38 significant digits, exact, as DynamoDB keeps them.

use std::cmp::Ordering;

use super::invalid;
use crate::error::ApiError;

const DIGITS_MAX: usize = 38;
const MAGNITUDE_MAX: i32 = 126;
const MAGNITUDE_MIN: i32 = -129;

/// `0.DIGITS × 10^magnitude`; no digits is zero.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Number {
    negative: bool,
    digits: Vec<u8>,
    magnitude: i32,
}

impl Number {
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let wrong = || invalid(format!("The parameter cannot be converted to a numeric value: {text}"));
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i16>().map_err(|_| wrong())?),
            None => (rest, 0),
        };
        let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all: Vec<u8> = whole.bytes().chain(part.bytes()).collect();
        if all.is_empty() || !all.iter().all(u8::is_ascii_digit) {
            return Err(wrong());
        }
        let point = i32::try_from(whole.len()).map_err(|_| wrong())? + i32::from(exponent);
        Self::normal(negative, all.into_iter().map(|byte| byte - b'0').collect(), point)
    }

    fn normal(negative: bool, digits: Vec<u8>, magnitude: i32) -> Result<Self, ApiError> {
        let leading = digits.iter().take_while(|digit| **digit == 0).count();
        let mut digits: Vec<u8> = digits.into_iter().skip(leading).collect();
        while digits.last() == Some(&0) {
            digits.pop();
        }
        if digits.is_empty() {
            return Ok(Self { negative: false, digits, magnitude: 0 });
        }
        let magnitude = magnitude - i32::try_from(leading).unwrap_or(i32::MAX);
        if digits.len() > DIGITS_MAX {
            return Err(invalid("Attempting to store more than 38 significant digits in a Number"));
        }
        if magnitude > MAGNITUDE_MAX {
            return Err(invalid(
                "Number overflow. Attempting to store a number with magnitude larger than supported range",
            ));
        }
        if magnitude < MAGNITUDE_MIN {
            return Err(invalid(
                "Number underflow. Attempting to store a number with magnitude smaller than supported range",
            ));
        }
        Ok(Self { negative, digits, magnitude })
    }

    pub fn add(&self, other: &Self) -> Result<Self, ApiError> {
        let low = self.scale().min(other.scale());
        let sum = self.scaled(low).zip(other.scaled(low)).and_then(|(left, right)| left.checked_add(right));
        let sum = sum.ok_or_else(|| ApiError::unsupported("sums of numbers so far apart"))?;
        let digits = sum.unsigned_abs().to_string().bytes().map(|byte| byte - b'0').collect::<Vec<_>>();
        let magnitude = low + i32::try_from(digits.len()).unwrap_or(i32::MAX);
        Self::normal(sum < 0, digits, magnitude)
    }

    pub fn negated(&self) -> Self {
        Self { negative: !self.negative && !self.digits.is_empty(), ..self.clone() }
    }

    /// The exponent of the last digit.
    fn scale(&self) -> i32 {
        self.magnitude - i32::try_from(self.digits.len()).unwrap_or(i32::MAX)
    }

    fn scaled(&self, low: i32) -> Option<i128> {
        let value = self.digits.iter().try_fold(0i128, |value, digit| {
            value.checked_mul(10).and_then(|value| value.checked_add(i128::from(*digit)))
        })?;
        let shift = if self.digits.is_empty() { 0 } else { u32::try_from(self.scale() - low).ok()? };
        let value = value.checked_mul(10i128.checked_pow(shift)?)?;
        Some(if self.negative { -value } else { value })
    }

    pub fn size(&self) -> usize {
        self.digits.len().div_ceil(2) + 1
    }

    pub fn text(&self) -> String {
        let digits: String = self.digits.iter().map(|digit| char::from(b'0' + digit)).collect();
        let sign = if self.negative { "-" } else { "" };
        if digits.is_empty() {
            return "0".to_owned();
        }
        let point = usize::try_from(self.magnitude.max(0)).unwrap_or(0);
        let body = if self.magnitude <= 0 {
            let zeros = usize::try_from(-self.magnitude).unwrap_or(0);
            format!("0.{}{digits}", "0".repeat(zeros))
        } else if point >= digits.len() {
            format!("{digits}{}", "0".repeat(point - digits.len()))
        } else {
            let (whole, part) = digits.split_at(point);
            format!("{whole}.{part}")
        };
        format!("{sign}{body}")
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.digits.is_empty(), number.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let size = |left: &Self, right: &Self| {
            left.magnitude.cmp(&right.magnitude).then_with(|| left.digits.cmp(&right.digits))
        };
        sign(self).cmp(&sign(other)).then_with(|| match sign(self) {
            0 => Ordering::Equal,
            1 => size(self, other),
            _ => size(other, self),
        })
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::parse(text).expect("a number")
    }

    #[test]
    fn one_value_has_one_form() {
        for (text, shown) in
            [("1.50", "1.5"), ("-0", "0"), ("007", "7"), ("12e2", "1200"), ("0.0012", "0.0012"), ("-5E-3", "-0.005")]
        {
            assert_eq!(number(text).text(), shown);
        }
        assert_eq!(number("100"), number("1e2"));
    }

    #[test]
    fn numbers_are_ordered_by_value() {
        let ordered = ["-100", "-99.5", "-0.1", "0", "0.09", "0.1", "9", "10", "10.01", "2e5"];
        for pair in ordered.windows(2) {
            assert!(number(pair[0]) < number(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn sums_are_exact() {
        for (left, right, sum) in [
            ("0.1", "0.2", "0.3"),
            ("5", "-7", "-2"),
            ("1", "-1", "0"),
            ("1e20", "1", "100000000000000000001"),
            ("0", "1e-5", "0.00001"),
        ] {
            assert_eq!(number(left).add(&number(right)).expect("in range").text(), sum);
        }
    }

    #[test]
    fn what_is_no_number_or_too_long_is_refused() {
        for text in ["", "a", "1.2.3", "--1", "1e", &"1".repeat(39), "1e200", "1e-200"] {
            assert_eq!(Number::parse(text).expect_err("refused").code, "ValidationException", "{text}");
        }
    }
}
