//! The configuration file. Every refusal names file, line, column and reason, before a port is bound.

use std::fs;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mesh_core::ids::RegionId;
use mesh_runtime::config::{self, ConfigError};
use mesh_runtime::telemetry::LogConfig;
use mesh_runtime::tls::TlsFiles;
use serde::Deserialize;

use crate::consensus::{ConsensusConfig, Founder, SNAPSHOT_EVERY_DEFAULT};
use crate::sessions::pongs::PERMIT_FOR;
use crate::store::{StoreOptions, snapshot};

/// Below, the disk is busy with snapshots; above, a restart applies a long log again.
const SNAPSHOT_EVERY: RangeInclusive<u64> = 100..=1_000_000;
const SNAPSHOTS_KEPT: RangeInclusive<usize> = snapshot::KEPT..=16;
/// Coordinators of one mesh: 3 or 5, and 7 only while one set replaces another.
const FOUNDERS_MAX: usize = 7;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub mesh: String,
    pub node_id: u64,
    pub region: RegionId,
    pub listen: SocketAddr,
    pub advertise: String,
    pub data_dir: PathBuf,
    #[serde(default)]
    pub bootstrap: Vec<FounderConfig>,
    pub tls: TlsConfig,
    #[serde(default)]
    pub log: LogConfig,
    #[serde(default)]
    pub timing: TimingConfig,
    #[serde(default)]
    pub storage: StorageConfig,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FounderConfig {
    pub id: u64,
    pub address: String,
    pub region: RegionId,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub authorities: PathBuf,
    /// The pair that signs renewals. Both or none.
    pub issuing_certificate: Option<PathBuf>,
    pub issuing_key: Option<PathBuf>,
}

/// Milliseconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimingConfig {
    pub heartbeat: u64,
    pub election_min: u64,
    pub election_max: u64,
    pub agent_silence: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageConfig {
    /// Entries of the log between two snapshots.
    pub snapshot_every: u64,
    /// Snapshot files that are kept, the newest first.
    pub snapshots_kept: usize,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self { snapshot_every: SNAPSHOT_EVERY_DEFAULT, snapshots_kept: snapshot::KEPT }
    }
}

impl Default for TimingConfig {
    fn default() -> Self {
        // Heartbeat and election fit 150 ms round trips; an agent's permission ends 5 s after its last answered
        // ping, and clocks drift.
        Self { heartbeat: 300, election_min: 1000, election_max: 1500, agent_silence: 6_000 }
    }
}

impl Config {
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let config: Self = config::load(path)?;
        match config.broken_rule() {
            None => Ok(config),
            Some((key, reason)) => {
                let text = fs::read_to_string(path).unwrap_or_default();
                Err(config::refuse(path, &text, key, &reason))
            }
        }
    }

    /// The first rule that the types do not state and the file breaks: the key to point at, and the reason.
    fn broken_rule(&self) -> Option<(&'static str, String)> {
        let refuse = |key, reason: &str| Some((key, reason.to_owned()));
        let timing = &self.timing;
        if let Err(error) = RegionId::new(self.mesh.as_str()) {
            return refuse("mesh", error.rule);
        }
        if self.node_id == 0 {
            return refuse("node_id", "must be at least 1");
        }
        if !is_host_and_port(&self.advertise) {
            return refuse("advertise", "must be HOST:PORT that the others can dial, with a port above 0");
        }
        if self.bootstrap.len() > FOUNDERS_MAX {
            return Some(("id", format!("[[bootstrap]] lists more than {FOUNDERS_MAX} coordinators")));
        }
        if let Some(founder) = self.bootstrap.iter().find(|founder| !is_host_and_port(&founder.address)) {
            return Some(("address", format!("[[bootstrap]] {}: must be HOST:PORT", founder.id)));
        }
        if let Some(reason) = self.founders_problem() {
            return Some(("id", reason));
        }
        if self.tls.issuing_certificate.is_some() != self.tls.issuing_key.is_some() {
            let key = if self.tls.issuing_key.is_some() { "issuing_key" } else { "issuing_certificate" };
            return refuse(key, "issuing_certificate and issuing_key are given both or not at all");
        }
        if timing.heartbeat == 0 || timing.election_min < 2 * timing.heartbeat {
            return refuse("election_min", "must be at least twice the heartbeat, and the heartbeat above 0");
        }
        if timing.election_max <= timing.election_min {
            return refuse("election_max", "must be above election_min");
        }
        if Duration::from_millis(timing.agent_silence) <= PERMIT_FOR {
            return refuse(
                "agent_silence",
                "must be above 5000 ms: for so long a silent agent is still permitted to act",
            );
        }
        if !SNAPSHOT_EVERY.contains(&self.storage.snapshot_every) {
            let (least, most) = (SNAPSHOT_EVERY.start(), SNAPSHOT_EVERY.end());
            return Some(("snapshot_every", format!("must be {least} to {most} entries")));
        }
        if !SNAPSHOTS_KEPT.contains(&self.storage.snapshots_kept) {
            let (least, most) = (SNAPSHOTS_KEPT.start(), SNAPSHOTS_KEPT.end());
            return Some(("snapshots_kept", format!("must be {least} to {most}: one can be damaged")));
        }
        None
    }

    fn founders_problem(&self) -> Option<String> {
        let mut seen = std::collections::BTreeSet::new();
        if let Some(twice) = self.bootstrap.iter().find(|founder| !seen.insert(founder.id)) {
            return Some(format!("[[bootstrap]] lists id {} twice", twice.id));
        }
        if let Some(zero) = self.bootstrap.iter().find(|founder| founder.id == 0) {
            return Some(format!("[[bootstrap]] {}: an id must be at least 1", zero.address));
        }
        let own = self.bootstrap.iter().find(|founder| founder.id == self.node_id)?;
        if own.address != self.advertise {
            return Some(format!("[[bootstrap]] gives this node {}, advertise says {}", own.address, self.advertise));
        }
        (own.region != self.region)
            .then(|| format!("[[bootstrap]] puts this node into {}, region says {}", own.region, self.region))
    }

    pub fn tls_files(&self) -> TlsFiles {
        TlsFiles {
            certificate: self.tls.certificate.clone(),
            key: self.tls.key.clone(),
            authorities: self.tls.authorities.clone(),
        }
    }

    pub fn consensus(&self) -> ConsensusConfig {
        let founder = |founder: &FounderConfig| Founder {
            id: founder.id,
            address: founder.address.clone(),
            region: founder.region.to_string(),
        };
        ConsensusConfig {
            mesh: self.mesh.clone(),
            node_id: self.node_id,
            region: self.region.to_string(),
            advertise: self.advertise.clone(),
            data_dir: self.data_dir.clone(),
            bootstrap: self.bootstrap.iter().map(founder).collect(),
            heartbeat: Duration::from_millis(self.timing.heartbeat),
            election_min: Duration::from_millis(self.timing.election_min),
            election_max: Duration::from_millis(self.timing.election_max),
            snapshot_every: self.storage.snapshot_every,
            store: StoreOptions { snapshots_kept: self.storage.snapshots_kept, ..StoreOptions::default() },
        }
    }
}

fn is_host_and_port(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"mesh = "demo"
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
certificate = "coordinator.pem"
key = "coordinator.key"
authorities = "ca.pem"
[timing]
heartbeat = 300
"#;

    fn load(text: &str) -> Result<Config, String> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("coordinator.toml");
        fs::write(&path, text).expect("written");
        Config::load(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn a_good_file_is_taken_with_defaults() {
        let config = load(GOOD).expect("a configuration");
        assert_eq!(config.timing.election_min, 1000);
        assert_eq!(config.consensus().bootstrap.len(), 1);
    }

    #[test]
    fn a_broken_rule_is_reported_at_its_line() {
        for (good, bad, at, word) in [
            ("node_id = 1", "node_id = 0", ":2:", "at least 1"),
            ("node_id = 1", "node_idd = 1", ":2:", "unknown field"),
            ("us-east-1\"\nlisten", "US\"\nlisten", ":3:", "a-z"),
            ("127.0.0.1:7001\"\nadvertise", "nowhere\"\nadvertise", ":4:", "socket address"),
            ("advertise = \"127.0.0.1:7001\"", "advertise = \"127.0.0.1:0\"", ":5:", "HOST:PORT"),
            ("heartbeat = 300", "heartbeat = 600", ":1:1", "twice the heartbeat"),
            ("heartbeat = 300", "agent_silence = 5000", ":16:", "above 5000"),
            ("[timing]\n", "[storage]\nsnapshot_every = 5\n[timing]\n", ":16:", "100 to"),
            ("[timing]\n", "[storage]\nsnapshots_kept = 1\n[timing]\n", ":16:", "2 to"),
            ("key = \"coordinator.key\"", "key = \"c\"\nissuing_key = \"i\"", ":14:", "both or not at all"),
        ] {
            let error = load(&GOOD.replace(good, bad)).expect_err(bad);
            assert!(error.contains("coordinator.toml") && error.contains(at) && error.contains(word), "{error}");
        }
    }

    #[test]
    fn a_bootstrap_list_that_contradicts_the_node_is_refused() {
        let error = load(&GOOD.replace("address = \"127.0.0.1:7001\"", "address = \"127.0.0.1:7002\""));
        assert!(error.expect_err("refused").contains("advertise says"));
    }
}
