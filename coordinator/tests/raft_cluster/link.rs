//! One direction of one connection between two nodes: a TCP forwarder that can be cut and healed.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

pub struct Link {
    pub address: SocketAddr,
    open: watch::Sender<bool>,
    _accepting: AbortOnDropHandle<()>,
}

impl Link {
    /// Forwards to whatever address `target` holds at the time.
    pub async fn new(target: Arc<watch::Sender<Option<SocketAddr>>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let open = watch::Sender::new(true);
        let accepting = accept(listener, open.subscribe(), target.subscribe());
        Self { address, open, _accepting: AbortOnDropHandle::new(tokio::spawn(accepting)) }
    }

    /// What is open is closed, and nothing new gets through.
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    pub fn heal(&self) {
        self.open.send_replace(true);
    }
}

async fn accept(listener: TcpListener, open: watch::Receiver<bool>, target: watch::Receiver<Option<SocketAddr>>) {
    while let Ok((from, _)) = listener.accept().await {
        let to = *target.borrow();
        if let Some(to) = to.filter(|_| *open.borrow()) {
            tokio::spawn(forward(from, to, open.clone()));
        }
    }
}

async fn forward(mut from: TcpStream, to: SocketAddr, mut open: watch::Receiver<bool>) {
    let Ok(mut to) = TcpStream::connect(to).await else { return };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut from, &mut to) => {}
        _ = open.wait_for(|open| !open) => {}
    }
}
