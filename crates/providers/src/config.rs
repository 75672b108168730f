//! What the providers are told about the world they look at.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use mesh_core::ids::RegionId;
use serde::Deserialize;

use crate::hook::HookConfig;
use crate::postgres::PostgresConfig;

/// One AWS call, connection included. RDS and Route 53 answer within one or two seconds when they are well.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// RDS publishes ReplicaLag once a minute.
pub const CLOUDWATCH_PERIOD_S: u32 = 60;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvidersConfig {
    /// Region of this process: RDS, CloudWatch and SNS are asked there and nowhere else.
    pub region: RegionId,
    #[serde(default)]
    pub aws: AwsConfig,
    /// For probes and verification; empty: the system's.
    #[serde(default)]
    pub nameservers: Vec<SocketAddr>,
    /// Asked for a zone's token when a change id was lost; empty: the zone's own, by GetHostedZone.
    #[serde(default)]
    pub route53_nameservers: Vec<SocketAddr>,
    /// Where the files lie that manifests name: passwords, tokens, authorities.
    #[serde(default)]
    pub credentials_dir: Option<PathBuf>,
    #[serde(default)]
    pub postgresql: PostgresConfig,
    /// By name.
    #[serde(default)]
    pub hooks: BTreeMap<String, HookConfig>,
}

/// The agent's `[aws]` table. Without it the standard AWS environment applies.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AwsConfig {
    /// One endpoint for all services: the double, moto.
    pub endpoint_url: Option<String>,
    /// Both or none.
    pub access_key_id: Option<String>,
    pub secret_access_key: Option<String>,
    /// Bound on one call; set from `[timing]`.
    #[serde(skip)]
    pub call_timeout: Duration,
    /// Period of the ReplicaLag statistics that are asked for.
    pub cloudwatch_period_s: u32,
}

impl Default for AwsConfig {
    fn default() -> Self {
        Self {
            endpoint_url: None,
            access_key_id: None,
            secret_access_key: None,
            call_timeout: CALL_TIMEOUT,
            cloudwatch_period_s: CLOUDWATCH_PERIOD_S,
        }
    }
}

impl fmt::Debug for AwsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsConfig")
            .field("endpoint_url", &self.endpoint_url)
            .field("access_key_id", &self.access_key_id)
            .field("secret_access_key", &self.secret_access_key.as_ref().map(|_| "(hidden)"))
            .field("call_timeout", &self.call_timeout)
            .field("cloudwatch_period_s", &self.cloudwatch_period_s)
            .finish()
    }
}

/// The providers could not be set up: the configuration has to change.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("[aws] names only one of access_key_id and secret_access_key: give both, or none for the standard chain")]
    HalfCredentials,
    #[error("[aws] cloudwatch_period_s is {0}: it must be 1, 5, 10, 20, 30 or a multiple of 60, up to 3600")]
    Period(u32),
}

impl AwsConfig {
    pub(crate) fn check(&self) -> Result<(), SetupError> {
        if self.access_key_id.is_some() != self.secret_access_key.is_some() {
            return Err(SetupError::HalfCredentials);
        }
        match self.cloudwatch_period_s {
            1 | 5 | 10 | 20 | 30 => Ok(()),
            period if period > 0 && period % 60 == 0 && period <= 3600 => Ok(()),
            period => Err(SetupError::Period(period)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_half_of_a_credential_is_refused() {
        let half = AwsConfig { access_key_id: Some("AKIA".to_owned()), ..AwsConfig::default() };
        assert!(matches!(half.check(), Err(SetupError::HalfCredentials)));
        assert!(AwsConfig::default().check().is_ok());
    }

    #[test]
    fn a_secret_is_never_shown() {
        let config = AwsConfig { secret_access_key: Some("hunter2".to_owned()), ..AwsConfig::default() };
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn only_periods_that_cloudwatch_knows_are_accepted() {
        for (period, accepted) in [(0, false), (1, true), (7, false), (60, true), (90, false), (120, true)] {
            let config = AwsConfig { cloudwatch_period_s: period, ..AwsConfig::default() };
            assert_eq!(config.check().is_ok(), accepted, "period {period}");
        }
    }
}
