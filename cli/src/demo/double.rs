//! The AWS double, as an observer sees it: its ready file and its control API.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(5);

/// What the double writes once it listens.
#[derive(Clone, Debug, Deserialize)]
pub struct Ready {
    pub aws: String,
    pub dns: String,
    /// host:port of the sample application in each region.
    pub apps: BTreeMap<String, String>,
    /// host:port of each database, by `region/instance`.
    pub databases: BTreeMap<String, String>,
}

impl Ready {
    pub fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }
}

/// A call that arrived at the double.
#[derive(Clone, Debug, Deserialize)]
pub struct Effect {
    pub service: String,
    pub region: String,
    pub operation: String,
    pub resource: String,
    #[serde(default)]
    pub parameters: Value,
    pub outcome: String,
    pub mutating: bool,
}

/// What the provider itself spent time on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Activity {
    pub resource: String,
    pub operation: String,
    pub started_ms: u64,
    pub ended_ms: Option<u64>,
}

/// The control API.
#[derive(Clone, Debug)]
pub struct Double {
    base: String,
    http: reqwest::Client,
}

impl Double {
    pub fn new(aws: &str) -> Result<Self, String> {
        let http = reqwest::Client::builder().timeout(TIMEOUT).build().map_err(|error| error.to_string())?;
        Ok(Self { base: format!("{}/_double", aws.trim_end_matches('/')), http })
    }

    pub async fn effects(&self) -> Result<Vec<Effect>, String> {
        self.get("effects").await
    }

    pub async fn activities(&self) -> Result<Vec<Activity>, String> {
        self.get("activities").await
    }

    /// Its own account of everything in it.
    pub async fn state(&self) -> Result<Value, String> {
        self.get("state").await
    }

    /// Messages that a queue received.
    pub async fn queue(&self, name: &str) -> Result<usize, String> {
        match self.get(&format!("queues/{name}")).await? {
            Value::Array(messages) => Ok(messages.len()),
            Value::Object(fields) => match fields.get("messages") {
                Some(Value::Array(messages)) => Ok(messages.len()),
                Some(_) | None => Err(format!("queue {name}: the answer lists no messages")),
            },
            _ => Err(format!("queue {name}: the answer lists no messages")),
        }
    }

    /// `up`, `down` or `partitioned`.
    pub async fn region(&self, region: &str, state: &str) -> Result<(), String> {
        let url = format!("{}/regions/{region}", self.base);
        let sent = self.http.post(&url).json(&serde_json::json!({ "state": state })).send().await;
        let answer = sent.and_then(reqwest::Response::error_for_status);
        answer.map(drop).map_err(|error| format!("{url}: {error}"))
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, String> {
        let url = format!("{}/{path}", self.base);
        let fail = |error: reqwest::Error| format!("{url}: {error}");
        let answer = self.http.get(&url).send().await.map_err(fail)?.error_for_status().map_err(fail)?;
        answer.json().await.map_err(fail)
    }
}
