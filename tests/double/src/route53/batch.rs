//! `ChangeResourceRecordSets`: all of a batch or none of it.

use super::record::{self, RecordSet};
use super::{Change, Zone, bare, check, no_zone};
use crate::error::ApiError;
use crate::wire::Node;
use crate::world::World;
use crate::world::timers::Timer;

const RECORDS_MAX: usize = 1000;
/// Beyond this the oldest finished changes are forgotten; AWS keeps them for 30 days.
const CHANGES_MAX: usize = 20_000;
const PROPAGATION: &str = "route53-propagation";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Create,
    Delete,
    Upsert,
}

pub fn change(world: &mut World, input: &Node) -> Result<Node, ApiError> {
    let id = bare(&input.need("Id")?).to_owned();
    let now_ms = world.now_ms;
    let zone = world.route53.zone(&id)?;
    if zone.busy_until_ms > now_ms {
        return Err(ApiError::bad(
            "PriorRequestNotComplete",
            "The request was rejected because Route 53 was still processing a prior request.",
        ));
    }
    let batch = input.get("ChangeBatch").ok_or_else(|| record::input("ChangeBatch is missing"))?;
    let changes = parse(batch)?;
    let records = apply(world, zone, &changes)?;
    Ok(accept(world, &id, records, batch.str("Comment")))
}

fn parse(batch: &Node) -> Result<Vec<(Verb, RecordSet)>, ApiError> {
    let mut changes = Vec::new();
    let mut count = 0usize;
    for node in batch.list("Changes") {
        let verb = match node.need("Action")?.as_str() {
            "CREATE" => Verb::Create,
            "DELETE" => Verb::Delete,
            "UPSERT" => Verb::Upsert,
            other => {
                return Err(record::input(&format!("Value '{other}' at 'action' must be CREATE, DELETE or UPSERT")));
            }
        };
        let set = node.get("ResourceRecordSet").ok_or_else(|| record::input("ResourceRecordSet is missing"))?;
        let set = RecordSet::parse(set)?;
        count += set.values.len().max(1) * if verb == Verb::Upsert { 2 } else { 1 };
        changes.push((verb, set));
    }
    if changes.is_empty() {
        return Err(record::input("ChangeBatch must hold at least one change"));
    }
    if count > RECORDS_MAX {
        return Err(record::batch(&format!("Number of records limit of {RECORDS_MAX} exceeded.")));
    }
    Ok(changes)
}

/// The zone's records after the batch, or why there is no such thing.
fn apply(world: &World, zone: &Zone, changes: &[(Verb, RecordSet)]) -> Result<Vec<RecordSet>, ApiError> {
    check::once_each(changes)?;
    let mut records = zone.records.clone();
    for (verb, set) in changes {
        if !record::is_within(&set.name, &zone.name) {
            return Err(record::batch(&format!(
                "RRSet with DNS name {} is not permitted in zone {}",
                set.name, zone.name
            )));
        }
        let at = records.iter().position(|other| other.key() == set.key());
        let tried = |what: &str| {
            let id = set.set_identifier.as_ref().map(|id| format!(", set identifier='{id}'")).unwrap_or_default();
            format!("Tried to {what} resource record set [name='{}', type='{}'{id}]", set.name, set.kind)
        };
        match (verb, at) {
            (Verb::Create, Some(_)) => {
                return Err(record::batch(&format!("{} but it already exists", tried("create"))));
            }
            (Verb::Delete, None) => return Err(record::batch(&format!("{} but it was not found", tried("delete")))),
            (Verb::Delete, Some(at)) => {
                if records.get(at) != Some(set) {
                    let why = "but the values provided do not match the current values";
                    return Err(record::batch(&format!("{} {why}", tried("delete"))));
                }
                check::deletable(zone, set)?;
                records.remove(at);
            }
            (Verb::Upsert, Some(at)) => {
                records.remove(at);
                check::fits(world, zone, &records, set)?;
                records.push(set.clone());
            }
            (Verb::Create | Verb::Upsert, None) => {
                check::fits(world, zone, &records, set)?;
                records.push(set.clone());
            }
        }
    }
    check::aliases_resolve(zone, &records)?;
    records.sort_by(|left, right| record::order(left.key(), right.key()));
    Ok(records)
}

fn accept(world: &mut World, id: &str, records: Vec<RecordSet>, comment: Option<String>) -> Node {
    let (now_ms, settings) = (world.now_ms, world.settings.clone());
    let change_id = format!("C{}", world.random_id(20));
    let mut due = now_ms + settings.route53_insync_ms;
    if let Some(zone) = world.route53.zones.get_mut(id) {
        zone.records.clone_from(&records);
        zone.busy_until_ms = now_ms + settings.route53_accept_ms;
        // Changes of one zone reach the name servers in their order.
        due = due.max(zone.last_insync_ms);
        zone.last_insync_ms = due;
    }
    let change = Change { zone: id.to_owned(), submitted_ms: now_ms, comment, in_sync: false, snapshot: records };
    forget_oldest(world);
    let answer = render(&change_id, &change);
    world.route53.changes.insert(change_id.clone(), change);
    world.activities.start(format!("{id}/{change_id}"), PROPAGATION, now_ms);
    world.timers.set(due, Timer::InSync { zone: id.to_owned(), change: change_id });
    answer
}

fn forget_oldest(world: &mut World) {
    let changes = &mut world.route53.changes;
    if changes.len() < CHANGES_MAX {
        return;
    }
    let oldest = changes.iter().filter(|(_, one)| one.in_sync).min_by_key(|(_, one)| one.submitted_ms);
    if let Some(id) = oldest.map(|(id, _)| id.clone()) {
        changes.remove(&id);
    }
}

pub fn in_sync(world: &mut World, zone: &str, change: &str) {
    let now_ms = world.now_ms;
    let Some(done) = world.route53.changes.get_mut(change) else { return };
    done.in_sync = true;
    let snapshot = std::mem::take(&mut done.snapshot);
    if let Some(zone) = world.route53.zones.get_mut(zone) {
        zone.published = snapshot;
    }
    world.activities.end(&format!("{zone}/{change}"), PROPAGATION, now_ms);
}

pub fn get_change(world: &World, input: &Node) -> Result<Node, ApiError> {
    let id = input.need("Id")?;
    let id = bare(&id);
    let missing = || ApiError::new(404, "NoSuchChange", format!("Could not find resource with ID: {id}"));
    world.route53.changes.get(id).map(|change| render(id, change)).ok_or_else(missing)
}

fn render(id: &str, change: &Change) -> Node {
    let info = Node::map()
        .with("Id", format!("/change/{id}"))
        .with("Status", if change.in_sync { "INSYNC" } else { "PENDING" })
        .with("SubmittedAt", Node::Time(change.submitted_ms))
        .with_some("Comment", change.comment.as_ref());
    Node::map().with("ChangeInfo", info)
}

/// How long the zone still takes to accept its last batch: the reply comes no sooner.
pub fn accepting_ms(world: &World, input: &Node) -> u64 {
    let id = input.str("Id").unwrap_or_default();
    world.route53.zones.get(bare(&id)).map_or(0, |zone| zone.busy_until_ms.saturating_sub(world.now_ms))
}

pub fn zone_or_error<'a>(world: &'a World, input: &Node) -> Result<&'a Zone, ApiError> {
    let id = input.need("Id")?;
    world.route53.zone(&id).map_err(|_| no_zone(&id))
}
