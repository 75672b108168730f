//! What must be the same after a refusal.

use std::collections::BTreeMap;

use mesh_suite::Rig;
use serde_json::Value;

#[derive(Debug, PartialEq, Eq)]
pub struct Standing {
    state_hash: Vec<u8>,
    audit_head: (u64, Vec<u8>),
    history: Value,
    services: Vec<(String, u64)>,
    agents: Vec<(String, String)>,
    effects: BTreeMap<(String, String), usize>,
}

impl Standing {
    pub async fn of(rig: &Rig) -> Self {
        let mesh = rig.mesh();
        let status = mesh.status(false).await.expect("the mesh answers");
        let mut audit = mesh.audit(0).await.expect("the audit is open to an admin");
        let mut audit_head = (0, Vec::new());
        while let Some(record) = audit.next().await.expect("the audit is readable") {
            audit_head = (record.index, record.hash);
        }
        let version =
            |service: &mesh_proto::v1::ServiceStatus| service.entity.as_ref().map_or(0, |entity| entity.version);
        Self {
            state_hash: status.state_hash,
            audit_head,
            history: rig.ctl(&["--json", "history"]).await.expect(0).json(),
            services: status.services.iter().map(|service| (service.service.clone(), version(service))).collect(),
            agents: status.agents.into_iter().map(|agent| (agent.agent, agent.region)).collect(),
            effects: rig.applied().await,
        }
    }

    #[track_caller]
    fn compare(&self, now: &Self, after: &str) {
        assert_eq!(self, now, "the mesh must be as it was before {after}");
    }

    pub async fn still_holds(&self, rig: &Rig, after: &str) {
        self.compare(&Self::of(rig).await, after);
    }
}
