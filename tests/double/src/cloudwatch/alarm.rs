//! Alarms on one metric, evaluated again and again: so many of the last periods beyond the threshold, and what a period
//! without data counts as.

pub mod rule;

use super::{metric, page};
use crate::error::ApiError;
use crate::wire::Node;
use crate::world::World;
use rule::Rule;

const ALARMS_MAX: usize = 5_000;
const NAMES_MAX: usize = 100;
const PAGE: i64 = 50;
const PAGE_MAX: i64 = 100;
const STATES: [&str; 3] = ["OK", "ALARM", "INSUFFICIENT_DATA"];

#[derive(Clone, Debug)]
pub struct Alarm {
    pub state: String,
    pub reason: String,
    pub updated_ms: u64,
    evaluated_ms: u64,
    rule: Rule,
}

/// A new alarm has seen no data yet; one that is put again keeps its state.
pub fn put(world: &mut World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let known = ["AlarmName", "AlarmDescription", "ActionsEnabled", "MetricName", "Namespace", "Statistic", "Unit"];
    let more = ["Dimensions", "Period", "EvaluationPeriods", "DatapointsToAlarm", "Threshold", "ComparisonOperator"];
    super::allow(input, &[&known[..], &more, &["TreatMissingData"]].concat())?;
    let name = input.need("AlarmName")?;
    let rule = Rule::read(region, input)?;
    let now_ms = world.now_ms;
    let key = (region.to_owned(), name);
    let alarms = &mut world.cloudwatch.alarms;
    if let Some(alarm) = alarms.get_mut(&key) {
        alarm.rule = rule;
        return Ok(Node::map());
    }
    if alarms.len() >= ALARMS_MAX {
        return Err(ApiError::bad("LimitExceeded", "The maximum limit for this resource has been reached."));
    }
    let alarm = Alarm {
        state: "INSUFFICIENT_DATA".to_owned(),
        reason: "Unchecked: Initial alarm creation".to_owned(),
        updated_ms: now_ms,
        evaluated_ms: now_ms,
        rule,
    };
    alarms.insert(key, alarm);
    Ok(Node::map())
}

/// Looks again at every alarm of a living region whose turn it is.
pub fn evaluate(world: &mut World) {
    let (now_ms, every_ms) = (world.now_ms, world.settings.alarm_evaluation_ms);
    let due = |alarm: &Alarm| alarm.evaluated_ms.saturating_add(every_ms) <= now_ms;
    let mut judged = Vec::new();
    for (key, alarm) in world.cloudwatch.alarms.iter().filter(|(_, alarm)| due(alarm)) {
        if world.is_alive(&key.0) {
            let values = alarm.rule.seen(world);
            judged.push((key.clone(), alarm.rule.judge(&values), values));
        }
    }
    for (key, state, values) in judged {
        let Some(alarm) = world.cloudwatch.alarms.get_mut(&key) else { continue };
        alarm.evaluated_ms = now_ms;
        let Some(state) = state.filter(|state| *state != alarm.state) else { continue };
        let shown = values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let (count, threshold) = (values.len(), alarm.rule.threshold);
        alarm.reason = format!("Threshold Crossed: {count} datapoints [{shown}] against the threshold ({threshold}).");
        alarm.updated_ms = now_ms;
        state.clone_into(&mut alarm.state);
    }
}

pub fn describe(world: &World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let known = ["AlarmNames", "AlarmNamePrefix", "AlarmTypes", "StateValue", "MaxRecords", "NextToken"];
    super::allow(input, &known)?;
    let (names, prefix, state) = (input.str_list("AlarmNames"), input.str("AlarmNamePrefix"), input.str("StateValue"));
    if prefix.is_some() && !names.is_empty() {
        let text = "AlarmNamePrefix and AlarmNames cannot be specified together.";
        return Err(ApiError::bad("InvalidParameterCombination", text));
    }
    if names.len() > NAMES_MAX {
        return Err(invalid("AlarmNames must hold at most 100 names"));
    }
    if state.as_ref().is_some_and(|state| !STATES.contains(&state.as_str())) {
        return Err(invalid("StateValue is no state of an alarm"));
    }
    let types = input.str_list("AlarmTypes");
    let size = input.int("MaxRecords")?.unwrap_or(PAGE);
    if !(1..=PAGE_MAX).contains(&size) {
        return Err(invalid(format!("MaxRecords must be between 1 and {PAGE_MAX}")));
    }
    let wanted = |name: &str, alarm: &Alarm| {
        (types.is_empty() || types.iter().any(|one| one == "MetricAlarm"))
            && (names.is_empty() || names.iter().any(|one| one == name))
            && prefix.as_ref().is_none_or(|prefix| name.starts_with(prefix.as_str()))
            && state.as_ref().is_none_or(|state| *state == alarm.state)
    };
    let here = world.cloudwatch.alarms.iter().filter(|((of, name), alarm)| of == region && wanted(name, alarm));
    let (found, next) = page::cut(here.collect(), input, usize::try_from(size).unwrap_or(usize::MAX))?;
    let render = |((_, name), alarm): (&(String, String), &Alarm)| render(&world.account, region, name, alarm);
    let found = Node::List("member", found.into_iter().map(render).collect());
    Ok(Node::map().with("MetricAlarms", found).with_some("NextToken", next))
}

fn render(account: &str, region: &str, name: &str, alarm: &Alarm) -> Node {
    let rule = &alarm.rule;
    Node::map()
        .with("AlarmName", name)
        .with("AlarmArn", format!("arn:aws:cloudwatch:{region}:{account}:alarm:{name}"))
        .with_some("AlarmDescription", rule.description.as_ref())
        .with("ActionsEnabled", rule.actions_enabled)
        .with("StateValue", &alarm.state)
        .with("StateReason", &alarm.reason)
        .with("StateUpdatedTimestamp", Node::Time(alarm.updated_ms))
        .with("Namespace", &rule.metric.namespace)
        .with("MetricName", &rule.metric.name)
        .with("Dimensions", metric::dimensions(&rule.metric.dimensions))
        .with_some("Unit", rule.unit.as_ref())
        .with("Statistic", &rule.statistic)
        .with("ComparisonOperator", &rule.comparison)
        .with("Threshold", rule.threshold)
        .with("Period", rule.period)
        .with("EvaluationPeriods", rule.evaluation_periods)
        .with_some("DatapointsToAlarm", rule.datapoints)
        .with("TreatMissingData", &rule.missing)
}

/// Until the next evaluation.
pub fn set_state(world: &mut World, region: &str, input: &Node) -> Result<Node, ApiError> {
    super::allow(input, &["AlarmName", "StateValue", "StateReason"])?;
    let (name, state, reason) = (input.need("AlarmName")?, input.need("StateValue")?, input.need("StateReason")?);
    if !STATES.contains(&state.as_str()) {
        return Err(invalid(format!("{state} is no state of an alarm")));
    }
    let now_ms = world.now_ms;
    let alarm = world.cloudwatch.alarms.get_mut(&(region.to_owned(), name)).ok_or_else(unknown)?;
    (alarm.state, alarm.reason, alarm.updated_ms) = (state, reason, now_ms);
    Ok(Node::map())
}

/// All of them or none.
pub fn delete(world: &mut World, region: &str, input: &Node) -> Result<Node, ApiError> {
    super::allow(input, &["AlarmNames"])?;
    let names = input.str_list("AlarmNames");
    if names.is_empty() || names.len() > NAMES_MAX {
        return Err(invalid("AlarmNames must hold 1 to 100 names"));
    }
    let keys: Vec<(String, String)> = names.into_iter().map(|name| (region.to_owned(), name)).collect();
    if keys.iter().any(|key| !world.cloudwatch.alarms.contains_key(key)) {
        return Err(unknown());
    }
    for key in keys {
        world.cloudwatch.alarms.remove(&key);
    }
    Ok(Node::map())
}

fn unknown() -> ApiError {
    ApiError::new(404, "ResourceNotFound", "There is no alarm of that name")
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::bad("ValidationError", message)
}
