//! When are two names, or two record sets, the same to Route 53?

use std::net::{Ipv4Addr, Ipv6Addr};

use mesh_core::manifest::{RecordData, RecordKind, RecordSet};

/// Where the fencing token of a name stands.
pub(crate) fn token_name(record: &str) -> String {
    format!("_mesh.{}", record.trim_end_matches('.'))
}

/// Lower case, no final dot, and Route 53's octal escapes (`\052` for `*`) undone.
pub(crate) fn normal_name(name: &str) -> String {
    unescape(name.trim_end_matches('.')).to_ascii_lowercase()
}

pub(crate) fn is_same_name(one: &str, other: &str) -> bool {
    normal_name(one) == normal_name(other)
}

/// The set as it compares: names and addresses in one spelling, values in one order.
pub(crate) fn normal_set(set: &RecordSet) -> RecordSet {
    let data = match &set.data {
        RecordData::Values { ttl_seconds, values } => {
            let mut values: Vec<String> = values.iter().map(|value| normal_value(set.kind, value)).collect();
            values.sort_unstable();
            RecordData::Values { ttl_seconds: *ttl_seconds, values }
        }
        RecordData::Alias { zone_id, dns_name, evaluate_target_health } => RecordData::Alias {
            zone_id: zone_id.trim_start_matches("/hostedzone/").to_owned(),
            dns_name: normal_name(dns_name),
            evaluate_target_health: *evaluate_target_health,
        },
    };
    RecordSet { data, ..set.clone() }
}

fn normal_value(kind: RecordKind, value: &str) -> String {
    let value = value.trim();
    match kind {
        RecordKind::A => value.parse::<Ipv4Addr>().map_or_else(|_| value.to_owned(), |ip| ip.to_string()),
        RecordKind::Aaaa => value.parse::<Ipv6Addr>().map_or_else(|_| value.to_owned(), |ip| ip.to_string()),
        RecordKind::Cname => normal_name(value),
    }
}

fn unescape(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let octal = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(u8::is_ascii);
        match octal {
            Some(byte) => {
                plain.push(char::from(byte));
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                plain.push('\\');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

/// For people: `A weighted 10 "use1" alias x.elb.amazonaws.com`.
pub(crate) fn describe(set: &RecordSet) -> String {
    use mesh_core::manifest::Routing;
    let routing = match set.routing {
        Routing::Simple => String::new(),
        Routing::Weighted(weight) => format!(" weight {weight}"),
        Routing::FailoverPrimary => " failover primary".to_owned(),
        Routing::FailoverSecondary => " failover secondary".to_owned(),
    };
    let identifier = set.set_identifier.as_ref().map(|id| format!(" {id:?}")).unwrap_or_default();
    let check = set.health_check_id.as_ref().map(|id| format!(" health check {id}")).unwrap_or_default();
    let data = match &set.data {
        RecordData::Values { ttl_seconds, values } => format!("{} TTL {ttl_seconds}", values.join(",")),
        RecordData::Alias { dns_name, evaluate_target_health, .. } => {
            format!("alias {dns_name} evaluate-target-health {evaluate_target_health}")
        }
    };
    format!("{}{routing}{identifier}{check} {data}", set.kind.as_str())
}

#[cfg(test)]
mod tests {
    use mesh_core::manifest::Routing;

    use super::*;

    #[test]
    fn names_compare_without_case_final_dot_and_escapes() {
        for (one, other, same) in [
            ("api.example.com.", "API.example.com", true),
            ("\\052.example.com.", "*.example.com", true),
            ("a\\137b.example.com", "a_b.example.com", true),
            ("api.example.com", "api2.example.com", false),
            ("dualstack.lb.amazonaws.com.", "lb.amazonaws.com", false),
            ("odd\\", "odd\\", true),
            ("odd\\9", "odd\\9", true),
            ("odd\\é12", "odd\\é12", true),
        ] {
            assert_eq!(is_same_name(one, other), same, "{one} {other}");
        }
        assert_eq!(token_name("api.example.com."), "_mesh.api.example.com");
    }

    #[test]
    fn sets_compare_without_the_spelling_and_order_of_values() {
        let set = |kind, values: &[&str]| RecordSet {
            kind,
            set_identifier: None,
            routing: Routing::Simple,
            health_check_id: None,
            data: RecordData::Values {
                ttl_seconds: 60,
                values: values.iter().map(|value| (*value).to_owned()).collect(),
            },
        };
        assert_eq!(
            normal_set(&set(RecordKind::A, &["10.0.0.2", "10.0.0.1"])),
            normal_set(&set(RecordKind::A, &["10.0.0.1", " 10.0.0.2"])),
        );
        assert_eq!(
            normal_set(&set(RecordKind::Aaaa, &["2001:DB8:0::1"])),
            normal_set(&set(RecordKind::Aaaa, &["2001:db8::1"])),
        );
        assert_eq!(
            normal_set(&set(RecordKind::Cname, &["Lb.example.com."])),
            normal_set(&set(RecordKind::Cname, &["lb.example.com"])),
        );
        assert_ne!(normal_set(&set(RecordKind::A, &["10.0.0.1"])), normal_set(&set(RecordKind::A, &["10.0.0.3"])));
    }
}
