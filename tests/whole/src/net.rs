//! turmoil's TCP beneath the programs' own TLS.

use std::io;
use std::net::SocketAddr;

use async_trait::async_trait;
use mesh_runtime::grpc::{Listener, Net, Socket};
use turmoil::net::{TcpListener, TcpStream};

#[derive(Debug)]
pub struct Simulated;

#[async_trait]
impl Net for Simulated {
    async fn connect(&self, address: &str) -> io::Result<Box<dyn Socket>> {
        Ok(Box::new(TcpStream::connect(address).await?))
    }
}

pub struct Bound(TcpListener);

impl Bound {
    pub async fn to(port: u16) -> io::Result<Self> {
        Ok(Self(TcpListener::bind(("0.0.0.0", port)).await?))
    }
}

#[async_trait]
impl Listener for Bound {
    async fn accept(&self) -> io::Result<(Box<dyn Socket>, SocketAddr)> {
        let (tcp, address) = self.0.accept().await?;
        Ok((Box::new(tcp), address))
    }
}
