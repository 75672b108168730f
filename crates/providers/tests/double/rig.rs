//! One double, and the providers of an agent in us-west-2, the region that takes over.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use mesh_core::execute::{CallResult, Job, Observation};
use mesh_core::ids::{RegionId, RunId, ServiceId, StepId};
use mesh_core::plan::{Action, Retry};
use mesh_core::run::Direction;
use mesh_double::{Running, WorldFile};
use mesh_providers::{AwsConfig, Provider, Providers, ProvidersConfig};
use serde_json::Value;

pub const CLUSTER: &str = "maip-prod-dr-eks-cluster";
pub const NODE_GROUP: &str = "maip-prod-dr-nodegroup";
pub const NAMESPACE: &str = "maip-services";
const POLLS_MAX: usize = 1000;
const POLL: Duration = Duration::from_millis(20);

pub struct Rig {
    pub double: Running,
    pub providers: Arc<Providers>,
}

impl Rig {
    pub async fn start(change: impl FnOnce(&mut WorldFile)) -> Self {
        let mut file: WorldFile = serde_json::from_str(include_str!("../../../../tests/double/worlds/maip.json"))
            .expect("the shipped world is well formed");
        file.settings.nodegroup_update_ms = 60;
        file.settings.node_ready_ms = 120;
        file.settings.pod_ready_ms = 40;
        file.settings.ecs_task_ms = 60;
        file.settings.metric_period_ms = 50;
        file.settings.lost_reply_ms = 20;
        change(&mut file);
        let double = Running::start(&file, IpAddr::V4(Ipv4Addr::LOCALHOST)).await.expect("the double starts");
        let providers = providers(&double, ("AKIAMESHUSW2A", "secret-of-usw2-a")).await;
        Self { double, providers }
    }

    /// Observes until it is satisfied, calling whenever it can be called; all that was sent.
    pub async fn carry_out(&self, job: &Job) -> (Value, Vec<CallResult>) {
        let mut sent: Vec<CallResult> = Vec::new();
        let mut last = None;
        for _ in 0..POLLS_MAX {
            let accepted = sent.iter().rev().find_map(|result| match result {
                CallResult::Accepted { reference } => Some(reference.clone()),
                _ => None,
            });
            match self.providers.observe(job, accepted.as_deref()).await {
                Observation::Satisfied { read_back } => {
                    return (serde_json::from_str(&read_back).expect("JSON"), sent);
                }
                Observation::Ready { before } => sent.push(self.providers.call(job, &before).await),
                other => last = Some(other),
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("never satisfied: {last:?}, sent {sent:?}");
    }

    pub async fn observe(&self, job: &Job) -> Observation {
        self.providers.observe(job, None).await
    }

    pub async fn before(&self, job: &Job) -> String {
        match self.observe(job).await {
            Observation::Ready { before } => before,
            other => panic!("it cannot be called: {other:?}"),
        }
    }

    /// Until what is observed fits.
    pub async fn until(&self, job: &Job, fits: impl Fn(&Observation) -> bool) -> Observation {
        for _ in 0..POLLS_MAX {
            let seen = self.observe(job).await;
            if fits(&seen) {
                return seen;
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("never seen; last: {:?}", self.observe(job).await);
    }

    pub fn fault(&self, fault: Value) -> u64 {
        let order = serde_json::from_value(fault).expect("a fault");
        self.double.double.faults(|faults| faults.add(order)).expect("it is taken")
    }

    pub fn fired(&self, fault: u64) -> u64 {
        let all = self.double.double.faults(|faults| serde_json::to_value(faults.all()).expect("JSON"));
        let one = all.as_array().expect("a list").iter().find(|one| one["id"] == fault).cloned();
        one.and_then(|one| one["fired"].as_u64()).expect("it is known")
    }

    /// How often `operation` was applied.
    pub fn applied(&self, operation: &str) -> Vec<Value> {
        let all = self.double.double.log(|log| serde_json::to_value(log.all()).expect("JSON"));
        let all = all.as_array().expect("a list").iter();
        all.filter(|effect| effect["operation"] == operation && effect["outcome"] == "applied").cloned().collect()
    }
}

pub async fn providers(double: &Running, (id, secret): (&str, &str)) -> Arc<Providers> {
    let aws = AwsConfig {
        endpoint_url: Some(double.addresses.aws.clone()),
        access_key_id: Some(id.to_owned()),
        secret_access_key: Some(secret.to_owned()),
        call_timeout: Duration::from_secs(4),
        cloudwatch_period_s: 1,
    };
    let config = ProvidersConfig {
        region: region("us-west-2"),
        aws,
        nameservers: Vec::new(),
        route53_nameservers: Vec::new(),
        credentials_dir: None,
        postgresql: Default::default(),
        hooks: Default::default(),
    };
    Providers::new(config).await.expect("the configuration is right")
}

pub fn region(name: &str) -> RegionId {
    RegionId::new(name).expect("a region")
}

pub fn step(name: &str) -> StepId {
    StepId::new(name).expect("a name")
}

pub fn job(step_name: &str, token: &str, action: Action) -> Job {
    Job {
        service: ServiceId::new("maip").expect("a name"),
        run: RunId::new("maip-g7").expect("a name"),
        step: step(step_name),
        direction: Direction::Forward,
        token: token.parse().expect("a token"),
        key: format!("maip-g7/{step_name}"),
        region: region("us-west-2"),
        action,
        time_left: Duration::from_secs(60),
        retry: Retry {
            attempts_max: 8,
            backoff_min: Duration::from_millis(10),
            backoff_max: Duration::from_millis(100),
        },
        maybe_sent_since: None,
        mesh_time: None,
        retried_by_person: false,
        evidence: BTreeMap::new(),
    }
}

/// The same thing undone, with what the run has recorded.
pub fn undo(forward: &Job, action: Action, evidence: &[(&str, &Value)]) -> Job {
    let evidence = evidence.iter().map(|(name, read_back)| (step(name), read_back.to_string())).collect();
    Job {
        direction: Direction::Undo,
        token: "8.1".parse().expect("a token"),
        key: format!("{}/undo", forward.key),
        action,
        evidence,
        ..forward.clone()
    }
}
