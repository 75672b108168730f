//! Scalars by the YAML 1.2 core schema, and durations.

use std::time::Duration;

/// What a plain (unquoted) scalar is; a quoted one is always text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Nothing,
    Boolean,
    Number,
    Text,
}

impl Type {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Boolean => "a boolean",
            Self::Number => "a number",
            Self::Text => "a text",
        }
    }
}

pub(crate) fn type_of(text: &str, plain: bool) -> Type {
    if !plain {
        return Type::Text;
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Type::Nothing,
        "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => Type::Boolean,
        _ if is_number(text) => Type::Number,
        _ => Type::Text,
    }
}

fn is_number(text: &str) -> bool {
    let digits = |rest: &str, radix: u32| !rest.is_empty() && rest.chars().all(|c| c.is_digit(radix));
    if let Some(hex) = text.strip_prefix("0x") {
        return digits(hex, 16);
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return digits(octal, 8);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") || is_decimal(unsigned)
}

/// `12`, `1.5`, `.5`, `1e9`.
fn is_decimal(unsigned: &str) -> bool {
    let begins = unsigned.strip_prefix('.').unwrap_or(unsigned).starts_with(|c: char| c.is_ascii_digit());
    begins && unsigned.parse::<f64>().is_ok()
}

/// Units from the largest: a duration names each at most once, in this order.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The same, as a pattern of JSON Schema.
pub(crate) const DURATION_PATTERN: &str = "^(?=[0-9])([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$";

/// `500ms`, `30s`, `15m`, `1h30m`, `2d`; at most 366 days.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut millis: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|end| *end > 0)?;
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let letters = rest.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(rest.len());
        let unit = rest.get(..letters)?;
        let (_, factor) = units.find(|(name, _)| *name == unit)?;
        millis = millis.checked_add(number.checked_mul(*factor)?)?;
        rest = rest.get(letters..)?;
    }
    let duration = Duration::from_millis(millis);
    (!text.is_empty() && duration <= Duration::from_secs(366 * 86_400)).then_some(duration)
}
