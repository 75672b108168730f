use std::cmp::Ordering;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use crate::error::ApiError;
use crate::wire::Node;

const KINDS: [&str; 9] = ["A", "AAAA", "CAA", "CNAME", "MX", "NS", "SOA", "SRV", "TXT"];
const TTL_MAX: i64 = 2_147_483_647;
const WEIGHT_MAX: i64 = 255;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alias {
    pub zone: String,
    pub name: String,
    pub evaluate_target_health: bool,
}

/// A record set in normal form: two are the same only if every field is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordSet {
    pub name: String,
    pub kind: String,
    pub set_identifier: Option<String>,
    pub weight: Option<u32>,
    pub failover: Option<String>,
    pub ttl: Option<u32>,
    /// Sorted: their order means nothing.
    pub values: Vec<String>,
    pub alias: Option<Alias>,
    pub health_check: Option<String>,
}

impl RecordSet {
    pub fn parse(node: &Node) -> Result<Self, ApiError> {
        for name in [
            "Region",
            "GeoLocation",
            "MultiValueAnswer",
            "CidrRoutingConfig",
            "GeoProximityLocation",
            "TrafficPolicyInstanceId",
        ] {
            if node.get(name).is_some() {
                return Err(ApiError::unsupported(format!("record sets with {name}")));
            }
        }
        let alias = match node.get("AliasTarget") {
            Some(target) => Some(Alias {
                zone: target.need("HostedZoneId").map_err(invalid)?,
                name: normal_name(&target.need("DNSName").map_err(invalid)?),
                evaluate_target_health: target
                    .bool("EvaluateTargetHealth")
                    .map_err(invalid)?
                    .ok_or_else(|| input("AliasTarget needs EvaluateTargetHealth"))?,
            }),
            None => None,
        };
        let mut values: Vec<String> = node.list("ResourceRecords").iter().filter_map(|one| one.str("Value")).collect();
        values.sort();
        let set = Self {
            name: normal_name(&node.need("Name").map_err(invalid)?),
            kind: node.need("Type").map_err(invalid)?,
            set_identifier: node.str("SetIdentifier"),
            weight: bounded(node, "Weight", WEIGHT_MAX)?,
            failover: node.str("Failover"),
            ttl: bounded(node, "TTL", TTL_MAX)?,
            values,
            alias,
            health_check: node.str("HealthCheckId"),
        };
        set.check()?;
        Ok(set)
    }

    pub fn key(&self) -> (&str, &str, Option<&str>) {
        (&self.name, &self.kind, self.set_identifier.as_deref())
    }

    pub fn render(&self) -> Node {
        let values = self.values.iter().map(|value| Node::map().with("Value", value)).collect::<Vec<_>>();
        let alias = self.alias.as_ref().map(|alias| {
            Node::map()
                .with("HostedZoneId", &alias.zone)
                .with("DNSName", &alias.name)
                .with("EvaluateTargetHealth", alias.evaluate_target_health)
        });
        Node::map()
            .with("Name", self.name.replace('*', "\\052"))
            .with("Type", &self.kind)
            .with_some("SetIdentifier", self.set_identifier.as_ref())
            .with_some("Weight", self.weight)
            .with_some("Failover", self.failover.as_ref())
            .with_some("TTL", self.ttl)
            .with_some("ResourceRecords", (!values.is_empty()).then_some(Node::List("ResourceRecord", values)))
            .with_some("AliasTarget", alias)
            .with_some("HealthCheckId", self.health_check.as_ref())
    }

    /// What is wrong with the set by itself, whatever else the zone holds.
    fn check(&self) -> Result<(), ApiError> {
        let who = format!("[Name={}, Type={}]", self.name, self.kind);
        let fail = |why: &str| Err(input(&format!("Invalid request: {why} in {who}")));
        if !KINDS.contains(&self.kind.as_str()) {
            return fail("unknown Type");
        }
        let routed = self.weight.is_some() || self.failover.is_some();
        match (&self.alias, self.ttl, self.values.is_empty()) {
            (Some(_), Some(_), _) => return fail("an alias has no TTL"),
            (Some(_), None, false) => return fail("expected exactly one of AliasTarget and ResourceRecords"),
            (Some(_), None, true) | (None, Some(_), false) => {}
            (None, None, false) => return fail("missing field 'TTL'"),
            (None, _, true) => return fail("expected exactly one of AliasTarget and ResourceRecords"),
        }
        if routed != self.set_identifier.is_some() {
            return fail("a SetIdentifier goes with exactly one of Weight and Failover");
        }
        if self.weight.is_some() && self.failover.is_some() {
            return fail("expected at most one of Weight and Failover");
        }
        if self.failover.as_deref().is_some_and(|role| !["PRIMARY", "SECONDARY"].contains(&role)) {
            return fail("Failover must be PRIMARY or SECONDARY");
        }
        match self.values.iter().find(|value| !self.accepts(value)) {
            Some(value) => Err(batch(&format!("Invalid Resource Record: {who} does not take the value '{value}'"))),
            None => Ok(()),
        }
    }

    fn accepts(&self, value: &str) -> bool {
        match self.kind.as_str() {
            "A" => value.parse::<Ipv4Addr>().is_ok(),
            "AAAA" => value.parse::<Ipv6Addr>().is_ok(),
            "TXT" => value.len() >= 2 && value.starts_with('"') && value.ends_with('"'),
            "CNAME" => self.values.len() == 1 && !value.contains(char::is_whitespace),
            _ => !value.is_empty(),
        }
    }
}

/// Lower case, with a trailing dot, `*` for `\052`.
pub fn normal_name(name: &str) -> String {
    let name = name.to_lowercase().replace("\\052", "*");
    if name.ends_with('.') { name } else { format!("{name}.") }
}

pub fn is_within(name: &str, zone: &str) -> bool {
    name == zone || name.strip_suffix(zone).is_some_and(|rest| rest.ends_with('.'))
}

/// The order of a listing: by name with its labels reversed, then type, then identifier.
pub fn order(left: (&str, &str, Option<&str>), right: (&str, &str, Option<&str>)) -> Ordering {
    let labels = |name: &str| name.trim_end_matches('.').rsplit('.').map(str::to_owned).collect::<Vec<_>>();
    labels(left.0).cmp(&labels(right.0)).then_with(|| left.1.cmp(right.1)).then_with(|| left.2.cmp(&right.2))
}

fn bounded(node: &Node, name: &str, most: i64) -> Result<Option<u32>, ApiError> {
    let Some(number) = node.int(name).map_err(invalid)? else { return Ok(None) };
    if !(0..=most).contains(&number) {
        let bound =
            if number < 0 { "greater than or equal to 0".to_owned() } else { format!("less than or equal to {most}") };
        return Err(input(&format!(
            "1 validation error detected: Value '{number}' at '{name}' failed to satisfy constraint: Member must have value {bound}"
        )));
    }
    Ok(u32::try_from(number).ok())
}

fn invalid(error: ApiError) -> ApiError {
    input(&error.message)
}

pub fn input(why: &str) -> ApiError {
    ApiError::bad("InvalidInput", why)
}

/// How AWS tells of a refused batch: a list in brackets.
pub fn batch(why: &str) -> ApiError {
    ApiError::bad("InvalidChangeBatch", format!("[{why}]"))
}
