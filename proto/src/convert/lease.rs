use std::time::Duration;

use mesh_core::ids::Generation;
use mesh_core::lease::{Ack, ApiStage, AskList, Fence, Fencing, Proof, Throttle};
use mesh_core::time::duration_millis;

use crate::DecodeError;
use crate::fields::{Fields, by_name, strings};
use crate::v1::{self, fence::Fence as On, proof::Proof as Shown};

by_value!(AskList => v1::AskList, Fence => v1::Fence, Proof => v1::Proof);

/// `None` where there are no fences, whatever the terms of leases would be.
pub(crate) fn fencing(fencing: &Fencing) -> Option<v1::Fencing> {
    (!fencing.fences.is_empty()).then(|| v1::Fencing {
        fences: fencing.fences.iter().map(Into::into).collect(),
        length_ms: duration_millis(fencing.length),
        margin_ms: duration_millis(fencing.margin),
    })
}

impl TryFrom<v1::Fencing> for Fencing {
    type Error = DecodeError;

    fn try_from(wire: v1::Fencing) -> Result<Self, DecodeError> {
        const F: Fields = Fields("Fencing");
        Ok(Self {
            fences: F.list("fences", wire.fences)?,
            length: F.duration("length_ms", wire.length_ms)?,
            margin: F.duration("margin_ms", wire.margin_ms)?,
        })
    }
}

impl From<&Fence> for v1::Fence {
    fn from(fence: &Fence) -> Self {
        let fence = match fence {
            Fence::LeaseEndpoint { reaction } => On::LeaseEndpointMs(duration_millis(*reaction)),
            Fence::Watchdog { reaction } => On::WatchdogMs(duration_millis(*reaction)),
            Fence::PostgresqlReadOnly => On::PostgresqlReadOnly(v1::Nothing {}),
            Fence::Hook { name } => On::Hook(name.clone()),
            Fence::ApiGatewayThrottle { name, stages } => On::ApiGatewayThrottle(v1::ApiGatewayThrottle {
                name: name.clone(),
                stages: by_name(stages, Into::into),
            }),
            Fence::Unfenced => On::Unfenced(v1::Nothing {}),
        };
        Self { fence: Some(fence) }
    }
}

impl TryFrom<v1::Fence> for Fence {
    type Error = DecodeError;

    fn try_from(wire: v1::Fence) -> Result<Self, DecodeError> {
        const F: Fields = Fields("Fence");
        Ok(match F.required("fence", wire.fence)? {
            On::LeaseEndpointMs(ms) => Self::LeaseEndpoint { reaction: F.duration("lease_endpoint_ms", ms)? },
            On::WatchdogMs(ms) => Self::Watchdog { reaction: F.duration("watchdog_ms", ms)? },
            On::PostgresqlReadOnly(v1::Nothing {}) => Self::PostgresqlReadOnly,
            On::Hook(name) => Self::Hook { name: F.text("hook", name)? },
            On::ApiGatewayThrottle(v1::ApiGatewayThrottle { name, stages }) => Self::ApiGatewayThrottle {
                name: F.text("api_gateway_throttle.name", name)?,
                stages: F.map("api_gateway_throttle.stages", stages, |path, stage| F.nested(path, stage))?,
            },
            On::Unfenced(v1::Nothing {}) => Self::Unfenced,
        })
    }
}

impl From<&ApiStage> for v1::ApiGatewayStage {
    fn from(stage: &ApiStage) -> Self {
        let ApiStage { api, stage, open: Throttle { rate, burst } } = stage;
        Self { api: api.clone(), stage: stage.clone(), rate: *rate, burst: *burst }
    }
}

impl TryFrom<v1::ApiGatewayStage> for ApiStage {
    type Error = DecodeError;

    fn try_from(wire: v1::ApiGatewayStage) -> Result<Self, DecodeError> {
        const F: Fields = Fields("ApiGatewayStage");
        let v1::ApiGatewayStage { api, stage, rate, burst } = wire;
        Ok(Self { api: F.text("api", api)?, stage: F.text("stage", stage)?, open: Throttle { rate, burst } })
    }
}

impl From<&Proof> for v1::Proof {
    fn from(proof: &Proof) -> Self {
        let proof = match proof {
            Proof::Fenced { agents } => Shown::Fenced(v1::FencedProof { agents: strings(agents) }),
            Proof::LeaseEnded { waited, promises } => Shown::LeaseEnded(v1::LeaseEndedProof {
                waited_ms: duration_millis(*waited),
                promises: strings(promises),
            }),
            Proof::Accepted => Shown::Accepted(v1::Nothing {}),
        };
        Self { proof: Some(proof) }
    }
}

impl TryFrom<v1::Proof> for Proof {
    type Error = DecodeError;

    fn try_from(wire: v1::Proof) -> Result<Self, DecodeError> {
        const F: Fields = Fields("Proof");
        Ok(match F.required("proof", wire.proof)? {
            Shown::Fenced(fenced) => Self::Fenced { agents: F.name_set("fenced.agents", fenced.agents)? },
            Shown::LeaseEnded(ended) => Self::LeaseEnded {
                waited: F.duration("lease_ended.waited_ms", ended.waited_ms)?,
                promises: F.name_set("lease_ended.promises", ended.promises)?,
            },
            Shown::Accepted(v1::Nothing {}) => Self::Accepted,
        })
    }
}

impl From<&AskList> for v1::AskList {
    fn from(list: &AskList) -> Self {
        let AskList { version, members } = list;
        Self { version: *version, members: strings(members) }
    }
}

impl TryFrom<v1::AskList> for AskList {
    type Error = DecodeError;

    fn try_from(wire: v1::AskList) -> Result<Self, DecodeError> {
        const F: Fields = Fields("AskList");
        Ok(Self { version: wire.version, members: F.name_set("members", wire.members)? })
    }
}

/// An agent's standing as it goes to the leader. What is left of a promise is rounded up, the time without one down.
pub fn standing(service: String, ack: &Ack) -> v1::LeaseStanding {
    let Ack { floor, promise_left, free_for, writes, asks } = ack;
    let round_up = u64::from(promise_left.subsec_nanos() % 1_000_000 != 0);
    v1::LeaseStanding {
        service,
        floor: floor.0,
        promise_left_ms: duration_millis(*promise_left).saturating_add(round_up),
        writes: writes.map(|generation| generation.0),
        asks: *asks,
        promise_free_for_ms: duration_millis(*free_for),
    }
}

/// The other way.
pub fn ack(wire: &v1::LeaseStanding) -> Ack {
    Ack {
        floor: Generation(wire.floor),
        promise_left: Duration::from_millis(wire.promise_left_ms),
        writes: wire.writes.map(Generation),
        asks: wire.asks,
        free_for: Duration::from_millis(wire.promise_free_for_ms),
    }
}
