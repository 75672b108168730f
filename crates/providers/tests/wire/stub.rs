//! An HTTP server that keeps what it was sent and answers as it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh_core::ids::RegionId;
use mesh_providers::{AwsConfig, Providers, ProvidersConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub enum Reply {
    Text(u16, String),
    /// Read the request, then close the connection.
    Close,
    /// Read the request, then say nothing.
    Silence,
}

#[derive(Clone, Debug)]
pub struct Request {
    /// Request line and headers.
    pub head: String,
    pub body: String,
}

pub struct Stub {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stub {
    pub async fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (answer, kept) = (Arc::new(answer), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&answer), Arc::clone(&kept)));
            }
        });
        Self { address, seen, task }
    }

    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().expect("no holder panics").clone()
    }

    /// Requests whose head or body contains `text`.
    pub fn seen_with(&self, text: &str) -> Vec<Request> {
        self.seen().into_iter().filter(|request| request.head.contains(text) || request.body.contains(text)).collect()
    }

    pub async fn providers(&self) -> Arc<Providers> {
        providers_at(&self.endpoint(), Vec::new()).await
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

pub async fn providers_at(endpoint: &str, nameservers: Vec<SocketAddr>) -> Arc<Providers> {
    let aws = AwsConfig {
        endpoint_url: Some(endpoint.to_owned()),
        access_key_id: Some("AKIDTEST".to_owned()),
        secret_access_key: Some("secret".to_owned()),
        call_timeout: Duration::from_millis(1500),
        ..AwsConfig::default()
    };
    let config = ProvidersConfig {
        region: RegionId::new("us-west-2").expect("a region"),
        aws,
        nameservers: nameservers.clone(),
        route53_nameservers: nameservers,
        credentials_dir: None,
        postgresql: Default::default(),
        hooks: Default::default(),
    };
    Providers::new(config).await.expect("the configuration is right")
}

async fn serve(
    mut stream: TcpStream,
    answer: Arc<impl Fn(&Request) -> Reply + Send + Sync>,
    seen: Arc<Mutex<Vec<Request>>>,
) {
    while let Some(request) = read_request(&mut stream).await {
        seen.lock().expect("no holder panics").push(request.clone());
        match answer(&request) {
            Reply::Text(status, body) => {
                let head = format!(
                    "HTTP/1.1 {status} -\r\ncontent-type: text/xml\r\ncontent-length: {}\r\n\
                     date: Tue, 29 Apr 2014 18:30:38 GMT\r\nx-amzn-requestid: request-1\r\n\r\n",
                    body.len()
                );
                if stream.write_all(format!("{head}{body}").as_bytes()).await.is_err() {
                    return;
                }
            }
            Reply::Close => return,
            Reply::Silence => {
                // Until the client gives up and closes.
                let _ = stream.read(&mut [0u8; 1]).await;
                return;
            }
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = content_length(&head);
            while bytes.len() < end + 4 + length {
                if stream.read_buf(&mut bytes).await.ok()? == 0 {
                    return None;
                }
            }
            let body = String::from_utf8_lossy(&bytes[end + 4..end + 4 + length]).into_owned();
            return Some(Request { head, body });
        }
        if bytes.len() > 1 << 20 || stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

fn content_length(head: &str) -> usize {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or_default()
}
