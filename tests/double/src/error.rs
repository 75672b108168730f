use std::fmt;

use crate::wire::Node;

/// What an AWS API answers instead of a result.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiError {
    pub status: u16,
    pub code: String,
    pub message: String,
    /// Members of the error's body beside its message.
    pub more: Vec<(String, Node)>,
}

impl ApiError {
    pub fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into(), more: Vec::new() }
    }

    pub fn bad(code: &str, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    /// A call or parameter that AWS has and the double does not: said aloud, so that no test passes by its being ignored.
    pub fn unsupported(what: impl fmt::Display) -> Self {
        Self::new(400, "UnsupportedByDouble", format!("the AWS double does not implement {what}"))
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for ApiError {}
