//! A proxy on the writers' path that lets them through only while an agent of its region says that the region may write:
//! the dead-man fence of `lease-endpoint`, as HAProxy with `option httpchk` and `on-marked-down shutdown-sessions` would be.
//!
//! It closes at the first check that brings no yes, and then cuts every session. It needs at most `every` + `timeout` for
//! that. Run it on a runtime with one thread: if the checks stand still, so do the sessions.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Sessions at once.
const SESSIONS_MAX: usize = 256;
const YES: &[u8] = b"HTTP/1.1 200";

#[derive(Clone, Copy, Debug)]
pub struct Checks {
    /// While sessions pass.
    pub every: Duration,
    /// While none do: it holds up nobody's safety, and the next writer.
    pub every_closed: Duration,
    pub timeout: Duration,
}

pub struct Proxy {
    open: watch::Receiver<bool>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// `endpoints`: of the agents of its region, of which one must say yes at `path`.
    pub async fn start(
        listen: SocketAddr,
        server: SocketAddr,
        endpoints: Vec<SocketAddr>,
        path: String,
        checks: Checks,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let (opens, open) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(check(endpoints, path, checks, opens));
        tasks.spawn(serve(listener, server, open.clone()));
        Ok(Self { open, _tasks: tasks })
    }

    pub fn is_open(&self) -> bool {
        *self.open.borrow()
    }
}

async fn check(endpoints: Vec<SocketAddr>, path: String, checks: Checks, opens: watch::Sender<bool>) {
    loop {
        let yes = matches!(timeout(checks.timeout, any_says_yes(&endpoints, &path)).await, Ok(true));
        opens.send_if_modified(|open| std::mem::replace(open, yes) != yes);
        sleep(if yes { checks.every } else { checks.every_closed }).await;
    }
}

async fn any_says_yes(endpoints: &[SocketAddr], path: &str) -> bool {
    let mut asked = JoinSet::new();
    for endpoint in endpoints {
        asked.spawn(says_yes(*endpoint, path.to_owned()));
    }
    while let Some(answer) = asked.join_next().await {
        if matches!(answer, Ok(Ok(true))) {
            return true;
        }
    }
    false
}

async fn says_yes(endpoint: SocketAddr, path: String) -> io::Result<bool> {
    let mut stream = TcpStream::connect(endpoint).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {endpoint}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut status = [0u8; YES.len()];
    stream.read_exact(&mut status).await?;
    Ok(status == YES)
}

async fn serve(listener: TcpListener, server: SocketAddr, open: watch::Receiver<bool>) {
    let mut sessions = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while sessions.try_join_next().is_some() {}
        if *open.borrow() && sessions.len() < SESSIONS_MAX {
            sessions.spawn(pass(client, server, open.clone()));
        }
    }
}

async fn pass(mut client: TcpStream, server: SocketAddr, mut open: watch::Receiver<bool>) {
    let session = async {
        let mut server = TcpStream::connect(server).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        tokio::io::copy_bidirectional(&mut client, &mut server).await
    };
    tokio::select! {
        biased;
        _ = open.wait_for(|open| !open) => {}
        _ = session => {}
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    const QUICK: Checks = Checks {
        every: Duration::from_millis(5),
        every_closed: Duration::from_millis(5),
        timeout: Duration::from_millis(500),
    };

    async fn bound() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        (listener, address)
    }

    /// Says what it is told to.
    async fn endpoint(yes: Arc<AtomicBool>) -> SocketAddr {
        let (listener, address) = bound().await;
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0u8; 1024];
                let _ = stream.read(&mut request).await;
                let status = if yes.load(Ordering::SeqCst) { "200 OK" } else { "503 Service Unavailable" };
                let _ = stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await;
            }
        });
        address
    }

    async fn echo() -> SocketAddr {
        let (listener, address) = bound().await;
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        address
    }

    async fn until(proxy: &Proxy, wanted: bool) {
        let mut open = proxy.open.clone();
        timeout(Duration::from_secs(20), open.wait_for(|open| *open == wanted))
            .await
            .expect("in time")
            .expect("it runs");
    }

    #[tokio::test]
    async fn a_session_that_is_open_ends_when_nobody_says_yes_any_more() {
        let (yes, no) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
        let endpoints = vec![endpoint(Arc::clone(&no)).await, endpoint(Arc::clone(&yes)).await];
        let (free, listen) = bound().await;
        drop(free);
        let server = echo().await;
        let proxy =
            Proxy::start(listen, server, endpoints, "/v1/lease/orders".to_owned(), QUICK).await.expect("a port");
        until(&proxy, true).await;
        let mut session = TcpStream::connect(listen).await.expect("it listens");
        session.write_all(b"a").await.expect("it is open");
        let mut byte = [0u8; 1];
        session.read_exact(&mut byte).await.expect("one of two says yes: it passes");
        yes.store(false, Ordering::SeqCst);
        until(&proxy, false).await;
        let ended = timeout(Duration::from_secs(20), session.read(&mut byte)).await.expect("it ends");
        assert!(matches!(ended, Ok(0) | Err(_)), "the session outlived the right");
        let mut late = TcpStream::connect(listen).await.expect("it listens");
        let refused = timeout(Duration::from_secs(20), late.read(&mut byte)).await.expect("it ends");
        assert!(matches!(refused, Ok(0) | Err(_)), "a new session was let through");
    }
}
