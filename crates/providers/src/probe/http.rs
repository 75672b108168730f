//! One GET over a fresh connection. Redirects are not followed: they tell where somebody else answers.

use std::net::SocketAddr;
use std::time::Duration;

use http::uri::Scheme;
use http::{Request, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;

use super::deadline::Deadline;
use super::dial::{Dialed, Dialer, Wrap};
use super::tls::Alpn;
use super::trouble::{Trouble, cause, chain};

/// As much of a body as is read to look for the wanted text.
pub(crate) const BODY_MAX: usize = 64 * 1024;
/// As much of an unwanted body as is shown.
const SHOWN_MAX: usize = 120;
/// Headers beyond this are no health endpoint's.
const HEAD_BYTES_MAX: usize = 64 * 1024;
const TOO_MANY_REQUESTS: u16 = 429;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpQuestion {
    pub url: String,
    pub expect_status: u16,
    pub body_contains: Option<String>,
    pub latency_max: Option<Duration>,
    pub ca_file: Option<String>,
}

/// What an HTTP request met.
#[derive(Clone, Debug)]
pub(crate) struct Met {
    pub address: SocketAddr,
    pub status: u16,
    pub latency: Duration,
}

/// A URL, taken apart.
pub(crate) struct Place {
    pub uri: Uri,
    pub host: String,
    pub port: u16,
    pub is_https: bool,
}

/// An answer whose body is still to be read.
pub(crate) struct Response {
    pub address: SocketAddr,
    pub status: u16,
    body: Incoming,
    /// Ends with the answer.
    _connection: JoinSet<()>,
}

impl Dialer {
    pub(crate) async fn http(&self, question: &HttpQuestion, timeout: Duration) -> Result<Met, Trouble> {
        let HttpQuestion { url, expect_status, body_contains, latency_max, ca_file } = question;
        let deadline = Deadline::after(timeout);
        let response = self.get(url, ca_file.as_deref(), None, deadline).await?;
        let (status, address) = (response.status, response.address);
        if status != *expect_status {
            let text = format!("status {status} from {address}, wanted {expect_status}");
            return Err(match status {
                TOO_MANY_REQUESTS => Trouble::Own(format!("{text}: asked too often")),
                300..=399 => Trouble::Target(format!("{text}; redirects are not followed")),
                _ => Trouble::Target(text),
            });
        }
        if let Some(wanted) = body_contains {
            let body = response.body(BODY_MAX, deadline).await?;
            let body = String::from_utf8_lossy(&body);
            if !body.contains(wanted.as_str()) {
                let shown: String = body.chars().take(SHOWN_MAX).collect();
                let text =
                    format!("status {status} from {address}, but its body does not contain {wanted:?}: {shown:?}");
                return Err(Trouble::Target(text));
            }
        }
        let latency = deadline.elapsed();
        within(latency, *latency_max, &format!("status {status} from {address}"))?;
        Ok(Met { address, status, latency })
    }

    /// Sends a GET and waits for the head of the answer.
    pub(crate) async fn get(
        &self,
        url: &str,
        ca_file: Option<&str>,
        token: Option<&str>,
        deadline: Deadline,
    ) -> Result<Response, Trouble> {
        let place = Place::of(url)?;
        let wrap = if place.is_https { Wrap::Tls { ca_file, alpn: Alpn::Http1 } } else { Wrap::Plain };
        let dialed = self.dial(&place.host, place.port, wrap, deadline).await?;
        let late = format!("{} accepted a connection, but gave no answer", dialed.address);
        deadline.of_target(&late, ask(dialed, &place, token)).await
    }
}

/// Does it come in time?
pub(crate) fn within(latency: Duration, latency_max: Option<Duration>, what: &str) -> Result<(), Trouble> {
    match latency_max.filter(|max| latency > *max) {
        Some(max) => {
            let (took, max) = (latency.as_millis(), max.as_millis());
            Err(Trouble::Target(format!("{what}, but only after {took} ms, more than {max} ms")))
        }
        None => Ok(()),
    }
}

async fn ask(dialed: Dialed, place: &Place, token: Option<&str>) -> Result<Response, Trouble> {
    let Dialed { address, stream } = dialed;
    let failed = |error: hyper::Error| met(address, &error);
    let handshake = http1::Builder::new().max_buf_size(HEAD_BYTES_MAX).handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(failed)?;
    let mut driving = JoinSet::new();
    driving.spawn(async move {
        // What ends the connection early ends the request, too, and is told there.
        let _ = connection.await;
    });
    let path = place.uri.path_and_query().map_or("/", |path| path.as_str());
    let host = place.uri.authority().map_or(place.host.as_str(), |authority| authority.as_str());
    let mut request = Request::get(path)
        .header("host", host)
        .header("user-agent", concat!("mesh-agent/", env!("CARGO_PKG_VERSION")))
        .header("accept", "*/*")
        .header("connection", "close");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request
        .body(Empty::<Bytes>::new())
        .map_err(|error| Trouble::Own(format!("the request cannot be written: {error}")))?;
    let response = sender.send_request(request).await.map_err(failed)?;
    Ok(Response { address, status: response.status().as_u16(), body: response.into_body(), _connection: driving })
}

/// What became of a request that was under way.
fn met(address: SocketAddr, error: &hyper::Error) -> Trouble {
    if error.is_incomplete_message() {
        return Trouble::Target(format!("{address} closed the connection before it answered"));
    }
    if error.is_parse() {
        return Trouble::Target(format!("{address} does not speak HTTP: {}", chain(error)));
    }
    if let Some(tls) = cause::<std::io::Error>(error).and_then(|io| cause::<rustls::Error>(io.get_ref()?)) {
        return Trouble::Target(format!("TLS with {address} failed: {tls}"));
    }
    match cause::<std::io::Error>(error) {
        Some(io) => Trouble::io("waiting for the answer", address, io),
        None => Trouble::Target(format!("{address}: {}", chain(error))),
    }
}

impl Response {
    /// Its beginning.
    pub(crate) async fn body(mut self, bytes_max: usize, deadline: Deadline) -> Result<Vec<u8>, Trouble> {
        let address = self.address;
        let reading = async {
            let mut read = Vec::new();
            while let Some(frame) = self.body.frame().await {
                let frame = frame.map_err(|error| {
                    Trouble::Target(format!("the answer of {address} broke off: {}", chain(&error)))
                })?;
                let data = frame.into_data().unwrap_or_default();
                let room = bytes_max.saturating_sub(read.len());
                read.extend(data.iter().take(room));
                if room <= data.len() {
                    break;
                }
            }
            Ok(read)
        };
        deadline.of_target(&format!("{address} answered, but its body did not come"), reading).await
    }
}

impl Place {
    pub(crate) fn of(url: &str) -> Result<Self, Trouble> {
        let wrong = |why: &str| Trouble::Own(format!("{url:?} is no URL that can be asked: {why}"));
        let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| wrong(&error.to_string()))?;
        let is_https = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(wrong("it is neither http nor https")),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong("it names no host"))?.to_owned();
        let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        Ok(Self { uri, host, port, is_https })
    }
}
