//! The agent's configuration file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mesh_core::ids::{AgentId, RegionId};
use mesh_providers::hook::{self, HookConfig};
use mesh_providers::{AwsConfig, PostgresConfig, ProvidersConfig};
use mesh_runtime::client::COORDINATORS_MAX;
use mesh_runtime::config::{self, ConfigError};
use mesh_runtime::telemetry::LogConfig;
use mesh_runtime::tls::TlsFiles;
use serde::Deserialize;

/// Bounds on `[timing] call_timeout`: below, healthy calls would become unknown; above, a fence waits for a dead region.
const CALL_TIMEOUT_MS: std::ops::RangeInclusive<u64> = 100..=60_000;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    pub mesh: String,
    pub agent: AgentId,
    pub region: RegionId,
    /// `host:port` of each.
    pub coordinators: Vec<String>,
    pub data_dir: PathBuf,
    pub tls: TlsFiles,
    #[serde(default)]
    pub aws: AwsConfig,
    #[serde(default)]
    pub dns: DnsConfig,
    /// Where the files lie that manifests name: passwords, tokens, authorities.
    #[serde(default)]
    pub credentials_dir: Option<PathBuf>,
    #[serde(default)]
    pub postgresql: PostgresConfig,
    #[serde(default)]
    pub log: LogConfig,
    #[serde(default)]
    pub timing: TimingConfig,
    #[serde(default)]
    pub lease: LeaseConfig,
    /// Commands of the operator's own that manifests may name.
    #[serde(default)]
    pub hooks: BTreeMap<String, HookConfig>,
}

/// What this agent serves of leases; nothing where an address is absent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LeaseConfig {
    /// The lease endpoint: HTTP, for proxies and load balancers of this region.
    pub listen: Option<SocketAddr>,
    /// Promises to agents of other regions: gRPC with mutual TLS.
    pub promise_listen: Option<SocketAddr>,
    /// `host:port` at which they reach it, if not as it listens.
    pub promise_advertise: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DnsConfig {
    pub nameservers: Vec<SocketAddr>,
    pub route53_nameservers: Vec<SocketAddr>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimingConfig {
    /// One AWS call, in milliseconds.
    pub call_timeout: u64,
}

impl Default for TimingConfig {
    fn default() -> Self {
        Self { call_timeout: 5000 }
    }
}

impl AgentConfig {
    /// Reads and checks the file. Every error names file, line, column and reason.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let read = |source| ConfigError::Read { path: path.to_owned(), source };
        let parsed: Self = config::load(path)?;
        let text = std::fs::read_to_string(path).map_err(read)?;
        match parsed.fault() {
            Some((key, reason)) => Err(config::refuse(path, &text, key, &reason)),
            None => Ok(parsed),
        }
    }

    pub const fn call_timeout(&self) -> Duration {
        Duration::from_millis(self.timing.call_timeout)
    }

    pub fn providers(&self) -> ProvidersConfig {
        ProvidersConfig {
            region: self.region.clone(),
            aws: AwsConfig { call_timeout: self.call_timeout(), ..self.aws.clone() },
            nameservers: self.dns.nameservers.clone(),
            route53_nameservers: self.dns.route53_nameservers.clone(),
            credentials_dir: self.credentials_dir.clone(),
            postgresql: self.postgresql.clone(),
            hooks: self.hooks.clone(),
        }
    }

    /// The key that breaks a rule which its type cannot state.
    fn fault(&self) -> Option<(&'static str, String)> {
        if self.coordinators.is_empty() || self.coordinators.len() > COORDINATORS_MAX {
            return Some(("coordinators", format!("must name 1 to {COORDINATORS_MAX} coordinators")));
        }
        let has_port = |address: &&String| {
            address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        if let Some(wrong) = self.coordinators.iter().find(|address| !has_port(address)) {
            return Some(("coordinators", format!("{wrong:?} must be host:port")));
        }
        if !CALL_TIMEOUT_MS.contains(&self.timing.call_timeout) {
            let (least, most) = CALL_TIMEOUT_MS.into_inner();
            return Some(("call_timeout", format!("must be {least} to {most} milliseconds")));
        }
        if let Some(reason) = hook::fault(&self.hooks) {
            return Some(("hooks", reason));
        }
        if self.aws.access_key_id.is_some() != self.aws.secret_access_key.is_some() {
            let key = if self.aws.access_key_id.is_some() { "access_key_id" } else { "secret_access_key" };
            return Some((key, "access_key_id and secret_access_key are given together or not at all".to_owned()));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"mesh = "demo"
agent = "use1-a"
region = "us-east-1"
coordinators = ["127.0.0.1:7001"]
data_dir = "/nowhere"
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
[log]
level = "info"
[timing]
call_timeout = 5000
"#;

    fn load(text: &str) -> Result<AgentConfig, String> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("writable");
        AgentConfig::load(file.path())
            .map_err(|error| error.to_string().replace(&file.path().display().to_string(), "agent.toml"))
    }

    #[test]
    fn the_documented_file_is_accepted() {
        let config = load(GOOD).expect("as documented");
        assert_eq!(config.call_timeout(), Duration::from_secs(5));
        assert_eq!(config.providers().nameservers.len(), 1);
    }

    #[test]
    fn an_error_names_file_line_and_column() {
        for (from, to, place) in [
            ("region = \"us-east-1\"", "region = \"US\"", "agent.toml:3:"),
            ("data_dir", "datadir", "agent.toml:5:1"),
            ("\"127.0.0.1:7001\"", "\"127.0.0.1\"", "agent.toml:4:1"),
            ("[\"127.0.0.1:7001\"]", "[]", "agent.toml:4:1"),
            ("call_timeout = 5000", "call_timeout = 5", "agent.toml:19:1"),
            ("secret_access_key = \"s\"\n", "", "agent.toml:12:1"),
        ] {
            let error = load(&GOOD.replace(from, to)).expect_err(to);
            assert!(error.starts_with(place), "{to}: {error}");
        }
    }
}
