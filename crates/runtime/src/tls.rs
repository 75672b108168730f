//! The process's own certificate, key and trusted authorities, kept equal to the files.
//!
//! All TLS settings are built from one consistent reading of the three files and swapped as a whole. Acceptors and
//! connectors take the current settings for each new connection, so a renewed certificate or a changed set of
//! authorities is in use from the next handshake on, and no live connection is dropped. Sessions are never resumed:
//! every connection is verified against the authorities of the moment.

mod load;
pub(crate) mod names;
mod verify;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use mesh_core::access::Identity;
use mesh_core::time::Timestamp;
use rustls::{ClientConfig, ServerConfig};
use serde::{Deserialize, Serialize};

pub(crate) use load::pending_key;

use crate::grpc::{Net, Tcp};
use crate::identity::{IdentityError, Subject};

/// How often the files are looked at. Reading three small files costs nothing next to a late renewal.
pub const RELOAD_EVERY: Duration = Duration::from_secs(1);

/// The `[tls]` table of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// Leaf, then intermediates, PEM. Rewritten in place by renewal.
    pub certificate: PathBuf,
    /// PKCS#8, PEM.
    pub key: PathBuf,
    /// Trusted roots, PEM.
    pub authorities: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{what} {}: {reason}", path.display())]
    File { what: &'static str, path: PathBuf, reason: String },
    #[error("certificate {}: {reason}", path.display())]
    Identity { path: PathBuf, reason: IdentityError },
    #[error("key {} does not belong to certificate {}", key.display(), certificate.display())]
    KeyMismatch { key: PathBuf, certificate: PathBuf },
    #[error("TLS settings: {0}")]
    Settings(String),
}

/// One consistent reading of the files.
#[derive(Debug)]
pub struct Material {
    pub subject: Subject,
    pub server: Arc<ServerConfig>,
    pub client: Arc<ClientConfig>,
    contents: load::Contents,
}

/// Hot-reloading certificate, key and authorities of one process.
#[derive(Debug)]
pub struct Identities {
    files: TlsFiles,
    mesh: String,
    net: Arc<dyn Net>,
    current: RwLock<Arc<Material>>,
    /// One reading at a time, so that an older one never replaces a newer.
    reading: Mutex<()>,
}

impl Identities {
    /// Reads the files; refuses a certificate of another mesh. An expired one is accepted here, so that a person can
    /// be told of it when connecting and a program can start and have it replaced.
    ///
    /// Inside a tokio runtime the files are looked at every [`RELOAD_EVERY`] for as long as the result lives.
    pub fn load(files: &TlsFiles, mesh: &str) -> Result<Arc<Self>, TlsError> {
        Self::load_over(files, mesh, Tcp::shared())
    }

    /// As [`Identities::load`], for connections that are made over `net`.
    pub fn load_over(files: &TlsFiles, mesh: &str, net: Arc<dyn Net>) -> Result<Arc<Self>, TlsError> {
        let material = load::read(files, mesh)?;
        let current = RwLock::new(Arc::new(material));
        let identities =
            Arc::new(Self { files: files.clone(), mesh: mesh.to_owned(), net, current, reading: Mutex::new(()) });
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(watch(Arc::downgrade(&identities)));
        }
        Ok(identities)
    }

    pub fn mesh(&self) -> &str {
        &self.mesh
    }

    pub(crate) fn net(&self) -> &dyn Net {
        self.net.as_ref()
    }

    pub fn files(&self) -> &TlsFiles {
        &self.files
    }

    /// Who this process is.
    pub fn identity(&self) -> Identity {
        self.current().subject.identity.clone()
    }

    pub fn not_after(&self) -> Timestamp {
        self.current().subject.not_after
    }

    /// The settings for the next connection.
    pub fn current(&self) -> Arc<Material> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the files now. `true` if they had changed. On an error the former settings stay in use.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if load::contents(&self.files)? == self.current().contents {
            return Ok(false);
        }
        let material = Arc::new(load::read(&self.files, &self.mesh)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = material;
        Ok(true)
    }
}

async fn watch(identities: Weak<Identities>) {
    let mut reported = None;
    loop {
        tokio::time::sleep(RELOAD_EVERY).await;
        let Some(identities) = identities.upgrade() else { return };
        match identities.reload() {
            Ok(true) => {
                let current = identities.current();
                let (identity, not_after) = (&current.subject.identity, current.subject.not_after);
                tracing::info!(%identity, not_after_ms = not_after.as_millis(), "certificate files reloaded");
                reported = None;
            }
            Ok(false) => reported = None,
            Err(err) => {
                let text = err.to_string();
                if reported.as_ref() != Some(&text) {
                    tracing::warn!(error = %text, "certificate files cannot be used; the former ones stay in use");
                    reported = Some(text);
                }
            }
        }
    }
}
