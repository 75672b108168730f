//! Packets on their way to one site, in the order of their arrival.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::time::Instant;

use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep_until;

/// A packet that arrives at a time. Its place bounds how many are on their way.
pub struct OnItsWay {
    pub arrival: Instant,
    /// Those of the same instant keep their order.
    pub nth: u64,
    pub frame: Vec<u8>,
    pub place: OwnedSemaphorePermit,
}

impl OnItsWay {
    const fn key(&self) -> (Instant, u64) {
        (self.arrival, self.nth)
    }
}

impl PartialEq for OnItsWay {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for OnItsWay {}

impl PartialOrd for OnItsWay {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for OnItsWay {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// Until nobody sends any more.
pub async fn deliver(mut sent: UnboundedReceiver<OnItsWay>, mut port: ChildStdin) -> io::Result<()> {
    let mut waiting: BinaryHeap<Reverse<OnItsWay>> = BinaryHeap::new();
    loop {
        let due = waiting.peek().map(|Reverse(next)| next.arrival);
        tokio::select! {
            biased;
            more = sent.recv() => match more {
                Some(packet) => waiting.push(Reverse(packet)),
                None => return Ok(()),
            },
            () = until(due) => {
                if let Some(Reverse(packet)) = waiting.pop() {
                    port.write_all(&packet.frame).await?;
                    drop(packet.place);
                }
            }
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
