//! The Kubernetes API of EKS clusters. What leaves this file is plain values; `kube` is named here and beside it in
//! [`super::failure`] alone.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::AsyncReadExt;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use kube::api::ListParams;
use kube::core::{ObjectList, Request};
use kube::{Client, Config, Resource};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::de::DeserializeOwned;

use super::failure::Failure;
use crate::aws::bearer::Bearer;
use crate::aws::eks::{Eks, Endpoint};
use crate::aws::error::ReadError;

/// Clusters whose connection is kept.
const CLUSTERS_MAX: usize = 16;
/// A cluster's endpoint hardly ever changes; after this long EKS is asked again.
const ENDPOINT_KEPT: Duration = Duration::from_secs(60);
const CONNECT_MAX: Duration = Duration::from_secs(2);
const PAGE: u32 = 100;
const PAGES_MAX: usize = 5;
/// A page of a hundred objects with managed fields stays well below this.
const ANSWER_BYTES_MAX: u64 = 8 << 20;

pub(crate) struct Api {
    eks: Eks,
    bearer: Bearer,
    call_timeout: Duration,
    kept: Mutex<BTreeMap<String, Kept>>,
}

#[derive(Clone)]
struct Kept {
    client: Client,
    endpoint: Endpoint,
    since: Instant,
}

impl Api {
    pub(crate) fn new(eks: Eks, bearer: Bearer, call_timeout: Duration) -> Self {
        Self { eks, bearer, call_timeout, kept: Mutex::default() }
    }

    /// All objects of a kind in a namespace; no more pages than [`PAGES_MAX`].
    pub(super) async fn list<K>(&self, cluster: &str, namespace: &str, fields: &str) -> Result<Vec<K>, ReadError>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned,
    {
        let what = format!("kubernetes: list {} of {cluster}/{namespace}", K::plural(&()));
        let request = Request::new(K::url_path(&(), Some(namespace)));
        let mut found = Vec::new();
        let mut params = ListParams::default().limit(PAGE);
        if !fields.is_empty() {
            params = params.fields(fields);
        }
        for _ in 0..PAGES_MAX {
            let built = request.list(&params).map_err(|error| ReadError::Unreadable(format!("{what}: {error}")))?;
            let answer = self.send(cluster, built).await?.map_err(|failure| failure.read_error(&what))?;
            let page: ObjectList<K> =
                serde_json::from_slice(&answer).map_err(|error| ReadError::Unreadable(format!("{what}: {error}")))?;
            found.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(found),
            }
        }
        Err(ReadError::Unreadable(format!("{what}: more than {}", found.len())))
    }

    /// Outer error: it could not be tried. Inner error: it was.
    pub(super) async fn send(
        &self,
        cluster: &str,
        mut request: http::Request<Vec<u8>>,
    ) -> Result<Result<Vec<u8>, Failure>, ReadError> {
        let client = self.client(cluster).await?;
        let token = self.bearer.token(cluster, SystemTime::now()).await?;
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|error| ReadError::Unreadable(format!("the token for {cluster}: {error}")))?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
        if !crate::permit::holds() {
            return Ok(Err(Failure::NeverSent(crate::permit::PermissionEnded.to_string())));
        }
        let exchange = tokio::time::timeout(self.call_timeout, exchange(&client, request));
        let answer =
            exchange.await.unwrap_or_else(|_| Err(Failure::Lost(format!("no answer within {:?}", self.call_timeout))));
        if matches!(answer, Err(Failure::NeverSent(_))) {
            // The endpoint may be another by now.
            self.kept().remove(cluster);
        }
        Ok(answer)
    }

    async fn client(&self, cluster: &str) -> Result<Client, ReadError> {
        let known = self.kept().get(cluster).cloned();
        if let Some(kept) = known.as_ref().filter(|kept| kept.since.elapsed() < ENDPOINT_KEPT) {
            return Ok(kept.client.clone());
        }
        let endpoint = match (self.eks.endpoint(cluster).await, &known) {
            (Ok(endpoint), _) => endpoint,
            // EKS being down does not make its clusters unreachable.
            (Err(ReadError::Unreadable(_)), Some(kept)) => return Ok(kept.client.clone()),
            (Err(error), _) => return Err(error),
        };
        let client = match known.filter(|kept| kept.endpoint == endpoint) {
            Some(kept) => kept.client,
            None => self.connect(cluster, &endpoint)?,
        };
        let mut kept = self.kept();
        if kept.len() >= CLUSTERS_MAX && !kept.contains_key(cluster) {
            kept.clear();
        }
        kept.insert(cluster.to_owned(), Kept { client: client.clone(), endpoint, since: Instant::now() });
        Ok(client)
    }

    fn connect(&self, cluster: &str, endpoint: &Endpoint) -> Result<Client, ReadError> {
        let unreadable = |what: &str, error: &dyn std::error::Error| {
            ReadError::Unreadable(format!("{cluster}: {what}: {}", crate::probe::chain(error)))
        };
        let url = endpoint.url.parse().map_err(|error| unreadable("its endpoint", &error))?;
        let mut config = Config::new(url);
        config.root_cert = Some(authority(&endpoint.authority).map_err(|error| unreadable("its authority", &error))?);
        config.connect_timeout = Some((self.call_timeout / 2).min(CONNECT_MAX));
        // A repeated call is the executor's decision, after it has looked.
        config.default_retry = false;
        Client::try_from(config).map_err(|error| unreadable("no client can be made", &error))
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, thiserror::Error)]
enum AuthorityError {
    #[error("it is no base64")]
    Base64(#[from] base64::DecodeError),
    #[error("it is no PEM")]
    Pem(#[from] rustls::pki_types::pem::Error),
}

fn authority(data: &str) -> Result<Vec<Vec<u8>>, AuthorityError> {
    let pem = STANDARD.decode(data)?;
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(&pem).map(|found| found.map(|certificate| certificate.to_vec())).collect();
    Ok(certificates?)
}

async fn exchange(client: &Client, request: http::Request<Vec<u8>>) -> Result<Vec<u8>, Failure> {
    let answer = client.request_stream(request).await.map_err(|error| Failure::of(&error))?;
    let mut body = Vec::new();
    let read = answer.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut body).await;
    match read {
        Ok(_) if body.len() as u64 > ANSWER_BYTES_MAX => {
            Err(Failure::Lost(format!("the answer is longer than {ANSWER_BYTES_MAX} bytes")))
        }
        Ok(_) => Ok(body),
        Err(error) => Err(Failure::Lost(error.to_string())),
    }
}
