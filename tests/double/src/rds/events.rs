use super::InstanceKey;
use crate::error::ApiError;
use crate::wire::Node;
use crate::world::World;

const EVENTS_MAX: usize = 20_000;
const DURATION_MINUTES: i64 = 60;
const DURATION_MINUTES_MAX: i64 = 14 * 24 * 60;
const PAGE_MIN: i64 = 20;
const PAGE_MAX: i64 = 100;

#[derive(Clone, Debug)]
pub struct Event {
    pub instance: InstanceKey,
    pub message: String,
    pub categories: Vec<&'static str>,
    pub at_ms: u64,
}

impl World {
    pub fn emit(&mut self, instance: &InstanceKey, message: &str, categories: &[&'static str]) {
        if self.rds.events.len() >= EVENTS_MAX {
            self.rds.events.drain(..EVENTS_MAX / 10);
        }
        let (message, categories) = (message.to_owned(), categories.to_vec());
        self.rds.events.push(Event { instance: instance.clone(), message, categories, at_ms: self.now_ms });
    }
}

pub fn describe(world: &World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let source = input.str("SourceIdentifier");
    let kind = input.str("SourceType");
    if source.is_some() && kind.is_none() {
        return Err(ApiError::bad("InvalidParameterCombination", "SourceType is required with SourceIdentifier"));
    }
    if kind.as_deref().is_some_and(|kind| kind != "db-instance") {
        return Err(ApiError::unsupported("events of other sources than db-instance"));
    }
    let duration = input.int("Duration")?.unwrap_or(DURATION_MINUTES).clamp(0, DURATION_MINUTES_MAX);
    let until = input.time("EndTime")?.unwrap_or(world.now_ms);
    let span = u64::try_from(duration).unwrap_or(0).saturating_mul(60_000);
    let from = input.time("StartTime")?.unwrap_or(until.saturating_sub(span));
    if from > until {
        return Err(ApiError::bad("InvalidParameterCombination", "StartTime must not be after EndTime"));
    }
    let categories = input.str_list("EventCategories");
    let wanted = |event: &&Event| {
        event.instance.region == region
            && (from..=until).contains(&event.at_ms)
            && source.as_ref().is_none_or(|id| event.instance.id == id.to_lowercase())
            && (categories.is_empty() || event.categories.iter().any(|one| categories.iter().any(|want| want == one)))
    };
    let found: Vec<Node> = world.rds.events.iter().filter(wanted).map(|event| render(world, event)).collect();
    let (page, marker) = page(found, input)?;
    Ok(Node::map().with("Events", Node::List("Event", page)).with_some("Marker", marker))
}

/// RDS pages: `MaxRecords` of 20 to 100, and a marker where there is more.
pub fn page(all: Vec<Node>, input: &Node) -> Result<(Vec<Node>, Option<String>), ApiError> {
    let size = input.int("MaxRecords")?.unwrap_or(PAGE_MAX);
    if !(PAGE_MIN..=PAGE_MAX).contains(&size) {
        let message = format!("Invalid value {size} for MaxRecords. Must be between {PAGE_MIN} and {PAGE_MAX}");
        return Err(ApiError::bad("InvalidParameterValue", message));
    }
    let start = match input.str("Marker") {
        Some(marker) => marker.parse().map_err(|_| ApiError::bad("InvalidParameterValue", "Invalid Marker"))?,
        None => 0usize,
    };
    let end = start.saturating_add(usize::try_from(size).unwrap_or(usize::MAX));
    let marker = (end < all.len()).then(|| end.to_string());
    Ok((all.into_iter().take(end).skip(start).collect(), marker))
}

fn render(world: &World, event: &Event) -> Node {
    let arn = format!("arn:aws:rds:{}:{}:db:{}", event.instance.region, world.account, event.instance.id);
    Node::map()
        .with("SourceIdentifier", &event.instance.id)
        .with("SourceType", "db-instance")
        .with("Message", &event.message)
        .with("EventCategories", Node::texts("EventCategory", event.categories.iter().copied()))
        .with("Date", Node::Time(event.at_ms))
        .with("SourceArn", arn)
}
