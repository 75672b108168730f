use mesh_core::manifest::{
    AutomaticMode, Check, Manifest, Notice, Objectives, Policy, Probe, RegionRole, Verification, WriterMode,
};
use mesh_core::time::duration_millis;

use crate::DecodeError;
use crate::fields::{Fields, by_name, strings};
use crate::v1;

enums! {
    v1::WriterMode, "WriterMode" => WriterMode { Single, Multi }
    v1::RegionRole, "RegionRole" => RegionRole { Primary, Standby }
    v1::AutomaticMode, "AutomaticMode" => AutomaticMode { Off }
}

by_value!(Manifest => v1::Manifest, Check => v1::Check, Policy => v1::Policy);

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
        })
    }
}

impl From<&Check> for v1::Check {
    fn from(check: &Check) -> Self {
        let Check { name, probe, interval, timeout, fail_after, pass_after, critical } = check;
        let probe = match probe {
            Probe::Http { urls, expect_status, body_contains } => v1::check::Probe::Http(v1::HttpProbe {
                urls: by_name(urls, Clone::clone),
                expect_status: u32::from(*expect_status),
                body_contains: body_contains.clone(),
            }),
            Probe::Tcp { addresses } => {
                v1::check::Probe::Tcp(v1::TcpProbe { addresses: by_name(addresses, Clone::clone) })
            }
        };
        Self {
            name: name.clone(),
            probe: Some(probe),
            interval_ms: duration_millis(*interval),
            timeout_ms: duration_millis(*timeout),
            fail_after: *fail_after,
            pass_after: *pass_after,
            critical: *critical,
        }
    }
}

impl TryFrom<v1::Check> for Check {
    type Error = DecodeError;

    fn try_from(wire: v1::Check) -> Result<Self, DecodeError> {
        const F: Fields = Fields("Check");
        let v1::Check { name, probe, interval_ms, timeout_ms, fail_after, pass_after, critical } = wire;
        Ok(Self {
            name: F.text("name", name)?,
            probe: F.message("probe", probe)?,
            interval: F.duration("interval_ms", interval_ms)?,
            timeout: F.duration("timeout_ms", timeout_ms)?,
            fail_after,
            pass_after,
            critical,
        })
    }
}

impl TryFrom<v1::check::Probe> for Probe {
    type Error = DecodeError;

    fn try_from(wire: v1::check::Probe) -> Result<Self, DecodeError> {
        match wire {
            v1::check::Probe::Http(v1::HttpProbe { urls, expect_status, body_contains }) => {
                const F: Fields = Fields("HttpProbe");
                Ok(Self::Http {
                    urls: F.text_map("urls", urls)?,
                    expect_status: F.status("expect_status", expect_status)?,
                    body_contains: F.text_optional("body_contains", body_contains)?,
                })
            }
            v1::check::Probe::Tcp(v1::TcpProbe { addresses }) => {
                Ok(Self::Tcp { addresses: Fields("TcpProbe").text_map("addresses", addresses)? })
            }
        }
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
        } = wire;
        Ok(Self {
            automatic: F.enumeration::<v1::AutomaticMode, _>("automatic", automatic)?,
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
