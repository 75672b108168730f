//! The binary itself: bad configurations and SIGTERM.

#[path = "support/all.rs"]
mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use mesh_core::access::Role;
use support::pki::Mesh;

/// Lines of log that a start may write.
const LINES_MAX: usize = 1000;

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn mesh_agent(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mesh-agent"));
    command.arg("--config").arg(config).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn write_config(mesh: &Mesh, extra: &str) -> std::path::PathBuf {
    let tls = mesh.issue(Role::Agent, "us-east-1", "use1-a");
    let (path, data) = (mesh.path().join("agent.toml"), mesh.path().join("data"));
    let text = format!(
        "mesh = \"demo\"\nagent = \"use1-a\"\nregion = \"us-east-1\"\ncoordinators = [\"127.0.0.1:1\"]\n\
         data_dir = {data:?}\n{extra}\n[tls]\ncertificate = {:?}\nkey = {:?}\nauthorities = {:?}\n\
         [aws]\nendpoint_url = \"http://127.0.0.1:1\"\naccess_key_id = \"a\"\nsecret_access_key = \"s\"\n",
        tls.certificate, tls.key, tls.authorities
    );
    std::fs::write(&path, text).expect("writable");
    path
}

fn check(config: &Path) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = mesh_agent(config).arg("--check-config").output().expect("it starts");
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

#[test]
fn a_bad_configuration_is_refused_with_its_place() {
    let mesh = Mesh::new();
    let (code, _) = check(&write_config(&mesh, ""));
    assert_eq!(code, Some(0), "the good one is usable");
    let (code, said) = check(&write_config(&mesh, "colour = \"blue\""));
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("agent.toml:6:1") && said.contains("colour"), "{said}");
    assert!(!mesh.path().join("data").exists(), "nothing was started");
}

#[test]
fn sigterm_drains_and_ends_well() {
    let mesh = Mesh::new();
    let mut process = Process(mesh_agent(&write_config(&mesh, "")).spawn().expect("it starts"));
    // The pipe stays open to the end: the process writes there until then.
    let mut lines = BufReader::new(process.0.stderr.take().expect("piped")).lines();
    let started = lines.by_ref().take(LINES_MAX).map_while(Result::ok).any(|line| line.contains("agent started"));
    assert!(started, "it says when it has started");
    let pid = rustix::process::Pid::from_child(&process.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    assert_eq!(process.0.wait().expect("it ends").code(), Some(0));
}
