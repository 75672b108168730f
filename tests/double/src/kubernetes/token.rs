//! EKS's bearer tokens: `k8s-aws-v1.` and a presigned STS GetCallerIdentity URL that names the cluster in a signed header.
//! What is checked here is what aws-iam-authenticator checks before it sends the URL, and what STS then does.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::access::Identity;
use crate::eks::ClusterKey;
use crate::wire::sigv4::{Received, Signature};
use crate::wire::{clock, query};
use crate::world::World;

pub const CLUSTER_HEADER: &str = "x-k8s-aws-id";
const PREFIX: &str = "k8s-aws-v1.";
const BYTES_MAX: usize = 4096;
const EXPIRES_SECONDS_MAX: u64 = 900;
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const KNOWN: [&str; 9] = [
    "Action",
    "Version",
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
    "x-id",
];

/// A token as it claims to be; believed only after [`Token::verify`].
#[derive(Clone, Debug)]
pub struct Token {
    host: String,
    query: String,
    signature: Signature,
}

impl Token {
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > BYTES_MAX {
            return Err("the token is too long".to_owned());
        }
        let encoded = text.strip_prefix(PREFIX).ok_or_else(|| format!("the token does not begin with {PREFIX}"))?;
        let url = URL_SAFE_NO_PAD.decode(encoded).map_err(|error| format!("the token is not base64url: {error}"))?;
        let url = String::from_utf8(url).map_err(|_| "the token's URL is not text".to_owned())?;
        let rest = url.strip_prefix("https://").ok_or("the URL's scheme is not https")?;
        let (address, query_text) = rest.split_once('?').ok_or("the URL has no query")?;
        let (host, path) = address.split_once('/').unwrap_or((address, ""));
        if !path.is_empty() {
            return Err(format!("unexpected path /{path}"));
        }
        let value = |name: &str| find(query_text, name);
        if let Some((name, _)) = query::pairs(query_text).iter().find(|(name, _)| !KNOWN.contains(&name.as_str())) {
            return Err(format!("unexpected parameter {name}"));
        }
        if value("Action").as_deref() != Some("GetCallerIdentity") || value("Version").is_none() {
            return Err("the URL asks no GetCallerIdentity".to_owned());
        }
        let expires: u64 = value("X-Amz-Expires").and_then(|text| text.parse().ok()).ok_or("no X-Amz-Expires")?;
        if expires == 0 || expires > EXPIRES_SECONDS_MAX {
            return Err(format!("X-Amz-Expires={expires} is not from 1 to {EXPIRES_SECONDS_MAX}"));
        }
        let signature = signature(query_text)?;
        if !signature.signed_headers.iter().any(|name| name == CLUSTER_HEADER) {
            return Err(format!("{CLUSTER_HEADER} is not a signed header"));
        }
        let global = host == "sts.amazonaws.com" && signature.region == "us-east-1";
        if !global && host != format!("sts.{}.amazonaws.com", signature.region) {
            return Err(format!("unexpected hostname {host} for the region {}", signature.region));
        }
        Ok(Self { host: host.to_owned(), query: query_text.to_owned(), signature })
    }

    pub fn access_key(&self) -> &str {
        &self.signature.access_key
    }

    /// As STS of the token's region does for the cluster's authenticator, which must reach it.
    pub fn verify(&self, world: &World, cluster: &ClusterKey) -> Result<Identity, String> {
        let lifetime = world.settings.kubernetes_token_ms;
        self.signature.check_lifetime(world.now_ms, lifetime).map_err(|error| error.message)?;
        if !world.reaches(Some(&cluster.region), &self.signature.region) {
            return Err(format!("STS in {} cannot be reached", self.signature.region));
        }
        let key = world.access_keys.get(&self.signature.access_key).ok_or("the access key is unknown")?;
        let mut headers = HeaderMap::new();
        let value = |text: &str| HeaderValue::from_str(text).map_err(|_| "not a header's value".to_owned());
        headers.insert("host", value(&self.host)?);
        headers.insert(HeaderName::from_static(CLUSTER_HEADER), value(&cluster.name)?);
        let signed: Vec<&str> = self.query.split('&').filter(|part| !part.starts_with("X-Amz-Signature=")).collect();
        let query_text = signed.join("&");
        let received = Received { method: &Method::GET, path: "/", query: &query_text, headers: &headers, body: b"" };
        self.signature.verify_presigned(&key.secret, &received).map_err(|error| error.message)?;
        let arn = format!("arn:aws:iam::{}:user/{}", world.account, key.name);
        Ok(Identity::User { name: key.name.clone(), arn })
    }
}

fn find(query_text: &str, name: &str) -> Option<String> {
    query::pairs(query_text).into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

fn signature(query_text: &str) -> Result<Signature, String> {
    let need = |name: &str| find(query_text, name).ok_or_else(|| format!("the URL has no {name}"));
    if need("X-Amz-Algorithm")? != ALGORITHM {
        return Err(format!("the algorithm is not {ALGORITHM}"));
    }
    let credential = need("X-Amz-Credential")?;
    let scope: Vec<&str> = credential.split('/').collect();
    let [access_key, date, region, "sts", "aws4_request"] = scope.as_slice() else {
        return Err("the credential's scope is not that of STS".to_owned());
    };
    let timestamp = need("X-Amz-Date")?;
    let signed_at_ms = clock::parse_basic(&timestamp).ok_or("X-Amz-Date is no time")?;
    Ok(Signature {
        access_key: (*access_key).to_owned(),
        date: (*date).to_owned(),
        region: (*region).to_owned(),
        service: "sts".to_owned(),
        signed_headers: need("X-Amz-SignedHeaders")?.split(';').map(str::to_owned).collect(),
        signature: need("X-Amz-Signature")?,
        timestamp,
        signed_at_ms,
    })
}
