//! The public name as a client on the internet sees it: asked of the zone's name server, then over HTTP.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use serde::Deserialize;
use tokio::net::UdpSocket;
use tokio::time::timeout;

const TRY_TIMEOUT: Duration = Duration::from_secs(1);
const TRIES: u32 = 5;
const DATAGRAM_MAX: usize = 4096;

/// What the sample application says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Health {
    pub region: String,
    #[serde(default)]
    pub writable: bool,
}

/// GET /actuator/health of `name`, at the address that `server` gives for it.
pub async fn health(server: &str, name: &str, port: u16) -> Result<Health, String> {
    let mut reason = String::new();
    for _ in 0..TRIES {
        match health_once(server, name, port).await {
            Ok(health) => return Ok(health),
            Err(error) => reason = error,
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Err(reason)
}

async fn health_once(server: &str, name: &str, port: u16) -> Result<Health, String> {
    let address = resolve(server, name).await?;
    let url = format!("http://{}/actuator/health", SocketAddr::new(address, port));
    let fail = |error: reqwest::Error| format!("{url}: {error}");
    let client = reqwest::Client::builder().timeout(TRY_TIMEOUT).no_proxy().build().map_err(fail)?;
    let answer = client.get(&url).header("host", format!("{name}:{port}")).send().await.map_err(fail)?;
    let status = answer.status();
    let body = answer.bytes().await.map_err(fail)?;
    if !status.is_success() {
        return Err(format!("{url} answers {status}"));
    }
    serde_json::from_slice(&body).map_err(|error| format!("{url}: {error}"))
}

async fn resolve(server: &str, name: &str) -> Result<IpAddr, String> {
    let fail = |error: &dyn std::fmt::Display| format!("{name} asked of {server}: {error}");
    let server_address: SocketAddr = server.parse().map_err(|error| fail(&error))?;
    let mut parsed = Name::from_ascii(name).map_err(|error| fail(&error))?;
    parsed.set_fqdn(true);
    let mut query = Message::query();
    query.add_query(Query::query(parsed, RecordType::A));
    let socket = UdpSocket::bind("127.0.0.1:0").await.map_err(|error| fail(&error))?;
    socket.connect(server_address).await.map_err(|error| fail(&error))?;
    socket.send(&query.to_vec().map_err(|error| fail(&error))?).await.map_err(|error| fail(&error))?;
    let mut buffer = [0u8; DATAGRAM_MAX];
    let received = timeout(TRY_TIMEOUT, socket.recv(&mut buffer)).await;
    let length = received.map_err(|_| fail(&"no answer"))?.map_err(|error| fail(&error))?;
    let response = Message::from_vec(buffer.get(..length).unwrap_or_default()).map_err(|error| fail(&error))?;
    let address = response.answers.iter().find_map(|record| match &record.data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        _ => None,
    });
    address.ok_or_else(|| fail(&"no address"))
}
