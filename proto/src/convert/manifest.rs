use mesh_core::manifest::{
    AutomaticMode, COOL_DOWN_DEFAULT, Manifest, Notice, Objectives, Policy, RegionRole, SUSTAINED_DEFAULT,
    Verification, WriterMode,
};
use mesh_core::time::duration_millis;

use crate::DecodeError;
use crate::convert::policy;
use crate::fields::{Fields, by_name, strings};
use crate::v1;

enums! {
    v1::WriterMode, "WriterMode" => WriterMode { Single, Multi }
    v1::RegionRole, "RegionRole" => RegionRole { Primary, Standby }
    v1::AutomaticMode, "AutomaticMode" => AutomaticMode { Off, Notify, Fence, Full }
}

by_value!(Manifest => v1::Manifest, Policy => v1::Policy);

impl From<&Manifest> for v1::Manifest {
    fn from(manifest: &Manifest) -> Self {
        let Manifest {
            service,
            description,
            writer,
            regions,
            depends_on,
            objectives: Objectives { rto, rpo },
            checks,
            resources,
            traffic,
            verify,
            notices,
            policy,
            fence,
            safety,
        } = manifest;
        Self {
            service: service.to_string(),
            description: description.clone(),
            writer: v1::WriterMode::from(*writer).into(),
            regions: by_name(regions, |role| v1::RegionRole::from(*role).into()),
            depends_on: strings(depends_on),
            rto_ms: duration_millis(*rto),
            rpo_ms: duration_millis(*rpo),
            checks: checks.iter().map(Into::into).collect(),
            resources: resources.iter().map(Into::into).collect(),
            traffic: traffic.iter().map(Into::into).collect(),
            verify: verify.iter().map(Into::into).collect(),
            notices: notices.iter().map(Into::into).collect(),
            policy: Some(policy.into()),
            fence: crate::convert::lease::fencing(fence),
            safety: safety.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<v1::Manifest> for Manifest {
    type Error = DecodeError;

    fn try_from(wire: v1::Manifest) -> Result<Self, DecodeError> {
        const F: Fields = Fields("Manifest");
        let v1::Manifest {
            service,
            description,
            writer,
            regions,
            depends_on,
            rto_ms,
            rpo_ms,
            checks,
            resources,
            traffic,
            verify,
            notices,
            policy,
            fence,
            safety,
        } = wire;
        Ok(Self {
            service: F.name("service", service)?,
            description: F.text("description", description)?,
            writer: F.enumeration::<v1::WriterMode, _>("writer", writer)?,
            regions: F.map("regions", regions, |path, role| F.enumeration::<v1::RegionRole, _>(path, role))?,
            depends_on: F.name_set("depends_on", depends_on)?,
            objectives: Objectives { rto: F.duration("rto_ms", rto_ms)?, rpo: F.duration("rpo_ms", rpo_ms)? },
            checks: F.list("checks", checks)?,
            resources: F.list("resources", resources)?,
            traffic: F.list("traffic", traffic)?,
            verify: F.list("verify", verify)?,
            notices: F.list("notices", notices)?,
            policy: F.message("policy", policy)?,
            fence: F.optional("fence", fence)?.unwrap_or_default(),
            safety: F.list("safety", safety)?,
        })
    }
}

impl From<&Verification> for v1::Verification {
    fn from(verification: &Verification) -> Self {
        let Verification { name, url, expect_status, body_contains, consecutive } = verification;
        Self {
            name: name.clone(),
            url: url.clone(),
            expect_status: u32::from(*expect_status),
            body_contains: body_contains.clone(),
            consecutive: *consecutive,
        }
    }
}

impl TryFrom<v1::Verification> for Verification {
    type Error = DecodeError;

    fn try_from(wire: v1::Verification) -> Result<Self, DecodeError> {
        const F: Fields = Fields("Verification");
        let v1::Verification { name, url, expect_status, body_contains, consecutive } = wire;
        Ok(Self {
            name: F.text("name", name)?,
            url: F.text("url", url)?,
            expect_status: F.status("expect_status", expect_status)?,
            body_contains: F.text_optional("body_contains", body_contains)?,
            consecutive,
        })
    }
}

impl From<&Notice> for v1::Notice {
    fn from(notice: &Notice) -> Self {
        let Notice { name, topics } = notice;
        Self { name: name.clone(), topics: by_name(topics, Clone::clone) }
    }
}

impl TryFrom<v1::Notice> for Notice {
    type Error = DecodeError;

    fn try_from(wire: v1::Notice) -> Result<Self, DecodeError> {
        const F: Fields = Fields("Notice");
        let v1::Notice { name, topics } = wire;
        Ok(Self { name: F.text("name", name)?, topics: F.text_map("topics", topics)? })
    }
}

impl From<&Policy> for v1::Policy {
    fn from(policy: &Policy) -> Self {
        let Policy {
            automatic,
            sustained,
            cool_down,
            windows,
            loss,
            quorum,
            fence_timeout,
            catch_up_timeout,
            promote_timeout,
            scale_timeout,
            gate_timeout,
            traffic_timeout,
            verify_timeout,
            notice_timeout,
        } = policy;
        Self {
            automatic: v1::AutomaticMode::from(*automatic).into(),
            sustained_ms: policy::encode_or_default(*sustained, SUSTAINED_DEFAULT),
            cool_down_ms: policy::encode_or_default(*cool_down, COOL_DOWN_DEFAULT),
            windows: strings(windows),
            loss: policy::loss(*loss).into(),
            quorum: *quorum,
            fence_timeout_ms: duration_millis(*fence_timeout),
            catch_up_timeout_ms: duration_millis(*catch_up_timeout),
            promote_timeout_ms: duration_millis(*promote_timeout),
            scale_timeout_ms: duration_millis(*scale_timeout),
            gate_timeout_ms: duration_millis(*gate_timeout),
            traffic_timeout_ms: duration_millis(*traffic_timeout),
            verify_timeout_ms: duration_millis(*verify_timeout),
            notice_timeout_ms: duration_millis(*notice_timeout),
        }
    }
}

impl TryFrom<v1::Policy> for Policy {
    type Error = DecodeError;

    fn try_from(wire: v1::Policy) -> Result<Self, DecodeError> {
        const F: Fields = Fields("Policy");
        let v1::Policy {
            automatic,
            fence_timeout_ms,
            catch_up_timeout_ms,
            promote_timeout_ms,
            scale_timeout_ms,
            gate_timeout_ms,
            traffic_timeout_ms,
            verify_timeout_ms,
            notice_timeout_ms,
            sustained_ms,
            cool_down_ms,
            windows,
            loss,
            quorum,
        } = wire;
        Ok(Self {
            automatic: F.enumeration::<v1::AutomaticMode, _>("automatic", automatic)?,
            sustained: policy::read_or_default(F, "sustained_ms", sustained_ms, SUSTAINED_DEFAULT)?,
            cool_down: policy::read_or_default(F, "cool_down_ms", cool_down_ms, COOL_DOWN_DEFAULT)?,
            windows: policy::read_windows(F, windows)?,
            loss: policy::read_loss(F, loss)?,
            quorum,
            fence_timeout: F.duration("fence_timeout_ms", fence_timeout_ms)?,
            catch_up_timeout: F.duration("catch_up_timeout_ms", catch_up_timeout_ms)?,
            promote_timeout: F.duration("promote_timeout_ms", promote_timeout_ms)?,
            scale_timeout: F.duration("scale_timeout_ms", scale_timeout_ms)?,
            gate_timeout: F.duration("gate_timeout_ms", gate_timeout_ms)?,
            traffic_timeout: F.duration("traffic_timeout_ms", traffic_timeout_ms)?,
            verify_timeout: F.duration("verify_timeout_ms", verify_timeout_ms)?,
            notice_timeout: F.duration("notice_timeout_ms", notice_timeout_ms)?,
        })
    }
}
