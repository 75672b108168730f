//! How a request to a Kubernetes API failed: may I try again, and did it happen?

use std::error::Error;

use mesh_core::execute::CallResult;

use crate::aws::error::ReadError;
use crate::probe::chain;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Answered {
        code: u16,
        message: String,
    },
    /// Nothing left this process.
    NeverSent(String),
    /// It was sent, or may have been, and no answer came.
    Lost(String),
    /// It cannot be written as a request.
    Malformed(String),
}

impl Failure {
    pub(super) fn of(error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => {
                let message = match status.reason.as_str() {
                    "" => status.message.clone(),
                    reason => format!("{reason}: {}", status.message),
                };
                Self::Answered { code: status.code, message }
            }
            kube::Error::BuildRequest(_) | kube::Error::HttpError(_) => Self::Malformed(chain(error)),
            other if never_connected(other) => Self::NeverSent(chain(other)),
            other => Self::Lost(chain(other)),
        }
    }

    pub(super) fn read_error(self, what: &str) -> ReadError {
        match self {
            Self::Answered { code: 401, message } => ReadError::Denied(format!(
                "{what}: 401 {message}: the cluster does not know the agent's role (it needs an EKS access entry)"
            )),
            Self::Answered { code: 403, message } => ReadError::Denied(format!("{what}: 403 {message}")),
            Self::Answered { code: 404, message } => ReadError::NotFound(format!("{what}: 404 {message}")),
            Self::Answered { code, message } => ReadError::Unreadable(format!("{what}: {code} {message}")),
            Self::NeverSent(reason) | Self::Lost(reason) | Self::Malformed(reason) => {
                ReadError::Unreadable(format!("{what}: {reason}"))
            }
        }
    }

    pub(super) fn call_result(self, what: &str) -> CallResult {
        match self {
            // 409: it has changed since it was looked at. 429: turned away unread.
            Self::Answered { code: code @ (409 | 429), message } => {
                CallResult::NotApplied { reason: format!("{what}: {code} {message}") }
            }
            Self::Answered { code, message } => {
                let reason = format!("{what}: {code} {message}");
                match (400..500).contains(&code) {
                    true => CallResult::Rejected { reason },
                    false => CallResult::Unknown { reason },
                }
            }
            Self::NeverSent(reason) => CallResult::NotApplied { reason: format!("{what}: {reason}") },
            Self::Lost(reason) => CallResult::Unknown { reason: format!("{what}: {reason}") },
            Self::Malformed(reason) => CallResult::Rejected { reason: format!("{what}: {reason}") },
        }
    }
}

/// Did it end at connecting: the name, TCP, TLS?
fn never_connected(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let connecting = error.downcast_ref::<hyper_util::client::legacy::Error>();
        if connecting.is_some_and(hyper_util::client::legacy::Error::is_connect) {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_is_certainly_not_applied_and_a_lost_answer_is_unknown() {
        let answered = |code| Failure::Answered { code, message: String::new() };
        for (failure, expected) in [
            (answered(409), "not-applied"),
            (answered(429), "not-applied"),
            (Failure::NeverSent(String::new()), "not-applied"),
            (answered(403), "rejected"),
            (answered(404), "rejected"),
            (answered(422), "rejected"),
            (Failure::Malformed(String::new()), "rejected"),
            (answered(500), "unknown"),
            (answered(504), "unknown"),
            (Failure::Lost(String::new()), "unknown"),
        ] {
            let kind = match failure.clone().call_result("patch") {
                CallResult::Accepted { .. } => "accepted",
                CallResult::NotApplied { .. } => "not-applied",
                CallResult::Rejected { .. } => "rejected",
                CallResult::Unknown { .. } => "unknown",
            };
            assert_eq!(kind, expected, "{failure:?}");
        }
    }
}
