use mesh_core::fleet::{Refusal, RefusalCode, Reply};
use mesh_core::ids::IntentSeq;

use crate::DecodeError;
use crate::bounds::COMPOSED_BYTES_MAX;
use crate::fields::Fields;
use crate::v1::{self, command_reply::Reply as Wire};

enums! {
    v1::RefusalCode, "RefusalCode" => RefusalCode { Invalid, NotFound, Conflict, Precondition, NeedsApproval }
}

by_value!(Reply => v1::CommandReply, Refusal => v1::Refusal);

impl From<&Reply> for v1::CommandReply {
    fn from(reply: &Reply) -> Self {
        let reply = match reply {
            Reply::Ok => Wire::Ok(v1::Nothing {}),
            Reply::ManifestApplied { version } => Wire::ManifestVersion(*version),
            Reply::RunStarted { run, existing } => {
                Wire::RunStarted(v1::RunStarted { run: run.to_string(), existing: *existing })
            }
            Reply::IntentOpened { seq } => Wire::IntentSeq(seq.0),
            Reply::Refused(refusal) => Wire::Refused(refusal.into()),
        };
        Self { reply: Some(reply) }
    }
}

impl TryFrom<v1::CommandReply> for Reply {
    type Error = DecodeError;

    fn try_from(wire: v1::CommandReply) -> Result<Self, DecodeError> {
        const F: Fields = Fields("CommandReply");
        Ok(match F.required("reply", wire.reply)? {
            Wire::Ok(v1::Nothing {}) => Self::Ok,
            Wire::ManifestVersion(version) => Self::ManifestApplied { version },
            Wire::RunStarted(v1::RunStarted { run, existing }) => {
                Self::RunStarted { run: F.name("run_started.run", run)?, existing }
            }
            Wire::IntentSeq(seq) => Self::IntentOpened { seq: IntentSeq(seq) },
            Wire::Refused(refusal) => Self::Refused(F.nested("refused", refusal)?),
        })
    }
}

impl From<&Refusal> for v1::Refusal {
    fn from(refusal: &Refusal) -> Self {
        let Refusal { code, message } = refusal;
        Self { code: v1::RefusalCode::from(*code).into(), message: message.clone() }
    }
}

impl TryFrom<v1::Refusal> for Refusal {
    type Error = DecodeError;

    fn try_from(wire: v1::Refusal) -> Result<Self, DecodeError> {
        const F: Fields = Fields("Refusal");
        let v1::Refusal { code, message } = wire;
        Ok(Self {
            code: F.enumeration::<v1::RefusalCode, _>("code", code)?,
            message: F.text_max("message", message, COMPOSED_BYTES_MAX)?,
        })
    }
}
