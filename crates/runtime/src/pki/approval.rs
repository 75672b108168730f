//! Keys with which people approve: Ed25519, apart from the certificates, enrolled by commit.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use mesh_core::access::approval_message;
use mesh_core::time::Timestamp;
use rcgen::{KeyPair, PKCS_ED25519};

use super::PkiError;

pub const PUBLIC_KEY_LEN: usize = 32;
pub const SIGNATURE_LEN: usize = 64;

/// A new approval key.
#[derive(Clone, Debug)]
pub struct ApprovalKey {
    /// PKCS#8, PEM: to be kept in a file that only its owner reads.
    pub key_pem: String,
    pub public_key: [u8; PUBLIC_KEY_LEN],
}

pub fn generate() -> Result<ApprovalKey, PkiError> {
    let key = KeyPair::generate_for(&PKCS_ED25519)?;
    Ok(ApprovalKey { key_pem: key.serialize_pem(), public_key: raw_public_key(&key)? })
}

/// The public half of a key file's contents.
pub fn public_key(key_pem: &str) -> Result<[u8; PUBLIC_KEY_LEN], PkiError> {
    raw_public_key(&parse(key_pem)?)
}

/// Signs [`approval_message`].
pub fn sign(key_pem: &str, mesh: &str, subject: &str, expires_at: Timestamp) -> Result<Vec<u8>, PkiError> {
    let key = Ed25519KeyPair::from_pkcs8(parse(key_pem)?.serialized_der());
    let key = key.map_err(|err| PkiError::Crypto(format!("approval key: {err}")))?;
    Ok(key.sign(&approval_message(mesh, subject, expires_at)).as_ref().to_vec())
}

/// Is `signature` over [`approval_message`] by the owner of `public_key`?
pub fn verify(public_key: &[u8], mesh: &str, subject: &str, expires_at: Timestamp, signature: &[u8]) -> bool {
    let message = approval_message(mesh, subject, expires_at);
    public_key.len() == PUBLIC_KEY_LEN
        && signature.len() == SIGNATURE_LEN
        && UnparsedPublicKey::new(&ED25519, public_key).verify(&message, signature).is_ok()
}

fn parse(key_pem: &str) -> Result<KeyPair, PkiError> {
    let key = KeyPair::from_pem(key_pem).map_err(|err| PkiError::Crypto(format!("approval key: {err}")))?;
    if key.algorithm() != &PKCS_ED25519 {
        return Err(PkiError::Crypto("approval key: not an Ed25519 key".to_owned()));
    }
    Ok(key)
}

fn raw_public_key(key: &KeyPair) -> Result<[u8; PUBLIC_KEY_LEN], PkiError> {
    let raw = <[u8; PUBLIC_KEY_LEN]>::try_from(key.public_key_raw());
    raw.map_err(|_| PkiError::Crypto("approval key: not an Ed25519 key".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_approval_holds_for_its_mesh_subject_and_expiry_alone() {
        let (key, other) = (generate().expect("a key"), generate().expect("a key"));
        let at = Timestamp::from_millis(1_000);
        let signature = sign(&key.key_pem, "demo", "revoke-key ann", at).expect("signed");
        let holds = |public: &[u8], mesh, subject, at, signature: &[u8]| verify(public, mesh, subject, at, signature);
        assert!(holds(&key.public_key, "demo", "revoke-key ann", at, &signature));
        assert!(!holds(&other.public_key, "demo", "revoke-key ann", at, &signature), "another key");
        assert!(!holds(&key.public_key, "prod", "revoke-key ann", at, &signature), "another mesh");
        assert!(!holds(&key.public_key, "demo", "revoke-key bob", at, &signature), "another subject");
        let later = Timestamp::from_millis(1_001);
        assert!(!holds(&key.public_key, "demo", "revoke-key ann", later, &signature), "another expiry");
        assert!(!holds(&key.public_key[..31], "demo", "revoke-key ann", at, &signature), "a short key");
        assert!(!holds(&key.public_key, "demo", "revoke-key ann", at, &[]), "no signature");
    }

    #[test]
    fn a_key_file_gives_back_its_public_key() {
        let key = generate().expect("a key");
        assert_eq!(public_key(&key.key_pem).expect("parsed"), key.public_key);
        let p256 = KeyPair::generate().expect("a key").serialize_pem();
        assert!(public_key(&p256).is_err(), "a TLS key is no approval key");
    }
}
