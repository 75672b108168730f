//! The mesh that is simulated: how many regions, which manifest, how good the clocks are.

use std::sync::Arc;

use mesh_core::access;
use mesh_core::fleet::{Command, Fleet};
use mesh_core::ids::{AgentId, IntentSeq, KeyId, RegionId, ServiceId};
use mesh_core::manifest::Manifest;
use mesh_core::run::Approval;
use mesh_core::time::Timestamp;

use crate::mix::Mix;
use crate::scenario::Given;
use crate::{MILLI, MINUTE, Micros, SECOND};

pub const SERVICE: &str = "orders";
pub const REGIONS_MAX: usize = 5;
/// The service is active in the first. Those without a workload are witnesses.
const REGIONS: [&str; REGIONS_MAX] = ["us-east-1", "us-west-2", "eu-central-1", "eu-west-1", "ap-south-1"];
pub const AGENTS_PER_REGION: usize = 2;
pub const CHECK: &str = "api";
pub const DATABASE: &str = "database";
pub const ZONE: &str = "Z0SIM";
/// What a lease is waited out beyond its end, unless a seed has less.
pub const MARGIN: Micros = 2 * SECOND;
/// Most services beside the first: more than one wave has room for.
pub const LIGHTS_MAX: usize = 6;
/// Intents count within their service; here each has numbers of its own.
const INTENTS_APART: u64 = 1_000_000;
/// Who may sign, with which keys.
pub const KEYS: [(&str, &str); 4] = [("ann-1", "ann"), ("bob-1", "bob"), ("cyd-1", "cyd"), ("ann-2", "ann")];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub regions: usize,
    /// The first so many regions have a workload.
    pub workloads: usize,
    /// One way between two regions.
    pub far: Micros,
    pub interval_s: u64,
    pub fail_after: u32,
    pub pass_after: u32,
    pub sustained_s: u64,
    pub cool_down_s: u64,
    pub lease_s: u64,
    pub reaction_s: u64,
    /// Of a lease.
    pub margin: Micros,
    /// `None`: whatever is lost is accepted.
    pub rpo_s: Option<u64>,
    /// Clocks run fast or slow by at most this.
    pub drift_ppm: u64,
    pub fsync: Micros,
    /// Do agents ask each other for promises?
    pub promises: bool,
    pub lasts: Micros,
    pub mix: Mix,
    /// A user's manifest in place of the one that is made of the above.
    pub given: Option<Arc<Given>>,
    /// Judging rests so long before it looks at what was told.
    pub rest: Micros,
    /// A write is on the replicas so much later.
    pub lag: Micros,
    /// When in the week it begins.
    pub calendar: Micros,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            regions: 3,
            workloads: 2,
            far: 50 * MILLI,
            interval_s: 1,
            fail_after: 3,
            pass_after: 2,
            sustained_s: 15,
            cool_down_s: 600,
            lease_s: 5,
            reaction_s: 3,
            margin: MARGIN,
            rpo_s: None,
            drift_ppm: 200,
            fsync: 2 * MILLI,
            promises: true,
            lasts: 10 * MINUTE,
            mix: Mix::default(),
            given: None,
            rest: 20 * MILLI,
            lag: 0,
            calendar: 0,
        }
    }
}

/// Names that are looked up all the time.
pub struct Names {
    /// The one with the database.
    pub service: ServiceId,
    /// All, that one first.
    pub services: Vec<ServiceId>,
    pub regions: Vec<RegionId>,
    pub agents: Vec<AgentId>,
    /// Regions, and agents, in the order of their names.
    pub by_name: Vec<usize>,
    pub agents_by_name: Vec<usize>,
}

impl Names {
    pub fn of(set: &Setting) -> Self {
        let made = || REGIONS[..set.regions].iter().map(|name| RegionId::new(*name).expect("a name")).collect();
        let regions: Vec<RegionId> = set.given.as_ref().map_or_else(made, |given| given.regions.clone());
        let service = set.given.as_ref().map(|given| given.manifest.service.clone());
        let letters = ["a", "b", "c"];
        let agents = regions.iter().flat_map(|region| {
            letters[..AGENTS_PER_REGION].iter().map(move |letter| AgentId::new(format!("{region}-{letter}")))
        });
        let agents = agents.map(|agent| agent.expect("a name")).collect();
        let service = service.unwrap_or_else(|| ServiceId::new(SERVICE).expect("a name"));
        let lights = (0..set.mix.lights.min(LIGHTS_MAX)).map(light);
        let services = std::iter::once(service.clone()).chain(lights).collect();
        let mut by_name: Vec<usize> = (0..regions.len()).collect();
        by_name.sort_by_key(|region| &regions[*region]);
        let agents: Vec<AgentId> = agents;
        let mut agents_by_name: Vec<usize> = (0..agents.len()).collect();
        agents_by_name.sort_by_key(|agent| &agents[*agent]);
        Self { service, services, regions, agents, by_name, agents_by_name }
    }

    pub fn region(&self, id: &RegionId) -> usize {
        self.regions.iter().position(|known| known == id).expect("a region of the world")
    }

    pub fn agent(&self, id: &AgentId) -> Option<usize> {
        self.agents.iter().position(|known| known == id)
    }
}

impl Setting {
    pub fn manifest(&self) -> Manifest {
        match &self.given {
            Some(given) => given.manifest.clone(),
            None => parsed(&self.yaml()),
        }
    }

    fn lines(&self, line: &dyn Fn(usize) -> String) -> String {
        (0..self.workloads).map(line).collect()
    }

    /// Regions, objectives, the check, what is published.
    fn common(&self, name: &str) -> String {
        let roles = self.lines(&|at| format!("  {}: {}\n", REGIONS[at], if at == 0 { "primary" } else { "standby" }));
        let addresses = self.lines(&|at| format!("        {}: api{at}.example.com:443\n", REGIONS[at]));
        let published = self.lines(&|at| {
            format!(
                "      {}:\n        - {{ type: A, ttl: 30s, values: [10.0.{at}.1, 10.0.{at}.2] }}\n        \
                 - {{ type: AAAA, ttl: 30s, values: [\"2001:db8::{at}\"] }}\n",
                REGIONS[at]
            )
        });
        let traffic = format!(
            "traffic:\n  - name: www\n    zone-id: {ZONE}\n    record: {}\n    active:\n{published}",
            record_of(name)
        );
        format!(
            "regions:\n{roles}objectives: {{ rto: 5m, rpo: {}s }}\n\
             checks:\n  - name: {CHECK}\n    tcp:\n      addresses:\n{addresses}    interval: {}s\n    timeout: 1s\n    \
             fail-after: {}\n    pass-after: {}\n{}",
            self.rpo_s.unwrap_or(5),
            self.interval_s,
            self.fail_after,
            self.pass_after,
            if self.mix.traffic || name != SERVICE { traffic } else { String::new() },
        )
    }

    pub fn yaml(&self) -> String {
        let servers = self.lines(&|at| {
            format!("        {}: {{ host: pg{at}.example.com, user: mesh, tls: {{ ca-file: ca.pem }} }}\n", REGIONS[at])
        });
        let topics = self.lines(&|at| format!("      {}: arn:aws:sns:{}:1:oncall.fifo\n", REGIONS[at], REGIONS[at]));
        let notices =
            if self.mix.traffic { format!("notices:\n  - name: oncall\n    sns:\n{topics}") } else { String::new() };
        let rule = if self.mix.ruled { "safety:\n  - { name: fresh, rule: lag(database) < 20s }\n" } else { "" };
        let loss = if self.rpo_s.is_some() { "block" } else { "accept" };
        let mode = if self.mix.asks_first { "fence" } else { "full" };
        format!(
            "apiVersion: mesh/v1\nservice: {SERVICE}\nwriter: single\n{}\
             resources:\n  - name: {DATABASE}\n    postgresql:\n      instances:\n{servers}{notices}{rule}\
             fence:\n  - lease-endpoint: {{ reaction: {}s }}\nlease: {{ length: {}s, margin: {}ms }}\n\
             policy:\n  automatic: {mode}\n  sustained: {}s\n  cool-down: {}s\n  loss: {loss}\n  \
             fence-timeout: 1m\n  catch-up-timeout: 1m\n  traffic-timeout: 1m\n  notice-timeout: 1m\n",
            self.common(SERVICE),
            self.reaction_s,
            self.lease_s,
            self.margin / MILLI,
            self.sustained_s,
            self.cool_down_s,
        )
    }

    /// The first of them needs the one with the database, the last one the one before it.
    fn light_yaml(&self, nth: usize) -> String {
        let needs = match nth {
            0 => format!("depends-on: [{SERVICE}]\n"),
            nth if nth + 1 == LIGHTS_MAX => format!("depends-on: [{}]\n", light(nth - 1)),
            _ => String::new(),
        };
        format!(
            "apiVersion: mesh/v1\nservice: {}\nwriter: multi\n{needs}{}policy:\n  automatic: full\n  sustained: {}s\n  \
             cool-down: {}s\n  traffic-timeout: 1m\n",
            light(nth),
            self.common(light(nth).as_str()),
            self.sustained_s,
            self.cool_down_s,
        )
    }

    pub fn check(&self) -> &str {
        self.given.as_ref().map_or(CHECK, |given| &given.check)
    }

    pub fn database(&self) -> &str {
        self.given.as_ref().map_or(DATABASE, |given| &given.database)
    }

    pub fn probe_timeout(&self) -> Micros {
        self.given.as_ref().map_or(SECOND, |given| given.timeout)
    }

    /// Between two questions of one kind by one agent.
    pub fn every(&self, is_lag: bool) -> Micros {
        let lag = self.given.as_ref().filter(|_| is_lag).map(|given| given.lag_every);
        lag.unwrap_or(self.interval_s * SECOND)
    }

    /// Are there leases, so that nobody may let a region write without one?
    pub fn is_leased(&self) -> bool {
        self.given.as_ref().is_none_or(|given| given.manifest.fence.is_leased())
    }

    /// Does something on the writers' way ask for the lease?
    pub fn is_gated(&self) -> bool {
        self.given.as_ref().is_none_or(|given| given.manifest.fence.dead_man().is_some())
    }

    /// What was committed before the world begins.
    pub fn founding(&self, names: &Names) -> Vec<Command> {
        let mut commands = vec![Command::NameMesh { mesh: "sim".to_owned() }];
        let lights = (0..names.services.len() - 1).map(|nth| parsed(&self.light_yaml(nth)));
        for manifest in std::iter::once(self.manifest()).chain(lights) {
            let service = manifest.service.clone();
            commands.push(Command::ApplyManifest {
                manifest: Box::new(manifest),
                source: String::new(),
                by: "admin".to_owned(),
                expected_version: 0,
            });
            commands.push(Command::SetArmed { service, armed: true, by: "admin".to_owned() });
        }
        for (nth, agent) in names.agents.iter().enumerate() {
            let region = names.regions[nth / AGENTS_PER_REGION].clone();
            commands.push(Command::RegisterAgent { agent: agent.clone(), region });
        }
        if self.mix.people.is_some() {
            commands.extend(KEYS.iter().enumerate().map(|(nth, (key, owner))| enrolment(nth, key, owner)));
        }
        commands
    }
}

pub fn light(nth: usize) -> ServiceId {
    ServiceId::new(format!("web{nth}")).expect("a name")
}

/// One of those without a database.
pub fn is_light(service: &ServiceId) -> bool {
    (0..LIGHTS_MAX).any(|nth| light(nth) == *service)
}

pub fn record_of(service: &str) -> String {
    format!("{service}.example.com")
}

fn parsed(yaml: &str) -> Manifest {
    mesh_manifest::parse(yaml, "sim.yaml").unwrap_or_else(|found| panic!("{found:?}\n{yaml}"))
}

/// From the third on, two others have signed it.
fn enrolment(nth: usize, key: &str, owner: &str) -> Command {
    let key = KeyId::new(key).expect("a name");
    let public_key = vec![u8::try_from(nth).expect("few") + 1; 32];
    let hex: String = public_key.iter().map(|byte| format!("{byte:02x}")).collect();
    let subject = access::enroll_subject(&key, owner, &hex);
    let approval = |(by, _): &(&str, &str)| Approval {
        key: KeyId::new(*by).expect("a name"),
        subject: subject.clone(),
        expires_at: Timestamp::from_millis(u64::MAX / 2),
        signature: Vec::new(),
        at: Timestamp::default(),
    };
    let approvals = if nth < 2 { Vec::new() } else { KEYS[..2].iter().map(approval).collect() };
    Command::EnrollKey { key, owner: owner.to_owned(), public_key, approvals, by: "admin".to_owned() }
}

/// After the founding commands, on every replica.
pub fn spread_intents(fleet: &mut Fleet, names: &Names) {
    for (nth, id) in names.services.iter().enumerate() {
        let spread = IntentSeq(nth as u64 * INTENTS_APART);
        fleet.services.get_mut(id).expect("it was founded").intent = spread;
    }
}
