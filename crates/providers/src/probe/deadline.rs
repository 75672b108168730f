use std::time::Duration;

use tokio::time::Instant;

use super::trouble::Trouble;

/// When a probe's time is over, and how long it had.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    started: Instant,
    timeout: Duration,
}

impl Deadline {
    pub(crate) fn after(timeout: Duration) -> Self {
        Self { started: Instant::now(), timeout }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn left(&self) -> Duration {
        self.timeout.saturating_sub(self.elapsed())
    }

    /// For texts.
    pub(crate) const fn millis(&self) -> u128 {
        self.timeout.as_millis()
    }

    /// What is under way when the time is over says whose trouble that is.
    pub(crate) async fn bound<T, E>(
        &self,
        late: impl FnOnce(u128) -> E,
        step: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        tokio::time::timeout_at(self.started + self.timeout, step).await.unwrap_or_else(|_| Err(late(self.millis())))
    }

    /// Against the target.
    pub(crate) async fn of_target<T>(
        &self,
        what: &str,
        step: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        self.bound(|millis| Trouble::Target(format!("{what} within {millis} ms")), step).await
    }

    /// Against nobody.
    pub(crate) async fn of_another<T>(
        &self,
        what: &str,
        step: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        self.bound(|millis| Trouble::Own(format!("{what} within {millis} ms")), step).await
    }
}
