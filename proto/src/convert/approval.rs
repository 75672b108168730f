use mesh_core::run::Approval;

use crate::DecodeError;
use crate::fields::{Decoded, Fields, timestamp};
use crate::v1;

by_value!(Approval => v1::Approval);

impl From<&Approval> for v1::Approval {
    fn from(approval: &Approval) -> Self {
        let Approval { key, subject, expires_at, signature, at } = approval;
        Self {
            key: key.to_string(),
            subject: subject.clone(),
            expires_at: expires_at.as_millis(),
            signature: signature.clone(),
            at: at.as_millis(),
        }
    }
}

impl TryFrom<v1::Approval> for Approval {
    type Error = DecodeError;

    fn try_from(wire: v1::Approval) -> Result<Self, DecodeError> {
        const F: Fields = Fields("Approval");
        let v1::Approval { key, subject, expires_at, signature, at } = wire;
        Ok(Self {
            key: F.name("key", key)?,
            subject: F.text("subject", subject)?,
            expires_at: timestamp(expires_at),
            signature: F.bytes::<64>("signature", &signature)?.to_vec(),
            at: timestamp(at),
        })
    }
}

pub(super) fn encode_all(approvals: &[Approval]) -> Vec<v1::Approval> {
    approvals.iter().map(Into::into).collect()
}

/// An Ed25519 public key.
pub(super) fn public_key(fields: Fields, given: &[u8]) -> Decoded<Vec<u8>> {
    Ok(fields.bytes::<32>("public_key", given)?.to_vec())
}
