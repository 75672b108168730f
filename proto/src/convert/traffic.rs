use mesh_core::manifest::{RecordData, RecordKind, RecordSet, Routing, TrafficRecord};

use crate::DecodeError;
use crate::fields::{Fields, by_name};
use crate::v1::{self, record_set::Data};

enums! {
    v1::RecordKind, "RecordKind" => RecordKind { A, Aaaa, Cname }
}

by_value!(RecordSet => v1::RecordSet);

impl From<&TrafficRecord> for v1::TrafficRecord {
    fn from(traffic: &TrafficRecord) -> Self {
        let TrafficRecord { name, zone_id, record, active } = traffic;
        let sets = |sets: &Vec<RecordSet>| v1::RecordSets { sets: sets.iter().map(Into::into).collect() };
        Self { name: name.clone(), zone_id: zone_id.clone(), record: record.clone(), active: by_name(active, sets) }
    }
}

impl TryFrom<v1::TrafficRecord> for TrafficRecord {
    type Error = DecodeError;

    fn try_from(wire: v1::TrafficRecord) -> Result<Self, DecodeError> {
        const F: Fields = Fields("TrafficRecord");
        let v1::TrafficRecord { name, zone_id, record, active } = wire;
        Ok(Self {
            name: F.text("name", name)?,
            zone_id: F.text("zone_id", zone_id)?,
            record: F.text("record", record)?,
            active: F.map("active", active, |path, sets| F.list(path, sets.sets))?,
        })
    }
}

impl From<&RecordSet> for v1::RecordSet {
    fn from(set: &RecordSet) -> Self {
        let RecordSet { kind, set_identifier, routing, health_check_id, data } = set;
        let (routing, weight) = match routing {
            Routing::Simple => (v1::Routing::Simple, 0),
            Routing::Weighted(weight) => (v1::Routing::Weighted, u32::from(*weight)),
            Routing::FailoverPrimary => (v1::Routing::FailoverPrimary, 0),
            Routing::FailoverSecondary => (v1::Routing::FailoverSecondary, 0),
        };
        let data = match data {
            RecordData::Values { ttl_seconds, values } => {
                Data::Values(v1::RecordValues { ttl_seconds: *ttl_seconds, values: values.clone() })
            }
            RecordData::Alias { zone_id, dns_name, evaluate_target_health } => Data::Alias(v1::RecordAlias {
                zone_id: zone_id.clone(),
                dns_name: dns_name.clone(),
                evaluate_target_health: *evaluate_target_health,
            }),
        };
        Self {
            kind: v1::RecordKind::from(*kind).into(),
            set_identifier: set_identifier.clone(),
            routing: routing.into(),
            weight,
            health_check_id: health_check_id.clone(),
            data: Some(data),
        }
    }
}

impl TryFrom<v1::RecordSet> for RecordSet {
    type Error = DecodeError;

    fn try_from(wire: v1::RecordSet) -> Result<Self, DecodeError> {
        const F: Fields = Fields("RecordSet");
        let v1::RecordSet { kind, set_identifier, routing, weight, health_check_id, data } = wire;
        Ok(Self {
            kind: F.enumeration::<v1::RecordKind, _>("kind", kind)?,
            set_identifier: F.text_optional("set_identifier", set_identifier)?,
            routing: decode_routing(F, routing, weight)?,
            health_check_id: F.text_optional("health_check_id", health_check_id)?,
            data: F.message("data", data)?,
        })
    }
}

fn decode_routing(fields: Fields, routing: i32, weight: u32) -> Result<Routing, DecodeError> {
    let wire = v1::Routing::try_from(routing).map_err(|_| fields.refuse("routing", "has an unknown value"))?;
    if wire != v1::Routing::Weighted && weight != 0 {
        return Err(fields.refuse("weight", "is for weighted records only"));
    }
    match wire {
        v1::Routing::Unspecified => Err(fields.refuse("routing", "is unspecified")),
        v1::Routing::Simple => Ok(Routing::Simple),
        v1::Routing::Weighted => u8::try_from(weight)
            .map(Routing::Weighted)
            .map_err(|_| fields.refuse("weight", format!("is {weight}, at most 255 is accepted"))),
        v1::Routing::FailoverPrimary => Ok(Routing::FailoverPrimary),
        v1::Routing::FailoverSecondary => Ok(Routing::FailoverSecondary),
    }
}

impl TryFrom<Data> for RecordData {
    type Error = DecodeError;

    fn try_from(wire: Data) -> Result<Self, DecodeError> {
        match wire {
            Data::Values(v1::RecordValues { ttl_seconds, values }) => {
                Ok(Self::Values { ttl_seconds, values: Fields("RecordValues").texts("values", values)? })
            }
            Data::Alias(v1::RecordAlias { zone_id, dns_name, evaluate_target_health }) => {
                const F: Fields = Fields("RecordAlias");
                Ok(Self::Alias {
                    zone_id: F.text("zone_id", zone_id)?,
                    dns_name: F.text("dns_name", dns_name)?,
                    evaluate_target_health,
                })
            }
        }
    }
}
