//! An error as the operator gets it: what is wrong, what to do, and the exit code. Made from typed causes.

use std::fmt;

use tonic::{Code, Status};

use crate::exit::Exit;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
    /// More lines that belong to the message.
    pub details: Vec<String>,
    pub hint: Option<String>,
}

pub type Outcome = Result<Exit, Failure>;

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), details: Vec::new(), hint: None }
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(Exit::Refused, message)
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn details(mut self, details: Vec<String>) -> Self {
        self.details = details;
        self
    }

    /// A file that could not be read or written.
    pub fn file(path: &std::path::Path, attempted: &str, error: &std::io::Error) -> Self {
        Self::usage(format!("cannot {attempted} {}: {error}", path.display()))
    }

    /// The mesh answered with something that this version does not understand.
    pub fn answer(error: impl fmt::Display) -> Self {
        Self::failed(format!("the mesh sent an answer that this meshctl cannot read: {error}"))
            .hint("use a meshctl of the same version as the coordinators (`meshctl --version`)")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        self.details.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl std::error::Error for Failure {}

/// What a gRPC status means for the caller's exit code.
pub fn exit_of(code: Code) -> Exit {
    match code {
        Code::Ok => Exit::Ok,
        Code::InvalidArgument
        | Code::NotFound
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::AlreadyExists
        | Code::OutOfRange
        | Code::ResourceExhausted => Exit::Refused,
        Code::PermissionDenied | Code::Unauthenticated => Exit::NotAllowed,
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Exit::Unreachable,
        Code::Unimplemented | Code::Unknown | Code::Internal | Code::DataLoss => Exit::Failed,
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let exit = exit_of(status.code());
        let said = if status.message().is_empty() { status.code().description() } else { status.message() };
        let failure = Self::new(exit, said);
        // A coordinator that says itself what to do knows better.
        if said.contains("`meshctl ") {
            return failure;
        }
        match status.code() {
            Code::PermissionDenied => {
                failure.hint("`--profile` names another certificate, if you have one that may do this")
            }
            Code::Unauthenticated => failure.hint("the certificate of your profile was not accepted: is it of this mesh?"),
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => failure.hint(
                "nothing was started by this command as far as is known; `meshctl status --stale` asks each coordinator \
                 for its own view, and repeating a command is safe",
            ),
            Code::Aborted => failure.hint("the state changed in between: look (`meshctl status`) and give the command again"),
            Code::Unimplemented => failure.hint("the coordinators are of another version than this meshctl"),
            Code::NotFound => failure.hint("`meshctl status` lists services, `meshctl history` lists runs"),
            Code::Ok
            | Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::AlreadyExists
            | Code::OutOfRange
            | Code::ResourceExhausted
            | Code::Unknown
            | Code::Internal
            | Code::DataLoss => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_documented_exit_code() {
        let table = [
            (Code::InvalidArgument, 3),
            (Code::NotFound, 3),
            (Code::FailedPrecondition, 3),
            (Code::Aborted, 3),
            (Code::ResourceExhausted, 3),
            (Code::PermissionDenied, 4),
            (Code::Unauthenticated, 4),
            (Code::Unavailable, 5),
            (Code::DeadlineExceeded, 5),
            (Code::Internal, 1),
            (Code::Unimplemented, 1),
        ];
        for (code, exit) in table {
            assert_eq!(Failure::from(Status::new(code, "why")).exit.code(), exit, "{code:?}");
        }
    }

    #[test]
    fn an_error_says_what_to_do() {
        for code in [Code::PermissionDenied, Code::Unauthenticated, Code::Unavailable, Code::Aborted, Code::NotFound] {
            assert!(Failure::from(Status::new(code, "why")).hint.is_some(), "{code:?} needs a hint");
        }
    }
}
