//! Stages of HTTP APIs: closed by limits of 0, opened with what they had. One UpdateStage does it all, and writes or
//! takes away a note of the former limits with it, so that a lost reply leaves nothing half done and another run, weeks
//! later, knows what to put back.
//!
//! AWS keeps limits "on a best-effort basis" ("Throttle requests to your HTTP APIs"), so what is read back is what was
//! asked for, and no proof that nothing comes through.

use std::collections::BTreeMap;

use mesh_core::execute::{CallResult, Job, Observation};
use mesh_core::lease::Throttle;
use mesh_core::plan::Action;
use serde_json::json;

use crate::aws::apigateway::{ApiGateway, Change, Limits, Stage};
use crate::aws::error::ReadError;

mod note;
#[cfg(test)]
mod tests;

use note::{NOTE, Note};

pub(crate) struct Stages(pub ApiGateway);

impl Stages {
    pub(crate) async fn observe(&self, job: &Job) -> Observation {
        let Some((api, stage)) = target(&job.action) else {
            return Observation::Blocked { reason: format!("{} is no action on a stage", job.action.name()) };
        };
        match self.0.stage(api, stage).await {
            Ok(found) => decide(job, &found),
            Err(ReadError::NotFound(reason)) => Observation::Blocked {
                reason: format!(
                    "{reason}; correct the manifest if it is an HTTP API, and close any other kind (REST, WebSocket) by \
                     a `hook`"
                ),
            },
            Err(error) => error.into(),
        }
    }

    pub(crate) async fn call(&self, job: &Job, before: &str) -> CallResult {
        let Some((api, stage)) = target(&job.action) else {
            return CallResult::Rejected { reason: format!("{} sends no call to a stage", job.action.name()) };
        };
        match serde_json::from_str::<Before>(before) {
            Ok(Before { to, .. }) => self.0.update(api, stage, &to).await,
            Err(error) => CallResult::Rejected { reason: format!("what was there before: {error}") },
        }
    }
}

/// Written by an observation, carried by the journal, read by the call.
#[derive(serde::Serialize, serde::Deserialize)]
struct Before {
    default: Limits,
    routes: BTreeMap<String, Limits>,
    to: Change,
}

fn target(action: &Action) -> Option<(&str, &str)> {
    match action {
        Action::ApiGatewayClose { api, stage } | Action::ApiGatewayOpen { api, stage, .. } => Some((api, stage)),
        _ => None,
    }
}

fn decide(job: &Job, found: &Stage) -> Observation {
    if found.protocol != "HTTP" {
        return Observation::Blocked {
            reason: format!(
                "it is a {} API, whose connections outlast a throttle; close it by a `hook`",
                found.protocol
            ),
        };
    }
    let note = match found.variables.get(NOTE).map(|text| Note::read(text)).transpose() {
        Ok(note) => note,
        Err(reason) => return Observation::Blocked { reason },
    };
    let generation = job.token.generation.0;
    if let Some(newer) = note.as_ref().filter(|note| note.generation > generation) {
        return Observation::Superseded { found: format!("closed at generation {}", newer.generation) };
    }
    match &job.action {
        Action::ApiGatewayOpen { open, .. } => opened(found, note.as_ref(), *open),
        _ => closed(found, note, generation),
    }
}

/// Every limit is 0, and the note of what they were is of this generation, if there is one.
fn closed(found: &Stage, note: Option<Note>, generation: u64) -> Observation {
    let all_closed = found.default.is_closed() && found.routes.values().all(Limits::is_closed);
    if all_closed && note.as_ref().is_none_or(|note| note.generation == generation) {
        return Observation::Satisfied { read_back: read_back(found, note.as_ref()) };
    }
    // What somebody set since an earlier close is newer than what that one noted.
    let mut noted = note.unwrap_or_default();
    noted.generation = generation;
    if !found.default.is_closed() {
        noted.default = Some(found.default);
    }
    let own = found.routes.iter().filter(|(_, limits)| !limits.is_closed());
    noted.routes.extend(own.map(|(key, limits)| (key.clone(), *limits)));
    noted.routes.retain(|key, _| found.routes.contains_key(key));
    let shut = |limits: &Limits| Limits { rate: Some(0.0), burst: Some(0), ..*limits };
    let routes = found.routes.iter().map(|(key, limits)| (key.clone(), shut(limits))).collect();
    match noted.write() {
        Ok(text) => ready(found, shut(&found.default), routes, Some(text)),
        Err(reason) => Observation::Blocked { reason },
    }
}

/// What the close noted is in force where it was still 0, and the note is gone.
fn opened(found: &Stage, note: Option<&Note>, open: Throttle) -> Observation {
    if note.is_none() && !found.default.is_stopped() {
        return Observation::Satisfied { read_back: read_back(found, None) };
    }
    let declared = Limits {
        rate: Some(f64::from(open.rate)),
        burst: Some(i32::try_from(open.burst).unwrap_or(i32::MAX)),
        metrics: None,
    };
    let noted = note.and_then(|note| note.default);
    let default = match found.default.is_stopped() {
        true => found.default.with(noted).or(declared),
        // Somebody has opened it since: that is theirs.
        false => found.default,
    };
    let former = |key: &String, limits: &Limits| match note.and_then(|note| note.routes.get(key)) {
        Some(former) if limits.is_closed() => limits.with(Some(*former)).or(default).or(declared),
        // Closed before the fence was, or changed since.
        Some(_) | None => *limits,
    };
    let routes = found.routes.iter().map(|(key, limits)| (key.clone(), former(key, limits))).collect();
    ready(found, default, routes, note.map(|_| String::new()))
}

fn ready(found: &Stage, default: Limits, routes: BTreeMap<String, Limits>, note: Option<String>) -> Observation {
    let to = Change { default, routes, variable: note.map(|text| (NOTE.to_owned(), text)) };
    match serde_json::to_string(&Before { default: found.default, routes: found.routes.clone(), to }) {
        Ok(before) => Observation::Ready { before },
        Err(error) => Observation::Blocked { reason: format!("the limits cannot be written down: {error}") },
    }
}

fn read_back(found: &Stage, note: Option<&Note>) -> String {
    let mut shown = json!({ "rate": found.default.rate, "burst": found.default.burst, "routes": found.routes.len() });
    if let (Some(object), Some(note)) = (shown.as_object_mut(), note) {
        object.insert("former".to_owned(), json!({ "default": note.default, "routes": note.routes }));
    }
    shown.to_string()
}

impl Limits {
    fn is_closed(&self) -> bool {
        self.rate == Some(0.0) && self.burst == Some(0)
    }

    /// Nothing, or nothing more after a first burst.
    fn is_stopped(&self) -> bool {
        self.rate == Some(0.0) || self.burst == Some(0)
    }

    /// These former limits instead; none where nothing was noted.
    fn with(self, former: Option<Self>) -> Self {
        Self {
            rate: former.and_then(|former| former.rate),
            burst: former.and_then(|former| former.burst),
            metrics: self.metrics,
        }
    }

    /// A limit cannot be taken away again, only set: where there was none, that of `other`.
    fn or(self, other: Self) -> Self {
        Self { rate: self.rate.or(other.rate), burst: self.burst.or(other.burst), metrics: self.metrics }
    }
}
