//! Closed-loop load: each client sends its next commit when the last one is acknowledged.

use std::future::Future;
use std::time::{Duration, Instant};

use tonic::Status;

use crate::stats::Round;

/// At the start of a round: connections open, caches fill, and nothing is counted.
const WARM_UP: Duration = Duration::from_millis(500);
/// A client that fails so often in one round has nothing to measure.
const FAILURES_MAX: u64 = 20;

/// One client of a peer, with its own connection.
pub trait Client: Send + 'static {
    /// Commits one command; returns when it is acknowledged.
    fn commit(&mut self) -> impl Future<Output = Result<(), Status>> + Send;
}

/// Has all clients commit for `lasting`; returns them with what was measured.
pub async fn round<C: Client>(clients: Vec<C>, lasting: Duration) -> anyhow::Result<(Vec<C>, Round)> {
    let began = Instant::now();
    let (count_from, end) = (began + WARM_UP, began + WARM_UP + lasting);
    let tasks: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            tokio::spawn(async move {
                let (mut latencies, mut failed) = (Vec::new(), 0);
                let mut last = None;
                while Instant::now() < end {
                    let sent = Instant::now();
                    match client.commit().await {
                        Ok(()) if sent >= count_from => latencies.push(sent.elapsed()),
                        Ok(()) => {}
                        Err(status) => {
                            failed += 1;
                            last = Some(status);
                        }
                    }
                    if failed > FAILURES_MAX {
                        break;
                    }
                }
                (client, latencies, failed, last)
            })
        })
        .collect();
    let (mut clients, mut round) = (Vec::new(), Round { elapsed: lasting, ..Round::default() });
    for task in tasks {
        let (client, latencies, failed, last) = task.await?;
        anyhow::ensure!(failed <= FAILURES_MAX, "a client failed {failed} times, last: {last:?}");
        clients.push(client);
        round.latencies.extend(latencies);
        round.failed += failed;
    }
    Ok((clients, round))
}
