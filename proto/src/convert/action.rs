use mesh_core::plan::{Action, SecurityGroupPurpose};

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
