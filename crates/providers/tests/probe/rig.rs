//! Servers that misbehave as they are told, and the providers that ask them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mesh_core::ids::RegionId;
use mesh_providers::probe::{Answer, Asks, HttpQuestion, Question};
use mesh_providers::{AwsConfig, PostgresConfig, Providers, ProvidersConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Longer than anything here takes, except silence.
pub const PATIENT: Duration = Duration::from_secs(10);
/// For servers that never answer.
pub const SHORT: Duration = Duration::from_millis(300);

pub async fn providers(nameservers: Vec<SocketAddr>, credentials: Option<&Path>) -> Arc<Providers> {
    let aws = AwsConfig {
        endpoint_url: Some("http://127.0.0.1:1".to_owned()),
        access_key_id: Some("AKIDTEST".to_owned()),
        secret_access_key: Some("secret".to_owned()),
        ..AwsConfig::default()
    };
    let credentials_dir = credentials.map(Path::to_owned);
    let region = region();
    let config = ProvidersConfig {
        region,
        aws,
        nameservers,
        route53_nameservers: Vec::new(),
        credentials_dir,
        postgresql: PostgresConfig::default(),
        hooks: Default::default(),
    };
    Providers::new(config).await.expect("the configuration is right")
}

pub fn region() -> RegionId {
    RegionId::new("us-west-2").expect("a region")
}

pub async fn ask(question: Question, timeout: Duration) -> Answer {
    Asks::ask(providers(Vec::new(), None).await.as_ref(), &question, &region(), timeout).await
}

pub fn get(url: impl Into<String>) -> HttpQuestion {
    HttpQuestion { url: url.into(), expect_status: 200, body_contains: None, latency_max: None, ca_file: None }
}

#[track_caller]
pub fn failed(answer: Answer, words: &str) -> String {
    match answer {
        Answer::Failed { reason } if reason.contains(words) => reason,
        other => panic!("it must fail and say {words:?}: {other:?}"),
    }
}

#[track_caller]
pub fn unknown(answer: Answer, words: &str) {
    match answer {
        Answer::Unknown { reason } if reason.contains(words) => {}
        other => panic!("it must be unknown and say {words:?}: {other:?}"),
    }
}

#[track_caller]
pub fn passed(answer: Answer) -> Duration {
    match answer {
        Answer::Passed { latency } => latency,
        other => panic!("it must pass: {other:?}"),
    }
}

/// What is done with a connection once the head of a request came over it.
#[derive(Clone, Copy, Debug)]
pub enum Reply {
    /// Status, further headers, body.
    Text(u16, &'static str, &'static str),
    /// The beginning of an answer that ends too early.
    Cut,
    /// A body without an end.
    Endless,
    Garbage,
    Close,
    Silence,
}

pub struct Server {
    pub address: SocketAddr,
    heads: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub async fn start(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::accept(answer, |stream| async move { Some(stream) }).await
    }

    /// `wrap` has the accepted connection first.
    pub async fn accept<S, F>(
        answer: impl Fn(&str) -> Reply + Send + Sync + 'static,
        wrap: impl Fn(TcpStream) -> F + Send + Sync + 'static,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        F: Future<Output = Option<S>> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let heads = Arc::new(AtomicUsize::new(0));
        let (answer, count) = (Arc::new(answer), Arc::clone(&heads));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (wrapping, answer, count) = (wrap(stream), Arc::clone(&answer), Arc::clone(&count));
                tokio::spawn(async move {
                    if let Some(stream) = wrapping.await {
                        serve(stream, answer.as_ref(), &count).await;
                    }
                });
            }
        });
        Self { address, heads, task }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Requests so far.
    pub fn heads(&self) -> usize {
        self.heads.load(Ordering::SeqCst)
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    answer: &(dyn Fn(&str) -> Reply + Send + Sync),
    heads: &AtomicUsize,
) {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read_buf(&mut head).await {
            Ok(read) if read > 0 && head.len() < 1 << 20 => {}
            _ => return,
        }
    }
    heads.fetch_add(1, Ordering::SeqCst);
    let sent = match answer(&String::from_utf8_lossy(&head)) {
        Reply::Text(status, headers, body) => {
            let length = body.len();
            stream
                .write_all(format!("HTTP/1.1 {status} -\r\n{headers}content-length: {length}\r\n\r\n{body}").as_bytes())
                .await
        }
        Reply::Cut => stream.write_all(b"HTTP/1.1 200 -\r\ncontent-length: 1000\r\n\r\nbut it").await,
        Reply::Endless => {
            let mut sent = stream.write_all(b"HTTP/1.1 200 -\r\ntransfer-encoding: chunked\r\n\r\n").await;
            while sent.is_ok() {
                sent = stream.write_all(format!("{:x}\r\n{}\r\n", 8192, "x".repeat(8192)).as_bytes()).await;
            }
            sent
        }
        Reply::Garbage => stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n").await,
        Reply::Close => return,
        Reply::Silence => {
            // Until the client gives up and closes.
            while stream.read(&mut [0u8; 64]).await.is_ok_and(|read| read > 0) {}
            return;
        }
    };
    if sent.is_ok() {
        let _ = stream.shutdown().await;
    }
}

/// An address where nothing listens.
pub async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    listener.local_addr().expect("it is bound")
}

/// A listener that accepts nothing and whose backlog is full.
pub async fn blackhole() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
    let listener = socket.listen(1).expect("it listens");
    let address = listener.local_addr().expect("it is bound");
    let mut waiting = Vec::new();
    for _ in 0..64 {
        match tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
            Ok(Ok(stream)) => waiting.push(stream),
            _ => return (address, listener, waiting),
        }
    }
    panic!("the backlog never filled");
}
