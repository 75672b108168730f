//! The one provider that an agent holds: it hands each action to whoever knows it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use mesh_core::execute::{CallResult, Job, Observation};
use mesh_core::ids::RegionId;
use mesh_core::manifest::PostgresInstance;
use mesh_core::plan::Action;
use mesh_core::time::{Timestamp, duration_millis};

use crate::aws::apigateway::ApiGateway;
use crate::aws::bearer::Bearer;
use crate::aws::cloudwatch::{CloudWatch, Latency};
use crate::aws::ecs::Ecs;
use crate::aws::eks::Eks;
use crate::aws::kafka::Kafka;
use crate::aws::rds::Rds;
use crate::aws::route53::Route53;
use crate::aws::sns::Sns;
use crate::aws::sts::{Caller, Sts};
use crate::config::{ProvidersConfig, SetupError};
use crate::dns::Resolver;
use crate::dynamodb::Tables;
use crate::ecs::Services;
use crate::eks::NodeGroups;
use crate::gateway::Stages;
use crate::hook::Hooks;
use crate::kubernetes::Workloads;
use crate::postgres::Servers;
use crate::probe::Trouble;
use crate::probe::{self, Answer, Asker, Asks};
use crate::rds::Databases;
use crate::route53::Records;
use crate::sns::Notices;
use crate::verify::{self, Question};
use crate::{Provider, ServerSeen, aws, kubernetes, msk};

pub struct Providers {
    region: RegionId,
    call_timeout: Duration,
    asker: Asker,
    sts: Sts,
    databases: Databases,
    records: Records,
    notices: Notices,
    node_groups: NodeGroups,
    workloads: Workloads,
    services: Services,
    kafka: Kafka,
    pub(crate) tables: Tables,
    pub(crate) servers: Servers,
    hooks: Hooks,
    stages: Stages,
}

impl Providers {
    /// Reads the AWS environment; sends nothing.
    pub async fn new(config: ProvidersConfig) -> Result<Arc<Self>, SetupError> {
        config.aws.check()?;
        let resolver = Resolver::new(config.nameservers.clone());
        let regional = aws::config::load(&config.region, &config.aws).await;
        let eks = Eks::new(&regional);
        Ok(Arc::new(Self {
            call_timeout: config.aws.call_timeout,
            sts: Sts::new(&regional),
            databases: Databases {
                rds: Rds::new(&regional),
                cloudwatch: CloudWatch::new(&regional, config.aws.cloudwatch_period_s),
            },
            records: Records::new(
                Route53::new(&regional, aws::config::route53_region(&config.region)),
                config.route53_nameservers.clone(),
                resolver.clone(),
            ),
            notices: Notices::new(Sns::new(&regional), config.region.clone()),
            node_groups: NodeGroups(eks.clone()),
            workloads: Workloads(kubernetes::Api::new(
                eks,
                Bearer::new(&regional, &config.region),
                config.aws.call_timeout,
            )),
            services: Services(Ecs::new(&regional)),
            kafka: Kafka::new(&regional),
            tables: Tables::new(&regional, &config.region, config.aws.cloudwatch_period_s, config.aws.call_timeout),
            servers: Servers::new(config.credentials_dir.clone(), &config.postgresql, resolver.clone()),
            hooks: Hooks(config.hooks.clone()),
            stages: Stages(ApiGateway::new(&regional)),
            asker: Asker::new(&config, regional, resolver),
            region: config.region,
        }))
    }

    /// Whose AWS credentials these are.
    pub async fn caller(&self) -> Result<Caller, String> {
        self.sts.caller().await.map_err(aws::error::ReadError::reason)
    }

    /// The replication lag of a read replica of this region, as last published, and the time it is of. `None`:
    /// nothing was published in the last ten minutes, or it does not replicate.
    pub async fn rds_lag(&self, instance: &str) -> Result<Option<(Duration, Timestamp)>, String> {
        let points =
            self.databases.cloudwatch.replica_lag(instance, unix_now()).await.map_err(aws::error::ReadError::reason)?;
        Ok(points.last().map(|point| (point.lag, point.at)))
    }

    /// How far `receiving` is behind this region in a global table, as last published here, and the time it is of.
    /// `None`: nothing was published in the last ten minutes, since nothing was written.
    pub async fn dynamodb_lag(
        &self,
        table: &str,
        receiving: &RegionId,
    ) -> Result<Option<(Duration, Timestamp)>, String> {
        let cloudwatch = &self.databases.cloudwatch;
        match cloudwatch.replication_latency(table, receiving, unix_now()).await {
            Ok(Latency::Measured(points)) => Ok(points.last().map(|point| (point.lag, point.at))),
            Ok(Latency::Unreachable(reason)) => Err(reason),
            Err(error) => Err(error.reason()),
        }
    }

    /// How far a PostgreSQL replica is behind its primary, which may be dead. `None`: it cannot be told now.
    pub async fn postgres_lag(
        &self,
        replica: &PostgresInstance,
        primary: Option<&PostgresInstance>,
        timeout: Duration,
    ) -> Result<Option<Duration>, String> {
        self.servers.behind(replica, primary, timeout).await
    }

    /// What a PostgreSQL server of any region shows of itself now.
    pub async fn postgres_look(&self, instance: &PostgresInstance, timeout: Duration) -> Result<ServerSeen, Trouble> {
        self.servers.seen(instance, timeout).await
    }

    /// Why this agent may not carry out `job`, if so: databases, clusters, tables and topics are reached with its own
    /// region's role.
    fn misplaced(&self, job: &Job) -> Option<String> {
        let here = match &job.action {
            Action::RdsSetSecurityGroups { .. }
            | Action::RdsReboot { .. }
            | Action::RdsCheckReplica { .. }
            | Action::RdsAwaitCaughtUp { .. }
            | Action::RdsPromote { .. }
            | Action::RdsSetBackupRetention { .. }
            | Action::EksCheckNodegroup { .. }
            | Action::EksScaleNodegroup { .. }
            | Action::EksRestoreNodegroup { .. }
            | Action::KubernetesCheck { .. }
            | Action::KubernetesScale { .. }
            | Action::KubernetesRestore { .. }
            | Action::EcsCheckService { .. }
            | Action::EcsScaleService { .. }
            | Action::EcsRestoreService { .. }
            | Action::MskCheckCluster { .. }
            | Action::DynamodbCheckReplica { .. }
            | Action::DynamodbAwaitLag { .. }
            | Action::PostgresCheckReplica { .. }
            | Action::PostgresFence { .. }
            | Action::PostgresUnfence { .. }
            | Action::PostgresAwaitCaughtUp { .. }
            | Action::PostgresPromote { .. }
            | Action::PostgresRejoin { .. }
            | Action::HookFence { .. }
            | Action::HookUnfence { .. }
            | Action::ApiGatewayClose { .. }
            | Action::ApiGatewayOpen { .. }
            | Action::SnsNotify { .. } => job.region == self.region,
            Action::Grant => {
                return Some("a grant is committed by the coordinators; no agent carries it out".to_owned());
            }
            Action::Route53Replace { .. } | Action::Route53CreateToken { .. } | Action::HttpVerify { .. } => true,
        };
        (!here).then(|| format!("the step is for {}, and this agent acts in {}", job.region, self.region))
    }
}

#[async_trait]
impl Asks for Providers {
    async fn ask(&self, question: &probe::Question, about: &RegionId, timeout: Duration) -> Answer {
        self.asker.ask(question, about, timeout, unix_now(), &self.servers).await
    }
}

#[async_trait]
impl Provider for Providers {
    async fn observe(&self, job: &Job, accepted: Option<&str>) -> Observation {
        if let Some(reason) = self.misplaced(job) {
            return Observation::Blocked { reason };
        }
        match &job.action {
            Action::RdsSetSecurityGroups { .. }
            | Action::RdsReboot { .. }
            | Action::RdsCheckReplica { .. }
            | Action::RdsAwaitCaughtUp { .. }
            | Action::RdsPromote { .. }
            | Action::RdsSetBackupRetention { .. } => self.databases.observe(job, accepted).await,
            Action::Route53Replace { .. } | Action::Route53CreateToken { .. } => {
                self.records.observe(job, accepted).await
            }
            Action::SnsNotify { .. } => self.notices.observe(job, accepted, unix_now()).await,
            Action::HttpVerify { url, expect_status, body_contains, consecutive } => {
                let question = Question {
                    url,
                    expect_status: *expect_status,
                    body_contains: body_contains.as_deref(),
                    consecutive: *consecutive,
                };
                verify::observe(job, &question, self.call_timeout, self.asker.dialer()).await
            }
            Action::EksCheckNodegroup { .. }
            | Action::EksScaleNodegroup { .. }
            | Action::EksRestoreNodegroup { .. } => self.node_groups.observe(job, accepted).await,
            Action::KubernetesCheck { .. } | Action::KubernetesScale { .. } | Action::KubernetesRestore { .. } => {
                self.workloads.observe(job).await
            }
            Action::EcsCheckService { .. } | Action::EcsScaleService { .. } | Action::EcsRestoreService { .. } => {
                self.services.observe(job, accepted).await
            }
            Action::MskCheckCluster { cluster } => msk::observe(&self.kafka, cluster).await,
            Action::DynamodbCheckReplica { .. } | Action::DynamodbAwaitLag { .. } => {
                self.tables.observe(job, unix_now()).await
            }
            Action::PostgresCheckReplica { .. }
            | Action::PostgresFence { .. }
            | Action::PostgresUnfence { .. }
            | Action::PostgresAwaitCaughtUp { .. }
            | Action::PostgresPromote { .. }
            | Action::PostgresRejoin { .. } => self.servers.observe(job, accepted).await,
            Action::HookFence { .. } | Action::HookUnfence { .. } => self.hooks.observe(job).await,
            Action::ApiGatewayClose { .. } | Action::ApiGatewayOpen { .. } => self.stages.observe(job).await,
            Action::Grant => Observation::Blocked { reason: "a grant is committed, not carried out".to_owned() },
        }
    }

    async fn call(&self, job: &Job, before: &str) -> CallResult {
        if let Some(reason) = self.misplaced(job) {
            return CallResult::Rejected { reason };
        }
        match &job.action {
            Action::RdsSetSecurityGroups { .. }
            | Action::RdsReboot { .. }
            | Action::RdsPromote { .. }
            | Action::RdsSetBackupRetention { .. } => self.databases.call(job).await,
            Action::Route53Replace { .. } | Action::Route53CreateToken { .. } => self.records.call(job, before).await,
            Action::SnsNotify { .. } => self.notices.call(job).await,
            Action::EksScaleNodegroup { .. } | Action::EksRestoreNodegroup { .. } => {
                self.node_groups.call(job, before).await
            }
            Action::KubernetesScale { .. } | Action::KubernetesRestore { .. } => self.workloads.call(job, before).await,
            Action::EcsScaleService { .. } | Action::EcsRestoreService { .. } => self.services.call(job, before).await,
            Action::PostgresFence { .. }
            | Action::PostgresUnfence { .. }
            | Action::PostgresPromote { .. }
            | Action::PostgresRejoin { .. } => self.servers.call(job).await,
            Action::HookFence { .. } | Action::HookUnfence { .. } => self.hooks.call(job).await,
            Action::ApiGatewayClose { .. } | Action::ApiGatewayOpen { .. } => self.stages.call(job, before).await,
            Action::RdsCheckReplica { .. }
            | Action::RdsAwaitCaughtUp { .. }
            | Action::PostgresCheckReplica { .. }
            | Action::PostgresAwaitCaughtUp { .. }
            | Action::EksCheckNodegroup { .. }
            | Action::KubernetesCheck { .. }
            | Action::EcsCheckService { .. }
            | Action::MskCheckCluster { .. }
            | Action::DynamodbCheckReplica { .. }
            | Action::DynamodbAwaitLag { .. }
            | Action::HttpVerify { .. }
            | Action::Grant => {
                CallResult::Rejected { reason: format!("{} changes nothing, so it has no call", job.action.name()) }
            }
        }
    }
}

pub(crate) fn unix_now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(duration_millis(since))
}
