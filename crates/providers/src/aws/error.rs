//! What an SDK error means: may I try again, and did it happen?

use std::error::Error;
use std::io::ErrorKind;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use mesh_core::execute::{CallResult, Observation};

use crate::permit::PermissionEnded;
use crate::probe::chain;

/// The provider turned the request away before it looked at it.
const TURNED_AWAY: &[&str] = &[
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "Throttled",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "PriorRequestNotComplete",
    // The credentials are renewed, or the clock is set, before the next attempt.
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "RequestTimeTooSkewed",
    // The instance is in a state that passes: it is looked at again before the call is repeated.
    "InvalidDBInstanceState",
    "InvalidDBInstanceStateFault",
    // API Gateway: another change of the same API is under way.
    "ConflictException",
    // EKS: another change of the node group is under way.
    "ResourceInUseException",
];

const DENIED: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "UnauthorizedOperation",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "OptInRequired",
    // MSK's words.
    "ForbiddenException",
    "UnauthorizedException",
];

const NOT_FOUND: &[&str] = &[
    "ClusterNotFoundException",
    "DBInstanceNotFound",
    "DBInstanceNotFoundFault",
    "NoSuchHostedZone",
    "NotFound",
    "NotFoundException",
    "ResourceNotFoundException",
    "ServiceNotFoundException",
];

/// A clock that has stepped: the same request, signed anew by another agent or a moment later, is taken.
const SIGNATURES: &[&str] = &["SignatureDoesNotMatch", "InvalidSignatureException"];

fn is_of_a_wrong_clock(code: &str, message: Option<&str>) -> bool {
    let message = message.unwrap_or_default();
    SIGNATURES.contains(&code)
        && ["Signature expired", "Signature not yet current"].iter().any(|it| message.contains(it))
}

/// Classifies the failure of a mutating call. In doubt it is unknown, never "not applied".
pub(crate) fn call_failure<E>(operation: &str, error: &SdkError<E, HttpResponse>) -> CallResult
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let reason = describe(operation, error);
    match error {
        SdkError::ConstructionFailure(_) => CallResult::Rejected { reason },
        SdkError::DispatchFailure(failure) => {
            match failure.as_connector_error().is_some_and(|error| never_sent(error)) {
                true => CallResult::NotApplied { reason },
                false => CallResult::Unknown { reason },
            }
        }
        SdkError::ServiceError(failure) => {
            service_failure(failure.err().code(), failure.err().message(), failure.raw().status().as_u16(), reason)
        }
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) | _ => CallResult::Unknown { reason },
    }
}

fn service_failure(code: Option<&str>, message: Option<&str>, status: u16, reason: String) -> CallResult {
    let Some(code) = code else {
        return CallResult::Unknown { reason };
    };
    if TURNED_AWAY.contains(&code) || is_of_a_wrong_clock(code, message) {
        return CallResult::NotApplied { reason };
    }
    if status >= 500 {
        return CallResult::Unknown { reason };
    }
    if code == "InvalidChangeBatch" && is_stale(message.unwrap_or_default()) {
        return CallResult::NotApplied { reason };
    }
    match (400..500).contains(&status) {
        true => CallResult::Rejected { reason },
        false => CallResult::Unknown { reason },
    }
}

/// Route 53's words for a batch that was made from records which are there no more, or are there by now.
pub(super) fn is_stale(message: &str) -> bool {
    ["but it was not found", "do not match the current values", "but it already exists"]
        .iter()
        .any(|words| message.contains(words))
}

/// Is it the service, or the way to it, that failed, rather than this one request?
pub(crate) fn is_unreachable<E>(error: &SdkError<E, HttpResponse>) -> bool
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        // Credentials that cannot be loaded end here too, and are no sign of the service.
        SdkError::DispatchFailure(failure) => failure
            .as_connector_error()
            .is_some_and(|error| !has_cause::<CredentialsError>(error) && !has_cause::<PermissionEnded>(error)),
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => true,
        SdkError::ServiceError(failure) => {
            let turned_away = failure.err().code().is_some_and(|code| TURNED_AWAY.contains(&code));
            failure.raw().status().as_u16() >= 500 && !turned_away
        }
        _ => false,
    }
}

fn has_cause<T: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<T>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Did the failure come before a byte was sent? Only what can happen before or at connecting and nowhere else counts.
fn never_sent(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<PermissionEnded>() {
            return true;
        }
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && matches!(
                io.kind(),
                ErrorKind::ConnectionRefused
                    | ErrorKind::AddrNotAvailable
                    | ErrorKind::HostUnreachable
                    | ErrorKind::NetworkUnreachable
            )
        {
            return true;
        }
        // The types of these two are private to the SDK's HTTP client; their words are all there is.
        let text = error.to_string();
        if text.starts_with("HTTP connect timeout") || text.starts_with("dns error") {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Why a read failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReadError {
    NotFound(String),
    Denied(String),
    Unreadable(String),
}

impl ReadError {
    pub(crate) fn of<E>(operation: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let reason = describe(operation, error);
        let message = error.as_service_error().and_then(ProvideErrorMetadata::message);
        match error.as_service_error().and_then(ProvideErrorMetadata::code) {
            Some(code) if is_of_a_wrong_clock(code, message) => Self::Unreadable(reason),
            Some(code) if NOT_FOUND.contains(&code) => Self::NotFound(reason),
            Some(code) if DENIED.contains(&code) => Self::Denied(reason),
            Some(_) | None => Self::Unreadable(reason),
        }
    }

    pub(crate) fn reason(self) -> String {
        match self {
            Self::NotFound(reason) | Self::Denied(reason) | Self::Unreadable(reason) => reason,
        }
    }
}

impl From<ReadError> for Observation {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotFound(reason) => {
                Self::Blocked { reason: format!("{reason}; correct the manifest, or create what it names") }
            }
            ReadError::Denied(reason) => {
                Self::Blocked { reason: format!("{reason}; allow this operation to the agent's role, then retry") }
            }
            ReadError::Unreadable(reason) => Self::Unreadable { reason },
        }
    }
}

fn describe<E>(operation: &str, error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ServiceError(failure) => {
            let status = failure.raw().status().as_u16();
            let code = failure.err().code().map_or_else(|| format!("status {status}"), str::to_owned);
            match failure.err().message() {
                Some(message) => format!("{operation}: {code}: {message}"),
                None => format!("{operation}: {code}"),
            }
        }
        other => format!("{operation}: {}", chain(other)),
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::client::result::ConnectorError;

    use super::*;

    fn kind(result: &CallResult) -> &'static str {
        match result {
            CallResult::Accepted { .. } => "accepted",
            CallResult::NotApplied { .. } => "not-applied",
            CallResult::Rejected { .. } => "rejected",
            CallResult::Unknown { .. } => "unknown",
        }
    }

    #[test]
    fn a_service_error_is_unknown_unless_it_says_that_nothing_was_done() {
        let stale = "Tried to delete resource record set [name='a.', type='A'] but it was not found";
        for (code, message, status, expected) in [
            (Some("Throttling"), "Rate exceeded", 400, "not-applied"),
            (Some("RequestLimitExceeded"), "", 503, "not-applied"),
            (Some("PriorRequestNotComplete"), "", 400, "not-applied"),
            (Some("InvalidDBInstanceState"), "", 400, "not-applied"),
            (Some("ResourceInUseException"), "", 409, "not-applied"),
            (Some("ConflictException"), "", 409, "not-applied"),
            (Some("InvalidChangeBatch"), stale, 400, "not-applied"),
            (Some("InvalidChangeBatch"), "FATAL problem: DomainLabelEmpty", 400, "rejected"),
            (Some("DBInstanceNotFound"), "", 404, "rejected"),
            (Some("AccessDenied"), "", 403, "rejected"),
            (Some("SignatureDoesNotMatch"), "The request signature we calculated does not match", 403, "rejected"),
            (
                Some("SignatureDoesNotMatch"),
                "Signature expired: 20260101T000000Z is now earlier than",
                403,
                "not-applied",
            ),
            (Some("InvalidSignatureException"), "Signature not yet current: 20260101T000000Z", 400, "not-applied"),
            (Some("InvalidParameterValue"), "", 400, "rejected"),
            (Some("ResourceLimitExceededException"), "", 400, "rejected"),
            (Some("InvalidRequestException"), "", 400, "rejected"),
            (Some("InternalFailure"), "", 500, "unknown"),
            (Some("ServiceUnavailable"), "", 503, "unknown"),
            (None, "", 502, "unknown"),
            (None, "", 400, "unknown"),
        ] {
            let result = service_failure(code, Some(message), status, String::new());
            assert_eq!(kind(&result), expected, "{code:?} {message} {status}");
        }
    }

    #[test]
    fn a_wrong_clock_is_no_missing_permission() {
        type Failure = SdkError<aws_smithy_types::error::ErrorMetadata, HttpResponse>;
        let read = |message: &str| {
            let response = HttpResponse::new(403_u16.try_into().expect("a status"), String::new().into());
            let error =
                aws_smithy_types::error::ErrorMetadata::builder().code("SignatureDoesNotMatch").message(message);
            ReadError::of("DescribeDBInstances", &Failure::service_error(error.build(), response))
        };
        assert!(matches!(read("Signature expired: 1 is now earlier than 2"), ReadError::Unreadable(_)));
        assert!(matches!(read("Check your AWS Secret Access Key"), ReadError::Denied(_)));
    }

    #[test]
    fn a_region_does_not_look_dead_because_our_credentials_or_our_permission_ended() {
        type Failure = SdkError<aws_smithy_types::error::ErrorMetadata, HttpResponse>;
        let dispatch = |error| Failure::dispatch_failure(ConnectorError::other(error, None));
        assert!(is_unreachable(&dispatch(std::io::Error::from(ErrorKind::ConnectionReset).into())));
        assert!(!is_unreachable(&dispatch(CredentialsError::not_loaded("the chain is empty").into())));
        assert!(!is_unreachable(&dispatch(PermissionEnded.into())));
        let throttled = |status: u16, code: &str| {
            let response = HttpResponse::new(status.try_into().expect("a status"), String::new().into());
            Failure::service_error(aws_smithy_types::error::ErrorMetadata::builder().code(code).build(), response)
        };
        assert!(is_unreachable(&throttled(500, "InternalFailure")));
        assert!(!is_unreachable(&throttled(503, "RequestLimitExceeded")));
        assert!(!is_unreachable(&throttled(403, "AccessDenied")));
    }

    #[test]
    fn only_a_failure_to_connect_was_never_sent() {
        for (io, expected) in [
            (ErrorKind::ConnectionRefused, true),
            (ErrorKind::NetworkUnreachable, true),
            (ErrorKind::ConnectionReset, false),
            (ErrorKind::BrokenPipe, false),
            (ErrorKind::TimedOut, false),
            (ErrorKind::UnexpectedEof, false),
        ] {
            let error = ConnectorError::io(std::io::Error::from(io).into());
            assert_eq!(never_sent(&error), expected, "{io}");
        }
    }
}
