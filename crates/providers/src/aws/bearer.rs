//! The token by which EKS knows an IAM principal: a presigned GetCallerIdentity, which the cluster itself sends to STS.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mesh_core::ids::RegionId;
use tokio::sync::Mutex;

use super::error::ReadError;

/// Names the cluster, so that a token for one is no token for another.
const CLUSTER_HEADER: &str = "x-k8s-aws-id";
const PREFIX: &str = "k8s-aws-v1.";
const VALID_FOR: Duration = Duration::from_secs(60);
/// Credentials are asked for again this long after the last time, and this long before they end.
const CREDENTIALS_KEPT: Duration = Duration::from_secs(300);

#[derive(Clone)]
pub(crate) struct Bearer {
    region: RegionId,
    provider: Option<SharedCredentialsProvider>,
    kept: Arc<Mutex<Option<(SystemTime, Credentials)>>>,
}

impl Bearer {
    pub(crate) fn new(config: &SdkConfig, region: &RegionId) -> Self {
        Self { region: region.clone(), provider: config.credentials_provider(), kept: Arc::default() }
    }

    /// Good for one minute, on this cluster.
    pub(crate) async fn token(&self, cluster: &str, now: SystemTime) -> Result<String, ReadError> {
        let credentials = self.credentials(now).await?;
        presigned(&credentials, &self.region, cluster, now)
            .map(|url| format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(url)))
            .map_err(|reason| ReadError::Unreadable(format!("the token for {cluster} could not be made: {reason}")))
    }

    async fn credentials(&self, now: SystemTime) -> Result<Credentials, ReadError> {
        let mut kept = self.kept.lock().await;
        if let Some((since, credentials)) = kept.as_ref()
            && now.duration_since(*since).is_ok_and(|age| age < CREDENTIALS_KEPT)
            && credentials.expiry().is_none_or(|end| end > now + CREDENTIALS_KEPT)
        {
            return Ok(credentials.clone());
        }
        let unreadable = |reason: String| ReadError::Unreadable(format!("AWS credentials: {reason}"));
        let provider = self.provider.as_ref().ok_or_else(|| unreadable("no provider is configured".to_owned()))?;
        let credentials =
            provider.provide_credentials().await.map_err(|error| unreadable(crate::probe::chain(&error)))?;
        *kept = Some((now, credentials.clone()));
        Ok(credentials)
    }
}

fn presigned(credentials: &Credentials, region: &RegionId, cluster: &str, now: SystemTime) -> Result<String, String> {
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(VALID_FOR);
    let identity = credentials.clone().into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region.as_str())
        .name("sts")
        .time(now)
        .settings(settings)
        .build()
        .map_err(|error| error.to_string())?
        .into();
    let url = format!("https://{}/?Action=GetCallerIdentity&Version=2011-06-15", host(region));
    let headers = [(CLUSTER_HEADER, cluster)];
    let request = SignableRequest::new("GET", &url, headers.into_iter(), SignableBody::Bytes(&[]));
    let signed = sign(request.map_err(|error| error.to_string())?, &params).map_err(|error| error.to_string())?;
    let mut request = http::Request::get(&url).body(()).map_err(|error| error.to_string())?;
    signed.into_parts().0.apply_to_request_http1x(&mut request);
    Ok(request.uri().to_string())
}

/// A cluster takes tokens of its own partition's STS alone.
fn host(region: &RegionId) -> String {
    let domain = if region.as_str().starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("sts.{region}.{domain}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token_url(session: Option<&str>) -> String {
        let credentials = Credentials::new("AKIDTEST", "secret", session.map(str::to_owned), None, "test");
        let region = RegionId::new("us-west-2").expect("a region");
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        presigned(&credentials, &region, "maip-prod-dr-eks-cluster", now).expect("it can be signed")
    }

    #[test]
    fn the_token_is_a_minute_of_get_caller_identity_for_one_cluster() {
        let url = token_url(None);
        assert!(url.starts_with("https://sts.us-west-2.amazonaws.com/?Action=GetCallerIdentity&"), "{url}");
        for part in [
            "Version=2011-06-15",
            "X-Amz-Expires=60",
            "X-Amz-Date=20231114T221320Z",
            "X-Amz-SignedHeaders=host%3Bx-k8s-aws-id",
            "X-Amz-Credential=AKIDTEST%2F20231114%2Fus-west-2%2Fsts%2Faws4_request",
            "X-Amz-Signature=",
        ] {
            assert!(url.contains(part), "{part} in {url}");
        }
    }

    #[test]
    fn a_sessions_token_goes_with_it() {
        assert!(token_url(Some("session")).contains("X-Amz-Security-Token=session"));
    }

    #[test]
    fn china_has_its_own_sts() {
        let region = RegionId::new("cn-north-1").expect("a region");
        assert_eq!(host(&region), "sts.cn-north-1.amazonaws.com.cn");
    }
}
