//! What Route 53's name servers answer: routing policies, health, aliases. Only what is INSYNC is known here.

use std::net::IpAddr;

use rand::Rng as _;

use super::record::{RecordSet, is_within, normal_name};
use super::{NAME_SERVERS, check};
use crate::rds::data;
use crate::world::{RegionState, World};

const LOAD_BALANCER_TTL: u32 = 60;
/// Aliases and CNAMEs are followed this far.
const HOPS_MAX: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub name: String,
    pub kind: String,
    pub ttl: u32,
    pub value: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Found(Vec<Answer>),
    /// The name exists, this type of it does not; with the zone that says so.
    Empty(String),
    NoSuchName(String),
    /// Not a name of ours.
    Refused,
}

pub fn answer(world: &mut World, name: &str, kind: &str) -> Outcome {
    let name = normal_name(name);
    if let Some(found) = outside_zones(world, &name, kind) {
        return found;
    }
    let Some(zone) = zone_of(world, &name) else { return Outcome::Refused };
    let mut answers = Vec::new();
    let mut at = name;
    for _ in 0..HOPS_MAX {
        let Some(set) = choose(world, &zone, &at, kind) else {
            return if !answers.is_empty() {
                Outcome::Found(answers)
            } else if exists(world, &zone, &at) {
                Outcome::Empty(zone)
            } else {
                Outcome::NoSuchName(zone)
            };
        };
        if set.alias.is_some() {
            answers.extend(follow(world, &zone, &at, set, kind));
            return if answers.is_empty() { Outcome::Empty(zone) } else { Outcome::Found(answers) };
        }
        answers.extend(plain(&at, &set));
        match (set.kind == "CNAME" && kind != "CNAME", set.values.first()) {
            (true, Some(target)) => at = normal_name(target),
            _ => return Outcome::Found(answers),
        }
        if let Some(Outcome::Found(more)) = outside_zones(world, &at, kind) {
            answers.extend(more);
            return Outcome::Found(answers);
        }
        if zone_of(world, &at).as_ref() != Some(&zone) {
            return Outcome::Found(answers);
        }
    }
    Outcome::Found(answers)
}

/// Load balancers' and name servers' own names.
fn outside_zones(world: &World, name: &str, kind: &str) -> Option<Outcome> {
    let zone = "amazonaws.com.".to_owned();
    if NAME_SERVERS.iter().any(|server| normal_name(server) == name) {
        let address = Answer { name: name.into(), kind: "A".into(), ttl: 172_800, value: "127.0.0.1".into() };
        return Some(if kind == "A" { Outcome::Found(vec![address]) } else { Outcome::Empty(zone) });
    }
    if !name.ends_with(check::LOAD_BALANCER_SUFFIX) {
        return None;
    }
    let target = check::load_balancer_name(name);
    let Some(app) = world.apps.values().find(|app| normal_name(&app.alb_name) == target) else {
        return Some(Outcome::NoSuchName(zone));
    };
    match app.address.map(|address| address.ip()) {
        Some(IpAddr::V4(address)) if kind == "A" => {
            let value = address.to_string();
            Some(Outcome::Found(vec![Answer { name: name.into(), kind: kind.into(), ttl: LOAD_BALANCER_TTL, value }]))
        }
        _ => Some(Outcome::Empty(zone)),
    }
}

pub fn zone_of(world: &World, name: &str) -> Option<String> {
    let holds = world.route53.zones.values().filter(|zone| is_within(name, &zone.name));
    holds.max_by_key(|zone| zone.name.len()).map(|zone| zone.id.clone())
}

fn exists(world: &World, zone: &str, name: &str) -> bool {
    let Some(zone) = world.route53.zones.get(zone) else { return false };
    zone.published.iter().any(|set| is_within(&set.name, name))
}

fn candidates(world: &World, zone: &str, name: &str, kind: &str) -> Vec<RecordSet> {
    let Some(zone) = world.route53.zones.get(zone) else { return Vec::new() };
    let of = |name: &str| {
        let sets = zone.published.iter().filter(|set| set.name == name && (set.kind == kind || set.kind == "CNAME"));
        sets.cloned().collect::<Vec<_>>()
    };
    let exact = of(name);
    if !exact.is_empty() || zone.published.iter().any(|set| is_within(&set.name, name)) {
        return exact;
    }
    // The wildcard of the closest name above.
    let above = name.split_once('.').map(|(_, rest)| format!("*.{rest}")).unwrap_or_default();
    of(&above)
}

/// One set by its routing policy. When none is healthy, all count as healthy.
fn choose(world: &mut World, zone: &str, name: &str, kind: &str) -> Option<RecordSet> {
    let all = candidates(world, zone, name, kind);
    let healthy: Vec<RecordSet> = all.iter().filter(|set| is_healthy(world, zone, set, 0)).cloned().collect();
    let failover = all.iter().any(|set| set.failover.is_some());
    if failover {
        let role =
            |sets: &[RecordSet], role: &str| sets.iter().find(|set| set.failover.as_deref() == Some(role)).cloned();
        return role(&healthy, "PRIMARY").or_else(|| role(&healthy, "SECONDARY")).or_else(|| role(&all, "PRIMARY"));
    }
    let pool = if healthy.is_empty() { all } else { healthy };
    by_weight(world, pool)
}

/// Weight 0 is answered only while no healthy set has another weight.
fn by_weight(world: &mut World, pool: Vec<RecordSet>) -> Option<RecordSet> {
    let total: u32 = pool.iter().map(|set| set.weight.unwrap_or(1)).sum();
    if total == 0 {
        let at = if pool.is_empty() { 0 } else { world.rng.random_range(0..pool.len()) };
        return pool.into_iter().nth(at);
    }
    let mut drawn = world.rng.random_range(0..total);
    pool.into_iter().find(|set| {
        let weight = set.weight.unwrap_or(1);
        let hit = drawn < weight;
        drawn = drawn.saturating_sub(weight);
        hit
    })
}

fn is_healthy(world: &World, zone: &str, set: &RecordSet, hops: usize) -> bool {
    let checked = set
        .health_check
        .as_ref()
        .is_none_or(|id| world.route53.health_checks.get(id).is_some_and(super::health::HealthCheck::is_healthy));
    let target = set.alias.as_ref().filter(|alias| alias.evaluate_target_health);
    checked && target.is_none_or(|alias| target_is_healthy(world, zone, &alias.name, &set.kind, hops + 1))
}

fn target_is_healthy(world: &World, zone: &str, name: &str, kind: &str, hops: usize) -> bool {
    if hops > HOPS_MAX {
        return true;
    }
    if name.ends_with(check::LOAD_BALANCER_SUFFIX) {
        return load_balancer_is_healthy(world, name);
    }
    candidates(world, zone, name, kind).iter().any(|set| is_healthy(world, zone, set, hops))
}

/// A load balancer is healthy while its targets, the application of its region, can do their work.
fn load_balancer_is_healthy(world: &World, name: &str) -> bool {
    let target = check::load_balancer_name(name);
    let found = world.apps.iter().find(|(_, app)| normal_name(&app.alb_name) == target);
    found.is_some_and(|(region, app)| {
        let key = crate::rds::InstanceKey { region: region.clone(), id: app.database.clone() };
        let pooled = app.session.as_ref().is_some_and(|session| data::check_writable(world, session).is_ok());
        let fresh = || data::open(world, &key).is_ok_and(|session| data::check_writable(world, &session).is_ok());
        world.region_state(region) == RegionState::Up && (pooled || fresh())
    })
}

fn follow(world: &mut World, zone: &str, name: &str, set: RecordSet, kind: &str) -> Vec<Answer> {
    let mut alias = set.alias;
    for _ in 0..HOPS_MAX {
        let Some(target) = alias.take() else { return Vec::new() };
        if let Some(found) = outside_zones(world, &target.name, kind) {
            let Outcome::Found(answers) = found else { return Vec::new() };
            // An alias is answered as if the record were the name's own.
            return answers.into_iter().map(|answer| Answer { name: name.to_owned(), ..answer }).collect();
        }
        let Some(next) = choose(world, zone, &target.name, kind) else { return Vec::new() };
        if next.alias.is_none() {
            return plain(name, &next);
        }
        alias = next.alias;
    }
    Vec::new()
}

fn plain(name: &str, set: &RecordSet) -> Vec<Answer> {
    let answer = |value: &String| Answer {
        name: name.to_owned(),
        kind: set.kind.clone(),
        ttl: set.ttl.unwrap_or(LOAD_BALANCER_TTL),
        value: value.clone(),
    };
    set.values.iter().map(answer).collect()
}
