//! Years of operation on one disk: start-up, snapshots, log and memory stay bounded while the history grows.
//!
//! The disk is made by the real store from the commands that the engine itself gives; then the real binary starts on it.
//! Small by default; `tests/bench/scale.sh` runs it with a hundred services and ten thousand runs.

#![allow(clippy::panic, clippy::indexing_slicing, reason = "helpers of tests fail by panicking")]

#[path = "server/fixture.rs"]
#[allow(dead_code, reason = "shared with the tests of the services")]
mod fixture;
#[path = "support/site.rs"]
mod site;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use mesh_coordinator::store::fatal::Fatal;
use mesh_coordinator::store::identity::{self, DiskIdentity};
use mesh_coordinator::store::position::{Ballot, LogPosition};
use mesh_coordinator::store::wal::Wal;
use mesh_coordinator::store::{Store, StoreOptions, machine};
use mesh_core::engine::{self, AgentPresence, View};
use mesh_core::fleet::{Command, Fleet};
use mesh_core::ids::{AgentId, ServiceId};
use mesh_core::planner::{Evidence, plan_failover};
use mesh_core::run::{Cause, Outcome, OutcomeResult};
use mesh_core::time::Timestamp;
use mesh_proto::v1;
use mesh_proto::v1::operator_client::OperatorClient;
use mesh_proto::v1::raft_entry::Payload;
use serde_json::json;

use fixture::{EAST, WEST, region};
use site::{Process, Site};

const SNAPSHOT_EVERY: u64 = 5_000;
const BATCH: usize = 64;

struct Disk {
    dir: PathBuf,
    wal: Arc<Wal>,
    store: Arc<Store>,
    next: u64,
    /// Applied to plan the next command, ahead of the store.
    fleet: Fleet,
    waiting: Vec<v1::RaftEntry>,
    snapshot_at: u64,
    now: u64,
    largest_snapshot: u64,
    slowest_snapshot: Duration,
}

impl Disk {
    fn new(dir: &Path, address: &str) -> Self {
        std::fs::create_dir_all(dir).expect("made");
        let fatal = Fatal::new(|reason| panic!("{reason}"));
        let wal = Arc::new(Wal::open(&dir.join("log"), false, fatal.clone()).expect("an empty log opens"));
        identity::write(dir, &DiskIdentity { mesh: "demo".to_owned(), node: 1 }).expect("written");
        let store = Store::open(dir, &wal, StoreOptions::default(), fatal).expect("an empty store opens");
        let mut disk = Self {
            dir: dir.to_owned(),
            wal,
            store,
            next: 0,
            fleet: Fleet::default(),
            waiting: Vec::new(),
            snapshot_at: SNAPSHOT_EVERY,
            now: 1_700_000_000_000,
            largest_snapshot: 0,
            slowest_snapshot: Duration::ZERO,
        };
        durable(|synced| disk.wal.save_vote(Ballot { term: 1, node: 1, committed: true }, synced));
        disk.push(Payload::Membership(v1::RaftMembership {
            configs: vec![v1::RaftVoters { ids: vec![1] }],
            nodes: [(1, v1::RaftNode { address: address.to_owned(), region: EAST.to_owned() })].into(),
        }));
        disk.commit(&Command::NameMesh { mesh: "demo".to_owned() });
        for (name, place) in [("east-a", EAST), ("west-a", WEST)] {
            disk.commit(&Command::RegisterAgent { agent: agent(name), region: region(place) });
        }
        disk
    }

    fn place(&self, index: u64) -> LogPosition {
        LogPosition { term: 1, node: 1, index }
    }

    fn commit(&mut self, command: &Command) {
        self.now += 50;
        let at = Timestamp::from_millis(self.now);
        let reply = self.fleet.apply(at, command).reply;
        assert!(!matches!(reply, mesh_core::fleet::Reply::Refused(_)), "{command:?}: {reply:?}");
        self.push(Payload::Command(machine::encode_command(at, command)));
    }

    fn push(&mut self, payload: Payload) {
        let place = self.place(self.next);
        self.waiting.push(v1::RaftEntry { log_id: Some(place.into()), payload: Some(payload) });
        self.next += 1;
        if self.waiting.len() >= BATCH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let entries = std::mem::take(&mut self.waiting);
        if entries.is_empty() {
            return;
        }
        durable(|synced| self.wal.append(entries.clone(), synced));
        self.store.apply(entries).expect("applied");
        let last = self.next - 1;
        self.wal.note_committed(self.place(last)).expect("noted");
        if last >= self.snapshot_at {
            self.snapshot_at = last + SNAPSHOT_EVERY;
            let started = Instant::now();
            let file = self.store.build_snapshot(&self.store.view()).expect("a snapshot");
            self.slowest_snapshot = self.slowest_snapshot.max(started.elapsed());
            self.largest_snapshot = self.largest_snapshot.max(std::fs::metadata(file.path).expect("there").len());
            if let Some(upto) = last.checked_sub(2 * SNAPSHOT_EVERY) {
                durable(|synced| self.wal.purge(self.place(upto), synced));
            }
        }
    }

    fn services(&mut self, count: usize) {
        for number in 0..count {
            let mut manifest = fixture::maip();
            manifest.service = ServiceId::new(format!("service-{number:03}")).expect("a name");
            let id = manifest.service.clone();
            let source = "# as long as a manifest with comments is\n".repeat(60);
            self.commit(&Command::ApplyManifest {
                manifest: Box::new(manifest),
                source,
                by: "spiffe://demo/region/us-east-1/admin/ann".to_owned(),
                expected_version: 0,
            });
            self.commit(&Command::SetArmed { service: id, armed: true, by: "ann".to_owned() });
        }
    }

    /// One failover of `service` to the other region, from start to done, as the engine gives the commands.
    fn run(&mut self, service: &ServiceId) {
        let state = &self.fleet.services[service];
        let to = if state.active == region(EAST) { WEST } else { EAST };
        let plan = plan_failover(state, &region(to), &Evidence::default()).expect("a plan");
        let plan_hash = mesh_proto::plan_hash(&plan);
        let by = "spiffe://demo/region/us-east-1/operator/ann".to_owned();
        let (cause, safety, approvals) = (Cause::Asked, Vec::new(), Vec::new());
        self.commit(&Command::StartRun { plan: Box::new(plan), plan_hash, by, cause, safety, approvals });
        let id = self.fleet.services[service].current_run.clone().expect("it runs");
        for _ in 0..1_000 {
            if self.fleet.services[service].current_run.is_none() {
                return;
            }
            for command in engine::next(&self.fleet, &view(&self.fleet)) {
                self.commit(&command);
            }
            let open: Vec<_> = self.fleet.runs[&id]
                .open_intents()
                .map(|(step, direction, intent)| (step.id.clone(), direction, intent.seq))
                .collect();
            for (step, direction, seq) in open {
                self.commit(&Command::CloseIntent { run: id.clone(), step, direction, seq, outcome: outcome() });
            }
        }
        panic!("{id} never ended: {:?}", self.fleet.runs[&id].state);
    }

    fn sizes(&self, name: &str) -> Vec<u64> {
        let entries = std::fs::read_dir(self.dir.join(name)).expect("there");
        entries.map(|entry| entry.expect("an entry").metadata().expect("there").len()).collect()
    }

    fn bytes(&self, name: &str) -> u64 {
        self.sizes(name).iter().sum()
    }
}

fn durable(
    write: impl FnOnce(mesh_coordinator::store::wal::Synced) -> Result<(), mesh_coordinator::store::StoreError>,
) {
    let (tell, told) = mpsc::channel::<()>();
    write(Box::new(move || tell.send(()).unwrap_or_default())).expect("the write is accepted");
    told.recv().expect("the write is acknowledged");
}

fn agent(name: &str) -> AgentId {
    AgentId::new(name).expect("a name")
}

fn view(fleet: &Fleet) -> View {
    let present = |(id, record): (&AgentId, &mesh_core::fleet::AgentRecord)| {
        (id.clone(), AgentPresence { region: record.region.clone(), last_heard: fleet.now, load: 0 })
    };
    let agents: BTreeMap<_, _> = fleet.agents.iter().map(present).collect();
    View { now: fleet.now, agents, agent_silence: Duration::from_secs(6), led_since: Timestamp::default() }
}

fn outcome() -> Outcome {
    let document = json!({
        "status": "available", "arn": "arn:aws:rds:us-west-2:123456789012:db:maip-prod-postgres-replica",
        "security_groups": ["sg-0a1b2c3d4e5f60718"], "source": null, "backup_retention_days": 7,
    });
    Outcome {
        result: OutcomeResult::Done,
        detail: "available, read back as planned".to_owned(),
        read_back: document.to_string(),
        before: document.to_string(),
        calls: 1,
        provider_wait: Duration::from_millis(900),
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Measured {
    runs: usize,
    audit_records: u64,
    snapshot_bytes: u64,
    snapshot_ms: u64,
    log_bytes: u64,
    state_bytes: u64,
    history_bytes: u64,
    /// The largest.
    segment_bytes: u64,
    open_ms: u64,
    start_ms: u64,
    report_ms: u64,
    rss_kb: u64,
}

/// Starts the binary on a copy of the disk, and asks it.
async fn measure(disk: &Disk, site: &Site, config: &Path, runs: usize) -> Measured {
    let data = site.path("data");
    disk.store.settle();
    copy(&disk.dir, &data);
    let opened = {
        let fatal = Fatal::new(|reason| panic!("{reason}"));
        let started = Instant::now();
        let wal = Wal::open(&data.join("log"), true, fatal.clone()).expect("it opens");
        let store = Store::open(&data, &wal, StoreOptions::default(), fatal).expect("it opens");
        let took = started.elapsed();
        // sled is written back when it likes: what the copy lacks of it is in the log.
        assert_eq!(wal.state().last, disk.wal.state().last, "nothing is missing");
        assert!(store.summary().applied >= wal.state().purged, "and nothing is beyond the log");
        took
    };
    let started = Instant::now();
    let process = Process::start(config, &[]);
    let client = site.client();
    let status = client.call(|channel| async move {
        OperatorClient::new(channel).get_status(v1::GetStatusRequest { stale: false }).await
    });
    let status = status.await.expect("answered").into_inner();
    let start = started.elapsed();
    assert_eq!(status.services.len(), disk.fleet.services.len());
    assert!(status.applied_index >= disk.next - 1, "everything was applied before it answered");
    // The very first run, long out of the state.
    let asked = Instant::now();
    let report = client.call(|channel| async move {
        OperatorClient::new(channel).get_run(v1::GetRunRequest { run: "service-000-g1".to_owned() }).await
    });
    let report = report.await.expect("an old run is still there").into_inner().run.expect("a run");
    assert!(report.ended_at.is_some() && !report.timeline.is_empty(), "it is whole");
    let report_took = asked.elapsed();
    let listed = client.call(|channel| async move {
        let mut client = OperatorClient::new(channel);
        client.list_runs(v1::ListRunsRequest { service: String::new(), limit: 1000 }).await
    });
    let listed = listed.await.expect("answered").into_inner().runs;
    assert_eq!(listed.len(), runs.min(1000), "every run is listed");
    assert!(listed.windows(2).all(|pair| pair[0].started_at >= pair[1].started_at), "newest first");
    let rss = std::fs::read_to_string(format!("/proc/{}/status", process.child.id())).expect("it runs");
    let rss = rss.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    process.terminate();
    let (ended, said) = process.end();
    assert!(ended.success(), "{said}");
    std::fs::remove_dir_all(&data).expect("removed");
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).expect("short");
    Measured {
        runs,
        audit_records: disk.store.summary().audit.records,
        snapshot_bytes: disk.largest_snapshot,
        snapshot_ms: millis(disk.slowest_snapshot),
        log_bytes: disk.bytes("log"),
        state_bytes: disk.bytes("state"),
        history_bytes: disk.bytes("history"),
        segment_bytes: disk.sizes("history").into_iter().max().unwrap_or_default(),
        open_ms: millis(opened),
        start_ms: millis(start),
        report_ms: millis(report_took),
        rss_kb: rss.split_whitespace().next().and_then(|kb| kb.parse().ok()).expect("a number"),
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("read") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else if path.extension().is_some_and(|extension| extension == "seg") {
            // Never written again.
            std::fs::hard_link(&path, &target).expect("linked");
        } else {
            std::fs::copy(&path, &target).expect("copied");
        }
    }
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn start_up_snapshots_and_memory_do_not_grow_with_the_history() {
    let (services, runs) = (number("SCALE_SERVICES", 4), number("SCALE_RUNS", 400));
    let site = Site::new();
    let config = site.config("1");
    let mut disk = Disk::new(&site.path("made"), &site.address);
    disk.services(services);
    // From here on every service has as many ended runs in the state as it keeps, or more than it ever will.
    let first = (services * (mesh_core::fleet::apply::ENDED_RUNS_KEPT + 1)).max(runs / 10);
    let mut measured = Vec::new();
    for run in 0..runs {
        let service = ServiceId::new(format!("service-{:03}", run % services)).expect("a name");
        disk.run(&service);
        if run + 1 == first || run + 1 == runs {
            disk.flush();
            measured.push(measure(&disk, &site, &config, run + 1).await);
        }
    }
    let (early, late) = (measured[0], measured[measured.len() - 1]);
    for (what, unit, value, peer) in [
        ("start_up", "ms", late.start_ms, early.start_ms),
        ("open_state", "ms", late.open_ms, early.open_ms),
        ("oldest_report", "ms", late.report_ms, early.report_ms),
        ("snapshot", "bytes", late.snapshot_bytes, early.snapshot_bytes),
        ("snapshot_slowest", "ms", late.snapshot_ms, early.snapshot_ms),
        ("log", "bytes", late.log_bytes, early.log_bytes),
        ("state", "bytes", late.state_bytes, early.state_bytes),
        ("history", "bytes", late.history_bytes, early.history_bytes),
        ("rss", "kB", late.rss_kb, early.rss_kb),
    ] {
        println!(
            "{}",
            json!({
                "bench": format!("scale_{what}"), "value": value, "unit": unit,
                "peer": format!("the same mesh after {} runs", early.runs), "peer_value": peer,
                "ratio": (peer > 0).then(|| (value as f64 / peer as f64 * 100.0).round() / 100.0),
                "services": services, "runs": late.runs, "audit_records": late.audit_records,
            })
        );
    }
    assert!(late.audit_records > early.audit_records * 3, "the history grew");
    // A snapshot holds the state, and of the history less than a segment.
    if early.snapshot_bytes > 0 {
        let bound = early.snapshot_bytes + 2 * late.segment_bytes;
        assert!(late.snapshot_bytes < bound, "over {bound}: {early:?} {late:?}");
    }
}
