//! The configuration that every SDK client is made from.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use mesh_core::ids::RegionId;

use crate::config::AwsConfig;

/// Longest wait for a connection: the farthest regions are 0.3 s apart, and TLS asks for three round trips.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// The same, and for the whole call, where the other region may be the dead one: nothing waits long for it.
const ELSEWHERE_CONNECT_MAX: Duration = Duration::from_secs(1);
const ELSEWHERE_CALL_MAX: Duration = Duration::from_secs(3);

/// Retries are off for everything: a repeated mutating call is the executor's decision, after it has looked; and a
/// failed look is repeated by the same loop, with its own backoff.
pub(crate) async fn load(region: &RegionId, aws: &AwsConfig) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout((aws.call_timeout / 2).min(CONNECT_MAX))
        .operation_attempt_timeout(aws.call_timeout)
        .operation_timeout(aws.call_timeout)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(region.to_string()))
        .http_client(super::http::client())
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts);
    if let Some(endpoint) = &aws.endpoint_url {
        loader = loader.endpoint_url(endpoint);
    }
    if let (Some(id), Some(secret)) = (&aws.access_key_id, &aws.secret_access_key) {
        loader = loader.credentials_provider(given_credentials(id, secret));
    }
    loader.load().await
}

fn given_credentials(id: &str, secret: &str) -> aws_credential_types::Credentials {
    aws_credential_types::Credentials::new(id, secret, None, None, "mesh-agent configuration")
}

/// For a call to another region than this agent's own.
pub(super) fn timeouts_elsewhere(call_timeout: Duration) -> TimeoutConfig {
    let call_timeout = call_timeout.min(ELSEWHERE_CALL_MAX);
    TimeoutConfig::builder()
        .connect_timeout((call_timeout / 2).min(ELSEWHERE_CONNECT_MAX))
        .operation_attempt_timeout(call_timeout)
        .operation_timeout(call_timeout)
        .build()
}

/// The same for another region, which may be the dead one.
pub(crate) fn elsewhere(config: &SdkConfig, region: &RegionId, call_timeout: Duration) -> SdkConfig {
    let builder = config.to_builder().region(Region::new(region.to_string()));
    builder.timeout_config(timeouts_elsewhere(call_timeout)).build()
}

/// Route 53 has one endpoint for each partition; requests to it are signed for that endpoint's region.
pub(crate) fn route53_region(region: &RegionId) -> Region {
    Region::from_static(match region.as_str() {
        name if name.starts_with("cn-") => "cn-northwest-1",
        name if name.starts_with("us-gov-") => "us-gov-west-1",
        _ => "us-east-1",
    })
}
