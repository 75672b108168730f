//! A relay before a server that loses replies: it passes one statement on and cuts the connection.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

#[derive(Default)]
struct Fault {
    /// The text of the statement whose reply is lost, once.
    statement: Mutex<Option<String>>,
    fired: AtomicU32,
}

pub struct Relay {
    pub address: SocketAddr,
    fault: Arc<Fault>,
    task: JoinHandle<()>,
}

impl Relay {
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let fault = Arc::new(Fault::default());
        let shared = Arc::clone(&fault);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server, Arc::clone(&shared)));
            }
        });
        Self { address, fault, task }
    }

    /// The next statement that holds `text` reaches the server, and its reply nobody.
    pub fn lose_reply_to(&self, text: &str) {
        *self.fault.statement.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.to_owned());
    }

    /// Replies that were lost.
    pub fn lost(&self) -> u32 {
        self.fault.fired.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(mut client: TcpStream, server: SocketAddr, fault: Arc<Fault>) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (mut from_client, mut from_server) = (vec![0u8; 64 * 1024], vec![0u8; 64 * 1024]);
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => {
                let Some(bytes) = read.ok().filter(|read| *read > 0).and_then(|read| from_client.get(..read)) else { return };
                let loses = fault.is_hit(bytes);
                if server.write_all(bytes).await.is_err() {
                    return;
                }
                if loses {
                    // The client's side breaks at once; the server is read until it has answered, so that it surely acted.
                    drop(client);
                    let _ = server.read(&mut from_server).await;
                    fault.fired.fetch_add(1, Ordering::SeqCst);
                    return;
                }
            }
            read = server.read(&mut from_server) => {
                let Some(bytes) = read.ok().filter(|read| *read > 0).and_then(|read| from_server.get(..read)) else { return };
                if client.write_all(bytes).await.is_err() {
                    return;
                }
            }
        }
    }
}

impl Fault {
    fn is_hit(&self, bytes: &[u8]) -> bool {
        let mut statement = self.statement.lock().unwrap_or_else(PoisonError::into_inner);
        let hit = statement.as_ref().is_some_and(|text| String::from_utf8_lossy(bytes).contains(text.as_str()));
        if hit {
            *statement = None;
        }
        hit
    }
}
