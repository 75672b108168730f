//! Configuration, profile, key and approval files.

use std::path::Path;

use mesh_agent::config::AgentConfig;
use mesh_coordinator::config::Config;
use meshctl::{profile, signing};

use crate::scratch;
use crate::target::{Shape, Target};

type Check = fn(&Path) -> bool;

pub fn target() -> Target {
    let reads = "TOML of the programs: configurations, profiles, keys, approvals";
    let target = Target::new("config", reads, Shape::ChosenText, seeds, check);
    target.words(WORDS).inputs(20_000).bytes_max(4 * 1024)
}

/// The choice is a place in this list: add at the end.
const FILES: &[Check] = &[coordinator, agent, profile_file, approval, public_key, private_key];

fn check(input: &[u8]) -> bool {
    let Some((choice, text)) = input.split_first() else { return false };
    scratch::with_file(text, FILES[usize::from(*choice) % FILES.len()])
}

fn coordinator(path: &Path) -> bool {
    match Config::load(path) {
        Ok(config) => {
            let consensus = config.consensus();
            assert!(consensus.heartbeat < consensus.election_min && consensus.election_min < consensus.election_max);
            assert!(config.node_id > 0);
            true
        }
        Err(error) => names_the_place(path, &error.to_string()),
    }
}

fn agent(path: &Path) -> bool {
    match AgentConfig::load(path) {
        Ok(config) => {
            assert!(!config.call_timeout().is_zero());
            config.providers();
            true
        }
        Err(error) => names_the_place(path, &error.to_string()),
    }
}

/// `FILE:LINE:COLUMN: reason`.
fn names_the_place(path: &Path, error: &str) -> bool {
    let rest = error.strip_prefix(&path.display().to_string()).expect("an error names the file");
    let numbers = rest.trim_start_matches(':').split(':').take(2);
    assert!(numbers.into_iter().all(|number| number.parse::<u32>().is_ok_and(|number| number > 0)), "{error}");
    false
}

fn profile_file(path: &Path) -> bool {
    profile::load(Some(path)).is_ok_and(|profile| {
        assert!(!profile.coordinators.is_empty());
        true
    })
}

fn approval(path: &Path) -> bool {
    signing::load_approval(path).is_ok_and(|approval| {
        assert_eq!(approval.signature.len(), 64);
        true
    })
}

fn public_key(path: &Path) -> bool {
    signing::load_public(path).is_ok_and(|(_, bytes)| {
        assert_eq!(bytes.len(), 32);
        true
    })
}

fn private_key(path: &Path) -> bool {
    signing::Signer::load(path).is_ok()
}

const WORDS: &[&str] = &[
    "=",
    "[",
    "]",
    "[[bootstrap]]",
    "[tls]",
    "[hooks.x]",
    "\"\"",
    "\"\"\"",
    "'''",
    "true",
    "1e400",
    "-1",
    "0x7fffffffffffffff",
    "1979-05-27T07:32:00Z",
    "us-east-1",
    "127.0.0.1:0",
    "[::1]:7001",
    "\\uD800",
    "\n",
    "#",
];

fn seeds() -> Vec<Vec<u8>> {
    let key = "0".repeat(64);
    let texts = [
        (0, COORDINATOR.to_owned()),
        (1, AGENT.to_owned()),
        (2, PROFILE.to_owned()),
        (3, format!("key = \"ann-1\"\nsubject = \"revoke-key bob\"\nexpires_at_ms = 5\nsignature = \"{key}{key}\"\n")),
        (4, format!("key = \"ann-1\"\nowner = \"ann\"\npublic_key = \"{key}\"\n")),
        (
            5,
            format!(
                "key = \"ann-1\"\nowner = \"ann\"\npublic_key = \"{KEY_PUBLIC}\"\nprivate_key = \"\"\"\n{KEY_PEM}\"\"\"\n"
            ),
        ),
    ];
    texts.into_iter().map(|(choice, text)| [&[choice], text.as_bytes()].concat()).collect()
}

/// The example of RFC 8410, section 10.3: nobody's secret.
pub const KEY_PEM: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
const KEY_PUBLIC: &str = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";

const COORDINATOR: &str = r#"mesh = "demo"
node_id = 1
region = "us-east-1"
listen = "127.0.0.1:7001"
advertise = "127.0.0.1:7001"
data_dir = "/var/lib/mesh/coordinator"
[[bootstrap]]
id = 1
address = "127.0.0.1:7001"
region = "us-east-1"
[tls]
certificate = "/etc/mesh/coordinator.pem"
key = "/etc/mesh/coordinator.key"
authorities = "/etc/mesh/ca.pem"
issuing_certificate = "/etc/mesh/issuing.pem"
issuing_key = "/etc/mesh/issuing.key"
[log]
level = "info"
[timing]
heartbeat = 300
election_min = 1000
election_max = 1500
agent_silence = 6000
[storage]
snapshot_every = 5000
snapshots_kept = 2
"#;

const AGENT: &str = r#"mesh = "demo"
agent = "use1-a"
region = "us-east-1"
coordinators = ["127.0.0.1:7001", "127.0.0.1:7002"]
data_dir = "/var/lib/mesh/agent"
[tls]
certificate = "c"
key = "k"
authorities = "a"
[aws]
endpoint_url = "http://127.0.0.1:4566"
access_key_id = "a"
secret_access_key = "s"
[dns]
nameservers = ["127.0.0.1:5353"]
route53_nameservers = ["127.0.0.1:5353"]
[log]
level = "info"
[timing]
call_timeout = 5000
[lease]
listen = "127.0.0.1:9180"
promise_listen = "127.0.0.1:9181"
promise_advertise = "10.0.0.5:9181"
[hooks.stop-writers]
fence = ["/usr/local/sbin/writers", "stop"]
unfence = ["/usr/local/sbin/writers", "start"]
check = ["/usr/local/sbin/writers", "is-stopped"]
"#;

const PROFILE: &str = r#"mesh = "demo"
coordinators = ["127.0.0.1:7001"]
[tls]
certificate = "a.pem"
key = "/k/a.key"
authorities = "ca.pem"
"#;
