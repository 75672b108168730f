//! Configuration files of daemons that are refused before anything is started.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use mesh_runtime::tls::TlsFiles;
use mesh_suite::{Rig, binaries};
use meshctl::demo::configs::Layout;
use meshctl::demo::maip::World;

use crate::papers;

const WITHIN: Duration = Duration::from_secs(30);
const EXIT_CONFIG: i32 = 78;

/// The configuration of an agent process that would reach our coordinators.
pub fn agent_config(rig: &Rig, stem: &str, mesh: &str, agent: &str, region: &str, tls: &TlsFiles) -> PathBuf {
    let text = agent_text(mesh, agent, region, &papers::coordinators(rig), &rig.path(&format!("{stem}-data")), tls);
    let path = rig.path(&format!("{stem}.agent.toml"));
    std::fs::write(&path, text).expect("writable");
    path
}

fn agent_text(mesh: &str, agent: &str, region: &str, addresses: &[String], data: &Path, tls: &TlsFiles) -> String {
    format!(
        "mesh = {mesh:?}\nagent = {agent:?}\nregion = {region:?}\ncoordinators = {addresses:?}\ndata_dir = {data:?}\n{}\
         [aws]\nendpoint_url = \"http://127.0.0.1:1\"\naccess_key_id = \"a\"\nsecret_access_key = \"s\"\n",
        papers::tls_table(tls)
    )
}

#[tokio::test]
async fn a_coordinator_refuses_a_bad_configuration_before_it_binds_its_port() {
    let dir = tempfile::tempdir().expect("a directory");
    let layout = Layout::create(dir.path()).expect("a layout");
    // The port is ours: a coordinator that got as far as binding it would say so.
    let port = TcpListener::bind("127.0.0.1:0").expect("a port");
    let world = World::read().expect("the world is good");
    let files = layout.coordinators(&[port.local_addr().expect("bound")], &world).expect("configurations");
    let (_, config) = files.first().expect("one coordinator");
    let good = std::fs::read_to_string(config).expect("the configuration");
    for (from, to, says) in [
        ("node_id = 1", "node_id = one", "quoted"),
        ("node_id = 1", "node_id = \"one\"", "u64"),
        ("node_id = 1", "node_id = 0", "at least 1"),
        ("node_id = 1", "node_id = 1\ncolour = 1", "unknown field `colour`"),
        ("mesh = \"demo\"", "mesh = \"De mo\"", "a-z"),
        ("listen = \"", "listen = \"here:", "socket address"),
        ("data_dir", "data_directory", "unknown field `data_directory`"),
    ] {
        let bad = good.replacen(from, to, 1);
        std::fs::write(config, &bad).expect("writable");
        refused_at(&bad, to, config, "mesh-coordinator", says).await;
    }
    // What the file names is looked at as well: papers of another role, of another region, of nobody.
    let (certificate, region) = ("coordinator.pem", "us-east-1");
    for (from, to, says) in [
        (certificate, "nothing.pem", "nothing.pem"),
        ("mesh = \"demo\"", "mesh = \"other\"", "expected \"other\""),
        (region, "us-west-2", "meshctl pki issue"),
    ] {
        std::fs::write(config, good.replace(from, to)).expect("writable");
        let (code, said) = run("mesh-coordinator", config).await;
        assert_eq!(code, Some(EXIT_CONFIG), "{to}: {said}");
        assert!(said.contains(says) && said.contains("coordinator.toml"), "{to}: {said}");
    }
    assert!(!config.with_file_name("data").exists(), "nothing was begun");
}

#[tokio::test]
async fn an_agent_refuses_a_bad_configuration_and_papers_that_are_not_its_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let layout = Layout::create(dir.path()).expect("a layout");
    let authority = layout.authority().expect("an authority");
    let who = papers::identity("spiffe://demo/region/us-east-1/agent/use1-a");
    let issued = authority.issue(&who, &[], papers::HOUR).expect("a certificate");
    let in_dir = |name: &str| dir.path().join(name);
    let tls =
        TlsFiles { certificate: in_dir("agent.pem"), key: in_dir("agent.key"), authorities: in_dir("pki/ca.pem") };
    mesh_runtime::pki::write_pair(&tls.certificate, &tls.key, &issued.chain_pem, &issued.key_pem).expect("writable");
    let (config, data) = (in_dir("agent.toml"), in_dir("data"));
    let good = agent_text("demo", "use1-a", "us-east-1", &["127.0.0.1:1".to_owned()], &data, &tls);
    for (from, to, says) in [
        ("region = \"us-east-1\"", "region = us-east-1", "quoted"),
        ("region = \"us-east-1\"", "region = \"US\"", "a-z"),
        ("data_dir", "datadir", "unknown field `datadir`"),
        ("[\"127.0.0.1:1\"]", "[]", "1 to 16"),
        ("[\"127.0.0.1:1\"]", "[\"nowhere\"]", "host:port"),
    ] {
        let bad = good.replacen(from, to, 1);
        std::fs::write(&config, &bad).expect("writable");
        refused_at(&bad, to, &config, "mesh-agent", says).await;
    }
    for (from, to) in [
        ("agent = \"use1-a\"", "agent = \"use1-b\""),
        ("region = \"us-east-1\"", "region = \"us-west-2\""),
        ("mesh = \"demo\"", "mesh = \"other\""),
        ("agent.key", "pki/ca.key"),
        ("agent.pem", "nothing.pem"),
    ] {
        std::fs::write(&config, good.replace(from, to)).expect("writable");
        let (code, said) = run("mesh-agent", &config).await;
        assert_eq!(code, Some(EXIT_CONFIG), "{to}: {said}");
        assert!(said.contains("certificate"), "{to}: {said}");
    }
    assert!(!data.exists(), "no journal was begun");
}

/// Exit 78, with file, line and column of what was put in wrongly, and nothing of ports.
async fn refused_at(bad: &str, wrong: &str, config: &Path, program: &str, says: &str) {
    let (code, said) = run(program, config).await;
    assert_eq!(code, Some(EXIT_CONFIG), "{wrong}: {said}");
    let first = bad.lines().position(|line| wrong.lines().any(|part| line.contains(part))).expect("it is there") + 1;
    let last = first + wrong.lines().count() - 1;
    let name = config.file_name().expect("a name").to_string_lossy();
    let places: Vec<String> = (first..=last).map(|line| format!("{name}:{line}:")).collect();
    assert!(places.iter().any(|place| said.contains(place)), "{wrong} is not at {places:?}: {said}");
    assert!(said.contains(says), "{wrong}: {said}");
    assert!(!said.contains("in use") && !said.contains("binding"), "{wrong}: {said}");
}

async fn run(program: &str, config: &Path) -> (Option<i32>, String) {
    let mut command = tokio::process::Command::new(binaries().join(program));
    command.arg("--config").arg(config).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(WITHIN, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{program} runs with {}", config.display())).expect("it starts");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}
