//! API Gateway, HTTP APIs alone: stages, their limits and variables. REST APIs are another service of the same name and
//! are not known here.

pub mod update;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::wire::request::Call;
use crate::wire::{Node, clock};
use crate::world::World;

/// An API in the world file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub region: String,
    pub id: String,
    pub name: String,
    #[serde(default = "http")]
    pub protocol: String,
    #[serde(default)]
    pub routes: Vec<String>,
    pub stages: BTreeMap<String, StageEntry>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageEntry {
    #[serde(default)]
    pub default: Settings,
    #[serde(default)]
    pub routes: BTreeMap<String, Settings>,
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
}

fn http() -> String {
    "HTTP".to_owned()
}

/// Of a route, or of all that have none of their own. What is not set is not shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    #[serde(default)]
    pub rate: Option<f64>,
    #[serde(default)]
    pub burst: Option<i64>,
    #[serde(default)]
    pub metrics: bool,
}

#[derive(Clone, Debug)]
pub struct Stage {
    pub default: Settings,
    pub routes: BTreeMap<String, Settings>,
    pub variables: BTreeMap<String, String>,
    pub created_ms: u64,
    pub updated_ms: u64,
    /// The limits that requests met until now, and when the newer ones reach them.
    pub served: (Settings, BTreeMap<String, Settings>),
    pub reaches_ms: u64,
}

#[derive(Clone, Debug)]
pub struct Api {
    pub name: String,
    pub protocol: String,
    pub routes: Vec<String>,
    pub created_ms: u64,
    pub stages: BTreeMap<String, Stage>,
}

/// By region and identifier.
#[derive(Debug, Default)]
pub struct ApiGateway {
    pub apis: BTreeMap<(String, String), Api>,
}

pub fn add(world: &mut World, entry: &Entry) {
    let now_ms = world.now_ms;
    let stage = |of: &StageEntry| Stage {
        default: of.default,
        routes: of.routes.clone(),
        variables: of.variables.clone(),
        created_ms: now_ms,
        updated_ms: now_ms,
        served: (of.default, of.routes.clone()),
        reaches_ms: now_ms,
    };
    let api = Api {
        name: entry.name.clone(),
        protocol: entry.protocol.clone(),
        routes: entry.routes.clone(),
        created_ms: now_ms,
        stages: entry.stages.iter().map(|(name, of)| (name.clone(), stage(of))).collect(),
    };
    world.apigateway.apis.insert((entry.region.clone(), entry.id.clone()), api);
}

pub fn call(world: &mut World, call: &Call) -> Result<Node, ApiError> {
    let (region, input) = (call.region.as_str(), &call.input);
    match call.operation.as_str() {
        "GetApis" => {
            allow(input, &[])?;
            Ok(list(world.apigateway.apis.iter().filter(|((at, _), _)| at == region).map(described(region))))
        }
        "GetApi" => {
            allow(input, &["apiId"])?;
            let (key, api) = find(world, region, input)?;
            Ok(described(region)((&key, api)))
        }
        "GetStages" => {
            allow(input, &["apiId"])?;
            let (_, api) = find(world, region, input)?;
            Ok(list(api.stages.iter().map(|(name, stage)| shown(name, stage))))
        }
        "GetStage" => {
            allow(input, &["apiId", "stageName"])?;
            let (_, api) = find(world, region, input)?;
            let name = input.str("stageName").unwrap_or_default();
            api.stages.get(&name).map(|stage| shown(&name, stage)).ok_or_else(|| no_stage(&name))
        }
        "UpdateStage" => update::stage(world, region, input),
        other => Err(ApiError::unsupported(format!("apigateway {other}"))),
    }
}

/// Does the stage let a request of this route through, as far as its limits have come? Of a limit above 0 everything
/// is let through: the double counts no tokens.
pub fn admits(world: &World, region: &str, api: &str, stage: &str, route: &str) -> bool {
    let found = world.apigateway.apis.get(&(region.to_owned(), api.to_owned()));
    let Some(stage) = found.and_then(|api| api.stages.get(stage)) else { return false };
    let (default, routes) = match world.now_ms >= stage.reaches_ms {
        true => (&stage.default, &stage.routes),
        false => (&stage.served.0, &stage.served.1),
    };
    let met = routes.get(route).unwrap_or(default);
    let rate = met.rate.or(default.rate);
    let burst = met.burst.or(default.burst);
    rate != Some(0.0) && burst != Some(0)
}

pub(crate) type Key = (String, String);

fn find<'w>(world: &'w World, region: &str, input: &Node) -> Result<(Key, &'w Api), ApiError> {
    let key = (region.to_owned(), input.str("apiId").unwrap_or_default());
    let found = world.apigateway.apis.get(&key);
    found.map(|api| (key.clone(), api)).ok_or_else(|| no_api(world, &key.1))
}

fn no_api(world: &World, id: &str) -> ApiError {
    let message = format!("Invalid API identifier specified {}:{id}", world.account);
    ApiError::new(404, "NotFoundException", message)
}

fn no_stage(name: &str) -> ApiError {
    ApiError::new(404, "NotFoundException", format!("Invalid stage identifier specified: {name}"))
}

fn allow(input: &Node, known: &[&str]) -> Result<(), ApiError> {
    match input.keys().into_iter().find(|name| !known.contains(name)) {
        Some(name) => Err(ApiError::unsupported(format!("the parameter {name}"))),
        None => Ok(()),
    }
}

fn list(items: impl Iterator<Item = Node>) -> Node {
    Node::map().with("items", Node::List("member", items.collect()))
}

fn described(region: &str) -> impl Fn((&Key, &Api)) -> Node {
    let region = region.to_owned();
    move |((_, id), api)| {
        Node::map()
            .with("apiEndpoint", format!("https://{id}.execute-api.{region}.amazonaws.com"))
            .with("apiId", id)
            .with("apiKeySelectionExpression", "$request.header.x-api-key")
            .with("createdDate", clock::iso(api.created_ms))
            .with("disableExecuteApiEndpoint", Node::Bool(false))
            .with("name", &api.name)
            .with("protocolType", &api.protocol)
            .with("routeSelectionExpression", "$request.method $request.path")
            .with("tags", Node::map())
    }
}

fn shown(name: &str, stage: &Stage) -> Node {
    let routes = stage.routes.iter().fold(Node::map(), |node, (key, of)| node.with(key, settings(of)));
    let variables = stage.variables.iter().fold(Node::map(), |node, (key, value)| node.with(key, value));
    Node::map()
        .with("autoDeploy", Node::Bool(true))
        .with("createdDate", clock::iso(stage.created_ms))
        .with("defaultRouteSettings", settings(&stage.default))
        .with("lastUpdatedDate", clock::iso(stage.updated_ms))
        .with("routeSettings", routes)
        .with("stageName", name)
        .with("stageVariables", variables)
        .with("tags", Node::map())
}

fn settings(of: &Settings) -> Node {
    let rate = of.rate.map(Node::Float);
    Node::map()
        .with("detailedMetricsEnabled", Node::Bool(of.metrics))
        .with_some("throttlingBurstLimit", of.burst)
        .with_some("throttlingRateLimit", rate)
}
