//! The one provider that an agent holds: it hands each action to whoever knows it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use mesh_core::execute::{CallResult, Job, Observation};
use mesh_core::ids::RegionId;
use mesh_core::plan::Action;
use mesh_core::time::{Timestamp, duration_millis};

use crate::aws::cloudwatch::CloudWatch;
use crate::aws::rds::Rds;
use crate::aws::route53::Route53;
use crate::aws::sns::Sns;
use crate::aws::sts::{Caller, Sts};
use crate::config::{ProvidersConfig, SetupError};
use crate::dns::Resolver;
use crate::rds::Databases;
use crate::route53::Records;
use crate::sns::Notices;
use crate::verify::{self, Question};
use crate::{Provider, aws};

pub struct Providers {
    region: RegionId,
    call_timeout: Duration,
    resolver: Resolver,
    sts: Sts,
    databases: Databases,
    records: Records,
    notices: Notices,
}

impl Providers {
    /// Reads the AWS environment; sends nothing.
    pub async fn new(config: ProvidersConfig) -> Result<Arc<Self>, SetupError> {
        config.aws.check()?;
        let resolver = Resolver::new(config.nameservers)?;
        let regional = aws::config::load(&config.region, &config.aws).await;
        Ok(Arc::new(Self {
            call_timeout: config.aws.call_timeout,
            sts: Sts::new(&regional),
            databases: Databases {
                rds: Rds::new(&regional),
                cloudwatch: CloudWatch::new(&regional, config.aws.cloudwatch_period_s),
            },
            records: Records::new(
                Route53::new(&regional, aws::config::route53_region(&config.region)),
                config.route53_nameservers,
                resolver.clone(),
            ),
            notices: Notices::new(Sns::new(&regional), config.region.clone()),
            region: config.region,
            resolver,
        }))
    }

    /// For probes.
    pub const fn resolver(&self) -> &Resolver {
        &self.resolver
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

    /// Why this agent may not carry out `job`, if so: databases and topics are reached with its own region's role.
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
                verify::observe(job, &question, self.call_timeout, &self.resolver).await
            }
            Action::EksCheckNodegroup { .. }
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
            | Action::DynamodbAwaitLag { .. } => Observation::Blocked {
                reason: format!("{} is not carried out by this agent", job.action.name()),
            },
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
            Action::RdsCheckReplica { .. }
            | Action::RdsAwaitCaughtUp { .. }
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
            | Action::HttpVerify { .. }
            | Action::Grant => {
                CallResult::Rejected { reason: format!("{} changes nothing, so it has no call", job.action.name()) }
            }
        }
    }
}

fn unix_now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(duration_millis(since))
}
