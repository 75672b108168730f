//! Between Route 53's record sets and the manifest's.

use aws_sdk_route53::error::BuildError;
use aws_sdk_route53::types::{
    AliasTarget, Change as SdkChange, ChangeAction, ChangeBatch, ResourceRecord, ResourceRecordSet,
    ResourceRecordSetFailover, RrType,
};
use mesh_core::manifest::{RecordData, RecordKind, RecordSet, Routing};

use crate::route53::batch::{Change, Item};

/// The set as a manifest would write it; `Err` names what a manifest cannot say; `None`: of a type that carries no
/// address, which is left alone.
pub(super) fn record_set(set: &ResourceRecordSet) -> Option<Result<RecordSet, String>> {
    let kind = match set.r#type() {
        RrType::A => RecordKind::A,
        RrType::Aaaa => RecordKind::Aaaa,
        RrType::Cname => RecordKind::Cname,
        _ => return None,
    };
    let routing = match routing(set) {
        Ok(routing) => routing,
        Err(what) => {
            let id = set.set_identifier().unwrap_or("without a set identifier");
            return Some(Err(format!("{} {id}: {what}", kind.as_str())));
        }
    };
    let data = match set.alias_target() {
        Some(alias) => RecordData::Alias {
            zone_id: alias.hosted_zone_id().to_owned(),
            dns_name: alias.dns_name().to_owned(),
            evaluate_target_health: alias.evaluate_target_health(),
        },
        None => RecordData::Values {
            ttl_seconds: set.ttl().and_then(|ttl| u32::try_from(ttl).ok()).unwrap_or_default(),
            values: set.resource_records().iter().map(|value| value.value().to_owned()).collect(),
        },
    };
    Some(Ok(RecordSet {
        kind,
        set_identifier: set.set_identifier().map(str::to_owned),
        routing,
        health_check_id: set.health_check_id().map(str::to_owned),
        data,
    }))
}

fn routing(set: &ResourceRecordSet) -> Result<Routing, String> {
    let others = [
        (set.region().is_some(), "latency routing"),
        (set.geo_location().is_some(), "geolocation routing"),
        (set.geo_proximity_location().is_some(), "geoproximity routing"),
        (set.cidr_routing_config().is_some(), "IP-based routing"),
        (set.multi_value_answer().is_some(), "multivalue routing"),
        (set.traffic_policy_instance_id().is_some(), "a traffic policy"),
    ];
    if let Some((_, what)) = others.iter().find(|(is_used, _)| *is_used) {
        return Err((*what).to_owned());
    }
    match (set.weight(), set.failover()) {
        (None, None) if set.set_identifier().is_some() => Err("an unknown routing".to_owned()),
        (None, None) => Ok(Routing::Simple),
        (Some(weight), None) => {
            u8::try_from(weight).map(Routing::Weighted).map_err(|_| format!("a weight of {weight}"))
        }
        (None, Some(ResourceRecordSetFailover::Primary)) => Ok(Routing::FailoverPrimary),
        (None, Some(ResourceRecordSetFailover::Secondary)) => Ok(Routing::FailoverSecondary),
        (_, Some(_)) => Err("an unknown failover routing".to_owned()),
    }
}

pub(super) fn batch(changes: &[Change<'_>], comment: &str) -> Result<ChangeBatch, BuildError> {
    let changes = changes.iter().map(change).collect::<Result<Vec<_>, _>>()?;
    ChangeBatch::builder().set_changes(Some(changes)).comment(comment).build()
}

fn change(change: &Change<'_>) -> Result<SdkChange, BuildError> {
    let (action, name, item) = match change {
        Change::Delete { name, item } => (ChangeAction::Delete, name, item),
        Change::Create { name, item } => (ChangeAction::Create, name, item),
    };
    let set = ResourceRecordSet::builder().name(name.as_str());
    let set = match item {
        Item::Token { ttl_seconds, values } => {
            set.r#type(RrType::Txt).ttl(i64::from(*ttl_seconds)).set_resource_records(Some(records(values)?))
        }
        Item::Set(wanted) => {
            let set = match wanted.kind {
                RecordKind::A => set.r#type(RrType::A),
                RecordKind::Aaaa => set.r#type(RrType::Aaaa),
                RecordKind::Cname => set.r#type(RrType::Cname),
            };
            let set = match wanted.routing {
                Routing::Simple => set,
                Routing::Weighted(weight) => set.weight(i64::from(weight)),
                Routing::FailoverPrimary => set.failover(ResourceRecordSetFailover::Primary),
                Routing::FailoverSecondary => set.failover(ResourceRecordSetFailover::Secondary),
            };
            let set = match &wanted.data {
                RecordData::Values { ttl_seconds, values } => {
                    set.ttl(i64::from(*ttl_seconds)).set_resource_records(Some(records(values)?))
                }
                RecordData::Alias { zone_id, dns_name, evaluate_target_health } => set.alias_target(
                    AliasTarget::builder()
                        .hosted_zone_id(zone_id)
                        .dns_name(dns_name)
                        .evaluate_target_health(*evaluate_target_health)
                        .build()?,
                ),
            };
            set.set_set_identifier(wanted.set_identifier.clone()).set_health_check_id(wanted.health_check_id.clone())
        }
    };
    SdkChange::builder().action(action).resource_record_set(set.build()?).build()
}

fn records(values: &[String]) -> Result<Vec<ResourceRecord>, BuildError> {
    values.iter().map(|value| ResourceRecord::builder().value(value).build()).collect()
}
