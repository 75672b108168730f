use mesh_core::fleet::{AgentRecord, Authority, AuthorityState, EnrolledKey, OpenCall, Service};
use mesh_core::ids::{AgentId, Generation, IntentSeq, KeyId, ServiceId};
use mesh_core::lease::LEASE_DEFAULT;
use mesh_core::time::{Timestamp, duration_millis};

use crate::DecodeError;
use crate::bounds::{COMPOSED_BYTES_MAX, HISTORY_LEN_MAX, SOURCE_BYTES_MAX};
use crate::convert::approval::public_key;
use crate::fields::{Fields, by_name, strings, timestamp};
use crate::v1::{self, authority::State};

by_value!(Service => v1::ServiceEntity, AgentRecord => v1::AgentEntity, EnrolledKey => v1::KeyEntity);

impl From<&Service> for v1::ServiceEntity {
    fn from(service: &Service) -> Self {
        let Service {
            manifest,
            version,
            source,
            applied_by,
            applied_at,
            generation,
            intent,
            active,
            authority,
            current_run,
            open_calls,
            armed,
            asks,
            lease_longest,
            automatic_at,
            acknowledged_at,
            freeze,
            noted,
        } = service;
        Self {
            manifest: Some(manifest.into()),
            version: *version,
            source: source.clone(),
            applied_by: applied_by.clone(),
            applied_at: applied_at.as_millis(),
            generation: generation.0,
            intent: intent.0,
            active: active.to_string(),
            authority: by_name(authority, Into::into),
            current_run: current_run.as_ref().map(ToString::to_string),
            open_calls: open_calls.iter().map(Into::into).collect(),
            observing: !armed,
            automatic_at: automatic_at.map(Timestamp::as_millis),
            acknowledged_at: acknowledged_at.map(Timestamp::as_millis),
            freeze: freeze.as_ref().map(Into::into),
            noted: noted.as_ref().map(Into::into),
            asks: asks.iter().map(Into::into).collect(),
            lease_longest_ms: if *lease_longest == LEASE_DEFAULT { 0 } else { duration_millis(*lease_longest) },
        }
    }
}

impl TryFrom<v1::ServiceEntity> for Service {
    type Error = DecodeError;

    fn try_from(wire: v1::ServiceEntity) -> Result<Self, DecodeError> {
        const F: Fields = Fields("ServiceEntity");
        let v1::ServiceEntity {
            manifest,
            version,
            source,
            applied_by,
            applied_at,
            generation,
            intent,
            active,
            authority,
            current_run,
            open_calls,
            observing,
            asks,
            lease_longest_ms,
            automatic_at,
            acknowledged_at,
            freeze,
            noted,
        } = wire;
        Ok(Self {
            manifest: F.message("manifest", manifest)?,
            version,
            source: F.text_max("source", source, SOURCE_BYTES_MAX)?,
            applied_by: F.text("applied_by", applied_by)?,
            applied_at: timestamp(applied_at),
            generation: Generation(generation),
            intent: IntentSeq(intent),
            active: F.name("active", active)?,
            authority: F.map("authority", authority, |path, authority| F.nested(path, authority))?,
            current_run: F.name_optional("current_run", current_run)?,
            open_calls: F.list_max("open_calls", open_calls, HISTORY_LEN_MAX)?,
            armed: !observing,
            automatic_at: automatic_at.map(timestamp),
            acknowledged_at: acknowledged_at.map(timestamp),
            freeze: F.optional("freeze", freeze)?,
            noted: F.optional("noted", noted)?,
            asks: F.list("asks", asks)?,
            lease_longest: match lease_longest_ms {
                0 => LEASE_DEFAULT,
                ms => F.duration("lease_longest_ms", ms)?,
            },
        })
    }
}

impl From<&Authority> for v1::Authority {
    fn from(authority: &Authority) -> Self {
        let Authority { generation, state } = authority;
        let state = match state {
            AuthorityState::Granted => State::Granted(v1::Nothing {}),
            AuthorityState::Closed { run } => State::Closed(run.to_string()),
            AuthorityState::ClosedByConsent { run, keys } => {
                State::ClosedByConsent(v1::ClosedByConsent { run: run.to_string(), keys: strings(keys) })
            }
            AuthorityState::Ending { wanted } => State::Ending(wanted.0),
            AuthorityState::Proven { run, proof } => {
                State::Proven(v1::Proven { run: run.to_string(), proof: Some(proof.into()) })
            }
        };
        Self { generation: generation.0, state: Some(state) }
    }
}

impl TryFrom<v1::Authority> for Authority {
    type Error = DecodeError;

    fn try_from(wire: v1::Authority) -> Result<Self, DecodeError> {
        const F: Fields = Fields("Authority");
        let v1::Authority { generation, state } = wire;
        let state = match F.required("state", state)? {
            State::Granted(v1::Nothing {}) => AuthorityState::Granted,
            State::Closed(run) => AuthorityState::Closed { run: F.name("closed", run)? },
            State::ClosedByConsent(v1::ClosedByConsent { run, keys }) => AuthorityState::ClosedByConsent {
                run: F.name("closed_by_consent.run", run)?,
                keys: F.names("closed_by_consent.keys", keys)?,
            },
            State::Ending(wanted) => AuthorityState::Ending { wanted: Generation(wanted) },
            State::Proven(v1::Proven { run, proof }) => {
                AuthorityState::Proven { run: F.name("proven.run", run)?, proof: F.message("proven.proof", proof)? }
            }
        };
        Ok(Self { generation: Generation(generation), state })
    }
}

impl From<&OpenCall> for v1::OpenCall {
    fn from(call: &OpenCall) -> Self {
        let OpenCall { resource, generation, until } = call;
        Self { resource: resource.clone(), generation: generation.0, until: until.as_millis() }
    }
}

impl TryFrom<v1::OpenCall> for OpenCall {
    type Error = DecodeError;

    fn try_from(wire: v1::OpenCall) -> Result<Self, DecodeError> {
        let v1::OpenCall { resource, generation, until } = wire;
        Ok(Self {
            resource: Fields("OpenCall").text_max("resource", resource, COMPOSED_BYTES_MAX)?,
            generation: Generation(generation),
            until: timestamp(until),
        })
    }
}

impl From<&AgentRecord> for v1::AgentEntity {
    fn from(agent: &AgentRecord) -> Self {
        let AgentRecord { region, registered_at, address } = agent;
        Self { region: region.to_string(), registered_at: registered_at.as_millis(), address: address.clone() }
    }
}

impl TryFrom<v1::AgentEntity> for AgentRecord {
    type Error = DecodeError;

    fn try_from(wire: v1::AgentEntity) -> Result<Self, DecodeError> {
        const F: Fields = Fields("AgentEntity");
        let v1::AgentEntity { region, registered_at, address } = wire;
        Ok(Self {
            region: F.name("region", region)?,
            registered_at: timestamp(registered_at),
            address: F.text_optional("address", address)?,
        })
    }
}

impl From<&EnrolledKey> for v1::KeyEntity {
    fn from(key: &EnrolledKey) -> Self {
        let EnrolledKey { owner, public_key, enrolled_by, enrolled_at } = key;
        Self {
            owner: owner.clone(),
            public_key: public_key.clone(),
            enrolled_by: enrolled_by.clone(),
            enrolled_at: enrolled_at.as_millis(),
        }
    }
}

impl TryFrom<v1::KeyEntity> for EnrolledKey {
    type Error = DecodeError;

    fn try_from(wire: v1::KeyEntity) -> Result<Self, DecodeError> {
        const F: Fields = Fields("KeyEntity");
        Ok(Self {
            owner: F.text("owner", wire.owner)?,
            public_key: public_key(F, &wire.public_key)?,
            enrolled_by: F.text("enrolled_by", wire.enrolled_by)?,
            enrolled_at: timestamp(wire.enrolled_at),
        })
    }
}

/// An entity beside its name, as in snapshots and lists.
macro_rules! named {
    ($wire:ident { name, $field:ident } => $id:ty, $core:ty) => {
        impl From<(&$id, &$core)> for v1::$wire {
            fn from((name, entity): (&$id, &$core)) -> Self {
                Self { name: name.to_string(), $field: Some(entity.into()) }
            }
        }

        impl TryFrom<v1::$wire> for ($id, $core) {
            type Error = DecodeError;

            fn try_from(wire: v1::$wire) -> Result<Self, DecodeError> {
                const F: Fields = Fields(stringify!($wire));
                Ok((F.name("name", wire.name)?, F.message(stringify!($field), wire.$field)?))
            }
        }
    };
}

named!(NamedService { name, service } => ServiceId, Service);
named!(NamedAgent { name, agent } => AgentId, AgentRecord);
named!(NamedKey { name, key } => KeyId, EnrolledKey);
