//! Reads the three files and builds all TLS settings from them.
//!
//! Certificate and key are two files, and a crash can come between their renames. Renewal therefore writes the new
//! key to `KEY.next`, then renames the certificate into place, then the key. A certificate whose key is still in
//! `KEY.next` is served with that key, so the pair is usable at every moment.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::verify::{ClientVerifier, ServerVerifier};
use super::{Material, TlsError, TlsFiles};
use crate::files;
use crate::identity::{IdentityError, Subject, subject_of};

/// Longest certificate chain that is read.
const CHAIN_MAX: usize = 8;
/// Most trusted roots: a handful while authorities are being replaced.
const AUTHORITIES_MAX: usize = 64;

/// gRPC runs on HTTP/2 alone.
const ALPN: &[u8] = b"h2";

/// The files' bytes, to see that they changed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    next_key: Option<Vec<u8>>,
    authorities: Vec<u8>,
}

impl std::fmt::Debug for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Contents(..)")
    }
}

/// Where a renewal puts the new key before the new certificate is in place.
pub(crate) fn pending_key(key: &Path) -> PathBuf {
    files::with_suffix(key, ".next")
}

pub(super) fn contents(files: &TlsFiles) -> Result<Contents, TlsError> {
    let read = |what, path: &Path| files::read_small(path).map_err(|err| file_error(what, path, &err.to_string()));
    Ok(Contents {
        certificate: read("certificate", &files.certificate)?,
        key: read("key", &files.key)?,
        next_key: files::read_small(&pending_key(&files.key)).ok(),
        authorities: read("authorities", &files.authorities)?,
    })
}

pub(super) fn read(files: &TlsFiles, mesh: &str) -> Result<Material, TlsError> {
    let contents = contents(files)?;
    let chain = certificates("certificate", &files.certificate, &contents.certificate, CHAIN_MAX)?;
    let subject = own_subject(files, &chain, mesh)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let certified = certified_key(files, &contents, &chain, &provider)?;
    let roots = Arc::new(roots(files, &contents)?);
    let server = server_settings(&certified, &roots, mesh, &provider)?;
    let client = client_settings(&certified, &roots, mesh, &provider)?;
    Ok(Material { subject, server: Arc::new(server), client: Arc::new(client), contents })
}

fn own_subject(files: &TlsFiles, chain: &[CertificateDer<'_>], mesh: &str) -> Result<Subject, TlsError> {
    let refuse = |reason| TlsError::Identity { path: files.certificate.clone(), reason };
    let leaf = chain.first().ok_or_else(|| file_error("certificate", &files.certificate, "holds no certificate"))?;
    let subject = subject_of(leaf).map_err(refuse)?;
    if subject.identity.mesh == mesh {
        return Ok(subject);
    }
    Err(refuse(IdentityError::WrongMesh { found: subject.identity.mesh, expected: mesh.to_owned() }))
}

fn certified_key(
    files: &TlsFiles,
    contents: &Contents,
    chain: &[CertificateDer<'static>],
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let bad_key = |reason: String| file_error("key", &files.key, &reason);
    let load = |pem: &[u8]| -> Result<CertifiedKey, String> {
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|err| format!("is no PEM private key: {err}"))?;
        CertifiedKey::from_der(chain.to_vec(), key, provider).map_err(|err| err.to_string())
    };
    if let Some(pending) = contents.next_key.as_deref().and_then(|pem| load(pem).ok()) {
        return Ok(Arc::new(pending));
    }
    let key = PrivateKeyDer::from_pem_slice(&contents.key);
    let key = key.map_err(|err| bad_key(format!("is no PEM private key: {err}")))?;
    match CertifiedKey::from_der(chain.to_vec(), key, provider) {
        Ok(certified) => Ok(Arc::new(certified)),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(TlsError::KeyMismatch { key: files.key.clone(), certificate: files.certificate.clone() })
        }
        Err(err) => Err(bad_key(err.to_string())),
    }
}

fn roots(files: &TlsFiles, contents: &Contents) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let authorities = certificates("authorities", &files.authorities, &contents.authorities, AUTHORITIES_MAX)?;
    for authority in authorities {
        let added = roots.add(authority);
        added.map_err(|err| file_error("authorities", &files.authorities, &err.to_string()))?;
    }
    if roots.is_empty() {
        return Err(file_error("authorities", &files.authorities, "holds no certificate"));
    }
    Ok(roots)
}

fn certificates(
    what: &'static str,
    path: &Path,
    pem: &[u8],
    max: usize,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).take(max + 1).collect();
    let found = found.map_err(|err| file_error(what, path, &format!("is not PEM: {err}")))?;
    if found.len() > max {
        return Err(file_error(what, path, &format!("holds more than {max} certificates")));
    }
    Ok(found)
}

fn server_settings(
    certified: &Arc<CertifiedKey>,
    roots: &Arc<RootCertStore>,
    mesh: &str,
    provider: &Arc<CryptoProvider>,
) -> Result<ServerConfig, TlsError> {
    let verifier = ClientVerifier::new(Arc::clone(roots), mesh, provider)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(settings)?;
    let resolver = rustls::sign::SingleCertAndKey::from(Arc::clone(certified));
    let mut config = builder.with_client_cert_verifier(Arc::new(verifier)).with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(config)
}

fn client_settings(
    certified: &Arc<CertifiedKey>,
    roots: &Arc<RootCertStore>,
    mesh: &str,
    provider: &Arc<CryptoProvider>,
) -> Result<ClientConfig, TlsError> {
    let verifier = ServerVerifier::new(Arc::clone(roots), mesh, provider);
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(settings)?;
    let resolver = rustls::sign::SingleCertAndKey::from(Arc::clone(certified));
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = builder.with_client_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

fn file_error(what: &'static str, path: &Path, reason: &str) -> TlsError {
    TlsError::File { what, path: path.to_owned(), reason: reason.to_owned() }
}

#[expect(clippy::needless_pass_by_value, reason = "used as the argument of map_err")]
fn settings(err: rustls::Error) -> TlsError {
    TlsError::Settings(err.to_string())
}
