use std::time::Duration;

use super::deadline::Deadline;
use super::dial::Dialer;
use super::trouble::Trouble;

impl Dialer {
    /// A connection to `host:port` can be opened.
    pub(crate) async fn tcp(&self, address: &str, timeout: Duration) -> Result<Duration, Trouble> {
        let deadline = Deadline::after(timeout);
        let (host, port) = split(address)?;
        self.connect(host, port, deadline).await?;
        Ok(deadline.elapsed())
    }
}

/// `host:port`.
pub(crate) fn split(address: &str) -> Result<(&str, u16), Trouble> {
    let parts = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    parts.filter(|(host, _)| !host.is_empty()).ok_or_else(|| Trouble::Own(format!("{address:?} is not host:port")))
}
