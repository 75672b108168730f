//! A former primary becomes a replica again: by pg_rewind, or by a base backup where that is refused.
//!
//! It runs on the server's own host, in the background: a call only begins it. Programs are started by their path with
//! their arguments, never by a shell. What a base backup would replace is moved aside, not deleted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh_core::execute::{CallResult, Observation};
use mesh_core::ids::Token;
use mesh_core::manifest::PostgresInstance;
use serde_json::json;

use super::connect::{ConnectError, Sessions};
use super::state::State;
use super::{PostgresConfig, lsn};
use crate::permit;

mod work;

use work::Rebuild;

pub(super) struct Rejoins {
    bin_dir: Option<PathBuf>,
    allowed: Vec<PathBuf>,
    /// By data directory; of each the last.
    known: Arc<Mutex<BTreeMap<PathBuf, Progress>>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Running,
    Ended {
        how: &'static str,
    },
    /// Of this intent: another one may try again.
    Failed {
        by: Token,
        reason: String,
    },
}

impl Rejoins {
    pub(super) fn new(config: &PostgresConfig) -> Self {
        Self { bin_dir: config.bin_dir.clone(), allowed: config.data_directories.clone(), known: Arc::default() }
    }

    pub(super) fn observe(
        &self,
        instance: &PostgresInstance,
        here: Result<State, ConnectError>,
        source: &State,
    ) -> Observation {
        let directory = match self.directory(instance) {
            Ok((_, directory)) => directory,
            Err(reason) => return Observation::Blocked { reason },
        };
        let progress = self.known().get(&directory).cloned();
        observe(here.ok().as_ref(), source, progress.as_ref())
    }

    pub(super) async fn call(
        &self,
        sessions: &Sessions,
        instance: &PostgresInstance,
        source: &PostgresInstance,
        by: Token,
    ) -> CallResult {
        let (bin_dir, directory) = match self.directory(instance) {
            Ok(found) => found,
            Err(reason) => return CallResult::Rejected { reason },
        };
        let password = match &source.password_file {
            Some(file) => match sessions.credential(file).await {
                Ok(password) => Some(String::from_utf8_lossy(password.trim_ascii_end()).into_owned()),
                Err(reason) => return CallResult::NotApplied { reason },
            },
            None => None,
        };
        let authorities = source.ca_file.as_deref().and_then(|file| sessions.path_of(file));
        if !permit::holds() {
            return CallResult::NotApplied { reason: permit::PermissionEnded.to_string() };
        }
        let mut known = self.known();
        match known.get(&directory) {
            Some(Progress::Running) => return CallResult::Accepted { reference: "begun before".to_owned() },
            Some(Progress::Failed { by: same, reason }) if *same == by => {
                return CallResult::Rejected { reason: reason.clone() };
            }
            Some(Progress::Failed { .. } | Progress::Ended { .. }) | None => {}
        }
        known.insert(directory.clone(), Progress::Running);
        drop(known);
        let (sessions, source) = (sessions.clone(), source.clone());
        let rebuild = Rebuild { bin_dir, directory: directory.clone(), source, sessions, password, authorities };
        let known = Arc::clone(&self.known);
        tokio::spawn(async move {
            let progress = match rebuild.run().await {
                Ok(how) => Progress::Ended { how },
                Err(reason) => Progress::Failed { by, reason },
            };
            tracing::info!(directory = %directory.display(), ?progress, "rejoin ended");
            known.lock().unwrap_or_else(PoisonError::into_inner).insert(directory, progress);
        });
        CallResult::Accepted { reference: "begun".to_owned() }
    }

    fn directory(&self, instance: &PostgresInstance) -> Result<(PathBuf, PathBuf), String> {
        let off = "rejoining is off: this agent's [postgresql] names no bin_dir and data_directories";
        let bin_dir = self.bin_dir.clone().ok_or(off)?;
        let named = instance.data_directory.as_deref().ok_or("the manifest names no data-directory to rebuild")?;
        let directory = Path::new(named);
        if !self.allowed.iter().any(|allowed| allowed == directory) {
            return Err(format!("{named} is not among the data_directories of this agent's [postgresql]"));
        }
        Ok((bin_dir, directory.to_owned()))
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Progress>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `here` is `None` while the server does not answer.
pub(super) fn observe(here: Option<&State>, source: &State, progress: Option<&Progress>) -> Observation {
    if source.in_recovery {
        return Observation::Blocked { reason: "the source is a replica itself, and not the writer".to_owned() };
    }
    if progress == Some(&Progress::Running) {
        return Observation::Pending { note: "the data directory is being rebuilt".to_owned() };
    }
    if let Some(here) = here {
        if here.system_identifier != source.system_identifier {
            return Observation::Blocked {
                reason: format!(
                    "the server's system identifier is {}, the source's {}: they were never one database",
                    here.system_identifier, source.system_identifier
                ),
            };
        }
        if here.in_recovery && here.followed == source.timeline {
            return follows(here, source, progress);
        }
        if here.timeline >= source.timeline && !here.in_recovery {
            return Observation::Blocked {
                reason: format!(
                    "the server is a primary on timeline {}, and the source's is {}: it may be the newer one",
                    here.timeline, source.timeline
                ),
            };
        }
    }
    if let Some(Progress::Failed { reason, .. }) = progress {
        return Observation::Ready { before: json!({ "last_attempt": reason }).to_string() };
    }
    let before = json!({
        "answers": here.is_some(),
        "in_recovery": here.map(|state| state.in_recovery),
        "timeline": here.map(|state| state.timeline),
        "last_lsn": here.and_then(|state| state.flush_lsn).map(lsn),
    });
    Observation::Ready { before: before.to_string() }
}

fn follows(here: &State, source: &State, progress: Option<&Progress>) -> Observation {
    if !here.streaming {
        return Observation::Pending { note: "it follows the source's timeline, and does not stream yet".to_owned() };
    }
    let how = match progress {
        Some(Progress::Ended { how }) => how,
        Some(Progress::Running | Progress::Failed { .. }) | None => "nothing to do",
    };
    let read_back = json!({
        "timeline": here.timeline,
        "source": here.source,
        "how": how,
        "lag_ms": here.lag_ms(),
        "provider_time_ms": source.now_ms,
    });
    Observation::Satisfied { read_back: read_back.to_string() }
}
