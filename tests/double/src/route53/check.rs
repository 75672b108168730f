//! What a record set may not be next to.

use super::Zone;
use super::batch::Verb;
use super::record::{self, RecordSet, batch};
use crate::error::ApiError;
use crate::world::World;

/// The hosted zones of load balancers: an alias into one names a load balancer, not a record of ours.
pub const LOAD_BALANCER_SUFFIX: &str = ".elb.amazonaws.com.";

/// A batch may name a set once, or delete and then create it.
pub fn once_each(changes: &[(Verb, RecordSet)]) -> Result<(), ApiError> {
    for (at, (verb, set)) in changes.iter().enumerate() {
        let earlier: Vec<Verb> =
            changes.iter().take(at).filter(|(_, other)| other.key() == set.key()).map(|(verb, _)| *verb).collect();
        let fine = earlier.is_empty() || (earlier == [Verb::Delete] && *verb == Verb::Create);
        if !fine {
            let who = format!("'{} {}'", set.kind, set.name);
            return Err(batch(&format!(
                "The request contains an invalid set of changes for a resource record set {who}"
            )));
        }
    }
    Ok(())
}

pub fn deletable(zone: &Zone, set: &RecordSet) -> Result<(), ApiError> {
    if set.name == zone.name && (set.kind == "SOA" || set.kind == "NS") {
        return Err(batch(&format!("A HostedZone must contain exactly one {} record set at its apex.", set.kind)));
    }
    Ok(())
}

pub fn fits(world: &World, zone: &Zone, records: &[RecordSet], set: &RecordSet) -> Result<(), ApiError> {
    let named = format!("RRSet with DNS name {}, type {}, SetIdentifier {:?}", set.name, set.kind, set.set_identifier);
    if set.kind == "SOA" && set.name != zone.name {
        return Err(batch(&format!("{named} is not permitted: SOA is at the apex only")));
    }
    if set.kind == "CNAME" && set.name == zone.name {
        return Err(batch(&format!(
            "RRSet of type CNAME with DNS name {} is not permitted at apex in zone {}",
            set.name, zone.name
        )));
    }
    for other in records.iter().filter(|other| other.name == set.name) {
        if (other.kind == "CNAME") != (set.kind == "CNAME") {
            let text = format!(
                "RRSet of type {} with DNS name {} is not permitted as it conflicts with other records with the same DNS name in zone {}",
                set.kind, set.name, zone.name
            );
            return Err(batch(&text));
        }
        if other.kind == set.kind && policy(other) != policy(set) {
            let (had, new) = (policy(other), policy(set));
            return Err(batch(&format!(
                "{named} cannot be created as {new}: a {had} RRSet with the same name and type exists"
            )));
        }
        if other.kind == set.kind && set.failover.is_some() && other.failover == set.failover {
            return Err(batch(&format!("{named} cannot be created: its role exists already")));
        }
    }
    if let Some(id) = set.health_check.as_ref().filter(|id| !world.route53.health_checks.contains_key(*id)) {
        return Err(ApiError::new(
            404,
            "NoSuchHealthCheck",
            format!("No health check exists with the specified ID: {id}"),
        ));
    }
    alias_target(world, zone, set)
}

fn policy(set: &RecordSet) -> &'static str {
    match (set.weight, &set.failover) {
        (Some(_), _) => "weighted",
        (None, Some(_)) => "failover",
        (None, None) => "simple",
    }
}

fn alias_target(world: &World, zone: &Zone, set: &RecordSet) -> Result<(), ApiError> {
    let Some(alias) = &set.alias else { return Ok(()) };
    let tried =
        format!("Tried to create an alias that targets {}, type {} in zone {}", alias.name, set.kind, alias.zone);
    if alias.zone == zone.id {
        if !record::is_within(&alias.name, &zone.name) {
            return Err(batch(&format!("{tried}, but the alias target name does not lie within the target zone")));
        }
        return Ok(());
    }
    let target = load_balancer_name(&alias.name);
    let Some(app) = world.apps.values().find(|app| record::normal_name(&app.alb_name) == target) else {
        return Err(batch(&format!("{tried}, but that target was not found")));
    };
    if app.alb_zone != alias.zone {
        return Err(batch(&format!("{tried}, but the alias target name does not lie within the target zone")));
    }
    if set.kind != "A" {
        return Err(batch(&format!("{tried}, but that target was not found")));
    }
    Ok(())
}

/// `dualstack.` is a name that every load balancer has besides its own.
pub fn load_balancer_name(name: &str) -> String {
    name.strip_prefix("dualstack.").unwrap_or(name).to_owned()
}

/// An alias within the zone needs its target when the batch is over.
pub fn aliases_resolve(zone: &Zone, records: &[RecordSet]) -> Result<(), ApiError> {
    for set in records {
        let Some(alias) = set.alias.as_ref().filter(|alias| alias.zone == zone.id) else { continue };
        if !records.iter().any(|other| other.name == alias.name && other.kind == set.kind) {
            let text = format!(
                "Tried to create an alias that targets {}, type {} in zone {}, but that target was not found",
                alias.name, set.kind, zone.id
            );
            return Err(batch(&text));
        }
    }
    Ok(())
}
