//! A fresh connection to a freshly resolved address, each step with its own words for what went wrong.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::deadline::Deadline;
use super::tls::{Alpn, Trust};
use super::trouble::{Trouble, cause};
use crate::dns::Resolver;

/// Even with many addresses each one gets this long: a connection to the farthest region takes 0.3 s.
const ADDRESS_MIN: Duration = Duration::from_millis(400);

#[derive(Clone, Debug)]
pub struct Dialer {
    pub resolver: Resolver,
    pub(crate) trust: Arc<Trust>,
}

/// How a connection is wrapped.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wrap<'a> {
    Plain,
    Tls { ca_file: Option<&'a str>, alpn: Alpn },
}

pub(crate) struct Dialed {
    pub address: SocketAddr,
    pub stream: Stream,
}

#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Dialer {
    pub(crate) async fn dial(
        &self,
        host: &str,
        port: u16,
        wrap: Wrap<'_>,
        deadline: Deadline,
    ) -> Result<Dialed, Trouble> {
        let (address, tcp) = self.connect(host, port, deadline).await?;
        let stream = match wrap {
            Wrap::Plain => Stream::Plain(tcp),
            Wrap::Tls { ca_file, alpn } => {
                let settings = self.trust.settings(ca_file, alpn);
                let settings = deadline.of_another("the authorities could not be read", settings).await?;
                let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                let name = ServerName::try_from(bare)
                    .map_err(|_| Trouble::Own(format!("{host} is no name that a certificate could have")))?;
                let greeting = async {
                    let greeted = TlsConnector::from(settings).connect(name, tcp).await;
                    greeted.map_err(|error| refused(address, &error))
                };
                let late = format!("{address} accepted a connection, but no TLS handshake was done");
                Stream::Tls(Box::new(deadline.of_target(&late, greeting).await?))
            }
        };
        Ok(Dialed { address, stream })
    }

    /// The first address that accepts.
    pub(crate) async fn connect(
        &self,
        host: &str,
        port: u16,
        deadline: Deadline,
    ) -> Result<(SocketAddr, TcpStream), Trouble> {
        let resolving = self.resolver.addresses(host);
        let found = deadline.of_another(&format!("no resolver answered for {host}"), resolving).await?;
        let count = u32::try_from(found.len()).unwrap_or(u32::MAX);
        let mut worst = None;
        for (left, ip) in (1..=count).rev().zip(found) {
            let address = SocketAddr::new(ip, port);
            let share = (deadline.left() / left).max(ADDRESS_MIN.min(deadline.left()));
            let trouble = match tokio::time::timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => {
                    // Only the delay of small packets depends on it.
                    let _ = tcp.set_nodelay(true);
                    return Ok((address, tcp));
                }
                Ok(Err(error)) => Trouble::io("connecting", address, &error),
                Err(_) => Trouble::Target(format!("no connection to {address} within {} ms", share.as_millis())),
            };
            // One address that says something about the target weighs more than one that cannot be asked from here.
            if !matches!((&worst, &trouble), (Some(Trouble::Target(_)), Trouble::Own(_))) {
                worst = Some(trouble);
            }
        }
        Err(worst.unwrap_or_else(|| Trouble::Target(format!("{host} has no address"))))
    }
}

fn refused(address: SocketAddr, error: &std::io::Error) -> Trouble {
    let inner = error.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static));
    match inner.and_then(cause::<rustls::Error>) {
        Some(error) => Trouble::Target(format!("TLS with {address} failed: {error}")),
        None => Trouble::io("TLS handshake", address, error),
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
