//! A mesh that may act by itself: for the demo's own service, or for one without a database beside it.

use std::collections::BTreeMap;
use std::time::Instant;

use mesh_core::ids::{RunId, ServiceId};
use mesh_core::plan::PlanKind;
use meshctl::demo::child::Processes;
use meshctl::demo::dialler::Diallers;
use meshctl::demo::maip::{NEW, Plot};
use meshctl::demo::network::Network;
use meshctl::demo::region_loss::{self, LOST};
use meshctl::demo::stand::{Stand, Story};
use serde_json::Value;

use crate::Rig;
use crate::foreign::{Foreign, ZONE, set};
use crate::rig::{LONG, POLL};

/// The service without a database.
pub const WEB: &str = "web";
pub const WEB_NAME: &str = "web.maip.example.com";
const TTL: i64 = 30;

/// A probe a second, three seconds of failure.
pub fn policy(mode: &str) -> String {
    format!("policy:\n  automatic: {mode}\n  sustained: 3s\n  cool-down: 30m\n")
}

impl Rig {
    /// The demo's world whose primary is not where the control plane of Route 53 is. `policy` is that of the demo's own
    /// service.
    pub async fn raise_by_itself(policy: &str) -> Self {
        let (dir, programs, output) = Self::ground();
        let story = Story { output: &output, began: Instant::now() };
        let (tie, world) = (programs.clone(), region_loss::world());
        let raised = Stand::raise_empty(&world, dir.path(), programs, || Processes::tied_to_us(&tie), &story).await;
        let raised = match raised {
            Ok(mut stand) => {
                let plot = Plot { asked_at: Some(stand.ready.apps.clone()), policy: policy.to_owned() };
                stand.adopt(&story, &plot).await.map(|()| stand)
            }
            Err(failure) => Err(failure),
        };
        Self::on(dir, raised)
    }

    /// Stores the service without a database, asked at these addresses.
    pub async fn adopt_web(&self, addresses: &BTreeMap<String, String>, policy: &str) {
        let value = |region: &str| format!("{region}.example.net");
        let records = set(WEB_NAME, aws_sdk_route53::types::RrType::Cname).values(TTL, &[&value(LOST)]).build();
        Foreign::new(self).await.upsert(records).await;
        let urls: String =
            addresses.iter().map(|(region, address)| format!("        {region}: http://{address}/\n")).collect();
        let active: String = [LOST, NEW]
            .map(|region| format!("      {region}: [{{ type: CNAME, ttl: {TTL}s, values: [{}] }}]\n", value(region)))
            .concat();
        let yaml = format!(
            "apiVersion: mesh/v1\nservice: {WEB}\nwriter: multi\nregions: {{ {LOST}: primary, {NEW}: standby }}\n\
             objectives: {{ rto: 2m, rpo: 0s }}\nchecks:\n  - name: app\n    http:\n      urls:\n{urls}    interval: 1s\n    \
             timeout: 1s\n    fail-after: 2\n    pass-after: 2\ntraffic:\n  - name: www\n    zone-id: {ZONE}\n    \
             record: {WEB_NAME}\n    active:\n{active}{policy}"
        );
        self.adopt(WEB, &yaml).await;
        self.ctl(&["traffic", "setup", "--service", WEB, "--yes"]).await.expect(0);
        self.until_judged(WEB, "every region is healthy", |judged| {
            judged["regions"].as_object().is_some_and(|all| all.values().all(|one| one["verdict"] == "healthy"))
        })
        .await;
    }

    /// The network before the applications, as each region's agents use it.
    pub async fn network(&self) -> Network {
        let diallers = Diallers::default();
        diallers.know(self.stand.mesh.all.iter().map(|process| (process.name.clone(), process.pid())).collect());
        let mut regions = BTreeMap::new();
        for region in self.stand.world.regions() {
            let agents = self.stand.world.callers(region);
            regions.extend(agents.map(|key| (format!("agent-{}", key.name), region.to_owned())));
        }
        let network = Network::before(&self.stand.ready.apps, &diallers, &regions).await;
        network.unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// Polls `why-not` until `reached`, through leader changes.
    pub async fn until_judged(&self, service: &str, what: &str, mut reached: impl FnMut(&Value) -> bool) -> Value {
        let deadline = Instant::now() + LONG;
        loop {
            let said = self.ctl(&["--json", "why-not", service]).await;
            let judged = if said.code == 0 { said.json() } else { Value::Null };
            if reached(&judged) {
                return judged;
            }
            assert!(Instant::now() < deadline, "{service} never came to: {what}; {judged} {}", said.stderr);
            tokio::time::sleep(POLL).await;
        }
    }

    /// The failovers of a service that were started, newest first.
    pub async fn failovers(&self, service: &str) -> Vec<RunId> {
        let service = ServiceId::new(service).expect("a service's name");
        let runs = self.mesh().runs(Some(&service), 100).await.unwrap_or_else(|failure| panic!("{failure}"));
        let failover = PlanKind::Failover.to_string();
        runs.iter().filter(|run| run.kind == failover).map(|run| RunId::new(&*run.run).expect("a name")).collect()
    }

    /// Waits until the service moves, the nth time.
    pub async fn until_failover(&self, service: &str, nth: usize) -> RunId {
        let service_id = ServiceId::new(service).expect("a service's name");
        let (mesh, deadline) = (self.mesh(), Instant::now() + LONG);
        while Instant::now() < deadline {
            if let Ok(runs) = mesh.runs(Some(&service_id), 100).await {
                let failover = PlanKind::Failover.to_string();
                let moved: Vec<_> = runs.iter().filter(|run| run.kind == failover).collect();
                if moved.len() >= nth
                    && let Some(newest) = moved.first()
                {
                    return RunId::new(&*newest.run).expect("a name");
                }
            }
            tokio::time::sleep(POLL).await;
        }
        let said = self.ctl(&["why-not", service]).await;
        panic!("{service} did not move {nth} times: {}{}", said.stdout, said.stderr);
    }

    /// Everything in the region ends: what the double has there, its agents and its coordinator.
    pub async fn lose(&mut self, region: &str) {
        self.region(region, "down").await;
        let node = self.stand.world.regions().iter().position(|one| *one == region).expect("a region of the world") + 1;
        let agents: Vec<String> = self.stand.world.callers(region).map(|key| format!("agent-{}", key.name)).collect();
        for name in agents.into_iter().chain([format!("coordinator-{node}")]) {
            self.kill(&name);
        }
    }

    /// Makes the coordinator in this region lead.
    pub async fn lead_from(&self, region: &str) {
        let node = self.stand.world.regions().iter().position(|one| *one == region).expect("a region of the world") + 1;
        let deadline = Instant::now() + LONG;
        while self.leader().await != format!("coordinator-{node}") {
            assert!(Instant::now() < deadline, "coordinator-{node} never led");
            self.ctl(&["coordinator", "transfer", &node.to_string(), "--yes"]).await;
            tokio::time::sleep(POLL).await;
        }
    }
}

/// The rules that are in the way.
pub fn blocking(judged: &Value) -> Vec<String> {
    let rules = judged["rules"].as_array().cloned().unwrap_or_default();
    let blocking = rules.iter().filter(|rule| rule["state"] == "blocks" || rule["state"] == "missing");
    blocking.filter_map(|rule| rule["rule"].as_str().map(str::to_owned)).collect()
}
