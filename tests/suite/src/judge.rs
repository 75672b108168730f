//! What the outside says became of a failover: the double's own log, not the mesh's word.

use std::collections::BTreeMap;

use mesh_core::run::{Run, RunState};
use serde_json::Value;

use crate::Rig;
use crate::rig::describe;

/// Names of the mutating operations of the runbook's failover, each to be applied once, and in which of the two regions.
const EFFECTS: [(&str, Option<usize>); 4] = [
    ("RebootDBInstance", Some(0)),
    ("PromoteReadReplica", Some(1)),
    ("ModifyDBInstance", Some(0)),
    ("ChangeResourceRecordSets", None),
];

impl Rig {
    /// The run is done; each of its effects was applied exactly once; one notice arrived; one region writes.
    pub async fn judge_failover(&self, run: &Run) {
        assert_eq!(run.state, RunState::Done, "{}", describe(run));
        let (counts, sites) = (self.applied().await, self.stand.world.sites());
        for (operation, region) in EFFECTS {
            let region = region.map(|nth| sites[nth]);
            let count: usize = counts
                .iter()
                .filter(|((name, place), _)| name == operation && region.is_none_or(|region| place == region))
                .map(|(_, count)| count)
                .sum();
            // The set-up of the token was a change of records, too.
            let expected = if operation == "ChangeResourceRecordSets" { 2 } else { 1 };
            assert_eq!(count, expected, "{operation} was applied {count} times; all: {counts:?}");
        }
        let queue = self.get("queues/maip-prod-oncall.fifo").await;
        let messages = queue.as_array().or_else(|| queue["messages"].as_array()).map_or(0, Vec::len);
        assert_eq!(messages, 1, "notices: {queue}");
        let [old, new] = sites;
        assert!(self.writes(new).await, "the new database takes no writes");
        assert!(!self.writes(old).await, "the old database still takes writes");
    }

    /// Applied mutations by operation and region.
    pub async fn applied(&self) -> BTreeMap<(String, String), usize> {
        let effects = self.get("effects").await;
        let mut counts = BTreeMap::new();
        for effect in effects.as_array().cloned().unwrap_or_default() {
            if effect["mutating"] == Value::Bool(true) && effect["outcome"] == "applied" {
                let text = |key: &str| effect[key].as_str().unwrap_or_default().to_owned();
                *counts.entry((text("operation"), text("region"))).or_default() += 1;
            }
        }
        counts
    }

    /// Does the database of the region take a write from a new session?
    pub async fn writes(&self, region: &str) -> bool {
        use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
        let Some(address) = self.stand.world.database(&self.stand.ready, region) else { return false };
        let asked = async {
            let stream = tokio::net::TcpStream::connect(&address).await.ok()?;
            let (read, mut write) = stream.into_split();
            write.write_all(b"WRITE the-judge\n").await.ok()?;
            let mut line = String::new();
            BufReader::new(read).read_line(&mut line).await.ok()?;
            Some(line.starts_with("OK"))
        };
        let within = std::time::Duration::from_secs(2);
        tokio::time::timeout(within, asked).await.ok().flatten().unwrap_or(false)
    }
}
