//! Alarms are stored, shown and set; they are not evaluated.

use crate::error::ApiError;
use crate::wire::Node;
use crate::world::World;

const ALARMS_MAX: usize = 5_000;
const STATES: [&str; 3] = ["OK", "ALARM", "INSUFFICIENT_DATA"];

#[derive(Clone, Debug)]
pub struct Alarm {
    pub state: String,
    pub reason: String,
    pub updated_ms: u64,
    pub namespace: String,
    pub metric: String,
    pub comparison: String,
    pub threshold: f64,
    pub period: i64,
    pub evaluation_periods: i64,
}

/// A new alarm has seen no data yet.
pub fn put(world: &mut World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let name = input.need("AlarmName")?;
    let alarm = Alarm {
        state: "INSUFFICIENT_DATA".to_owned(),
        reason: "Unchecked: Initial alarm creation".to_owned(),
        updated_ms: world.now_ms,
        namespace: input.need("Namespace")?,
        metric: input.need("MetricName")?,
        comparison: input.need("ComparisonOperator")?,
        threshold: input
            .float("Threshold")?
            .ok_or_else(|| ApiError::bad("MissingParameter", "Threshold is missing"))?,
        period: input.int("Period")?.ok_or_else(|| ApiError::bad("MissingParameter", "Period is missing"))?,
        evaluation_periods: input.int("EvaluationPeriods")?.unwrap_or(1),
    };
    let alarms = &mut world.cloudwatch.alarms;
    if alarms.len() >= ALARMS_MAX {
        return Err(ApiError::bad("LimitExceeded", "The maximum limit for this resource has been reached."));
    }
    let key = (region.to_owned(), name);
    let before = alarms.get(&key).map(|alarm| (alarm.state.clone(), alarm.reason.clone(), alarm.updated_ms));
    let mut alarm = alarm;
    if let Some((state, reason, updated_ms)) = before {
        (alarm.state, alarm.reason, alarm.updated_ms) = (state, reason, updated_ms);
    }
    alarms.insert(key, alarm);
    Ok(Node::map())
}

pub fn describe(world: &World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let (names, prefix, state) = (input.str_list("AlarmNames"), input.str("AlarmNamePrefix"), input.str("StateValue"));
    let wanted = |name: &str, alarm: &Alarm| {
        (names.is_empty() || names.iter().any(|one| one == name))
            && prefix.as_ref().is_none_or(|prefix| name.starts_with(prefix.as_str()))
            && state.as_ref().is_none_or(|state| *state == alarm.state)
    };
    let here = world.cloudwatch.alarms.iter().filter(|((of, name), alarm)| of == region && wanted(name, alarm));
    let render = |((_, name), alarm): (&(String, String), &Alarm)| {
        Node::map()
            .with("AlarmName", name)
            .with("AlarmArn", format!("arn:aws:cloudwatch:{region}:{}:alarm:{name}", world.account))
            .with("StateValue", &alarm.state)
            .with("StateReason", &alarm.reason)
            .with("StateUpdatedTimestamp", Node::Time(alarm.updated_ms))
            .with("Namespace", &alarm.namespace)
            .with("MetricName", &alarm.metric)
            .with("ComparisonOperator", &alarm.comparison)
            .with("Threshold", alarm.threshold)
            .with("Period", alarm.period)
            .with("EvaluationPeriods", alarm.evaluation_periods)
    };
    Ok(Node::map().with("MetricAlarms", Node::List("member", here.map(render).collect())))
}

pub fn set_state(world: &mut World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let (name, state, reason) = (input.need("AlarmName")?, input.need("StateValue")?, input.need("StateReason")?);
    if !STATES.contains(&state.as_str()) {
        return Err(ApiError::bad("ValidationError", format!("{state} is no state of an alarm")));
    }
    let now_ms = world.now_ms;
    let alarm = world
        .cloudwatch
        .alarms
        .get_mut(&(region.to_owned(), name))
        .ok_or_else(|| ApiError::new(404, "ResourceNotFound", "There is no alarm of that name"))?;
    (alarm.state, alarm.reason, alarm.updated_ms) = (state, reason, now_ms);
    Ok(Node::map())
}
