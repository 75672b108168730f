//! Route 53 health checks. The checkers themselves run outside (see `checkers`); here is what their findings mean.

use std::collections::BTreeMap;

use super::record;
use crate::error::ApiError;
use crate::wire::Node;
use crate::world::World;

/// As AWS has them; a status is `healthy` while more than 18 % of the checkers say so. Ours agree with each other.
const CHECKER_REGIONS: [&str; 3] = ["us-east-1", "us-west-2", "eu-west-1"];
const KINDS: [&str; 4] = ["HTTP", "HTTP_STR_MATCH", "TCP", "HTTPS"];
const FAILURE_THRESHOLD: i64 = 3;
const FAILURE_THRESHOLD_MAX: i64 = 10;
const CHECKS_MAX: usize = 200;

#[derive(Clone, Debug)]
pub struct HealthCheck {
    pub id: String,
    pub caller_reference: String,
    pub version: i64,
    pub kind: String,
    pub ip: Option<String>,
    pub port: u16,
    pub path: String,
    pub host: Option<String>,
    pub search: Option<String>,
    pub interval: i64,
    pub failure_threshold: i64,
    pub inverted: bool,
    pub disabled: bool,
    /// A new check counts as healthy until enough checks have failed.
    pub passing: bool,
    pub streak: i64,
    pub checked_ms: u64,
    pub last: String,
}

impl HealthCheck {
    pub fn is_healthy(&self) -> bool {
        self.disabled || (self.passing != self.inverted)
    }
}

/// What a checker found; a status turns only after `FailureThreshold` findings against it in a row.
pub fn record_finding(world: &mut World, id: &str, passed: bool, what: String) {
    let now_ms = world.now_ms;
    let Some(check) = world.route53.health_checks.get_mut(id) else { return };
    check.checked_ms = now_ms;
    check.last = what;
    check.streak = if passed == check.passing { 0 } else { check.streak + 1 };
    if check.streak >= check.failure_threshold {
        check.passing = passed;
        check.streak = 0;
    }
}

pub fn create(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let reference = input.need("CallerReference")?;
    let config = input.get("HealthCheckConfig").ok_or_else(|| record::input("HealthCheckConfig is missing"))?;
    let existing: BTreeMap<&str, &HealthCheck> =
        world.route53.health_checks.values().map(|check| (check.caller_reference.as_str(), check)).collect();
    let mut check = parse(config)?;
    check.caller_reference.clone_from(&reference);
    if let Some(same) = existing.get(reference.as_str()) {
        // AWS answers a repeated request with the check that it made, and refuses another one under the same reference.
        if render_config(same) == render_config(&check) {
            return Ok(Node::map().with("HealthCheck", render(same)));
        }
        let text = format!("A health check with caller reference {reference} has been created with other settings.");
        return Err(ApiError::new(409, "HealthCheckAlreadyExists", text));
    }
    if world.route53.health_checks.len() >= CHECKS_MAX {
        return Err(ApiError::bad("TooManyHealthChecks", "This account has reached its limit of health checks."));
    }
    check.id = world.uuid();
    let answer = Node::map().with("HealthCheck", render(&check));
    world.route53.health_checks.insert(check.id.clone(), check);
    Ok(answer)
}

fn parse(config: &Node) -> Result<HealthCheck, ApiError> {
    let kind = config.need("Type")?;
    if !KINDS.contains(&kind.as_str()) {
        return Err(ApiError::unsupported(format!("health checks of type {kind}")));
    }
    let (ip, host) = (config.str("IPAddress"), config.str("FullyQualifiedDomainName"));
    if ip.is_none() && host.is_none() {
        return Err(record::input("Invalid parameter : either IPAddress or FullyQualifiedDomainName is needed"));
    }
    let default_port = if kind == "HTTPS" { 443 } else { 80 };
    let port = u16::try_from(config.int("Port")?.unwrap_or(default_port)).map_err(|_| record::input("Invalid Port"))?;
    let threshold = config.int("FailureThreshold")?.unwrap_or(FAILURE_THRESHOLD);
    if !(1..=FAILURE_THRESHOLD_MAX).contains(&threshold) {
        return Err(record::input("FailureThreshold must be between 1 and 10"));
    }
    let interval = config.int("RequestInterval")?.unwrap_or(30);
    if ![10, 30].contains(&interval) {
        return Err(record::input("RequestInterval must be 10 or 30"));
    }
    Ok(HealthCheck {
        id: String::new(),
        caller_reference: String::new(),
        version: 1,
        kind,
        ip,
        port,
        path: config.str("ResourcePath").unwrap_or_else(|| "/".to_owned()),
        host,
        search: config.str("SearchString"),
        interval,
        failure_threshold: threshold,
        inverted: config.bool("Inverted")?.unwrap_or(false),
        disabled: config.bool("Disabled")?.unwrap_or(false),
        passing: true,
        streak: 0,
        checked_ms: 0,
        last: String::new(),
    })
}

pub fn update(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let id = input.need("Id")?;
    let check = world.route53.health_checks.get_mut(&id).ok_or_else(|| missing(&id))?;
    if input.int("HealthCheckVersion")?.is_some_and(|version| version != check.version) {
        return Err(ApiError::new(409, "HealthCheckVersionMismatch", "The version in the request does not match."));
    }
    if let Some(inverted) = input.bool("Inverted")? {
        check.inverted = inverted;
    }
    if let Some(disabled) = input.bool("Disabled")? {
        check.disabled = disabled;
    }
    if let Some(path) = input.str("ResourcePath") {
        check.path = path;
    }
    check.version += 1;
    Ok(Node::map().with("HealthCheck", render(check)))
}

pub fn get(world: &World, input: &Node) -> Result<Node, ApiError> {
    Ok(Node::map().with("HealthCheck", render(find(world, input)?)))
}

pub fn list(world: &World, input: &Node) -> Result<Node, ApiError> {
    let size = super::list::max_items(input, 100)?;
    let marker = input.str("marker").unwrap_or_default();
    let mut rest = world.route53.health_checks.values().filter(|check| *check.id >= *marker);
    let page = rest.by_ref().take(size).map(render).collect();
    let next = rest.next();
    Ok(Node::map()
        .with("HealthChecks", Node::List("HealthCheck", page))
        .with("Marker", marker)
        .with("IsTruncated", next.is_some())
        .with_some("NextMarker", next.map(|check| &check.id))
        .with("MaxItems", size))
}

pub fn status(world: &World, input: &Node) -> Result<Node, ApiError> {
    let check = find(world, input)?;
    let report = Node::map().with("Status", &check.last).with("CheckedTime", Node::Time(check.checked_ms));
    let observe = |region: &&str| {
        Node::map().with("Region", *region).with("IPAddress", "15.177.0.1").with("StatusReport", report.clone())
    };
    let observations = CHECKER_REGIONS.iter().filter(|_| check.checked_ms > 0).map(observe).collect();
    Ok(Node::map().with("HealthCheckObservations", Node::List("HealthCheckObservation", observations)))
}

pub fn delete(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let id = input.need("Id")?;
    find(world, input)?;
    let used =
        world.route53.zones.values().flat_map(|zone| &zone.records).any(|set| set.health_check.as_ref() == Some(&id));
    if used {
        return Err(ApiError::bad("HealthCheckInUse", "This health check is in use by a resource record set."));
    }
    world.route53.health_checks.remove(&id);
    Ok(Node::map())
}

fn find<'a>(world: &'a World, input: &Node) -> Result<&'a HealthCheck, ApiError> {
    let id = input.need("Id")?;
    world.route53.health_checks.get(&id).ok_or_else(|| missing(&id))
}

fn missing(id: &str) -> ApiError {
    ApiError::new(404, "NoSuchHealthCheck", format!("No health check exists with the specified ID: {id}"))
}

fn render(check: &HealthCheck) -> Node {
    Node::map()
        .with("Id", &check.id)
        .with("CallerReference", &check.caller_reference)
        .with("HealthCheckConfig", render_config(check))
        .with("HealthCheckVersion", check.version)
}

fn render_config(check: &HealthCheck) -> Node {
    Node::map()
        .with_some("IPAddress", check.ip.as_ref())
        .with("Port", i64::from(check.port))
        .with("Type", &check.kind)
        .with("ResourcePath", &check.path)
        .with_some("FullyQualifiedDomainName", check.host.as_ref())
        .with_some("SearchString", check.search.as_ref())
        .with("RequestInterval", check.interval)
        .with("FailureThreshold", check.failure_threshold)
        .with("Inverted", check.inverted)
        .with("Disabled", check.disabled)
}
