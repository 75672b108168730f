//! Whom a probe trusts: the system's authorities, or those of a file that the manifest names.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::Instant;

use super::files::Files;
use super::trouble::{Trouble, chain};

/// Kept so long, then read again: authorities are replaced without a restart.
const KEPT: Duration = Duration::from_secs(60);
/// Files of all manifests that are kept at once.
const SETS_MAX: usize = 64;
const AUTHORITIES_MAX: usize = 1024;

/// What is spoken over the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Alpn {
    Http1,
    Http2,
}

type Key = (Option<String>, Alpn);

#[derive(Debug)]
pub(crate) struct Trust {
    pub files: Files,
    kept: Mutex<BTreeMap<Key, (Instant, Arc<ClientConfig>)>>,
}

impl Trust {
    pub(crate) fn new(files: Files) -> Self {
        Self { files, kept: Mutex::default() }
    }

    pub(crate) async fn settings(&self, ca_file: Option<&str>, alpn: Alpn) -> Result<Arc<ClientConfig>, Trouble> {
        let key = (ca_file.map(str::to_owned), alpn);
        if let Some(settings) = self.fresh(&key) {
            return Ok(settings);
        }
        let roots = match ca_file {
            Some(name) => from_pem(name, &self.files.read(name).await?)?,
            // A few hundred files, parsed.
            None => tokio::task::spawn_blocking(of_system)
                .await
                .map_err(|error| Trouble::Own(format!("reading the system's authorities: {error}")))??,
        };
        let settings = Arc::new(client(roots, alpn)?);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= SETS_MAX {
            kept.clear();
        }
        kept.insert(key, (Instant::now(), Arc::clone(&settings)));
        Ok(settings)
    }

    fn fresh(&self, key: &Key) -> Option<Arc<ClientConfig>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(key).filter(|(read_at, _)| read_at.elapsed() < KEPT).map(|(_, settings)| Arc::clone(settings))
    }
}

fn from_pem(name: &str, pem: &[u8]) -> Result<RootCertStore, Trouble> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem).take(AUTHORITIES_MAX) {
        let failed = |error: &dyn std::error::Error| Trouble::Own(format!("{name}: {}", chain(error)));
        roots.add(certificate.map_err(|error| failed(&error))?).map_err(|error| failed(&error))?;
    }
    if roots.is_empty() { Err(Trouble::Own(format!("{name} holds no certificate"))) } else { Ok(roots) }
}

fn of_system() -> Result<RootCertStore, Trouble> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(Trouble::Own("this host trusts no authority: install its ca-certificates".to_owned()));
    }
    Ok(roots)
}

fn client(roots: RootCertStore, alpn: Alpn) -> Result<ClientConfig, Trouble> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Trouble::Own(format!("TLS cannot be set up: {error}")))?;
    let mut settings = builder.with_root_certificates(roots).with_no_client_auth();
    settings.alpn_protocols = vec![match alpn {
        Alpn::Http1 => b"http/1.1".to_vec(),
        Alpn::Http2 => b"h2".to_vec(),
    }];
    // A resumed session would not look at the certificate again.
    settings.resumption = rustls::client::Resumption::disabled();
    Ok(settings)
}
