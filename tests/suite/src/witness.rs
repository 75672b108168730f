//! Clients that know nothing of the mesh and write to both databases of many services, from the first to the last.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

const EVERY: Duration = Duration::from_millis(25);
const CONNECT_PAUSE: Duration = Duration::from_millis(50);
const REPLY_TIMEOUT: Duration = Duration::from_secs(2);
/// Hours of writing by every client.
const ACCEPTED_MAX: usize = 2_000_000;

/// A write that the database said OK to: it was taken at some time between the two.
#[derive(Clone, Copy, Debug)]
struct Accepted {
    sent: Instant,
    heard: Instant,
}

type Seen = Arc<Mutex<BTreeMap<(String, String), Vec<Accepted>>>>;

/// They write until they are asked.
pub struct Witnesses {
    seen: Seen,
    clients: JoinSet<()>,
}

impl Witnesses {
    /// `databases`: service, region and address of each.
    pub fn start(databases: Vec<(String, String, String)>) -> Self {
        let seen = Seen::default();
        let mut clients = JoinSet::new();
        for (service, region, address) in databases {
            let seen = Arc::clone(&seen);
            clients.spawn(async move {
                loop {
                    if let Ok(Ok(stream)) = timeout(REPLY_TIMEOUT, TcpStream::connect(&address)).await {
                        let _ = session(BufReader::new(stream), &seen, (&service, &region)).await;
                    }
                    tokio::time::sleep(CONNECT_PAUSE).await;
                }
            });
        }
        Self { seen, clients }
    }

    /// No database took a write that was sent after the other region's had taken one. Returns how many writes each
    /// region's databases took.
    pub async fn judge(mut self, old: &str, new: &str) -> (usize, usize) {
        self.clients.shutdown().await;
        let seen = std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        let of = |service: &str, region: &str| seen.get(&(service.to_owned(), region.to_owned()));
        for (service, region) in seen.keys() {
            let first_of_new = of(service, new).and_then(|all| all.iter().map(|write| write.heard).min());
            let Some(first_of_new) = first_of_new else { panic!("nobody could write {service} in {region}") };
            let late = of(service, old).into_iter().flatten().filter(|write| write.sent > first_of_new).count();
            assert_eq!(late, 0, "OneWriter: {old} took {late} writes of {service} after {new} had taken one");
        }
        let count = |region: &str| seen.iter().filter(|((_, own), _)| own == region).map(|(_, all)| all.len()).sum();
        (count(old), count(new))
    }
}

async fn session(mut stream: BufReader<TcpStream>, seen: &Seen, (service, region): (&str, &str)) -> Option<()> {
    let mut nth = 0u64;
    loop {
        nth = nth.saturating_add(1);
        let sent = Instant::now();
        stream.get_mut().write_all(format!("WRITE {service}.{region}.{nth}\n").as_bytes()).await.ok()?;
        let mut line = String::new();
        if timeout(REPLY_TIMEOUT, stream.read_line(&mut line)).await.ok()?.ok()? == 0 {
            return None;
        }
        if line.starts_with("OK") {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            let own = seen.entry((service.to_owned(), region.to_owned())).or_default();
            if own.len() < ACCEPTED_MAX {
                own.push(Accepted { sent, heard: Instant::now() });
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}
