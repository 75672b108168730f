//! The real program: exit codes, and that nothing is done without being asked.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use mesh_core::access::{Identity, Role};
use mesh_core::ids::RegionId;
use meshctl::commands::pki;

fn meshctl(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_meshctl"))
        .args(args)
        .current_dir(dir)
        .env_remove("MESH_PROFILE")
        .env("HOME", dir)
        .env("XDG_CONFIG_HOME", dir.join("config"))
        .stdin(Stdio::null())
        .output()
        .expect("meshctl runs")
}

fn assert_exit(output: &Output, code: i32) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.contains("panicked") && !said.contains("RUST_BACKTRACE"), "{said}");
}

/// A profile with a certificate of `lifetime` and one coordinator where nobody listens.
fn profile(dir: &Path, lifetime: Duration) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    pki::init(dir, "demo").expect("an authority");
    let identity = Identity {
        mesh: "demo".to_owned(),
        region: RegionId::new("us-east-1").expect("a region"),
        role: Role::Operator,
        name: "ann".to_owned(),
    };
    let authority = pki::authority(dir).expect("an authority");
    pki::issue(&authority, &identity, &[], lifetime, dir, "ann").expect("a certificate");
    let text = format!(
        "mesh = \"demo\"\ncoordinators = [\"{port}\"]\n[tls]\ncertificate = \"ann.pem\"\nkey = \"ann.key\"\nauthorities = \"ca.pem\"\n"
    );
    std::fs::write(dir.join("profile.toml"), text).expect("written");
}

#[test]
fn wrong_usage_is_exit_2_and_says_how_to_go_on() {
    let dir = tempfile::tempdir().expect("a directory");
    assert_exit(&meshctl(dir.path(), &["failover"]), 2);
    assert_exit(&meshctl(dir.path(), &["failover", "--to", "NOT A REGION"]), 2);
    let unprofiled = meshctl(dir.path(), &["status"]);
    assert_exit(&unprofiled, 2);
    let said = String::from_utf8_lossy(&unprofiled.stderr).into_owned();
    assert!(said.contains("error: ") && said.contains("hint: "), "{said}");
}

#[test]
fn the_help_documents_every_exit_code() {
    let dir = tempfile::tempdir().expect("a directory");
    let help = String::from_utf8(meshctl(dir.path(), &["--help"]).stdout).expect("text");
    for exit in meshctl::exit::Exit::ALL {
        assert!(help.contains(exit.meaning()), "{} is missing in\n{help}", exit.meaning());
    }
    let docs = include_str!("../../docs/cli.md");
    for exit in meshctl::exit::Exit::ALL {
        assert!(docs.contains(&format!("| {} | {} |", exit.code(), exit.meaning())), "docs/cli.md: {}", exit.code());
    }
}

#[test]
fn an_invalid_manifest_is_exit_1_with_every_error_at_its_place() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("bad.yaml"), "apiVersion: mesh/v1\nservice: UPPER\nwrter: single\n")
        .expect("written");
    let output = meshctl(dir.path(), &["validate", "-f", "bad.yaml", "--json"]);
    assert_exit(&output, 1);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert!(value["diagnostics"].as_array().expect("a list").len() >= 2, "{value}");
    assert_eq!(value["ok"], false);
}

#[test]
fn a_mesh_that_cannot_be_reached_is_exit_5_and_names_the_coordinator() {
    let dir = tempfile::tempdir().expect("a directory");
    profile(dir.path(), Duration::from_secs(3600));
    let output = meshctl(dir.path(), &["status", "--profile", "profile.toml", "--json", "--timeout", "2"]);
    assert_exit(&output, 5);
    assert!(output.stdout.is_empty(), "no data, no output");
    assert!(String::from_utf8_lossy(&output.stderr).contains("127.0.0.1:"));
}

#[test]
fn an_expired_certificate_is_exit_4_and_says_how_to_get_another() {
    let dir = tempfile::tempdir().expect("a directory");
    profile(dir.path(), Duration::ZERO);
    let output = meshctl(dir.path(), &["status", "--profile", "profile.toml"]);
    assert_exit(&output, 4);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("expired") && said.contains("pki issue"), "{said}");
}

#[test]
fn without_a_terminal_and_without_yes_nothing_is_signed_and_the_exit_code_is_2() {
    let dir = tempfile::tempdir().expect("a directory");
    profile(dir.path(), Duration::from_secs(3600));
    assert_exit(
        &meshctl(dir.path(), &["keys", "generate", "--name", "ann", "--owner", "ann", "-o", "ann-approval.key"]),
        0,
    );
    let sign = ["approval", "sign", "--subject", "membership remove 3", "--key", "ann-approval.key", "-o", "approval"];
    let mut refused = sign.to_vec();
    refused.extend(["--profile", "profile.toml"]);
    assert_exit(&meshctl(dir.path(), &refused), 2);
    assert!(!dir.path().join("approval").exists(), "nothing may be written");
    refused.push("--yes");
    assert_exit(&meshctl(dir.path(), &refused), 0);
    assert!(dir.path().join("approval").exists());
}

#[test]
fn completions_are_printed_for_a_shell() {
    let dir = tempfile::tempdir().expect("a directory");
    let output = meshctl(dir.path(), &["completions", "bash"]);
    assert_exit(&output, 0);
    assert!(String::from_utf8_lossy(&output.stdout).contains("meshctl"));
}
