use super::record::{self, normal_name};
use super::{NAME_SERVERS, Zone, batch};
use crate::error::ApiError;
use crate::wire::Node;
use crate::world::World;

const PAGE_MAX: i64 = 300;
const ZONES_PAGE_MAX: i64 = 100;

pub fn record_sets(world: &World, input: &Node) -> Result<Node, ApiError> {
    let zone = batch::zone_or_error(world, input)?;
    let size = max_items(input, PAGE_MAX)?;
    let (name, kind, identifier) = (input.str("name"), input.str("type"), input.str("identifier"));
    if (kind.is_some() && name.is_none()) || (identifier.is_some() && kind.is_none()) {
        return Err(record::input("StartRecordType needs StartRecordName, and StartRecordIdentifier needs both"));
    }
    let name = name.map(|name| normal_name(&name));
    let start = (name.as_deref().unwrap_or(""), kind.as_deref().unwrap_or(""), identifier.as_deref());
    let from = zone.records.iter().position(|set| name.is_none() || record::order(set.key(), start).is_ge());
    let rest = zone.records.get(from.unwrap_or(zone.records.len())..).unwrap_or_default();
    let page = rest.iter().take(size).map(super::RecordSet::render).collect();
    let next = rest.get(size);
    Ok(Node::map()
        .with("ResourceRecordSets", Node::List("ResourceRecordSet", page))
        .with("IsTruncated", next.is_some())
        .with_some("NextRecordName", next.map(|set| &set.name))
        .with_some("NextRecordType", next.map(|set| &set.kind))
        .with_some("NextRecordIdentifier", next.and_then(|set| set.set_identifier.as_ref()))
        .with("MaxItems", size))
}

pub fn zones(world: &World, input: &Node) -> Result<Node, ApiError> {
    let size = max_items(input, ZONES_PAGE_MAX)?;
    let marker = input.str("marker").unwrap_or_default();
    let mut rest = world.route53.zones.values().filter(|zone| *zone.id >= *marker);
    let page: Vec<Node> = rest.by_ref().take(size).map(render).collect();
    let next = rest.next();
    Ok(Node::map()
        .with("HostedZones", Node::List("HostedZone", page))
        .with_some("Marker", (!marker.is_empty()).then_some(marker))
        .with("IsTruncated", next.is_some())
        .with_some("NextMarker", next.map(|zone| &zone.id))
        .with("MaxItems", size))
}

pub fn zones_by_name(world: &World, input: &Node) -> Result<Node, ApiError> {
    let size = max_items(input, ZONES_PAGE_MAX)?;
    let name = input.str("dnsname").map(|name| normal_name(&name));
    let mut zones: Vec<&Zone> = world.route53.zones.values().collect();
    zones.sort_by(|left, right| record::order((&left.name, &left.id, None), (&right.name, &right.id, None)));
    let id = input.str("hostedzoneid").unwrap_or_default();
    let before = |zone: &&Zone| {
        name.as_deref().is_some_and(|name| record::order((&zone.name, &zone.id, None), (name, &id, None)).is_lt())
    };
    let mut rest = zones.into_iter().skip_while(before);
    let page: Vec<Node> = rest.by_ref().take(size).map(render).collect();
    let next = rest.next();
    Ok(Node::map()
        .with("HostedZones", Node::List("HostedZone", page))
        .with_some("DNSName", name)
        .with("IsTruncated", next.is_some())
        .with_some("NextDNSName", next.map(|zone| &zone.name))
        .with_some("NextHostedZoneId", next.map(|zone| &zone.id))
        .with("MaxItems", size))
}

pub fn zone(world: &World, input: &Node) -> Result<Node, ApiError> {
    let zone = batch::zone_or_error(world, input)?;
    let servers = Node::map().with("NameServers", Node::texts("NameServer", NAME_SERVERS));
    Ok(Node::map().with("HostedZone", render(zone)).with("DelegationSet", servers))
}

fn render(zone: &Zone) -> Node {
    Node::map()
        .with("Id", format!("/hostedzone/{}", zone.id))
        .with("Name", &zone.name)
        .with("CallerReference", format!("world-{}", zone.id))
        .with("Config", Node::map().with("PrivateZone", false))
        .with("ResourceRecordSetCount", zone.records.len())
}

pub fn max_items(input: &Node, most: i64) -> Result<usize, ApiError> {
    let asked = input.str("maxitems").map_or(Ok(most), |text| text.parse::<i64>());
    match asked {
        Ok(number) if number > 0 => Ok(usize::try_from(number.min(most)).unwrap_or(1)),
        _ => Err(record::input("MaxItems must be a positive number")),
    }
}
