//! The mesh that is simulated: how many regions, which manifest, how good the clocks are.

use mesh_core::fleet::Command;
use mesh_core::ids::{AgentId, Hash32, RegionId, ServiceId};
use mesh_core::manifest::Manifest;

use crate::{MILLI, MINUTE, Micros};

pub const SERVICE: &str = "orders";
/// The service is active in the first. Those without a workload are witnesses.
const REGIONS: [&str; 5] = ["us-east-1", "us-west-2", "eu-central-1", "eu-west-1", "ap-south-1"];
pub const AGENTS_PER_REGION: usize = 2;
/// A plan's name in approvals and in the log; nothing here signs it.
pub const HASH: Hash32 = Hash32([7; 32]);
pub const CHECK: &str = "api";
pub const DATABASE: &str = "database";

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
    /// `None`: whatever is lost is accepted.
    pub rpo_s: Option<u64>,
    /// Clocks run fast or slow by at most this.
    pub drift_ppm: u64,
    pub fsync: Micros,
    /// Do agents ask each other for promises?
    pub promises: bool,
    pub lasts: Micros,
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
            rpo_s: None,
            drift_ppm: 200,
            fsync: 2 * MILLI,
            promises: true,
            lasts: 10 * MINUTE,
        }
    }
}

/// Names that are looked up all the time.
pub struct Names {
    pub service: ServiceId,
    pub regions: Vec<RegionId>,
    pub agents: Vec<AgentId>,
}

impl Names {
    pub fn of(set: &Setting) -> Self {
        let regions: Vec<RegionId> =
            REGIONS[..set.regions].iter().map(|name| RegionId::new(*name).expect("a name")).collect();
        let letters = ["a", "b", "c"];
        let agents = regions.iter().flat_map(|region| {
            letters[..AGENTS_PER_REGION].iter().map(move |letter| AgentId::new(format!("{region}-{letter}")))
        });
        let agents = agents.map(|agent| agent.expect("a name")).collect();
        Self { service: ServiceId::new(SERVICE).expect("a name"), regions, agents }
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
        let yaml = self.yaml();
        mesh_manifest::parse(&yaml, "sim.yaml").unwrap_or_else(|found| panic!("{found:?}\n{yaml}"))
    }

    pub fn yaml(&self) -> String {
        let lines = |line: &dyn Fn(usize) -> String| (0..self.workloads).map(line).collect::<String>();
        let roles = lines(&|at| format!("  {}: {}\n", REGIONS[at], if at == 0 { "primary" } else { "standby" }));
        let addresses = lines(&|at| format!("        {}: api{at}.example.com:443\n", REGIONS[at]));
        let servers = lines(&|at| {
            format!("        {}: {{ host: pg{at}.example.com, user: mesh, tls: {{ ca-file: ca.pem }} }}\n", REGIONS[at])
        });
        let loss = if self.rpo_s.is_some() { "block" } else { "accept" };
        format!(
            "apiVersion: mesh/v1\nservice: {SERVICE}\nwriter: single\nregions:\n{roles}\
             objectives: {{ rto: 5m, rpo: {}s }}\n\
             checks:\n  - name: {CHECK}\n    tcp:\n      addresses:\n{addresses}    interval: {}s\n    timeout: 1s\n    \
             fail-after: {}\n    pass-after: {}\n\
             resources:\n  - name: {DATABASE}\n    postgresql:\n      instances:\n{servers}\
             fence:\n  - lease-endpoint: {{ reaction: {}s }}\nlease: {{ length: {}s, margin: 2s }}\n\
             policy:\n  automatic: full\n  sustained: {}s\n  cool-down: {}s\n  loss: {loss}\n  \
             fence-timeout: 1m\n  catch-up-timeout: 1m\n",
            self.rpo_s.unwrap_or(5),
            self.interval_s,
            self.fail_after,
            self.pass_after,
            self.reaction_s,
            self.lease_s,
            self.sustained_s,
            self.cool_down_s,
        )
    }

    /// What was committed before the world begins.
    pub fn founding(&self, names: &Names) -> Vec<Command> {
        let mut commands = vec![
            Command::NameMesh { mesh: "sim".to_owned() },
            Command::ApplyManifest {
                manifest: Box::new(self.manifest()),
                source: String::new(),
                by: "admin".to_owned(),
                expected_version: 0,
            },
            Command::SetArmed { service: names.service.clone(), armed: true, by: "admin".to_owned() },
        ];
        for (nth, agent) in names.agents.iter().enumerate() {
            let region = names.regions[nth / AGENTS_PER_REGION].clone();
            commands.push(Command::RegisterAgent { agent: agent.clone(), region });
        }
        commands
    }
}
