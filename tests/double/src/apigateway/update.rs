//! UpdateStage: all that it names or nothing. Settings that it gives replace those that were there, as a whole (AWS does
//! not say; this is the stricter reading); routes and variables that it does not name stay.

use std::collections::BTreeMap;

use super::{Settings, Stage, allow, no_api, no_stage, shown};
use crate::error::ApiError;
use crate::wire::Node;
use crate::world::World;

const VALUE_MAX: usize = 2048;

pub fn stage(world: &mut World, region: &str, input: &Node) -> Result<Node, ApiError> {
    allow(input, &["apiId", "stageName", "defaultRouteSettings", "routeSettings", "stageVariables"])?;
    let (now_ms, delay) = (world.now_ms, world.settings.api_gateway_ms);
    let key = (region.to_owned(), input.str("apiId").unwrap_or_default());
    let name = input.str("stageName").unwrap_or_default();
    let missing = no_api(world, &key.1);
    let api = world.apigateway.apis.get_mut(&key).ok_or(missing)?;
    let routes = api.routes.clone();
    let before = api.stages.get(&name).cloned().ok_or_else(|| no_stage(&name))?;
    let after = changed(&before, input, &routes)?;
    let limits_change = (after.default, &after.routes) != (before.default, &before.routes);
    let served = match now_ms >= before.reaches_ms {
        true => (before.default, before.routes.clone()),
        false => before.served.clone(),
    };
    let reaches_ms = if limits_change { now_ms + delay } else { before.reaches_ms };
    let stage = Stage { updated_ms: now_ms, served, reaches_ms, ..after };
    let answer = shown(&name, &stage);
    api.stages.insert(name, stage);
    Ok(answer)
}

fn changed(before: &Stage, input: &Node, routes: &[String]) -> Result<Stage, ApiError> {
    let mut stage = before.clone();
    if let Some(given) = input.get("defaultRouteSettings") {
        stage.default = settings(given)?;
    }
    for (key, given) in entries(input, "routeSettings") {
        if !routes.contains(&key) {
            let message = format!("Unable to find Route by key {key} within the provided RouteSettings");
            return Err(ApiError::new(404, "NotFoundException", message));
        }
        stage.routes.insert(key, settings(given)?);
    }
    for (name, value) in entries(input, "stageVariables") {
        let value = value.as_string().ok_or_else(|| bad("a stage variable's value is a text"))?;
        match value.as_str() {
            "" => stage.variables.remove(&name),
            _ => stage.variables.insert(variable_name(name)?, variable_value(value)?),
        };
    }
    Ok(stage)
}

fn entries<'n>(input: &'n Node, member: &str) -> BTreeMap<String, &'n Node> {
    let Some(map) = input.get(member) else { return BTreeMap::new() };
    map.keys().into_iter().filter_map(|key| Some((key.to_owned(), map.get(key)?))).collect()
}

fn settings(given: &Node) -> Result<Settings, ApiError> {
    let known = ["detailedMetricsEnabled", "throttlingBurstLimit", "throttlingRateLimit"];
    if let Some(name) = given.keys().into_iter().find(|name| !known.contains(name)) {
        return Err(bad(&format!("{name} is not supported for HTTP APIs")));
    }
    let rate = given.float("throttlingRateLimit").map_err(|_| bad("throttlingRateLimit"))?;
    let burst = given.int("throttlingBurstLimit").map_err(|_| bad("throttlingBurstLimit"))?;
    let metrics = given.bool("detailedMetricsEnabled").map_err(|_| bad("detailedMetricsEnabled"))?;
    if rate.is_some_and(|rate| !(rate >= 0.0 && rate.is_finite())) {
        return Err(bad("Invalid throttling rate limit"));
    }
    if burst.is_some_and(|burst| !(0..=i64::from(i32::MAX)).contains(&burst)) {
        return Err(bad("Invalid throttling burst limit"));
    }
    Ok(Settings { rate, burst, metrics: metrics.unwrap_or_default() })
}

fn variable_name(name: String) -> Result<String, ApiError> {
    let good = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    good.then_some(name).ok_or_else(|| bad("Stage variable names can have alphanumeric and underscore characters"))
}

fn variable_value(value: String) -> Result<String, ApiError> {
    let good = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:/?#&=,".contains(&byte));
    let text = "Stage variable values must match [A-Za-z0-9-._~:/?#&=,]+";
    (good && value.len() <= VALUE_MAX).then_some(value).ok_or_else(|| bad(text))
}

fn bad(why: &str) -> ApiError {
    ApiError::bad("BadRequestException", why)
}
