//! Why a message was refused.

use std::fmt;

/// A message that no core value could have produced. Shown as `Plan.steps[2].action: is missing`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The message that was decoded, as in the .proto files.
    pub message: &'static str,
    /// Way from the message to the wrong field; empty when the message as a whole is wrong.
    pub path: String,
    pub reason: String,
}

impl DecodeError {
    pub(crate) fn new(message: &'static str, path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { message, path: path.into(), reason: reason.into() }
    }

    /// The same error, seen from the message whose `field` holds the refused one.
    pub(crate) fn within(self, message: &'static str, field: &str) -> Self {
        let path = if self.path.is_empty() { field.to_owned() } else { format!("{field}.{}", self.path) };
        Self { message, path, reason: self.reason }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dot = if self.path.is_empty() { "" } else { "." };
        write!(f, "{}{dot}{}: {}", self.message, self.path, self.reason)
    }
}

impl std::error::Error for DecodeError {}
