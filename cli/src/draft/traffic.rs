//! Names that point at the primary, and what they would answer with the standby active.

use mesh_core::manifest::{RecordData, RecordSet, Routing};
use mesh_core::survey::{Zone, ZoneName, elb};

use super::{Pair, alike, text};

/// Records that one draft takes; a manifest has no more.
const RECORDS_MAX: usize = 8;

pub struct Traffic {
    pub yaml: String,
    pub verify: String,
}

struct Found<'a> {
    zone: &'a Zone,
    name: &'a ZoneName,
}

/// Where a record set points, if at a name.
pub fn target(set: &RecordSet) -> Option<&str> {
    match &set.data {
        RecordData::Alias { dns_name, .. } => Some(dns_name),
        RecordData::Values { values, .. } => match values.as_slice() {
            [one] if set.kind.as_str() == "CNAME" => Some(one),
            _ => None,
        },
    }
}

pub fn traffic(pair: &Pair<'_>, zones: &[&Zone]) -> Traffic {
    let all: Vec<Found<'_>> = zones
        .iter()
        .filter(|zone| !zone.private)
        .flat_map(|zone| zone.names.iter().map(move |name| Found { zone, name }))
        .collect();
    let points_here = |found: &&Found<'_>| {
        found.name.sets.iter().filter_map(target).any(|target| elb::region_of(target) == Some(pair.primary))
    };
    let here: Vec<&Found<'_>> = all.iter().filter(points_here).collect();
    let own: Vec<&Found<'_>> = here
        .iter()
        .copied()
        .filter(|found| alike::is_of(pair.service, &found.name.record) || points_of(pair, found))
        .collect();
    let (chosen, others) = match (own.len(), here.len()) {
        (0, 1) => (here, Vec::new()),
        (0, _) => (Vec::new(), here),
        _ => (own, Vec::new()),
    };
    let mut yaml = String::new();
    let (sayable, foreign): (Vec<_>, Vec<_>) = chosen.into_iter().partition(|found| found.name.foreign.is_empty());
    if sayable.is_empty() {
        yaml.push_str(&text::comment(0, &format!(
            "traffic: no name of this service was found that points at a load balancer of {}. docs/manifest.md shows how to write one.",
            pair.primary
        )));
    } else {
        yaml.push_str("traffic:\n");
    }
    for found in sayable.iter().take(RECORDS_MAX) {
        yaml.push_str(&record(pair, found, &all));
    }
    for found in sayable.iter().skip(RECORDS_MAX).chain(&others) {
        yaml.push_str(&text::comment(
            2,
            &format!("{} in zone {} points at {}, too; it is left out", found.name.record, found.zone.id, pair.primary),
        ));
    }
    for found in foreign {
        yaml.push_str(&text::comment(
            2,
            &format!(
                "{} is left out: {}; use simple, weighted or failover routing",
                found.name.record,
                found.name.foreign.first().map(String::as_str).unwrap_or_default()
            ),
        ));
    }
    Traffic { verify: verify(sayable.first().copied()), yaml }
}

fn points_of(pair: &Pair<'_>, found: &Found<'_>) -> bool {
    found.name.sets.iter().filter_map(target).any(|target| {
        elb::region_of(target) == Some(pair.primary)
            && alike::is_of(pair.service, target.split('.').next().unwrap_or(target))
    })
}

fn record(pair: &Pair<'_>, found: &Found<'_>, all: &[Found<'_>]) -> String {
    let first = found.name.record.split('.').next().unwrap_or_default();
    let mut out = format!(
        "  - name: {}\n    zone-id: {}\n    record: {}\n    active:\n      {}:\n",
        text::name(first, "name"),
        text::scalar(&found.zone.id),
        text::scalar(&found.name.record),
        pair.primary
    );
    for set in &found.name.sets {
        out.push_str(&record_set(set, &data(&set.data)));
    }
    out.push_str(&format!("      {}:\n", pair.standby));
    out.push_str(&with_standby(pair, found, all));
    out
}

/// Both regions' answers are there already when they are weighted or failover sets: then they change roles.
fn with_standby(pair: &Pair<'_>, found: &Found<'_>, all: &[Found<'_>]) -> String {
    let region = |set: &RecordSet| target(set).and_then(elb::region_of).map(str::to_owned);
    let roles: Vec<(Option<String>, Routing)> = found.name.sets.iter().map(|set| (region(set), set.routing)).collect();
    if let [one, other] = found.name.sets.as_slice()
        && roles.iter().any(|(at, _)| at.as_deref() == Some(pair.standby))
        && one.routing != Routing::Simple
    {
        let changed =
            [RecordSet { routing: other.routing, ..one.clone() }, RecordSet { routing: one.routing, ..other.clone() }];
        let note = text::comment(8, "The two change their weights or roles.");
        return note + &changed.iter().map(|set| record_set(set, &data(&set.data))).collect::<String>();
    }
    found.name.sets.iter().map(|set| record_set(set, &elsewhere(pair, set, all))).collect()
}

/// The same set with the standby's target.
fn elsewhere(pair: &Pair<'_>, set: &RecordSet, all: &[Found<'_>]) -> String {
    let known = counterpart(pair, set, all);
    match &set.data {
        RecordData::Alias { dns_name, evaluate_target_health, .. } => {
            let is_load_balancer = elb::zone_of(dns_name).is_some();
            let (zone, name, note) = match (&known, is_load_balancer) {
                (Some((zone, name, by)), _) => {
                    let note = format!("Taken from {by}, which points there: is it the standby's?");
                    (text::scalar(zone), text::scalar(name), note)
                }
                (None, true) => {
                    let zone = elb::application_zone(pair.standby);
                    let zone = zone.map_or_else(|| text::blank("hosted zone id of that load balancer"), text::scalar);
                    let note = format!(
                        "The standby's load balancer: its DNS name, as `aws elbv2 describe-load-balancers --region {}` \
                         shows it. The zone is that of Application Load Balancers in {}.",
                        pair.standby, pair.standby
                    );
                    (zone, text::blank(&format!("DNS name of the load balancer in {}", pair.standby)), note)
                }
                (None, false) => {
                    let note =
                        format!("What the name should point at while {} is active, and its hosted zone.", pair.standby);
                    (text::blank("hosted zone id of the target"), text::blank("DNS name of the target"), note)
                }
            };
            format!(
                "{}          alias:\n            zone-id: {zone}\n            dns-name: {name}\n            evaluate-target-health: {evaluate_target_health}\n",
                text::comment(10, &note)
            )
        }
        RecordData::Values { ttl_seconds, .. } => {
            let note = text::comment(10, &format!("What the name should answer while {} is active.", pair.standby));
            let value = known.map_or_else(
                || text::blank(&format!("value for {}", pair.standby)),
                |(_, name, _)| text::scalar(&name),
            );
            format!("{note}          ttl: {ttl_seconds}s\n          values: [{value}]\n")
        }
    }
}

/// Another name that points at the standby's load balancer of the same application.
fn counterpart(pair: &Pair<'_>, set: &RecordSet, all: &[Found<'_>]) -> Option<(String, String, String)> {
    let own = target(set)?;
    let label = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let mut found: Vec<(String, String, String)> = all
        .iter()
        .flat_map(|found| found.name.sets.iter().map(move |set| (found, set)))
        .filter_map(|(found, set)| {
            let target = target(set)?;
            let alike =
                elb::region_of(target) == Some(pair.standby) && alike::score(&label(own), &label(target)) == 100;
            let zone = elb::zone_of(target)?;
            alike.then(|| (zone.to_owned(), target.trim_end_matches('.').to_owned(), found.name.record.clone()))
        })
        .collect();
    found.sort();
    found.dedup_by(|one, other| one.1 == other.1);
    match found.len() {
        1 => found.pop(),
        _ => None,
    }
}

fn record_set(set: &RecordSet, data: &str) -> String {
    let mut out = format!("        - type: {}\n", set.kind.as_str());
    if let Some(identifier) = &set.set_identifier {
        out.push_str(&format!("          set-identifier: {}\n", text::scalar(identifier)));
    }
    match set.routing {
        Routing::Simple => {}
        Routing::Weighted(weight) => out.push_str(&format!("          weight: {weight}\n")),
        Routing::FailoverPrimary => out.push_str("          failover: primary\n"),
        Routing::FailoverSecondary => out.push_str("          failover: secondary\n"),
    }
    if let Some(check) = &set.health_check_id {
        out.push_str(&format!("          health-check-id: {}\n", text::scalar(check)));
    }
    out + data
}

fn data(data: &RecordData) -> String {
    match data {
        RecordData::Alias { zone_id, dns_name, evaluate_target_health } => format!(
            "          alias:\n            zone-id: {}\n            dns-name: {}\n            evaluate-target-health: {evaluate_target_health}\n",
            text::scalar(zone_id),
            text::scalar(dns_name.trim_end_matches('.'))
        ),
        RecordData::Values { ttl_seconds, values } => {
            let values: Vec<String> = values.iter().map(|value| text::scalar(value)).collect();
            format!("          ttl: {ttl_seconds}s\n          values: [{}]\n", values.join(", "))
        }
    }
}

fn verify(found: Option<&Found<'_>>) -> String {
    let Some(found) = found else { return String::new() };
    let mut out = text::comment(
        0,
        "After traffic has moved, ask what clients get. {region} stands for the region moved to; without a path that says \
         which region answers, only the status proves it.",
    );
    out.push_str(&format!(
        "# verify:\n#   - name: public\n#     url: https://{}/\n#     body-contains: '\"region\":\"{{region}}\"'\n",
        found.name.record
    ));
    out
}
