//! The entities of the replicated state as they stand on disk: one key and one mesh.v1 message each.

use mesh_core::fleet::{Entity, Fleet, Freeze, Service};
use mesh_core::ids::{AgentId, KeyId, RunId, ServiceId};
use mesh_core::time::Timestamp;
use mesh_proto::v1;
use prost::Message;

const MESH: &str = "mesh";

#[derive(Debug, thiserror::Error)]
#[error("entity {key}: {reason}")]
pub struct EntityError {
    pub key: String,
    pub reason: String,
}

pub fn key(entity: &Entity) -> String {
    match entity {
        Entity::Mesh => MESH.to_owned(),
        Entity::Service(id) => format!("service/{id}"),
        Entity::Run(id) => format!("run/{id}"),
        Entity::Agent(id) => format!("agent/{id}"),
        Entity::Key(id) => format!("key/{id}"),
    }
}

/// The entity's encoding; none if it is not there (any more).
pub fn encode(fleet: &Fleet, entity: &Entity) -> Option<Vec<u8>> {
    match entity {
        Entity::Mesh => Some(mesh(fleet).encode_to_vec()),
        Entity::Service(id) => fleet.services.get(id).map(|service| v1::ServiceEntity::from(service).encode_to_vec()),
        Entity::Run(id) => fleet.runs.get(id).map(|run| v1::Run::from(run).encode_to_vec()),
        Entity::Agent(id) => fleet.agents.get(id).map(|agent| v1::AgentEntity::from(agent).encode_to_vec()),
        Entity::Key(id) => fleet.keys.get(id).map(|key| v1::KeyEntity::from(key).encode_to_vec()),
    }
}

fn mesh(fleet: &Fleet) -> v1::MeshEntity {
    let freeze = fleet.freeze.as_ref().map(Into::into);
    v1::MeshEntity { mesh: fleet.mesh.clone(), now: fleet.now.as_millis(), freeze }
}

/// Every entity that is there, in the order of a snapshot.
pub fn all(fleet: &Fleet) -> impl Iterator<Item = Entity> {
    let services = fleet.services.keys().cloned().map(Entity::Service);
    let runs = fleet.runs.keys().cloned().map(Entity::Run);
    let agents = fleet.agents.keys().cloned().map(Entity::Agent);
    let keys = fleet.keys.keys().cloned().map(Entity::Key);
    std::iter::once(Entity::Mesh).chain(services).chain(runs).chain(agents).chain(keys)
}

/// Puts an entity, read by its key, into `fleet`.
pub fn insert(fleet: &mut Fleet, key: &str, bytes: &[u8]) -> Result<(), EntityError> {
    let refuse = |reason: &dyn std::fmt::Display| EntityError { key: key.to_owned(), reason: reason.to_string() };
    let undecodable = |error: prost::DecodeError| refuse(&error);
    let record = match key.split_once('/') {
        None if key == MESH => Record::Mesh(v1::MeshEntity::decode(bytes).map_err(undecodable)?),
        Some(("service", name)) => {
            let service = Some(v1::ServiceEntity::decode(bytes).map_err(undecodable)?);
            Record::Service(v1::NamedService { name: name.to_owned(), service })
        }
        Some(("run", _)) => Record::Run(v1::Run::decode(bytes).map_err(undecodable)?),
        Some(("agent", name)) => {
            let agent = Some(v1::AgentEntity::decode(bytes).map_err(undecodable)?);
            Record::Agent(v1::NamedAgent { name: name.to_owned(), agent })
        }
        Some(("key", name)) => {
            let entity = Some(v1::KeyEntity::decode(bytes).map_err(undecodable)?);
            Record::Key(v1::NamedKey { name: name.to_owned(), key: entity })
        }
        _ => return Err(refuse(&"no such kind")),
    };
    let inserted = insert_record(fleet, record)?;
    if self::key(&inserted) != key {
        return Err(refuse(&"it names another entity"));
    }
    Ok(())
}

pub use v1::snapshot_record::Record;

/// The entity as a snapshot's record.
pub fn record(fleet: &Fleet, entity: &Entity) -> Option<Record> {
    Some(match entity {
        Entity::Mesh => Record::Mesh(mesh(fleet)),
        Entity::Service(id) => {
            let service = Some(fleet.services.get(id)?.into());
            Record::Service(v1::NamedService { name: id.to_string(), service })
        }
        Entity::Run(id) => Record::Run(fleet.runs.get(id)?.into()),
        Entity::Agent(id) => {
            Record::Agent(v1::NamedAgent { name: id.to_string(), agent: Some(fleet.agents.get(id)?.into()) })
        }
        Entity::Key(id) => Record::Key(v1::NamedKey { name: id.to_string(), key: Some(fleet.keys.get(id)?.into()) }),
    })
}

/// Puts a snapshot's record into `fleet`.
pub fn insert_record(fleet: &mut Fleet, record: Record) -> Result<Entity, EntityError> {
    match record {
        Record::Mesh(entity) => {
            fleet.mesh = entity.mesh;
            fleet.now = Timestamp::from_millis(entity.now);
            fleet.freeze =
                entity.freeze.map(Freeze::try_from).transpose().map_err(|error| refusal("mesh", "")(&error))?;
            Ok(Entity::Mesh)
        }
        Record::Service(named) => {
            let refuse = refusal("service", &named.name);
            let id = ServiceId::new(named.name.as_str()).map_err(|error| refuse(&error))?;
            let entity = named.service.ok_or_else(|| refuse(&"empty"))?;
            fleet.services.insert(id.clone(), Service::try_from(entity).map_err(|error| refuse(&error))?);
            Ok(Entity::Service(id))
        }
        Record::Run(entity) => {
            let refuse = refusal("run", &entity.id);
            let run = mesh_core::run::Run::try_from(entity).map_err(|error| refuse(&error))?;
            let id: RunId = run.id.clone();
            fleet.runs.insert(id.clone(), run);
            Ok(Entity::Run(id))
        }
        Record::Agent(named) => {
            let refuse = refusal("agent", &named.name);
            let id = AgentId::new(named.name.as_str()).map_err(|error| refuse(&error))?;
            let entity = named.agent.ok_or_else(|| refuse(&"empty"))?;
            fleet.agents.insert(id.clone(), entity.try_into().map_err(|error| refuse(&error))?);
            Ok(Entity::Agent(id))
        }
        Record::Key(named) => {
            let refuse = refusal("key", &named.name);
            let id = KeyId::new(named.name.as_str()).map_err(|error| refuse(&error))?;
            let entity = named.key.ok_or_else(|| refuse(&"empty"))?;
            fleet.keys.insert(id.clone(), entity.try_into().map_err(|error| refuse(&error))?);
            Ok(Entity::Key(id))
        }
        Record::Audit(record) => Err(refusal("audit", &record.index.to_string())(&"is not an entity")),
        Record::Retired(record) => Err(refusal("retired run", &record.index.to_string())(&"is not an entity")),
    }
}

fn refusal(kind: &str, name: &str) -> impl Fn(&dyn std::fmt::Display) -> EntityError + use<> {
    let key = format!("{kind}/{name}");
    move |reason| EntityError { key: key.clone(), reason: reason.to_string() }
}
