//! Exit codes: what a script may branch on. They are documented in `meshctl --help` and docs/cli.md.

use std::process::ExitCode;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    Ok,
    /// The run ended other than done, or a check failed.
    Failed,
    Usage,
    /// A rule or the present state forbids it.
    Refused,
    /// Certificate, role or signature.
    NotAllowed,
    /// No coordinator answered, or they have no quorum.
    Unreachable,
    /// A human decision is needed.
    Held,
    /// Interrupted while watching; the run goes on.
    Interrupted,
}

impl Exit {
    pub const ALL: [Self; 8] = [
        Self::Ok,
        Self::Failed,
        Self::Usage,
        Self::Refused,
        Self::NotAllowed,
        Self::Unreachable,
        Self::Held,
        Self::Interrupted,
    ];

    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::NotAllowed => 4,
            Self::Unreachable => 5,
            Self::Held => 6,
            Self::Interrupted => 130,
        }
    }

    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "done",
            Self::Failed => "the run ended other than done, or a check failed",
            Self::Usage => "wrong usage; nothing was sent",
            Self::Refused => "refused by a rule or by the present state; nothing changed",
            Self::NotAllowed => "not allowed: certificate, role or signature",
            Self::Unreachable => "the mesh is not reachable, or has no quorum",
            Self::Held => "held: a human decision is needed",
            Self::Interrupted => "interrupted while watching; the run goes on",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The part of `--help` that lists them.
pub fn table() -> String {
    let lines = Exit::ALL.map(|exit| format!("  {:>3}  {}", exit.code(), exit.meaning()));
    format!("Exit codes:\n{}", lines.join("\n"))
}
