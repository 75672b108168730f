//! Certificates of one test's mesh.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::access::{Identity, Role};
use mesh_runtime::pki::{Authority, write_pair};
use mesh_runtime::tls::{Identities, TlsFiles};

pub struct Mesh {
    root: Authority,
    pub directory: tempfile::TempDir,
}

impl Mesh {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let root = Authority::create("demo").expect("a root");
        std::fs::write(directory.path().join("ca.pem"), root.certificate_pem()).expect("writable");
        Self { root, directory }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn issue(&self, role: Role, region: &str, name: &str) -> TlsFiles {
        let files = TlsFiles {
            certificate: self.path().join(format!("{name}.pem")),
            key: self.path().join(format!("{name}.key")),
            authorities: self.path().join("ca.pem"),
        };
        let identity = Identity {
            mesh: "demo".to_owned(),
            region: region.parse().expect("a region"),
            role,
            name: name.to_owned(),
        };
        let names = ["127.0.0.1".to_owned()];
        let issued = self.root.issue(&identity, &names, Duration::from_secs(3600)).expect("issued");
        write_pair(&files.certificate, &files.key, &issued.chain_pem, &issued.key_pem).expect("writable");
        files
    }

    pub fn identities(&self, role: Role, region: &str, name: &str) -> Arc<Identities> {
        Identities::load(&self.issue(role, region, name), "demo").expect("usable")
    }
}
