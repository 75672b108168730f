use mesh_core::lease::{ApiStage, Throttle};
use mesh_core::plan::{Action, SecurityGroupPurpose};
use mesh_core::time::duration_millis;

use crate::DecodeError;
use crate::bounds::COMPOSED_BYTES_MAX;
use crate::fields::{Fields, strings};
use crate::v1::{self, action::Action as Wire};

enums! {
    v1::SecurityGroupPurpose, "SecurityGroupPurpose" => SecurityGroupPurpose { Fence, Unfence }
}

by_value!(Action => v1::Action);

impl From<&Action> for v1::Action {
    fn from(action: &Action) -> Self {
        let action = match action.clone() {
            Action::RdsSetSecurityGroups { instance, security_groups, purpose } => {
                Wire::RdsSetSecurityGroups(v1::RdsSetSecurityGroups {
                    instance,
                    security_groups: strings(&security_groups),
                    purpose: v1::SecurityGroupPurpose::from(purpose).into(),
                })
            }
            Action::RdsCheckReplica { instance, source_instance, closed_security_group, standalone_ok } => {
                Wire::RdsCheckReplica(v1::RdsCheckReplica {
                    instance,
                    source_instance,
                    closed_security_group,
                    standalone_ok,
                })
            }
            Action::RdsReboot { instance } => Wire::RdsReboot(v1::RdsReboot { instance }),
            Action::RdsAwaitCaughtUp { instance } => Wire::RdsAwaitCaughtUp(v1::RdsAwaitCaughtUp { instance }),
            Action::Grant => Wire::Grant(v1::Nothing {}),
            Action::RdsPromote { instance, backup_retention_days } => {
                Wire::RdsPromote(v1::RdsPromote { instance, backup_retention_days })
            }
            Action::RdsSetBackupRetention { instance, days } => {
                Wire::RdsSetBackupRetention(v1::RdsSetBackupRetention { instance, days })
            }
            Action::Route53Replace { zone_id, record, sets } => Wire::Route53Replace(v1::Route53Replace {
                zone_id,
                record,
                sets: sets.iter().map(Into::into).collect(),
            }),
            Action::Route53CreateToken { zone_id, record } => {
                Wire::Route53CreateToken(v1::Route53CreateToken { zone_id, record })
            }
            Action::EksCheckNodegroup { cluster, node_group } => {
                Wire::EksCheckNodegroup(v1::EksNodegroup { cluster, node_group, as_of: String::new() })
            }
            Action::EksScaleNodegroup { cluster, node_group, min, max, desired } => {
                Wire::EksScaleNodegroup(v1::EksScaleNodegroup { cluster, node_group, min, max, desired })
            }
            Action::EksRestoreNodegroup { cluster, node_group, as_of } => {
                Wire::EksRestoreNodegroup(v1::EksNodegroup { cluster, node_group, as_of: as_of.into() })
            }
            Action::KubernetesCheck { cluster, namespace, deployments } => {
                let deployments = strings(&deployments);
                Wire::KubernetesCheck(v1::KubernetesCheck { cluster, namespace, deployments })
            }
            Action::KubernetesScale { cluster, namespace, replicas, deployments } => {
                Wire::KubernetesScale(v1::KubernetesScale { cluster, namespace, replicas, deployments })
            }
            Action::KubernetesRestore { cluster, namespace, as_of } => {
                Wire::KubernetesRestore(v1::KubernetesRestore { cluster, namespace, as_of: as_of.into() })
            }
            Action::EcsCheckService { cluster, service } => {
                Wire::EcsCheckService(v1::EcsTarget { cluster, service, as_of: String::new() })
            }
            Action::EcsScaleService { cluster, service, tasks } => {
                Wire::EcsScaleService(v1::EcsScaleService { cluster, service, tasks })
            }
            Action::EcsRestoreService { cluster, service, as_of } => {
                Wire::EcsRestoreService(v1::EcsTarget { cluster, service, as_of: as_of.into() })
            }
            Action::MskCheckCluster { cluster } => Wire::MskCheckCluster(v1::MskCheckCluster { cluster }),
            Action::DynamodbCheckReplica { table, from } => {
                Wire::DynamodbCheckReplica(v1::DynamodbCheckReplica { table, from: from.into() })
            }
            Action::DynamodbAwaitLag { table, from, lag_max } => Wire::DynamodbAwaitLag(v1::DynamodbAwaitLag {
                table,
                from: from.into(),
                lag_max_ms: duration_millis(lag_max),
            }),
            Action::PostgresCheckReplica { instance, promoted_ok } => {
                Wire::PostgresCheckReplica(v1::PostgresCheckReplica { instance: Some((&instance).into()), promoted_ok })
            }
            Action::HookFence { hook } => Wire::HookFence(hook),
            Action::HookUnfence { hook } => Wire::HookUnfence(hook),
            Action::ApiGatewayClose { api, stage } => {
                Wire::ApiGatewayClose(v1::ApiGatewayStage { api, stage, rate: 0, burst: 0 })
            }
            Action::ApiGatewayOpen { api, stage, open: Throttle { rate, burst } } => {
                Wire::ApiGatewayOpen(v1::ApiGatewayStage { api, stage, rate, burst })
            }
            Action::PostgresFence { instance } => Wire::PostgresFence((&instance).into()),
            Action::PostgresUnfence { instance } => Wire::PostgresUnfence((&instance).into()),
            Action::PostgresAwaitCaughtUp { instance } => Wire::PostgresAwaitCaughtUp((&instance).into()),
            Action::PostgresPromote { instance } => Wire::PostgresPromote((&instance).into()),
            Action::PostgresRejoin { instance, source } => Wire::PostgresRejoin(v1::PostgresRejoin {
                instance: Some((&instance).into()),
                source: Some((&source).into()),
            }),
            Action::HttpVerify { url, expect_status, body_contains, consecutive } => {
                let expect_status = u32::from(expect_status);
                Wire::HttpVerify(v1::HttpVerify { url, expect_status, body_contains, consecutive })
            }
            Action::SnsNotify { topic_arn, subject, message } => {
                Wire::SnsNotify(v1::SnsNotify { topic_arn, subject, message })
            }
        };
        Self { action: Some(action) }
    }
}

impl TryFrom<v1::Action> for Action {
    type Error = DecodeError;

    fn try_from(wire: v1::Action) -> Result<Self, DecodeError> {
        match Fields("Action").required("action", wire.action)? {
            Wire::RdsSetSecurityGroups(v1::RdsSetSecurityGroups { instance, security_groups, purpose }) => {
                const F: Fields = Fields("RdsSetSecurityGroups");
                Ok(Self::RdsSetSecurityGroups {
                    instance: F.text("instance", instance)?,
                    security_groups: F.text_set("security_groups", security_groups)?,
                    purpose: F.enumeration::<v1::SecurityGroupPurpose, _>("purpose", purpose)?,
                })
            }
            Wire::RdsCheckReplica(v1::RdsCheckReplica {
                instance,
                source_instance,
                closed_security_group,
                standalone_ok,
            }) => {
                const F: Fields = Fields("RdsCheckReplica");
                Ok(Self::RdsCheckReplica {
                    instance: F.text("instance", instance)?,
                    source_instance: F.text("source_instance", source_instance)?,
                    closed_security_group: F.text("closed_security_group", closed_security_group)?,
                    standalone_ok,
                })
            }
            Wire::RdsReboot(v1::RdsReboot { instance }) => {
                Ok(Self::RdsReboot { instance: Fields("RdsReboot").text("instance", instance)? })
            }
            Wire::RdsAwaitCaughtUp(v1::RdsAwaitCaughtUp { instance }) => {
                Ok(Self::RdsAwaitCaughtUp { instance: Fields("RdsAwaitCaughtUp").text("instance", instance)? })
            }
            Wire::Grant(v1::Nothing {}) => Ok(Self::Grant),
            Wire::RdsPromote(v1::RdsPromote { instance, backup_retention_days }) => {
                let instance = Fields("RdsPromote").text("instance", instance)?;
                Ok(Self::RdsPromote { instance, backup_retention_days })
            }
            Wire::RdsSetBackupRetention(v1::RdsSetBackupRetention { instance, days }) => {
                let instance = Fields("RdsSetBackupRetention").text("instance", instance)?;
                Ok(Self::RdsSetBackupRetention { instance, days })
            }
            Wire::Route53Replace(v1::Route53Replace { zone_id, record, sets }) => {
                const F: Fields = Fields("Route53Replace");
                Ok(Self::Route53Replace {
                    zone_id: F.text("zone_id", zone_id)?,
                    record: F.text("record", record)?,
                    sets: F.list("sets", sets)?,
                })
            }
            Wire::Route53CreateToken(v1::Route53CreateToken { zone_id, record }) => {
                const F: Fields = Fields("Route53CreateToken");
                Ok(Self::Route53CreateToken { zone_id: F.text("zone_id", zone_id)?, record: F.text("record", record)? })
            }
            Wire::EksCheckNodegroup(wire) => {
                let (cluster, node_group) = decode_node_group(wire.cluster, wire.node_group)?;
                Ok(Self::EksCheckNodegroup { cluster, node_group })
            }
            Wire::EksScaleNodegroup(v1::EksScaleNodegroup { cluster, node_group, min, max, desired }) => {
                let (cluster, node_group) = decode_node_group(cluster, node_group)?;
                Ok(Self::EksScaleNodegroup { cluster, node_group, min, max, desired })
            }
            Wire::EksRestoreNodegroup(wire) => {
                let as_of = Fields("EksNodegroup").name("as_of", wire.as_of)?;
                let (cluster, node_group) = decode_node_group(wire.cluster, wire.node_group)?;
                Ok(Self::EksRestoreNodegroup { cluster, node_group, as_of })
            }
            Wire::KubernetesCheck(v1::KubernetesCheck { cluster, namespace, deployments }) => {
                const F: Fields = Fields("KubernetesCheck");
                Ok(Self::KubernetesCheck {
                    cluster: F.text("cluster", cluster)?,
                    namespace: F.text("namespace", namespace)?,
                    deployments: F.text_set("deployments", deployments)?,
                })
            }
            Wire::KubernetesScale(v1::KubernetesScale { cluster, namespace, replicas, deployments }) => {
                const F: Fields = Fields("KubernetesScale");
                Ok(Self::KubernetesScale {
                    cluster: F.text("cluster", cluster)?,
                    namespace: F.text("namespace", namespace)?,
                    replicas,
                    deployments: F.counts("deployments", deployments)?,
                })
            }
            Wire::KubernetesRestore(v1::KubernetesRestore { cluster, namespace, as_of }) => {
                const F: Fields = Fields("KubernetesRestore");
                Ok(Self::KubernetesRestore {
                    cluster: F.text("cluster", cluster)?,
                    namespace: F.text("namespace", namespace)?,
                    as_of: F.name("as_of", as_of)?,
                })
            }
            Wire::EcsCheckService(wire) => {
                let (cluster, service) = decode_ecs(wire.cluster, wire.service)?;
                Ok(Self::EcsCheckService { cluster, service })
            }
            Wire::EcsScaleService(v1::EcsScaleService { cluster, service, tasks }) => {
                let (cluster, service) = decode_ecs(cluster, service)?;
                Ok(Self::EcsScaleService { cluster, service, tasks })
            }
            Wire::EcsRestoreService(wire) => {
                let as_of = Fields("EcsTarget").name("as_of", wire.as_of)?;
                let (cluster, service) = decode_ecs(wire.cluster, wire.service)?;
                Ok(Self::EcsRestoreService { cluster, service, as_of })
            }
            Wire::MskCheckCluster(v1::MskCheckCluster { cluster }) => {
                Ok(Self::MskCheckCluster { cluster: Fields("MskCheckCluster").text("cluster", cluster)? })
            }
            Wire::DynamodbCheckReplica(v1::DynamodbCheckReplica { table, from }) => {
                const F: Fields = Fields("DynamodbCheckReplica");
                Ok(Self::DynamodbCheckReplica { table: F.text("table", table)?, from: F.name("from", from)? })
            }
            Wire::DynamodbAwaitLag(v1::DynamodbAwaitLag { table, from, lag_max_ms }) => {
                const F: Fields = Fields("DynamodbAwaitLag");
                Ok(Self::DynamodbAwaitLag {
                    table: F.text("table", table)?,
                    from: F.name("from", from)?,
                    lag_max: F.duration("lag_max_ms", lag_max_ms)?,
                })
            }
            Wire::PostgresCheckReplica(v1::PostgresCheckReplica { instance, promoted_ok }) => {
                let instance = Fields("PostgresCheckReplica").message("instance", instance)?;
                Ok(Self::PostgresCheckReplica { instance, promoted_ok })
            }
            Wire::HookFence(hook) => Ok(Self::HookFence { hook: Fields("Action").text("hook_fence", hook)? }),
            Wire::HookUnfence(hook) => Ok(Self::HookUnfence { hook: Fields("Action").text("hook_unfence", hook)? }),
            Wire::ApiGatewayClose(wire) => {
                let ApiStage { api, stage, .. } = wire.try_into()?;
                Ok(Self::ApiGatewayClose { api, stage })
            }
            Wire::ApiGatewayOpen(wire) => {
                let ApiStage { api, stage, open } = wire.try_into()?;
                Ok(Self::ApiGatewayOpen { api, stage, open })
            }
            Wire::PostgresFence(instance) => Ok(Self::PostgresFence { instance: instance.try_into()? }),
            Wire::PostgresUnfence(instance) => Ok(Self::PostgresUnfence { instance: instance.try_into()? }),
            Wire::PostgresAwaitCaughtUp(instance) => Ok(Self::PostgresAwaitCaughtUp { instance: instance.try_into()? }),
            Wire::PostgresPromote(instance) => Ok(Self::PostgresPromote { instance: instance.try_into()? }),
            Wire::PostgresRejoin(v1::PostgresRejoin { instance, source }) => {
                const F: Fields = Fields("PostgresRejoin");
                Ok(Self::PostgresRejoin {
                    instance: F.message("instance", instance)?,
                    source: F.message("source", source)?,
                })
            }
            Wire::HttpVerify(verify) => decode_verify(verify),
            Wire::SnsNotify(v1::SnsNotify { topic_arn, subject, message }) => {
                const F: Fields = Fields("SnsNotify");
                Ok(Self::SnsNotify {
                    topic_arn: F.text("topic_arn", topic_arn)?,
                    subject: F.text_max("subject", subject, COMPOSED_BYTES_MAX)?,
                    message: F.text_max("message", message, COMPOSED_BYTES_MAX)?,
                })
            }
        }
    }
}

fn decode_node_group(cluster: String, node_group: String) -> Result<(String, String), DecodeError> {
    const F: Fields = Fields("EksNodegroup");
    Ok((F.text("cluster", cluster)?, F.text("node_group", node_group)?))
}

fn decode_ecs(cluster: String, service: String) -> Result<(String, String), DecodeError> {
    const F: Fields = Fields("EcsTarget");
    Ok((F.text("cluster", cluster)?, F.text("service", service)?))
}

fn decode_verify(wire: v1::HttpVerify) -> Result<Action, DecodeError> {
    const F: Fields = Fields("HttpVerify");
    let v1::HttpVerify { url, expect_status, body_contains, consecutive } = wire;
    let body = |text| F.text_max("body_contains", text, COMPOSED_BYTES_MAX);
    Ok(Action::HttpVerify {
        url: F.text_max("url", url, COMPOSED_BYTES_MAX)?,
        expect_status: F.status("expect_status", expect_status)?,
        body_contains: body_contains.map(body).transpose()?,
        consecutive,
    })
}
