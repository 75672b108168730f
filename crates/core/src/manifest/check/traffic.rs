//! Record sets that Route 53 would refuse, or that would leave a name without an answer (invariant NeverEmpty).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};

use super::{ITEMS_MAX, Problems, RECORD_SETS_MAX, check_regions, check_text, is_host};
use crate::manifest::{Manifest, RecordData, RecordKind, RecordSet, Routing, TrafficRecord};

pub(super) fn check_traffic(manifest: &Manifest, record: &TrafficRecord, path: &str, found: &mut Problems) {
    check_text(&record.zone_id, &format!("{path}.zone-id"), found);
    found.unless(
        !record.zone_id.contains('/'),
        &format!("{path}.zone-id"),
        "holds a '/'",
        "write the id alone, without /hostedzone/",
    );
    found.unless(
        is_host(&record.record),
        &format!("{path}.record"),
        format!("{:?} is no fully qualified name", record.record),
        "lower case, at least two labels, without the final dot",
    );
    let at = format!("{path}.active");
    check_regions(manifest, record.active.keys(), &at, found);
    for region in manifest.regions.keys().filter(|region| !record.active.contains_key(region)) {
        found.add(&at, format!("says nothing for {region}"), "say what the name answers while each region is active");
    }
    for (region, sets) in &record.active {
        check_record_sets(sets, &format!("{at}.{region}"), found);
    }
}

fn check_record_sets(sets: &[RecordSet], path: &str, found: &mut Problems) {
    found.unless(
        (1..=RECORD_SETS_MAX).contains(&sets.len()),
        path,
        format!("{} record sets", sets.len()),
        format!("1 to {RECORD_SETS_MAX}: an empty answer is never published"),
    );
    let has_cname = sets.iter().any(|set| set.kind == RecordKind::Cname);
    found.unless(
        !has_cname || sets.iter().all(|set| set.kind == RecordKind::Cname),
        path,
        "a CNAME beside other types",
        "a name with a CNAME has nothing else (RFC 1034, 3.6.2)",
    );
    let mut seen = BTreeSet::new();
    let mut by_kind: BTreeMap<RecordKind, Vec<&RecordSet>> = BTreeMap::new();
    for (i, set) in sets.iter().enumerate() {
        let at = format!("{path}[{i}]");
        found.unless(
            seen.insert((set.kind, set.set_identifier.clone())),
            &at,
            "same type and set identifier as another",
            "give each its own set-identifier",
        );
        let simple = set.routing == Routing::Simple;
        found.unless(
            simple == set.set_identifier.is_none(),
            &at,
            "weighted and failover sets have a set-identifier, simple ones none",
            "add or drop set-identifier, weight or failover",
        );
        check_record_data(set, &at, found);
        by_kind.entry(set.kind).or_default().push(set);
    }
    for sets in by_kind.values() {
        check_routing(sets, path, found);
    }
}

fn check_routing(sets: &[&RecordSet], path: &str, found: &mut Problems) {
    let family = |routing: Routing| match routing {
        Routing::Simple => 0,
        Routing::Weighted(_) => 1,
        Routing::FailoverPrimary | Routing::FailoverSecondary => 2,
    };
    let families: BTreeSet<u8> = sets.iter().map(|set| family(set.routing)).collect();
    found.unless(
        families.len() == 1,
        path,
        "simple, weighted and failover sets are mixed",
        "Route 53 allows one routing policy for a name and type",
    );
    let weights: Vec<u8> = sets
        .iter()
        .filter_map(|set| match set.routing {
            Routing::Weighted(weight) => Some(weight),
            Routing::Simple | Routing::FailoverPrimary | Routing::FailoverSecondary => None,
        })
        .collect();
    found.unless(
        weights.is_empty() || weights.iter().any(|weight| *weight > 0),
        path,
        "all weights are zero",
        "Route 53 would then answer all of them alike: leave at least one above zero",
    );
    for role in [Routing::FailoverPrimary, Routing::FailoverSecondary] {
        let count = sets.iter().filter(|set| set.routing == role).count();
        found.unless(count <= 1, path, "two failover sets with the same role", "one primary, one secondary");
    }
}

fn check_record_data(set: &RecordSet, path: &str, found: &mut Problems) {
    match &set.data {
        RecordData::Values { ttl_seconds, values } => {
            found.unless(*ttl_seconds <= 86_400, &format!("{path}.ttl"), "more than a day", "60s or less moves fast");
            found.unless(
                (1..=ITEMS_MAX).contains(&values.len()),
                &format!("{path}.values"),
                format!("{} values", values.len()),
                "1 to 16",
            );
            for value in values {
                let good = match set.kind {
                    RecordKind::A => value.parse::<Ipv4Addr>().is_ok(),
                    RecordKind::Aaaa => value.parse::<Ipv6Addr>().is_ok(),
                    RecordKind::Cname => is_host(value.trim_end_matches('.')) && values.len() == 1,
                };
                found.unless(
                    good,
                    &format!("{path}.values"),
                    format!("{value:?} is no value of type {}", set.kind.as_str()),
                    "an address for A and AAAA, one host name for CNAME",
                );
            }
        }
        RecordData::Alias { zone_id, dns_name, .. } => {
            check_text(zone_id, &format!("{path}.alias.zone-id"), found);
            found.unless(
                is_host(&dns_name.trim_end_matches('.').to_ascii_lowercase()),
                &format!("{path}.alias.dns-name"),
                format!("{dns_name:?} is no name"),
                "the DNS name of the load balancer, as the console shows it",
            );
            found.unless(
                set.kind != RecordKind::Cname,
                path,
                "an alias of type CNAME",
                "a load balancer's alias has type A or AAAA",
            );
        }
    }
}
