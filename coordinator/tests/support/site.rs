//! The binary with what it needs: certificates, a configuration, a client.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use mesh_core::access::{Identity, Role};
use mesh_core::ids::RegionId;
use mesh_runtime::client::{CallLimits, MeshClient};
use mesh_runtime::pki::{Authority, write_pair};
use mesh_runtime::tls::{Identities, TlsFiles};
use tempfile::TempDir;

/// Longest wait for anything: far above what a loaded machine needs.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Site {
    pub dir: TempDir,
    authority: Authority,
    pub address: String,
}

impl Site {
    pub fn new() -> Self {
        // Free a moment ago, on an address that no other test of this machine uses.
        let id = std::process::id();
        let ip = format!("127.{}.{}.{}", 64 + id % 64, id / 64 % 256, 2 + id / 16384 % 250);
        let listener = TcpListener::bind((ip.as_str(), 0)).expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let site = Self {
            dir: tempfile::tempdir().expect("a directory"),
            authority: Authority::create("demo").expect("an authority"),
            address,
        };
        std::fs::write(site.path("ca.pem"), site.authority.certificate_pem()).expect("written");
        site.issue(Role::Coordinator, "us-east-1", "c1");
        site.issue(Role::Admin, "us-east-1", "ann");
        site
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn issue(&self, role: Role, place: &str, name: &str) {
        let region = RegionId::new(place).expect("a region");
        let identity = Identity { mesh: "demo".to_owned(), region, role, name: name.to_owned() };
        let issued = self.authority.issue(&identity, &["127.0.0.1".to_owned()], PATIENCE * 60).expect("issued");
        let (certificate, key) = (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")));
        write_pair(&certificate, &key, &issued.chain_pem, &issued.key_pem).expect("written");
    }

    pub fn config(&self, node_id: &str) -> PathBuf {
        let (dir, address) = (self.dir.path().display(), &self.address);
        let text = format!(
            "mesh = \"demo\"\nnode_id = {node_id}\nregion = \"us-east-1\"\nlisten = \"{address}\"\n\
             advertise = \"{address}\"\ndata_dir = \"{dir}/data\"\n[[bootstrap]]\nid = 1\naddress = \"{address}\"\n\
             region = \"us-east-1\"\n[tls]\ncertificate = \"{dir}/c1.pem\"\nkey = \"{dir}/c1.key\"\n\
             authorities = \"{dir}/ca.pem\"\n"
        );
        let path = self.path("coordinator.toml");
        std::fs::write(&path, text).expect("written");
        path
    }

    pub fn client(&self) -> MeshClient {
        let files =
            TlsFiles { certificate: self.path("ann.pem"), key: self.path("ann.key"), authorities: self.path("ca.pem") };
        let identities: Arc<Identities> = Identities::load(&files, "demo").expect("loaded");
        let client = MeshClient::new(std::slice::from_ref(&self.address), &identities).expect("an address");
        client.with_limits(CallLimits { per_try: PATIENCE / 4, total: PATIENCE })
    }
}

/// Killed with the test, whatever becomes of it. Its stderr goes to a file: a pipe that nobody reads would stop it.
pub struct Process {
    pub child: Child,
    stderr: PathBuf,
}

impl Process {
    pub fn start(config: &Path, more: &[&str]) -> Self {
        let stderr = config.with_extension("stderr");
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesh-coordinator"));
        command.arg("--config").arg(config).args(more).stderr(File::create(&stderr).expect("created"));
        Self { child: command.spawn().expect("started"), stderr }
    }

    pub fn terminate(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("signalled");
    }

    /// The exit status, and what it said on stderr.
    pub fn end(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().expect("ended");
        (status, std::fs::read_to_string(&self.stderr).expect("text"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
