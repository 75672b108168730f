//! Approval keys (Ed25519) and their signatures. A private key is a small TOML file that only its owner can read.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mesh_core::ids::KeyId;
use mesh_core::run::Approval;
use mesh_core::time::Timestamp;
use mesh_runtime::pki::approval::{self, PUBLIC_KEY_LEN, SIGNATURE_LEN};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// No key or approval file is larger.
const FILE_LEN_MAX: u64 = 16 * 1024;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PrivateFile {
    key: KeyId,
    owner: String,
    public_key: String,
    /// PKCS#8, PEM.
    private_key: String,
}

/// What is enrolled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicKeyFile {
    pub key: KeyId,
    pub owner: String,
    /// Hex.
    pub public_key: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApprovalFile {
    key: KeyId,
    subject: String,
    expires_at_ms: u64,
    signature: String,
}

/// A private key in hand.
pub struct Signer {
    pub key: KeyId,
    pub owner: String,
    key_pem: String,
}

impl Signer {
    /// Makes a key pair and writes `path` (mode 0600) and `path.pub`. Existing files are not replaced.
    pub fn generate(key: KeyId, owner: &str, path: &Path) -> Result<PublicKeyFile, Failure> {
        let pair = approval::generate().map_err(|error| Failure::failed(error.to_string()))?;
        let public_key = hex(&pair.public_key);
        let private = PrivateFile {
            key: key.clone(),
            owner: owner.to_owned(),
            public_key: public_key.clone(),
            private_key: pair.key_pem,
        };
        let public = PublicKeyFile { key, owner: owner.to_owned(), public_key };
        write_new(path, &encode(&private)?, 0o600)?;
        write_new(&public_path(path), &encode(&public)?, 0o644)?;
        Ok(public)
    }

    pub fn load(path: &Path) -> Result<Self, Failure> {
        let file: PrivateFile = decode(path)?;
        match approval::public_key(&file.private_key) {
            Ok(public) if hex(&public) == file.public_key => {
                Ok(Self { key: file.key, owner: file.owner, key_pem: file.private_key })
            }
            Ok(_) | Err(_) => Err(not_a_key(path)),
        }
    }

    pub fn sign(&self, mesh: &str, subject: &str, now: Timestamp, lifetime: Duration) -> Result<Approval, Failure> {
        let expires_at = now.plus(lifetime);
        let signature = approval::sign(&self.key_pem, mesh, subject, expires_at)
            .map_err(|error| Failure::usage(format!("cannot sign: {error}")))?;
        let (key, subject) = (self.key.clone(), subject.to_owned());
        Ok(Approval { key, subject, expires_at, signature, at: Timestamp::default() })
    }
}

pub fn public_path(private: &Path) -> PathBuf {
    let mut name = private.as_os_str().to_owned();
    name.push(".pub");
    PathBuf::from(name)
}

pub fn load_public(path: &Path) -> Result<(PublicKeyFile, Vec<u8>), Failure> {
    let file: PublicKeyFile = decode(path)?;
    let bytes = unhex(&file.public_key).filter(|bytes| bytes.len() == PUBLIC_KEY_LEN).ok_or_else(|| not_a_key(path))?;
    Ok((file, bytes))
}

pub fn save_approval(approval: &Approval, path: &Path) -> Result<(), Failure> {
    let file = ApprovalFile {
        key: approval.key.clone(),
        subject: approval.subject.clone(),
        expires_at_ms: approval.expires_at.as_millis(),
        signature: hex(&approval.signature),
    };
    write_new(path, &encode(&file)?, 0o644)
}

pub fn load_approval(path: &Path) -> Result<Approval, Failure> {
    let file: ApprovalFile = decode(path)?;
    let signature = unhex(&file.signature)
        .filter(|bytes| bytes.len() == SIGNATURE_LEN)
        .ok_or_else(|| Failure::usage(format!("{}: the signature is not 128 hex digits", path.display())))?;
    let expires_at = Timestamp::from_millis(file.expires_at_ms);
    Ok(Approval { key: file.key, subject: file.subject, expires_at, signature, at: Timestamp::default() })
}

fn not_a_key(path: &Path) -> Failure {
    Failure::usage(format!("{} holds no complete key", path.display()))
        .hint("`meshctl keys generate` makes FILE (private) and FILE.pub (public)")
}

fn encode(value: &impl Serialize) -> Result<String, Failure> {
    toml::to_string(value).map_err(|error| Failure::failed(format!("cannot write TOML: {error}")))
}

fn decode<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    let length = std::fs::metadata(path).map_err(|error| Failure::file(path, "read", &error))?.len();
    if length > FILE_LEN_MAX {
        return Err(Failure::usage(format!("{} is too large for a key or an approval", path.display())));
    }
    mesh_runtime::config::load(path).map_err(|error| Failure::usage(error.to_string()))
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let refuse = |error: std::io::Error| Failure::file(path, "write", &error);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(refuse)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(refuse)
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_signature_verifies_with_the_public_key_that_is_enrolled() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ann.key");
        Signer::generate(KeyId::new("ann-1").expect("a name"), "ann", &path).expect("a key");
        let (public, bytes) = load_public(&public_path(&path)).expect("the public half");
        assert_eq!((public.key.as_str(), public.owner.as_str()), ("ann-1", "ann"));
        let signer = Signer::load(&path).expect("the private half");
        let approval =
            signer.sign("demo", "membership remove 3", Timestamp::from_millis(1000), Duration::from_secs(60));
        let approval = approval.expect("signed");
        let expires_at = Timestamp::from_millis(61_000);
        let holds = approval::verify(&bytes, "demo", "membership remove 3", expires_at, &approval.signature);
        assert!(holds, "the enrolled key must verify it");
    }

    #[test]
    fn a_private_key_is_readable_by_its_owner_alone_and_never_replaced() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ann.key");
        let name = || KeyId::new("ann-1").expect("a name");
        Signer::generate(name(), "ann", &path).expect("a key");
        let mode = std::fs::metadata(&path).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(Signer::generate(name(), "ann", &path).is_err(), "an existing key must stay");
    }

    #[test]
    fn an_approval_file_reads_back_as_it_was_signed() {
        let dir = tempfile::tempdir().expect("a directory");
        let key = dir.path().join("ann.key");
        Signer::generate(KeyId::new("ann-1").expect("a name"), "ann", &key).expect("a key");
        let signer = Signer::load(&key).expect("the key");
        let approval = signer.sign("demo", "revoke-key bob", Timestamp::from_millis(5), Duration::from_secs(1));
        let approval = approval.expect("signed");
        let path = dir.path().join("approval.toml");
        save_approval(&approval, &path).expect("written");
        assert_eq!(load_approval(&path).expect("read"), approval);
    }
}
