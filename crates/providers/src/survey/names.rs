//! Route 53: is the zone there, do the records stand as the manifest says, is the token there, and would what the
//! manifest writes at a failover be right?

use std::collections::BTreeSet;

use mesh_core::ids::RegionId;
use mesh_core::manifest::{RecordData, RecordSet, TrafficRecord};
use mesh_core::survey::{Examination, Finding, elb};

use super::{Scene, bounded, failed};
use crate::aws::config::route53_region;
use crate::aws::error::ReadError;
use crate::aws::route53::Route53;
use crate::dns;
use crate::route53::Listing;
use crate::route53::name::{normal_set, token_name};

/// Longer than this, and clients go on to the old region for minutes ("DNS not propagating" in many runbooks).
const TTL_MAX_S: u32 = 60;
/// A look that is throttled is repeated: several regions look at the same account.
const TRIES: u32 = 4;
const DNS_PORT: u16 = 53;

pub(super) async fn look(scene: &Scene<'_>, examination: &Examination) -> Vec<Finding> {
    if !examination.manifest.regions.contains_key(scene.region) {
        return Vec::new();
    }
    let route53 = Route53::new(&scene.aws, route53_region(scene.region));
    let mut findings = Vec::new();
    for traffic in &examination.manifest.traffic {
        let subject = format!("{} route53 {}", scene.region, traffic.record);
        match bounded(&subject, listing(&route53, traffic)).await {
            Err(finding) => findings.push(finding),
            Ok(Err(error)) => findings.push(failed(&subject, error)),
            Ok(Ok(_)) if !examination.names => {
                findings.push(Finding::ok(subject, format!("can be read in zone {}", traffic.zone_id)));
            }
            Ok(Ok(listing)) => {
                findings.extend(judge(&format!("route53 {}", traffic.record), traffic, examination, &listing));
                findings.push(servers(scene, &route53, traffic).await);
            }
        }
    }
    findings
}

async fn listing(route53: &Route53, traffic: &TrafficRecord) -> Result<Listing, ReadError> {
    let mut tried = 0;
    loop {
        tried += 1;
        match route53.list(&traffic.zone_id, &traffic.record).await {
            Err(ReadError::Unreadable(_)) if tried < TRIES => {}
            read => return read,
        }
    }
}

fn judge(subject: &str, traffic: &TrafficRecord, examination: &Examination, listing: &Listing) -> Vec<Finding> {
    let mut findings = vec![present(subject, traffic, &examination.active, listing)];
    findings.push(token(subject, examination, listing));
    for (region, sets) in &traffic.active {
        findings.extend(sets.iter().filter_map(|set| declared(subject, region, set)));
    }
    findings.extend(alike(subject, traffic));
    findings
}

fn normal(sets: &[RecordSet]) -> BTreeSet<RecordSet> {
    sets.iter().map(normal_set).collect()
}

fn present(subject: &str, traffic: &TrafficRecord, active: &RegionId, listing: &Listing) -> Finding {
    if let Some(foreign) = listing.foreign.first() {
        let text = format!("has a record set that a manifest cannot say: {foreign}");
        return Finding::problem(subject, text, "use simple, weighted or failover routing for this name");
    }
    let found = normal(&listing.sets);
    let of = |region: &RegionId| traffic.active.get(region).map(|sets| normal(sets)).unwrap_or_default();
    if found == of(active) {
        return Finding::ok(subject, format!("answers what the manifest says for {active}"));
    }
    let shown: Vec<String> = found.iter().map(describe).collect();
    let shown = if shown.is_empty() { "has no record set".to_owned() } else { format!("is {}", shown.join("; ")) };
    if let Some(other) = traffic.active.keys().find(|region| *region != active && found == of(region)) {
        let text = format!("answers what the manifest says for {other}, and {active} is the active region");
        return Finding::problem(subject, text, format!("point it at {active} again, or name {other} as `primary`"));
    }
    let wanted: Vec<String> = of(active).iter().map(describe).collect();
    let text = format!("{shown}, and the manifest says for {active}: {}", wanted.join("; "));
    let mend = format!("correct `active.{active}` of {} in the manifest, or the record", traffic.name);
    Finding::problem(subject, text, mend)
}

fn describe(set: &RecordSet) -> String {
    let data = match &set.data {
        RecordData::Alias { zone_id, dns_name, evaluate_target_health } => {
            format!("alias to {dns_name} in zone {zone_id}, evaluate-target-health {evaluate_target_health}")
        }
        RecordData::Values { ttl_seconds, values } => format!("{} for {ttl_seconds}s", values.join(", ")),
    };
    let identifier = set.set_identifier.as_ref().map(|id| format!(" ({id})")).unwrap_or_default();
    format!("{}{identifier} {data}", set.kind.as_str())
}

fn token(subject: &str, examination: &Examination, listing: &Listing) -> Finding {
    let service = &examination.manifest.service;
    match listing.tokens.as_slice() {
        [] if !examination.armed => Finding::warning(
            subject,
            "has no fencing token yet",
            format!("meshctl arm {service}, then: meshctl traffic setup --service {service}"),
        ),
        [] => Finding::problem(
            subject,
            "has no fencing token, so a failover would be held at this record",
            format!("meshctl traffic setup --service {service}"),
        ),
        [one] if one.is_simple && one.values.len() == 1 => {
            let value = one.values.first().map(String::as_str).unwrap_or_default();
            Finding::ok(subject, format!("carries the fencing token {}", value.trim_matches('"')))
        }
        _ => Finding::problem(
            subject,
            "has more than one fencing token",
            format!("leave one value at TXT _mesh.{subject}", subject = subject.trim_start_matches("route53 ")),
        ),
    }
}

/// What is wrong with a record set that the manifest would write.
fn declared(subject: &str, region: &RegionId, set: &RecordSet) -> Option<Finding> {
    match &set.data {
        RecordData::Values { ttl_seconds, .. } if *ttl_seconds > TTL_MAX_S => {
            let text =
                format!("for {region} may be kept for {ttl_seconds} s: clients go to the old region for so long");
            Some(Finding::warning(subject, text, format!("write `ttl: {TTL_MAX_S}s` for {region}")))
        }
        RecordData::Values { .. } => None,
        RecordData::Alias { zone_id, dns_name, .. } => {
            let wanted = elb::zone_of(dns_name)?;
            if wanted != zone_id {
                let of = elb::region_of_zone(zone_id).map(|of| format!(", which is that of {of}")).unwrap_or_default();
                let text = format!("for {region} names zone {zone_id}{of}; {dns_name} is in zone {wanted}");
                let mend = format!("write `zone-id: {wanted}` for the alias of {region}");
                return Some(Finding::problem(subject, text, mend));
            }
            let of = elb::region_of(dns_name)?;
            (of != region.as_str()).then(|| {
                let text = format!("for {region} points to {dns_name}, a load balancer of {of}");
                Finding::warning(subject, text, format!("name the load balancer of {region}, if there is one"))
            })
        }
    }
}

/// Two regions with the same answer: a failover would change nothing.
fn alike(subject: &str, traffic: &TrafficRecord) -> Option<Finding> {
    let answers: Vec<(&RegionId, BTreeSet<RecordSet>)> =
        traffic.active.iter().map(|(region, sets)| (region, normal(sets))).collect();
    let same = answers.iter().enumerate().find_map(|(i, (region, sets))| {
        let other = answers.iter().skip(i + 1).find(|(_, others)| others == sets)?;
        Some((*region, other.0))
    });
    same.map(|(one, other)| {
        let text = format!("answers the same for {one} and {other}: a failover between them moves no traffic");
        Finding::problem(subject, text, "write each region's own load balancer")
    })
}

/// The zone's own name servers are asked when a reply was lost.
async fn servers(scene: &Scene<'_>, route53: &Route53, traffic: &TrafficRecord) -> Finding {
    let subject = format!("route53 {} name servers", traffic.record);
    let mend = "open UDP and TCP port 53 from the agents, or set dns.route53_nameservers of the agents";
    let mut addresses = scene.config.route53_nameservers.clone();
    if addresses.is_empty() {
        let names = match bounded(&subject, route53.name_servers(&traffic.zone_id)).await {
            Ok(Ok(names)) => names,
            Ok(Err(error)) => return failed(&subject, error),
            Err(finding) => return finding,
        };
        for name in names.iter().take(2) {
            let found =
                crate::dns::Resolver::new(scene.config.nameservers.clone()).addresses(name).await.unwrap_or_default();
            addresses.extend(found.first().map(|ip| std::net::SocketAddr::new(*ip, DNS_PORT)));
        }
    }
    let mut why = "the zone has none that can be resolved".to_owned();
    for server in addresses {
        match dns::txt(server, &token_name(&traffic.record)).await {
            Ok(_) => return Finding::ok(subject, format!("answer ({server})")),
            Err(reason) => why = reason,
        }
    }
    Finding::warning(subject, format!("do not answer: {why}"), mend)
}

#[cfg(test)]
mod tests;
