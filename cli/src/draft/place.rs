//! Which two regions?

use std::collections::{BTreeMap, BTreeSet};

use mesh_core::ids::{RegionId, ServiceId};
use mesh_core::survey::{Inventory, elb};

use super::alike;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub primary: RegionId,
    pub standby: RegionId,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    #[error("what exists does not tell which region serves and which stands by")]
    Nothing,
    #[error("several pairs of regions are possible: {0}")]
    Several(String),
}

/// From where a database's replica is; else from where the service's names point.
pub fn place(service: &ServiceId, inventories: &BTreeMap<RegionId, Inventory>) -> Result<Place, PlaceError> {
    let all = by_databases(inventories, |_| true);
    let own = by_databases(inventories, |name| alike::is_of(service.as_str(), name));
    for pairs in [own, all] {
        match pairs.len() {
            0 => {}
            1 => {
                return pairs
                    .into_iter()
                    .next()
                    .map(|(primary, standby)| Place { primary, standby })
                    .ok_or(PlaceError::Nothing);
            }
            _ => {
                let shown: Vec<String> = pairs.iter().map(|(one, other)| format!("{one} to {other}")).collect();
                return Err(PlaceError::Several(shown.join(", ")));
            }
        }
    }
    by_names(service, inventories)
}

fn by_databases(
    inventories: &BTreeMap<RegionId, Inventory>,
    wanted: impl Fn(&str) -> bool,
) -> BTreeSet<(RegionId, RegionId)> {
    let mut pairs = BTreeSet::new();
    for (region, inventory) in inventories {
        for database in inventory.databases.iter().filter(|database| wanted(&database.instance)) {
            let source = database.source.as_deref().and_then(source_region);
            if let Some(source) = source.filter(|source| source != region && inventories.contains_key(source)) {
                pairs.insert((source, region.clone()));
            }
        }
    }
    pairs
}

/// `arn:aws:rds:REGION:ACCOUNT:db:NAME`; within a region a source has no region in its name.
pub fn source_region(source: &str) -> Option<RegionId> {
    let region = source.strip_prefix("arn:")?.split(':').nth(2)?;
    RegionId::new(region).ok()
}

/// Of two regions with something in them, the one that the service's name points at serves.
fn by_names(service: &ServiceId, inventories: &BTreeMap<RegionId, Inventory>) -> Result<Place, PlaceError> {
    let peopled: Vec<&RegionId> =
        inventories.iter().filter(|(_, found)| holds_something(found)).map(|(region, _)| region).collect();
    let [one, other] = peopled.as_slice() else { return Err(PlaceError::Nothing) };
    let targets = inventories
        .values()
        .flat_map(|inventory| &inventory.zones)
        .flat_map(|zone| &zone.names)
        .filter(|name| alike::is_of(service.as_str(), &name.record));
    let regions: BTreeSet<&str> =
        targets.flat_map(|name| &name.sets).filter_map(super::traffic::target).filter_map(elb::region_of).collect();
    let points = |region: &RegionId| regions.contains(region.as_str());
    match (points(one), points(other)) {
        (true, false) => Ok(Place { primary: (*one).clone(), standby: (*other).clone() }),
        (false, true) => Ok(Place { primary: (*other).clone(), standby: (*one).clone() }),
        _ => Err(PlaceError::Nothing),
    }
}

fn holds_something(found: &Inventory) -> bool {
    !(found.databases.is_empty()
        && found.tables.is_empty()
        && found.clusters.is_empty()
        && found.task_services.is_empty()
        && found.kafka.is_empty())
}
