//! One health question, asked once. Who asks how often, and what follows, is not decided here.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::dns::Resolver;

/// As much of a body as is read to look for the wanted text.
const BODY_MAX: usize = 64 * 1024;
/// As much of an unwanted body as is shown.
const SHOWN_MAX: usize = 120;

/// What an HTTP request met.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub address: Option<SocketAddr>,
    pub status: u16,
    pub latency: Duration,
}

/// GET `url` over a fresh connection to a freshly resolved address. `Err` says what was seen instead.
pub async fn http(
    url: &str,
    expect_status: u16,
    body_contains: Option<&str>,
    timeout: Duration,
    resolver: &Resolver,
) -> Result<Duration, String> {
    ask(url, expect_status, body_contains, timeout, resolver).await.map(|answer| answer.latency)
}

/// A TCP connection to `host:port` can be opened.
pub async fn tcp(address: &str, timeout: Duration, resolver: &Resolver) -> Result<Duration, String> {
    let started = Instant::now();
    let (host, port) = address.rsplit_once(':').ok_or_else(|| format!("{address} is not host:port"))?;
    let port: u16 = port.parse().map_err(|_| format!("{address} is not host:port"))?;
    let connect = async {
        let mut last = format!("{host} has no address");
        for ip in resolver.addresses(host).await? {
            match tokio::net::TcpStream::connect((ip, port)).await {
                Ok(_) => return Ok(started.elapsed()),
                Err(error) => last = format!("{ip}:{port}: {error}"),
            }
        }
        Err(last)
    };
    tokio::time::timeout(timeout, connect)
        .await
        .unwrap_or_else(|_| Err(format!("no connection to {address} within {} ms", timeout.as_millis())))
}

pub(crate) async fn ask(
    url: &str,
    expect_status: u16,
    body_contains: Option<&str>,
    timeout: Duration,
    resolver: &Resolver,
) -> Result<Answer, String> {
    let started = Instant::now();
    let response = resolver
        .http()
        .get(url)
        .timeout(timeout)
        .header("connection", "close")
        .send()
        .await
        .map_err(|error| chain(&error))?;
    let (status, address) = (response.status().as_u16(), response.remote_addr());
    let at = address.map_or_else(String::new, |address| format!(" from {address}"));
    if status != expect_status {
        return Err(format!("status {status}{at}, wanted {expect_status}"));
    }
    if let Some(wanted) = body_contains {
        let body = read_body(response).await?;
        if !body.contains(wanted) {
            let shown: String = body.chars().take(SHOWN_MAX).collect();
            return Err(format!("status {status}{at}, but its body does not contain {wanted:?}: {shown:?}"));
        }
    }
    Ok(Answer { address, status, latency: started.elapsed() })
}

async fn read_body(mut response: reqwest::Response) -> Result<String, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| chain(&error))? {
        let room = BODY_MAX.saturating_sub(body.len());
        body.extend(chunk.iter().take(room));
        if room <= chunk.len() {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// The error with all its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}
