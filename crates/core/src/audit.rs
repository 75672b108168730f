//! What the audit chain says of each committed command, in words.

use serde::{Deserialize, Serialize};

use crate::ids::{RunId, ServiceId};

/// One line of the audit: made by `apply`, chained by whoever stores it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditNote {
    /// Who asked: a SPIFFE id, or `mesh` for the leader's own decisions.
    pub actor: String,
    /// The command's name, kebab-case.
    pub kind: String,
    pub service: Option<ServiceId>,
    pub run: Option<RunId>,
    pub text: String,
    /// Refused commands are audited too.
    pub refused: bool,
}
