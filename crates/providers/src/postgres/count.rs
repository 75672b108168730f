//! The rows of one table.

use std::time::Duration;

use mesh_core::manifest::PostgresInstance;

use super::Servers;
use super::connect::LOOKING;

/// The server gives a longer count up by itself.
const COUNT_MS_MAX: u64 = 10_000;
/// Beyond that, with the connection, nothing is waited for.
const COUNT_MAX: Duration = Duration::from_millis(COUNT_MS_MAX + 3_000);

impl Servers {
    /// In a session of its own, so that no look waits for it. The manifest's reader lets plain names through alone.
    pub(crate) async fn count(&self, instance: &PostgresInstance, table: &str) -> Result<u64, String> {
        let at = instance.address();
        let counted = tokio::time::timeout(COUNT_MAX, self.count_rows(instance, table)).await;
        counted.unwrap_or_else(|_| Err(format!("{at}: no count within {} ms", COUNT_MAX.as_millis())))
    }

    async fn count_rows(&self, instance: &PostgresInstance, table: &str) -> Result<u64, String> {
        let at = instance.address();
        let (schema, name) = table.split_once('.').unwrap_or(("public", table));
        let session = self.sessions.connect(instance, LOOKING).await.map_err(|error| error.text())?;
        let statements =
            format!("SET statement_timeout = {COUNT_MS_MAX}; SELECT count(*) FROM {}.{}", quoted(schema), quoted(name));
        let rows = session.run(&statements).await.map_err(|error| format!("{at}: {}", error.text()))?;
        let count = rows.into_iter().flatten().next().and_then(|text| text.parse().ok());
        count.ok_or_else(|| format!("{at}: an answer that is no number"))
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
