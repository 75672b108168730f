//! The verdicts that a coordinator logs, each with the moment from which `status` shows it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const POLL: Duration = Duration::from_millis(10);
/// Of a log line that is not whole yet.
const REST_MAX: usize = 1024 * 1024;

pub struct Verdicts {
    log: File,
    rest: String,
}

impl Verdicts {
    pub fn from_now(log: &Path) -> anyhow::Result<Self> {
        let mut log = File::open(log).with_context(|| format!("reading {}", log.display()))?;
        log.seek(SeekFrom::End(0))?;
        Ok(Self { log, rest: String::new() })
    }

    /// When the region got this verdict, since the Unix epoch.
    pub async fn until(&mut self, region: &str, verdict: &str, within: Duration) -> anyhow::Result<Duration> {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            while let Some(line) = self.line()? {
                let Ok(line) = serde_json::from_str::<Value>(&line) else { continue };
                let is = |field: &str, value: &str| line.get(field).and_then(Value::as_str) == Some(value);
                if is("message", "verdict") && is("region", region) && is("verdict", verdict) {
                    let at = line.get("timestamp").and_then(Value::as_str).context("a line without a time")?;
                    let at = OffsetDateTime::parse(at, &Rfc3339)?.unix_timestamp_nanos();
                    return Ok(Duration::from_nanos(u64::try_from(at)?));
                }
            }
            tokio::time::sleep(POLL).await;
        }
        bail!("{region} is not {verdict} after {within:?}");
    }

    fn line(&mut self) -> anyhow::Result<Option<String>> {
        if !self.rest.contains('\n') && self.rest.len() < REST_MAX {
            self.log.read_to_string(&mut self.rest)?;
        }
        let Some((line, rest)) = self.rest.split_once('\n') else { return Ok(None) };
        let (line, rest) = (line.to_owned(), rest.to_owned());
        self.rest = rest;
        Ok(Some(line))
    }
}
