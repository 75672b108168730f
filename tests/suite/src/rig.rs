//! The mesh under test and what may be done to it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mesh_core::ids::{RunId, ServiceId};
use mesh_core::run::{Run, RunState};
use mesh_runtime::client::CallLimits;
use meshctl::demo::child::{Processes, Programs, tail};
use meshctl::demo::stand::{Stand, Story};
use meshctl::failure::Failure;
use meshctl::mesh::Mesh;
use meshctl::output::Output;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::ctl::{Said, meshctl};

pub(crate) const POLL: Duration = Duration::from_millis(20);
/// A run with every fault in it, on two busy cores.
pub const LONG: Duration = Duration::from_secs(240);
/// A call that finds nobody who can answer is repeated for so long: the machine may be busy.
const CALL_WITHIN: Duration = Duration::from_secs(40);

pub struct Rig {
    pub stand: Stand,
    /// Removed last.
    dir: TempDir,
    http: reqwest::Client,
}

impl Rig {
    /// A mesh with the service applied, its traffic record set up, and the keys of two approvers enrolled.
    pub async fn raise() -> Self {
        Self::raise_in(meshctl::demo::maip::WORLD).await
    }

    /// A mesh in the same world that knows no service and no keys yet.
    pub async fn raise_empty() -> Self {
        let (dir, programs, output) = Self::ground();
        let story = Story { output: &output, began: Instant::now() };
        let (tie, world) = (programs.clone(), meshctl::demo::maip::WORLD);
        let stand = Stand::raise_empty(world, dir.path(), programs, || Processes::tied_to_us(&tie), &story).await;
        Self::on(dir, stand)
    }

    /// The same in a larger world of the double.
    pub(crate) async fn raise_in(world: &str) -> Self {
        let (dir, programs, output) = Self::ground();
        let story = Story { output: &output, began: Instant::now() };
        let tie = programs.clone();
        let stand = Stand::raise_in(world, dir.path(), programs, || Processes::tied_to_us(&tie), &story).await;
        Self::on(dir, stand)
    }

    pub(crate) fn ground() -> (TempDir, Programs, Output) {
        let dir = tempfile::Builder::new().prefix("mesh-suite-").tempdir().expect("a temporary directory");
        let programs = Programs::beside(&crate::binaries().join("meshctl")).expect("the programs are built");
        (dir, programs, Output::new(true))
    }

    pub(crate) fn on(dir: TempDir, stand: Result<Stand, Failure>) -> Self {
        let stand = stand.unwrap_or_else(|failure| {
            panic!("the mesh did not come up: {failure}\n{}", ends_of_logs(&dir.path().join("logs")))
        });
        Self::around(dir, stand)
    }

    /// Around processes that run already.
    pub(crate) fn around(dir: TempDir, stand: Stand) -> Self {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().expect("an HTTP client");
        Self { stand, dir, http }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Stores a manifest and lets its service move.
    pub async fn adopt(&self, service: &str, yaml: &str) {
        let path = self.path(&format!("{service}.yaml"));
        std::fs::write(&path, yaml).expect("a manifest");
        self.ctl(&["apply", "-f", &path.display().to_string(), "--yes"]).await.expect(0);
        let service = ServiceId::new(service).expect("a service's name");
        self.mesh().set_armed(&service, true).await.unwrap_or_else(|failure| panic!("{failure}"));
    }

    /// Something small is decided: a service of this name is stored.
    pub async fn decide(&self, what: &str) {
        let name = format!("decided-{}", what.replace(' ', "-"));
        let yaml = format!(
            "apiVersion: mesh/v1\nservice: {name}\nwriter: multi\nregions: {{ us-east-1: primary, us-west-2: standby }}\n\
             objectives: {{ rto: 2m, rpo: 0s }}\ntraffic:\n  - name: www\n    zone-id: Z0123456789WEBEXAMPLE\n    \
             record: {name}.example.com\n    active:\n      us-east-1: [{{ type: CNAME, ttl: 60s, values: [a.example.net] }}]\n      \
             us-west-2: [{{ type: CNAME, ttl: 60s, values: [b.example.net] }}]\n"
        );
        self.adopt(&name, &yaml).await;
    }

    /// As the person who may do everything.
    pub async fn ctl(&self, args: &[&str]) -> Said {
        meshctl(&self.stand.layout.profile(), args).await
    }

    /// As `operator`, `ann` or `bob`.
    pub async fn ctl_as(&self, person: &str, args: &[&str]) -> Said {
        meshctl(&self.stand.layout.profile_of(person), args).await
    }

    pub fn mesh(&self) -> Mesh {
        let profile = meshctl::profile::load(Some(&self.stand.layout.profile())).expect("the profile was written");
        let limits = CallLimits { total: CALL_WITHIN, ..CallLimits::default() };
        Mesh::open(&profile).expect("the profile is good").with_limits(limits)
    }

    /// Starts the failover and returns its run.
    pub async fn begin_failover(&self) -> RunId {
        let said = self.ctl(&["--json", "failover", "--to", "us-west-2", "--yes", "--no-wait"]).await.expect(0);
        let run = said.json()["runs"][0].as_str().expect("a run was started").to_owned();
        RunId::new(run).expect("a run's name is valid")
    }

    /// Polls the run until `reached`, through leader changes.
    pub async fn until(&self, run: &RunId, what: &str, mut reached: impl FnMut(&Run) -> bool) -> Run {
        let mesh = self.mesh();
        let deadline = Instant::now() + LONG;
        let mut last = String::from("nothing was read");
        while Instant::now() < deadline {
            match mesh.run(run).await {
                Ok(run) if reached(&run) => return run,
                Ok(run) => last = describe(&run),
                Err(failure) => last = failure.to_string(),
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("{run} did not reach: {what}; {last}");
    }

    pub async fn until_settled(&self, run: &RunId) -> Run {
        self.until(run, "an end or a hold", |run| run.state.is_terminal() || matches!(run.state, RunState::Held { .. }))
            .await
    }

    /// Name of the process that leads.
    pub async fn leader(&self) -> String {
        let mesh = self.mesh();
        let deadline = Instant::now() + LONG;
        while Instant::now() < deadline {
            if let Ok(membership) = mesh.membership().await
                && membership.leader != 0
            {
                return format!("coordinator-{}", membership.leader);
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("no coordinator leads");
    }

    pub fn kill(&mut self, name: &str) {
        self.stand.mesh.kill(name).unwrap_or_else(|failure| panic!("{failure}"));
    }

    pub fn restart(&mut self, name: &str) {
        self.stand.mesh.restart(name).unwrap_or_else(|failure| panic!("{failure}"));
    }

    /// Waits until all three coordinators answer for themselves and six agents are connected.
    pub async fn until_whole(&self) {
        let mesh = self.mesh();
        let deadline = Instant::now() + LONG;
        while Instant::now() < deadline {
            if let Ok(status) = mesh.status(false).await
                && status.agents.iter().filter(|agent| agent.connected).count() == 6
            {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("the mesh did not become whole again");
    }

    // ---- the double ----

    fn control(&self, path: &str) -> String {
        format!("{}/_double/{path}", self.stand.ready.aws.trim_end_matches('/'))
    }

    pub async fn get(&self, path: &str) -> Value {
        let url = self.control(path);
        let answer = self.http.get(&url).send().await.and_then(reqwest::Response::error_for_status);
        let answer = answer.unwrap_or_else(|error| panic!("GET {url}: {error}"));
        answer.json().await.unwrap_or_else(|error| panic!("GET {url}: {error}"))
    }

    pub async fn post(&self, path: &str, body: &Value) -> Value {
        let url = self.control(path);
        let answer = self.http.post(&url).json(body).send().await.and_then(reqwest::Response::error_for_status);
        let answer = answer.unwrap_or_else(|error| panic!("POST {url} {body}: {error}"));
        answer.json().await.unwrap_or(Value::Null)
    }

    /// Returns the fault's id.
    pub async fn fault(&self, service: &str, region: &str, operation: &str, kind: &str) -> String {
        let body = json!({ "service": service, "region": region, "operation": operation, "kind": kind, "count": 1 });
        let id = self.post("faults", &body).await["id"].clone();
        id.as_str().map_or_else(|| id.to_string(), str::to_owned)
    }

    /// How often the fault has fired.
    pub async fn fired(&self, id: &str) -> u64 {
        let faults = self.get("faults").await;
        let all = faults.as_array().cloned().unwrap_or_default();
        let found = all.iter().find(|fault| {
            fault["id"].as_str() == Some(id) || fault["id"].as_u64().is_some_and(|own| own.to_string() == id)
        });
        found.and_then(|fault| fault["fired"].as_u64()).unwrap_or(0)
    }

    pub async fn until_fired(&self, id: &str) {
        let deadline = Instant::now() + LONG;
        while self.fired(id).await == 0 {
            assert!(Instant::now() < deadline, "fault {id} never fired");
            tokio::time::sleep(POLL).await;
        }
    }

    pub async fn release(&self, id: &str) {
        let url = self.control(&format!("faults/{id}"));
        let answer = self.http.delete(&url).send().await.and_then(reqwest::Response::error_for_status);
        answer.unwrap_or_else(|error| panic!("DELETE {url}: {error}"));
    }

    pub async fn region(&self, region: &str, state: &str) {
        self.post(&format!("regions/{region}"), &json!({ "state": state })).await;
    }
}

/// What every process said last, for a failing test.
fn ends_of_logs(logs: &Path) -> String {
    let mut files: Vec<PathBuf> = std::fs::read_dir(logs)
        .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
        .unwrap_or_default();
    files.sort();
    files.iter().map(|file| format!("{}:\n{}\n", file.display(), tail(file).join("\n"))).collect()
}

/// Where a run stands, for a failing test.
pub fn describe(run: &Run) -> String {
    let steps: Vec<String> = run
        .plan
        .steps
        .iter()
        .filter_map(|step| Some(format!("{}={}", step.id, run.steps.get(&step.id)?.forward.state.name())))
        .collect();
    let last: Vec<&str> = run.timeline.iter().rev().take(8).map(|entry| entry.text.as_str()).collect();
    format!("it is {:?}; {}; last: {}", run.state, steps.join(" "), last.join(" <- "))
}
