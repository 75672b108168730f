//! The mesh's own certificate authority: a root kept by people, an issuing authority kept by the coordinators, and
//! the certificates of programs and people. Short lifetimes take the place of revocation.

pub mod approval;
pub mod authority;

use std::path::Path;
use std::time::Duration;

use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

pub use authority::{Authority, Issued};

use crate::files;
use crate::identity::Subject;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub const ROOT_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
pub const ISSUING_LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Programs renew by themselves at two thirds of it.
pub const PROGRAM_LIFETIME: Duration = DAY;
/// People renew by asking for a new one.
pub const PERSON_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Certificates begin this much before they are made, for clocks that are behind.
pub const BACKDATE: Duration = Duration::from_secs(5 * 60);

#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    #[error("{what} {path}: {reason}")]
    File { what: &'static str, path: String, reason: String },
    #[error("key does not belong to the certificate")]
    KeyMismatch,
    #[error("the certificate is not an authority's")]
    NotAnAuthority,
    #[error("identity of mesh {found:?}, but the authority is of mesh {expected:?}")]
    WrongMesh { found: String, expected: String },
    #[error("{name:?} is neither a DNS name nor an IP address")]
    BadName { name: String },
    #[error("certificate request: {0}")]
    BadRequest(String),
    #[error("the authority's certificate has expired")]
    AuthorityExpired,
    #[error("{0}")]
    Crypto(String),
}

impl From<rcgen::Error> for PkiError {
    fn from(err: rcgen::Error) -> Self {
        Self::Crypto(err.to_string())
    }
}

/// A new key and a request to certify it.
#[derive(Debug)]
pub struct Request {
    pub key_pem: String,
    /// PKCS#10, DER.
    pub csr_der: Vec<u8>,
}

/// Makes a key and a request for it. The request names nobody: the identity is the caller's.
pub fn request() -> Result<Request, PkiError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let csr_der = params.serialize_request(&key)?.der().to_vec();
    Ok(Request { key_pem: key.serialize_pem(), csr_der })
}

/// Writes a certificate chain and its key, each whole or not at all; the key is readable by its owner alone.
pub fn write_pair(certificate: &Path, key: &Path, chain_pem: &str, key_pem: &str) -> std::io::Result<()> {
    files::replace(key, key_pem.as_bytes(), files::MODE_PRIVATE)?;
    files::replace(certificate, chain_pem.as_bytes(), files::MODE_PUBLIC)
}

/// What the first certificate of a PEM text says.
pub fn inspect(chain_pem: &str) -> Result<Subject, PkiError> {
    let leaf = first_certificate(chain_pem)?;
    crate::identity::subject_of(&leaf).map_err(|err| PkiError::Crypto(err.to_string()))
}

pub(crate) fn first_certificate(pem: &str) -> Result<CertificateDer<'static>, PkiError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|err| PkiError::Crypto(format!("not a certificate: {err}")))
}

/// Does the first certificate of `chain_pem` certify the key in `key_pem`?
pub fn is_for_key(chain_pem: &str, key_pem: &str) -> Result<bool, PkiError> {
    let leaf = first_certificate(chain_pem)?;
    let key = KeyPair::from_pem(key_pem)?;
    let (_, certificate) = X509Certificate::from_der(&leaf).map_err(|err| PkiError::Crypto(err.to_string()))?;
    Ok(certificate.public_key().subject_public_key.data.as_ref() == key.public_key_raw())
}
