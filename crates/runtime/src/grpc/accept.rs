//! Accepts TCP connections and makes verified ones of them.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use super::net::{Listener, Socket};
use super::{CONNECTIONS_MAX, HANDSHAKE_TIMEOUT, HANDSHAKES_MAX};
use crate::identity::{Peer, subject_of};
use crate::tls::Identities;

/// After a failed accept, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A connection whose other end has shown a certificate of our mesh.
pub(super) struct Verified {
    stream: TlsStream<Box<dyn Socket>>,
    peer: Peer,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _permit: OwnedSemaphorePermit,
}

pub(super) type Accepted = Result<Verified, io::Error>;

/// Runs until nobody takes connections any more. Connections end, at the latest, with `cut`.
pub(super) async fn accept(
    listener: impl Listener,
    identities: Arc<Identities>,
    accepted: mpsc::Sender<Accepted>,
    cut: CancellationToken,
) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let Ok(handshake) = Arc::clone(&handshakes).acquire_owned().await else { return };
        let tcp = tokio::select! {
            () = accepted.closed() => return,
            tcp = listener.accept() => tcp,
        };
        let (tcp, address) = match tcp {
            Ok(accepted) => accepted,
            Err(err) => {
                tracing::warn!(error = %err, "connection not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else {
            tracing::warn!(%address, max = CONNECTIONS_MAX, "connection refused: too many");
            continue;
        };
        let (identities, accepted, cut) = (Arc::clone(&identities), accepted.clone(), cut.clone());
        tokio::spawn(async move {
            let verified = tokio::time::timeout(HANDSHAKE_TIMEOUT, verify(tcp, address, &identities)).await;
            drop(handshake);
            match verified.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok((stream, peer)) => {
                    let cut = Box::pin(cut.cancelled_owned());
                    let _ = accepted.send(Ok(Verified { stream, peer, cut, _permit: permit })).await;
                }
                Err(err) => tracing::info!(%address, error = %err, "connection refused"),
            }
        });
    }
}

async fn verify(
    tcp: Box<dyn Socket>,
    address: SocketAddr,
    identities: &Identities,
) -> io::Result<(TlsStream<Box<dyn Socket>>, Peer)> {
    let acceptor = TlsAcceptor::from(Arc::clone(&identities.current().server));
    let stream = acceptor.accept(tcp).await?;
    let certificates = stream.get_ref().1.peer_certificates();
    let leaf = certificates.and_then(|chain| chain.first()).ok_or_else(|| io::Error::other("no certificate"))?;
    let subject = subject_of(leaf).map_err(io::Error::other)?;
    Ok((stream, Peer { identity: subject.identity, names: subject.names, address }))
}

impl Connected for Verified {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Verified {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Verified {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
