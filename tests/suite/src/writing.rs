//! Clients that write to the databases of a mesh in regions far apart, where the lease endpoint lets them.

use std::io;
use std::time::{Duration, Instant};

use meshctl::demo::maip::SERVICE;
use meshctl::demo::writers::Writers;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::rig::LONG;
use crate::wide::{PRIMARY, Wide};

/// Enough to show that a region takes writes, and to meet those of a second writer.
pub const WRITES: usize = 50;
const POLL: Duration = Duration::from_millis(100);
/// Many times what a client needs for one write.
const STILL: Duration = Duration::from_secs(2);
/// A head and a short body.
const ANSWER_BYTES_MAX: u64 = 4096;
const STATUS_WORD: usize = 1;

impl Wide {
    pub async fn until_every_region_is_healthy(&self) {
        self.rig
            .until_judged(SERVICE, "every region is healthy", |judged| {
                judged["regions"].as_object().is_some_and(|all| all.values().all(|one| one["verdict"] == "healthy"))
            })
            .await;
    }

    /// They write to both databases, as far as they may, and have written in the primary's region.
    pub async fn writers(&self) -> Writers {
        let databases: Vec<(String, String)> =
            self.databases().into_iter().map(|(_, region, address)| (region, address)).collect();
        let writers = Writers::start_asking(&databases, &self.rig.stand.leases);
        until_written(&writers, PRIMARY, WRITES).await;
        writers
    }
}

/// So many more.
pub async fn until_written(writers: &Writers, region: &str, more: usize) {
    let (before, deadline) = (writers.accepted_in(region), Instant::now() + LONG);
    while writers.accepted_in(region) < before + more {
        assert!(Instant::now() < deadline, "{region} took {} writes", writers.accepted_in(region) - before);
        tokio::time::sleep(POLL).await;
    }
}

/// Nobody writes there any more.
pub async fn assert_nothing_is_written(writers: &Writers, region: &str, when: &str) {
    let before = writers.accepted_in(region);
    tokio::time::sleep(STILL).await;
    assert_eq!(writers.accepted_in(region), before, "{when}: {region} still takes writes");
}

/// A question that a lease endpoint has been asked and need not have heard yet.
pub struct Question(TcpStream);

impl Question {
    /// `url`: `http://HOST:PORT/PATH`. The kernel of whoever stands still takes connection and question.
    pub async fn ask(url: &str) -> io::Result<Self> {
        let (host, path) = url.trim_start_matches("http://").split_once('/').ok_or(io::ErrorKind::InvalidInput)?;
        let mut stream = TcpStream::connect(host).await?;
        stream
            .write_all(format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
            .await?;
        Ok(Self(stream))
    }

    /// Status and the whole answer.
    pub async fn answer(self) -> io::Result<(u16, String)> {
        let mut text = String::new();
        self.0.take(ANSWER_BYTES_MAX).read_to_string(&mut text).await?;
        let status = text.split_ascii_whitespace().nth(STATUS_WORD).and_then(|status| status.parse().ok());
        Ok((status.ok_or(io::ErrorKind::UnexpectedEof)?, text))
    }
}
