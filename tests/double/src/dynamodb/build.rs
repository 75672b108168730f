use super::item::{KeyPart, Schema};
use super::key;
use super::manage::stream_label;
use super::table::{Billing, Count, Peer, Status, Table};
use crate::world::World;
use crate::world::file::TableEntry;

/// A table of the world file, settled, in each of its regions.
pub fn add(world: &mut World, entry: &TableEntry) -> Result<(), String> {
    if entry.regions.is_empty() {
        return Err(format!("table {}: no regions", entry.table));
    }
    let part = |name: &String| KeyPart { name: name.clone(), kind: "S".to_owned() };
    let schema = Schema { hash: part(&entry.hash_key), range: entry.range_key.as_ref().map(part) };
    for region in &entry.regions {
        let others = entry.regions.iter().filter(|other| *other != region);
        let table = Table {
            key: key(region, &entry.table),
            id: world.uuid(),
            schema: schema.clone(),
            billing: Billing::OnDemand,
            status: Status::Active,
            created_ms: world.now_ms,
            stream: (entry.regions.len() > 1).then(|| stream_label(world.now_ms)),
            peers: others.map(|other| (other.clone(), Peer::new(Status::Active))).collect(),
            items: std::collections::BTreeMap::new(),
            count: Count::default(),
            sourced_ms: None,
        };
        if world.dynamodb.tables.insert(table.key.clone(), table).is_some() {
            return Err(format!("table {}: twice in {region}", entry.table));
        }
    }
    Ok(())
}
