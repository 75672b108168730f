//! AWS Signature Version 4, checked from the request as it was received.

use http::{HeaderMap, Method};

use super::{clock, digest, query};
use crate::error::ApiError;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What the Authorization header claims; believed only after [`Signature::verify`].
#[derive(Clone, Debug)]
pub struct Signature {
    pub access_key: String,
    pub date: String,
    pub region: String,
    pub service: String,
    pub signed_headers: Vec<String>,
    pub signature: String,
    pub timestamp: String,
    pub signed_at_ms: u64,
}

pub struct Received<'a> {
    pub method: &'a Method,
    pub path: &'a str,
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
}

impl Signature {
    pub fn parse(headers: &HeaderMap) -> Result<Self, ApiError> {
        let authorization = header(headers, "authorization").ok_or_else(|| {
            ApiError::new(403, "MissingAuthenticationToken", "Request is missing Authentication Token")
        })?;
        let incomplete = |what: &str| {
            ApiError::new(
                400,
                "IncompleteSignature",
                format!("Authorization header requires '{what}'. Authorization={authorization}"),
            )
        };
        let fields = authorization.strip_prefix(ALGORITHM).ok_or_else(|| incomplete(ALGORITHM))?;
        let field = |name: &str| {
            fields
                .split(',')
                .find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
                .map(str::to_owned)
                .ok_or_else(|| incomplete(name))
        };
        let credential = field("Credential")?;
        let scope: Vec<&str> = credential.split('/').collect();
        let [access_key, date, region, service, "aws4_request"] = scope.as_slice() else {
            return Err(incomplete("Credential"));
        };
        let timestamp = header(headers, "x-amz-date").ok_or_else(|| incomplete("X-Amz-Date"))?;
        let signed_at_ms = clock::parse_basic(&timestamp).ok_or_else(|| incomplete("X-Amz-Date"))?;
        Ok(Self {
            access_key: (*access_key).to_owned(),
            date: (*date).to_owned(),
            region: (*region).to_owned(),
            service: (*service).to_owned(),
            signed_headers: field("SignedHeaders")?.split(';').map(str::to_owned).collect(),
            signature: field("Signature")?,
            timestamp,
            signed_at_ms,
        })
    }

    /// A request is good for this long on either side of its date; a late one is refused, however it came to be late.
    pub fn check_lifetime(&self, now_ms: u64, lifetime_ms: u64) -> Result<(), ApiError> {
        let refuse = |what: &str| {
            let (now, signed) = (clock::iso(now_ms), &self.timestamp);
            Err(ApiError::new(403, "SignatureDoesNotMatch", format!("Signature {what}: {signed} against {now}")))
        };
        if self.signed_at_ms.saturating_add(lifetime_ms) < now_ms {
            return refuse("expired");
        }
        if now_ms.saturating_add(lifetime_ms) < self.signed_at_ms {
            return refuse("not yet current");
        }
        Ok(())
    }

    pub fn verify(&self, secret: &str, received: &Received<'_>) -> Result<(), ApiError> {
        if !["host", "x-amz-date"].iter().all(|name| self.signed_headers.iter().any(|signed| signed == name)) {
            return Err(mismatch("'Host' and 'X-Amz-Date' must be signed headers."));
        }
        self.verify_presigned(secret, received)
    }

    /// Of a URL, whose query carries the date; `received` is without the signature itself.
    pub fn verify_presigned(&self, secret: &str, received: &Received<'_>) -> Result<(), ApiError> {
        if !self.signed_headers.iter().any(|signed| signed == "host") {
            return Err(mismatch("'Host' must be a signed header."));
        }
        if !self.timestamp.starts_with(&self.date) {
            return Err(mismatch(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP",
            ));
        }
        if self.expected(secret, received) != self.signature {
            return Err(mismatch(
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method.",
            ));
        }
        Ok(())
    }

    fn expected(&self, secret: &str, received: &Received<'_>) -> String {
        let canonical = [
            received.method.as_str().to_owned(),
            query::encode(received.path, true),
            canonical_query(received.query),
            self.canonical_headers(received.headers),
            self.signed_headers.join(";"),
            digest::hex(&digest::sha256(received.body)),
        ]
        .join("\n");
        let scope = format!("{}/{}/{}/aws4_request", self.date, self.region, self.service);
        let digest_of = digest::hex(&digest::sha256(canonical.as_bytes()));
        let to_sign = format!("{ALGORITHM}\n{}\n{scope}\n{digest_of}", self.timestamp);
        let key = [&self.date, &self.region, &self.service, "aws4_request"]
            .iter()
            .fold(format!("AWS4{secret}").into_bytes(), |key, part| digest::hmac(&key, part.as_bytes()).to_vec());
        digest::hex(&digest::hmac(&key, to_sign.as_bytes()))
    }

    fn canonical_headers(&self, headers: &HeaderMap) -> String {
        self.signed_headers.iter().fold(String::new(), |mut text, name| {
            let values: Vec<String> = headers.get_all(name).iter().map(|value| squeeze(value.as_bytes())).collect();
            text.push_str(&format!("{name}:{}\n", values.join(",")));
            text
        })
    }
}

fn mismatch(why: &str) -> ApiError {
    ApiError::new(403, "SignatureDoesNotMatch", why)
}

fn canonical_query(text: &str) -> String {
    let mut pairs: Vec<(String, String)> = query::pairs(text)
        .into_iter()
        .map(|(key, value)| (query::encode(&key, false), query::encode(&value, false)))
        .collect();
    pairs.sort();
    pairs.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("&")
}

fn squeeze(value: &[u8]) -> String {
    String::from_utf8_lossy(value).split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    /// The `get-vanilla` case of AWS's published SigV4 test suite.
    fn vanilla() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("host", "example.amazonaws.com".parse().expect("a header"));
        headers.insert("x-amz-date", "20150830T123600Z".parse().expect("a header"));
        let authorization = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
        headers.insert("authorization", authorization.parse().expect("a header"));
        headers
    }

    #[test]
    fn the_published_example_verifies_and_any_change_does_not() {
        let headers = vanilla();
        let signature = Signature::parse(&headers).expect("complete");
        let received = |path, body| Received { method: &Method::GET, path, query: "", headers: &headers, body };
        signature.verify(SECRET, &received("/", b"")).expect("the published signature");
        for (secret, path, body) in [("other", "/", &b""[..]), (SECRET, "/x", b""), (SECRET, "/", b"x")] {
            let error = signature.verify(secret, &received(path, body)).expect_err("changed");
            assert_eq!(error.code, "SignatureDoesNotMatch");
        }
    }

    #[test]
    fn a_signature_expires() {
        let signature = Signature::parse(&vanilla()).expect("complete");
        let at = signature.signed_at_ms;
        assert!(signature.check_lifetime(at + 300_000, 300_000).is_ok());
        assert!(signature.check_lifetime(at + 300_001, 300_000).is_err());
        assert!(signature.check_lifetime(at - 300_001, 300_000).is_err());
    }

    #[test]
    fn no_signature_is_a_missing_token() {
        assert_eq!(Signature::parse(&HeaderMap::new()).expect_err("unsigned").code, "MissingAuthenticationToken");
    }
}
