//! How programs reach one another beneath TLS: TCP, or whatever stands for it in a simulation.

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tonic::async_trait;

/// A connection in both directions.
pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// The way out.
#[async_trait]
pub trait Net: Debug + Send + Sync {
    /// A connection to `address` (`HOST:PORT`).
    async fn connect(&self, address: &str) -> io::Result<Box<dyn Socket>>;
}

/// The way in.
#[async_trait]
pub trait Listener: Send + Sync + 'static {
    async fn accept(&self) -> io::Result<(Box<dyn Socket>, SocketAddr)>;
}

#[async_trait]
impl<L: Listener + ?Sized> Listener for Box<L> {
    async fn accept(&self) -> io::Result<(Box<dyn Socket>, SocketAddr)> {
        (**self).accept().await
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

impl Tcp {
    pub fn shared() -> Arc<dyn Net> {
        Arc::new(Self)
    }
}

#[async_trait]
impl Net for Tcp {
    async fn connect(&self, address: &str) -> io::Result<Box<dyn Socket>> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        Ok(Box::new(tcp))
    }
}

#[async_trait]
impl Listener for TcpListener {
    async fn accept(&self) -> io::Result<(Box<dyn Socket>, SocketAddr)> {
        let (tcp, address) = Self::accept(self).await?;
        // A connection that is gone already says so where it is read.
        let _ = tcp.set_nodelay(true);
        Ok((Box::new(tcp), address))
    }
}
