//! SIGTERM and SIGINT mean: take nothing new, finish what runs, end within a bounded time.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long a program may go on finishing after it was asked to stop.
pub const DRAIN_DEFAULT: Duration = Duration::from_secs(10);

/// Shared by all tasks of a program.
#[derive(Clone, Debug)]
pub struct Shutdown {
    token: CancellationToken,
    drain: Duration,
}

impl Shutdown {
    /// Begins only by [`Shutdown::begin`]: for tests and for parts of a program.
    pub fn manual(drain: Duration) -> Self {
        Self { token: CancellationToken::new(), drain }
    }

    /// Begins with the first SIGTERM or SIGINT. A second signal ends the process at once.
    pub fn on_signals(drain: Duration) -> std::io::Result<Self> {
        let shutdown = Self::manual(drain);
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let begun = shutdown.clone();
        tokio::spawn(async move {
            for second in [false, true] {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                if second {
                    tracing::warn!(signal = name, "second signal: ending without draining");
                    std::process::exit(130);
                }
                tracing::info!(signal = name, drain_ms = begun.drain.as_millis(), "draining");
                begun.begin();
            }
        });
        Ok(shutdown)
    }

    pub fn begin(&self) {
        self.token.cancel();
    }

    pub fn has_begun(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Returns once the shutdown has begun.
    pub async fn begun(&self) {
        self.token.cancelled().await;
    }

    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Longest time from the beginning to the end.
    pub fn drain(&self) -> Duration {
        self.drain
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    #[tokio::test]
    async fn sigterm_begins_the_shutdown_for_every_holder() {
        let shutdown = Shutdown::on_signals(DRAIN_DEFAULT).expect("handlers");
        let (holder, token) = (shutdown.clone(), shutdown.token());
        assert!(!holder.has_begun());
        kill_process(getpid(), Signal::TERM).expect("sent");
        holder.begun().await;
        assert!(shutdown.has_begun() && token.is_cancelled());
    }
}
