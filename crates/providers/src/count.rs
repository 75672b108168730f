//! The items of a table at both ends, for safety rules that want them equal.

use std::time::{Duration, Instant};

use mesh_core::ids::RegionId;
use mesh_core::manifest::PostgresInstance;

use crate::Providers;

/// Numbers that differ may differ by what is on its way.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
/// What took longer is not counted twice in a row.
const AGAIN_WITHIN: Duration = Duration::from_secs(5);

/// What is counted: here, and in the region that is active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Count {
    /// A table of DynamoDB.
    Table { table: String, from: RegionId },
    /// A table of a PostgreSQL database, `schema.name` or a name of the schema `public`.
    Rows { table: String, there: Box<PostgresInstance>, here: Box<PostgresInstance> },
}

impl Providers {
    /// Items there, and here. Where they differ it is looked once more, after what was on its way has arrived.
    pub async fn count(&self, count: &Count) -> Result<(u64, u64), String> {
        let began = Instant::now();
        let (there, here) = self.count_once(count).await?;
        if there == here || began.elapsed() > AGAIN_WITHIN {
            return Ok((there, here));
        }
        tokio::time::sleep(AGAIN_AFTER).await;
        self.count_once(count).await
    }

    async fn count_once(&self, count: &Count) -> Result<(u64, u64), String> {
        match count {
            Count::Table { table, from } => {
                self.tables.count(table, from).await.map_err(crate::aws::error::ReadError::reason)
            }
            Count::Rows { table, there, here } => {
                let there = self.servers.count(there, table).await?;
                Ok((there, self.servers.count(here, table).await?))
            }
        }
    }
}
