//! The mesh's name, services, agents.

use std::collections::BTreeMap;

use super::{AGENTS_MAX, Change, Outcome, SERVICES_MAX, conflict, invalid, not_found, precondition};
use crate::fleet::{AgentRecord, Authority, AuthorityState, Entity, Fleet, Reply, Service};
use crate::ids::{AgentId, Generation, IntentSeq, RegionId, ServiceId};
use crate::manifest::{Manifest, WriterMode, check};

impl Fleet {
    pub(super) fn name_mesh(&mut self, mesh: &str) -> Outcome {
        if !self.mesh.is_empty() && self.mesh != mesh {
            return Err(conflict(format!("the mesh is named {:?} already", self.mesh)));
        }
        RegionId::new(mesh).map_err(|error| invalid(format!("mesh name: {}", error.rule)))?;
        self.mesh = mesh.to_owned();
        Ok(Change { reply: Reply::Ok, touched: vec![Entity::Mesh], text: format!("the mesh is named {mesh}") })
    }

    pub(super) fn apply_manifest(
        &mut self,
        manifest: &Manifest,
        source: &str,
        by: &str,
        expected_version: u64,
    ) -> Outcome {
        if let Some(problem) = check::check(manifest).first() {
            return Err(invalid(format!("{}: {} ({})", problem.path, problem.message, problem.hint)));
        }
        let id = manifest.service.clone();
        let current = self.services.get(&id);
        let version = current.map_or(0, |service| service.version);
        // The reply to an earlier, equal request may have been lost.
        if current.is_some_and(|service| service.source == source && service.manifest == *manifest) {
            let text = format!("{id}: version {version} is this manifest already");
            return Ok(Change { reply: Reply::ManifestApplied { version }, touched: Vec::new(), text });
        }
        if version != expected_version {
            return Err(conflict(format!(
                "{id} is at version {version}, the difference was shown against {expected_version}: look again"
            )));
        }
        let service = match current {
            Some(service) => updated(service, manifest)?,
            None if self.services.len() >= SERVICES_MAX => {
                return Err(precondition(format!("a mesh keeps at most {SERVICES_MAX} services")));
            }
            None => adopted(manifest)?,
        };
        let version = version + 1;
        let service = Service {
            manifest: manifest.clone(),
            version,
            source: source.to_owned(),
            applied_by: by.to_owned(),
            applied_at: self.now,
            lease_longest: service.lease_longest.max(manifest.fence.length),
            ..service
        };
        self.services.insert(id.clone(), service);
        let text = format!("{id}: version {version} of the manifest");
        Ok(Change { reply: Reply::ManifestApplied { version }, touched: vec![Entity::Service(id)], text })
    }

    pub(super) fn set_armed(&mut self, id: &ServiceId, armed: bool) -> Outcome {
        let service =
            self.services.get_mut(id).ok_or_else(|| not_found(format!("no service {id}: see `meshctl status`")))?;
        if let (false, Some(run)) = (armed, &service.current_run) {
            return Err(conflict(format!("run {run} of {id} has not ended: pause or abort it, then disarm")));
        }
        service.armed = armed;
        let text = if armed { format!("{id} is armed") } else { format!("{id} is only observed") };
        Ok(Change { reply: Reply::Ok, touched: vec![Entity::Service(id.clone())], text })
    }

    pub(super) fn register_agent(&mut self, agent: &AgentId, region: &RegionId) -> Outcome {
        if let Some(known) = self.agents.get(agent) {
            if known.region != *region {
                return Err(conflict(format!(
                    "agent {agent} is registered in {}: an agent never moves, give the new one an id of its own",
                    known.region
                )));
            }
            let text = format!("agent {agent} is registered already");
            return Ok(Change { reply: Reply::Ok, touched: Vec::new(), text });
        }
        if self.agents.len() >= AGENTS_MAX {
            return Err(precondition(format!("a mesh keeps at most {AGENTS_MAX} agents")));
        }
        self.agents
            .insert(agent.clone(), AgentRecord { region: region.clone(), registered_at: self.now, address: None });
        let text = format!("agent {agent} of {region}");
        Ok(Change { reply: Reply::Ok, touched: vec![Entity::Agent(agent.clone())], text })
    }
}

/// A service as it is taken over: its primary is active and, where one region writes, has the authority.
fn adopted(manifest: &Manifest) -> Result<Service, crate::fleet::Refusal> {
    let primary = manifest.primary().cloned().ok_or_else(|| invalid("no region is the primary"))?;
    let authority = match manifest.writer {
        WriterMode::Single => {
            BTreeMap::from([(primary.clone(), Authority { generation: Generation(0), state: AuthorityState::Granted })])
        }
        WriterMode::Multi => BTreeMap::new(),
    };
    Ok(Service {
        manifest: manifest.clone(),
        version: 0,
        source: String::new(),
        applied_by: String::new(),
        applied_at: crate::time::Timestamp::default(),
        generation: Generation(0),
        intent: IntentSeq(0),
        active: primary,
        authority,
        current_run: None,
        open_calls: Vec::new(),
        armed: false,
        automatic_at: None,
        acknowledged_at: None,
        freeze: None,
        noted: None,
        asks: Vec::new(),
        lease_longest: manifest.fence.length,
    })
}

fn updated(service: &Service, manifest: &Manifest) -> Result<Service, crate::fleet::Refusal> {
    let id = &manifest.service;
    if let Some(run) = &service.current_run {
        return Err(conflict(format!(
            "run {run} of {id} has not ended: let it end, or abort it, before a new manifest"
        )));
    }
    if !manifest.regions.contains_key(&service.active) {
        return Err(precondition(format!("{id} is active in {}, which the new manifest leaves out", service.active)));
    }
    if manifest.writer != service.manifest.writer {
        return Err(precondition(format!(
            "the writer mode of {id} cannot change while it is managed: give the service a new name"
        )));
    }
    Ok(service.clone())
}
