//! Names and numbers that must not be confused with one another. A name is copied often and never changed: copies share it.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest name accepted for anything the operator names: it fits a DNS label and a file name.
pub const NAME_LEN_MAX: usize = 63;

/// A name was refused. The text says which rule it broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {given:?}: {rule}")]
pub struct NameError {
    pub what: &'static str,
    pub given: String,
    pub rule: &'static str,
}

fn check_name(what: &'static str, given: &str) -> Result<(), NameError> {
    let refuse = |rule| Err(NameError { what, given: given.chars().take(NAME_LEN_MAX).collect(), rule });
    if given.is_empty() {
        return refuse("must not be empty");
    }
    if given.len() > NAME_LEN_MAX {
        return refuse("must have at most 63 characters");
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.' || c == '_';
    if !given.chars().all(allowed) {
        return refuse("may hold only a-z, 0-9, '-', '.' and '_'");
    }
    if !given.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return refuse("must begin with a letter or a digit");
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        ///
        /// Copies share the text: a leader's every look names ten thousand agents.
        #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            pub fn new(given: impl Into<String>) -> Result<Self, NameError> {
                let given = given.into();
                check_name($what, &given)?;
                Ok(Self(given.into()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl PartialOrd for $type {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $type {
            /// Most names that are compared are copies of one another.
            fn cmp(&self, other: &Self) -> Ordering {
                if Arc::ptr_eq(&self.0, &other.0) { Ordering::Equal } else { self.0.cmp(&other.0) }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(given: &str) -> Result<Self, NameError> {
                Self::new(given)
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(given: String) -> Result<Self, NameError> {
                Self::new(given)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0.as_ref().to_owned()
            }
        }
    };
}

name!(/// An AWS region, or any site with that role.
    RegionId, "region");
name!(/// What fails over as one.
    ServiceId, "service");
name!(/// A step of a plan, unique in that plan.
    StepId, "step");
name!(/// An agent. Never reused after its record is lost.
    AgentId, "agent");
name!(/// One execution of a plan: `<service>-g<generation>`.
    RunId, "run");
name!(/// An enrolled approval key.
    KeyId, "key");

/// Per service, one higher with every run that changes anything outside: the fencing token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Generation {
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Number of an intent within its service; grows by one with each, across runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IntentSeq(pub u64);

impl fmt::Display for IntentSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a guarded record carries: the generation and intent of its last mutation, written `7.12`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Token {
    pub generation: Generation,
    pub intent: IntentSeq,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.generation, self.intent)
    }
}

impl FromStr for Token {
    type Err = NameError;

    fn from_str(given: &str) -> Result<Self, NameError> {
        let refuse = || NameError {
            what: "token",
            given: given.chars().take(NAME_LEN_MAX).collect(),
            rule: "must be GENERATION.INTENT, two decimal numbers",
        };
        let (generation, intent) = given.split_once('.').ok_or_else(refuse)?;
        let number = |text: &str| -> Result<u64, NameError> {
            if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
                return Err(refuse());
            }
            text.parse().map_err(|_| refuse())
        };
        Ok(Self { generation: Generation(number(generation)?), intent: IntentSeq(number(intent)?) })
    }
}

/// A SHA-256 value, shown as lower-case hex.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash32(pub [u8; 32]);

impl Hash32 {
    /// First 12 hex digits, for people.
    pub fn short(&self) -> String {
        self.to_string().chars().take(12).collect()
    }
}

impl fmt::Display for Hash32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash32 {
    type Err = NameError;

    fn from_str(given: &str) -> Result<Self, NameError> {
        let refuse = || NameError {
            what: "hash",
            given: given.chars().take(NAME_LEN_MAX).collect(),
            rule: "must be 64 hexadecimal digits",
        };
        if given.len() != 64 || !given.is_ascii() {
            return Err(refuse());
        }
        let mut bytes = [0u8; 32];
        for (i, byte) in bytes.iter_mut().enumerate() {
            let digits = given.get(2 * i..2 * i + 2).ok_or_else(refuse)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| refuse())?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Hash32 {
    type Error = NameError;

    fn try_from(given: String) -> Result<Self, NameError> {
        given.parse()
    }
}

impl From<Hash32> for String {
    fn from(hash: Hash32) -> String {
        hash.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_would_not_fit_a_dns_label_is_refused() {
        assert!(ServiceId::new("maip").is_ok());
        for bad in ["", "-a", "UPPER", "a b", "a/b", &"x".repeat(64)] {
            assert!(ServiceId::new(bad).is_err(), "{bad:?} must be refused");
        }
    }

    #[test]
    fn tokens_order_by_generation_and_then_by_intent() {
        let token = |text: &str| text.parse::<Token>().expect("a token");
        assert!(token("2.1") > token("1.99"));
        assert!(token("2.2") > token("2.1"));
        assert_eq!(token("7.12").to_string(), "7.12");
        for bad in ["", "7", "7.", ".7", "+7.1", "7.1.2", "a.b"] {
            assert!(bad.parse::<Token>().is_err(), "{bad:?} must be refused");
        }
    }

    #[test]
    fn a_hash_reads_back_as_it_was_written() {
        let hash = Hash32([0xab; 32]);
        assert_eq!(hash.to_string().parse::<Hash32>(), Ok(hash));
        assert!("zz".repeat(32).parse::<Hash32>().is_err());
    }
}
