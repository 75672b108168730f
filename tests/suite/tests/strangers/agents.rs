//! Agents with another's papers: the process, and a client that lies in its Hello.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use mesh_proto::v1;
use mesh_proto::v1::agent_session_client::AgentSessionClient;
use mesh_proto::v1::from_agent::Message as Say;
use mesh_proto::v1::to_agent::Message as Heard;
use mesh_runtime::tls::TlsFiles;
use mesh_suite::Rig;

use tonic::{Code, Status};

use crate::configs::agent_config;
use crate::papers::{self, HOUR};
use crate::wire::channel;

const POLL: Duration = Duration::from_millis(50);
/// For a process to start and be turned away, on two busy cores.
const WITHIN: Duration = Duration::from_secs(60);

pub async fn with_foreign_papers_are_kept_out_and_say_why(rig: &mut Rig) {
    let trusted = papers::admin(rig).tls.authorities;
    let who = |mesh: &str, name: &str| format!("spiffe://{mesh}/region/us-east-1/agent/{name}");
    let strangers = [
        ("elsewhere", "other", papers::issue_elsewhere(rig, "elsewhere", &who("other", "elsewhere"), None)),
        ("neighbour", "other", papers::issue_for_another_mesh(rig, "neighbour", &who("other", "neighbour"))),
        ("impostor", "demo", papers::issue_elsewhere(rig, "impostor", &who("demo", "impostor"), Some(&trusted))),
        ("latecomer", "demo", papers::issue_expired(rig, "latecomer", &who("demo", "latecomer")).await),
    ];
    let why = [
        ("elsewhere", "an authority that we do not trust"),
        ("neighbour", "identity of mesh \\\"demo\\\", expected \\\"other\\\""),
        ("impostor", "refused our certificate"),
        ("latecomer", "our certificate expired"),
    ];
    for (name, mesh, tls) in &strangers {
        start(rig, name, mesh, tls);
    }
    for (name, reason) in why {
        until_logged(rig, &format!("agent-{name}"), &[reason, "WARN"]).await;
    }
    let listed = rig.ctl(&["--json", "status"]).await.expect(0).stdout;
    for (name, ..) in &strangers {
        assert!(!listed.contains(name), "{name} is listed: {listed}");
        rig.kill(&format!("agent-{name}"));
    }
    // The coordinators say so as well: whoever runs them need not have the agent's log.
    let mut logs = String::new();
    for nth in 1..=3 {
        let log = rig.stand.layout.log(&format!("coordinator-{nth}"));
        logs += &std::fs::read_to_string(log).expect("its log");
    }
    assert!(logs.contains("connection refused"), "{logs}");
}

fn start(rig: &mut Rig, name: &str, mesh: &str, tls: &TlsFiles) {
    let config = agent_config(rig, name, mesh, name, "us-east-1", tls);
    let program = rig.stand.programs.agent.clone();
    let log = rig.stand.layout.log(&format!("agent-{name}"));
    let args = [OsString::from("--config"), config.into()];
    rig.stand.mesh.start(&format!("agent-{name}"), &program, &args, &log).expect("it starts");
}

/// Waits for one line with all of `words`.
async fn until_logged(rig: &Rig, process: &str, words: &[&str]) {
    let deadline = Instant::now() + WITHIN;
    loop {
        let log = std::fs::read_to_string(rig.stand.layout.log(process)).unwrap_or_default();
        if log.lines().any(|line| words.iter().all(|word| line.contains(word))) {
            return;
        }
        let end: Vec<&str> = log.lines().rev().take(5).collect();
        assert!(Instant::now() < deadline, "{process} does not log {words:?}: {end:#?}");
        tokio::time::sleep(POLL).await;
    }
}

pub async fn that_lie_about_themselves_are_refused(rig: &Rig) {
    let leader = rig.leader().await;
    let nth: usize = leader.trim_start_matches("coordinator-").parse().expect("a node id");
    let address = papers::coordinators(rig).swap_remove(nth - 1);
    let use1_c = "spiffe://demo/region/us-east-1/agent/use1-c";
    for (agent, region) in [("use1-b", "us-east-1"), ("use1-c", "us-west-2"), ("usw2-a", "us-west-2")] {
        let status = hello(rig, &address, use1_c, agent, region).await.expect_err("not who it says");
        assert_eq!(status.code(), Code::PermissionDenied, "{status}");
        assert!(status.message().contains("correct `agent` and `region`"), "{status}");
    }
    let moved = "spiffe://demo/region/us-west-2/agent/use1-a";
    let status = hello(rig, &address, moved, "use1-a", "us-west-2").await.expect_err("a name never moves");
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    assert!(status.message().contains("choose a new one"), "{status}");
    let nobody = hello(rig, &address, use1_c, "", "us-east-1").await.expect_err("no name");
    assert_eq!(nobody.code(), Code::InvalidArgument, "{nobody}");
    let person = "spiffe://demo/region/us-east-1/admin/use1-c";
    let status = hello(rig, &address, person, "use1-c", "us-east-1").await.expect_err("no agent");
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
}

async fn hello(rig: &Rig, address: &str, who: &str, agent: &str, region: &str) -> Result<Option<Heard>, Status> {
    let tls = papers::issue(rig, "liar", who, HOUR);
    let identities = mesh_runtime::tls::Identities::load(&tls, "demo").expect("a certificate of the mesh");
    let hello = v1::Hello { agent: agent.to_owned(), region: region.to_owned(), ..Default::default() };
    let messages = tokio_stream::once(v1::FromAgent { message: Some(Say::Hello(hello)) });
    let mut answers = AgentSessionClient::new(channel(address, &identities)).open(messages).await?.into_inner();
    Ok(answers.message().await?.and_then(|answer| answer.message))
}
