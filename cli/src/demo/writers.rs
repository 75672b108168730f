//! Clients that know nothing of the mesh: each keeps one session open to one database and writes without pause. Where the
//! manifest declares a lease endpoint as the fence, they do what that asks of whoever writes: no write without its yes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Pause between two writes of one client.
const EVERY: Duration = Duration::from_millis(5);
const CLIENTS_PER_REGION: usize = 2;
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
const REPLY_TIMEOUT: Duration = Duration::from_secs(2);
/// A lease endpoint is on the same host, or close.
const LEASE_TIMEOUT: Duration = Duration::from_millis(500);
const RECONNECT_PAUSE: Duration = Duration::from_millis(20);
/// Longest line and most ids that are read back.
const LINE_LEN_MAX: usize = 4096;
const IDS_MAX: usize = 2_000_000;
const LIST_TIMEOUT: Duration = Duration::from_secs(20);
/// Most writes that are remembered: an hour at full speed.
const ACCEPTED_MAX: usize = 4_000_000;

/// A write that a database said OK to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub region: String,
    pub id: String,
    /// When its OK arrived, since the writers began.
    pub at: Duration,
}

/// Runs until dropped or stopped.
pub struct Writers {
    began: Instant,
    accepted: Arc<Mutex<Vec<Accepted>>>,
    clients: JoinSet<()>,
}

impl Writers {
    /// `databases`: region and host:port.
    pub fn start(databases: &[(String, String)]) -> Self {
        Self::start_asking(databases, &BTreeMap::new())
    }

    /// `leases`: of each region the URLs of which one must say yes before each write; a region without any is not asked.
    pub fn start_asking(databases: &[(String, String)], leases: &BTreeMap<String, Vec<String>>) -> Self {
        let began = Instant::now();
        let accepted = Arc::new(Mutex::new(Vec::new()));
        let http = reqwest::Client::builder().timeout(LEASE_TIMEOUT).no_proxy().build().unwrap_or_default();
        let mut clients = JoinSet::new();
        for (region, address) in databases {
            for client in 0..CLIENTS_PER_REGION {
                let client = Client {
                    region: region.clone(),
                    address: address.clone(),
                    prefix: format!("{region}.{client}"),
                    began,
                    accepted: Arc::clone(&accepted),
                    leases: leases.get(region).cloned(),
                    http: http.clone(),
                };
                clients.spawn(client.run());
            }
        }
        Self { began, accepted, clients }
    }

    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub fn accepted_in(&self, region: &str) -> usize {
        let accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        accepted.iter().filter(|write| write.region == region).count()
    }

    pub async fn stop(mut self) -> Vec<Accepted> {
        self.clients.shutdown().await;
        std::mem::take(&mut *self.accepted.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Client {
    region: String,
    address: String,
    prefix: String,
    began: Instant,
    accepted: Arc<Mutex<Vec<Accepted>>>,
    leases: Option<Vec<String>>,
    http: reqwest::Client,
}

impl Client {
    async fn run(self) {
        let mut sent = 0u64;
        loop {
            if let Ok(Ok(stream)) = timeout(CONNECT_TIMEOUT, TcpStream::connect(&self.address)).await {
                let _ = stream.set_nodelay(true);
                let _ = self.session(BufReader::new(stream), &mut sent).await;
            }
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
    }

    /// Writes on one session until it breaks.
    async fn session(&self, mut stream: BufReader<TcpStream>, sent: &mut u64) -> std::io::Result<()> {
        loop {
            if !self.may_write().await {
                tokio::time::sleep(RECONNECT_PAUSE).await;
                continue;
            }
            *sent = sent.saturating_add(1);
            let id = format!("{}.{sent}", self.prefix);
            stream.get_mut().write_all(format!("WRITE {id}\n").as_bytes()).await?;
            let reply = timeout(REPLY_TIMEOUT, read_line(&mut stream)).await??;
            if reply.starts_with("OK") {
                self.record(id);
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Asked before each write: the session outlives the right to use it.
    async fn may_write(&self) -> bool {
        let Some(leases) = &self.leases else { return true };
        for url in leases {
            let answer = self.http.get(url).send().await;
            if answer.is_ok_and(|answer| answer.status().as_u16() == 200) {
                return true;
            }
        }
        false
    }

    fn record(&self, id: String) {
        let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        if accepted.len() < ACCEPTED_MAX {
            accepted.push(Accepted { region: self.region.clone(), id, at: self.began.elapsed() });
        }
    }
}

/// One line without its end; a closed session is an error.
async fn read_line(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut line = String::new();
    let limit = u64::try_from(LINE_LEN_MAX).unwrap_or(u64::MAX);
    if tokio::io::AsyncReadExt::take(&mut *stream, limit).read_line(&mut line).await? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

/// Every id that a database holds.
pub async fn list(address: &str) -> Result<BTreeSet<String>, String> {
    let all = async {
        let mut stream = BufReader::new(TcpStream::connect(address).await?);
        stream.get_mut().write_all(b"LIST\n").await?;
        let mut ids = BTreeSet::new();
        while ids.len() < IDS_MAX {
            let line = read_line(&mut stream).await?;
            if line == "." {
                return Ok(ids);
            }
            ids.insert(line);
        }
        Err(std::io::Error::other("more ids than a demo can have written"))
    };
    let listed = timeout(LIST_TIMEOUT, all).await.map_err(|_| format!("{address}: no whole list in time"))?;
    listed.map_err(|error: std::io::Error| format!("{address}: {error}"))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Accepts `oks` writes on each session, then says read-only once and hangs up.
    async fn database(listener: TcpListener, oks: usize) {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            for _ in 0..oks {
                if read_line(&mut stream).await.is_err() || stream.get_mut().write_all(b"OK 1\n").await.is_err() {
                    break;
                }
            }
            let _ = read_line(&mut stream).await;
            let _ = stream.get_mut().write_all(b"ERR read-only\n").await;
        }
    }

    /// Says yes or no to whoever asks.
    async fn endpoint(status: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/v1/lease/maip", listener.local_addr().expect("an address"));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                while read_line(&mut stream).await.is_ok_and(|line| !line.is_empty()) {}
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                let _ = stream.get_mut().write_all(answer.as_bytes()).await;
            }
        });
        url
    }

    #[tokio::test]
    async fn without_the_yes_of_a_lease_endpoint_nothing_is_written() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        tokio::spawn(database(listener, usize::MAX));
        let databases = [("east".to_owned(), address.clone()), ("west".to_owned(), address)];
        let (yes, no) = (endpoint("200 OK").await, endpoint("503 Service Unavailable").await);
        let leases = BTreeMap::from([("east".to_owned(), vec![no.clone(), yes]), ("west".to_owned(), vec![no])]);
        let writers = Writers::start_asking(&databases, &leases);
        for _ in 0..1000 {
            if writers.accepted_in("east") >= 5 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let accepted = writers.stop().await;
        assert!(accepted.iter().filter(|write| write.region == "east").count() >= 5);
        assert_eq!(accepted.iter().filter(|write| write.region == "west").count(), 0);
    }

    #[tokio::test]
    async fn only_accepted_writes_count_and_a_cut_session_is_opened_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let server = tokio::spawn(database(listener, 3));
        let writers = Writers::start(&[("us-east-1".to_owned(), address)]);
        for _ in 0..1000 {
            if writers.accepted_in("us-east-1") >= 7 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let accepted = writers.stop().await;
        server.abort();
        assert!(accepted.len() >= 7, "more than one session's writes must be accepted, not {}", accepted.len());
        let ids: BTreeSet<&String> = accepted.iter().map(|write| &write.id).collect();
        assert_eq!(ids.len(), accepted.len(), "ids are unique");
    }
}
