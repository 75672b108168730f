//! Connects to coordinators, and agents to one another.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use mesh_core::ids::AgentId;
use rustls::pki_types::ServerName;
use tokio::io::AsyncBufReadExt;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

use super::net::Socket;
use super::{CONNECT_TIMEOUT, HEADERS_MAX, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT};
use crate::clock::unix_now;
use crate::connect_error::ConnectError;
use crate::tls::{Identities, names};

/// A channel to the coordinator at `address` (`HOST:PORT`), which connects with the first call and again whenever the
/// connection is lost. Calls that find no connection end `UNAVAILABLE`, with a [`ConnectError`] as the source.
pub fn connect(address: &str, identities: &Arc<Identities>) -> Result<Channel, ConnectError> {
    connect_within(address, identities, CONNECT_TIMEOUT)
}

/// As [`connect`], with another bound on TCP and TLS together.
pub fn connect_within(address: &str, identities: &Arc<Identities>, timeout: Duration) -> Result<Channel, ConnectError> {
    channel(address, identities, timeout, names::coordinator())
}

/// A channel to the agent of this name at `address`; another agent's answer is refused.
pub fn connect_to_agent(address: &str, identities: &Arc<Identities>, agent: &AgentId) -> Result<Channel, ConnectError> {
    channel(address, identities, CONNECT_TIMEOUT, names::agent(agent.as_str()))
}

fn channel(
    address: &str,
    identities: &Arc<Identities>,
    timeout: Duration,
    server: ServerName<'static>,
) -> Result<Channel, ConnectError> {
    let address: Arc<str> = address.strip_prefix("https://").unwrap_or(address).into();
    let unreachable = |reason: String| ConnectError::Unreachable { address: address.to_string(), reason };
    // The scheme is tonic's business only; the connector speaks TLS whatever it says.
    let endpoint = Endpoint::from_shared(format!("http://{address}"));
    let endpoint = endpoint.map_err(|_| unreachable("not an address, expected HOST:PORT".to_owned()))?;
    if endpoint.uri().port_u16().is_none() {
        return Err(unreachable("has no port, expected HOST:PORT".to_owned()));
    }
    let endpoint = endpoint
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .http2_max_header_list_size(HEADERS_MAX);
    let identities = Arc::clone(identities);
    Ok(endpoint.connect_with_connector_lazy(tower::service_fn(move |_| {
        let (address, identities, server) = (Arc::clone(&address), Arc::clone(&identities), server.clone());
        async move {
            let opened = tokio::time::timeout(timeout, open(&address, &identities, server)).await;
            let timed_out = || ConnectError::Timeout { address: address.to_string(), after: timeout };
            opened.map_err(|_| timed_out())?.map(TokioIo::new)
        }
    })))
}

async fn open(
    address: &str,
    identities: &Identities,
    server: ServerName<'static>,
) -> Result<TlsStream<Box<dyn Socket>>, ConnectError> {
    let material = identities.current();
    let (now, not_after) = (unix_now(), material.subject.not_after);
    if not_after <= now {
        return Err(ConnectError::OwnCertificateExpired { since: now.since(not_after) });
    }
    let failed = |err: io::Error| ConnectError::from_io(address, &err);
    let tcp = identities.net().connect(address).await.map_err(failed)?;
    // Not sent: the identity in the server's certificate is what counts.
    let mut stream = TlsConnector::from(Arc::clone(&material.client)).connect(server, tcp).await.map_err(failed)?;
    await_acceptance(&mut stream).await.map_err(failed)?;
    Ok(stream)
}

/// In TLS 1.3 the client is done before the server has looked at the client's certificate. The server's first bytes
/// (HTTP/2 settings) say that it was accepted, an alert in their place says why not.
async fn await_acceptance(stream: &mut TlsStream<Box<dyn Socket>>) -> io::Result<()> {
    if stream.fill_buf().await?.is_empty() {
        return Err(io::Error::other("the server closed the connection"));
    }
    Ok(())
}
