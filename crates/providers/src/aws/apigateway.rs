//! Stages of HTTP APIs of this region, as plain values.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use aws_sdk_apigatewayv2::Client;
use aws_sdk_apigatewayv2::operation::RequestId;
use aws_sdk_apigatewayv2::types::RouteSettings;
use mesh_core::execute::CallResult;
use serde::{Deserialize, Serialize};

use super::error::{ReadError, call_failure};

#[derive(Clone, Debug)]
pub(crate) struct ApiGateway(Client);

/// What GetApi and GetStage show.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Stage {
    /// `HTTP` or `WEBSOCKET`.
    pub protocol: String,
    pub default: Limits,
    /// Of the routes that have settings of their own, by route key.
    pub routes: BTreeMap<String, Limits>,
    pub variables: BTreeMap<String, String>,
}

/// A limit that is not set is that of the account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Limits {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<i32>,
    /// Sent back as it was: AWS does not say whether settings that are left out stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<bool>,
}

/// One UpdateStage. Routes and variables that it does not name stay as they are; a variable with an empty value is taken
/// away.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Change {
    pub default: Limits,
    pub routes: BTreeMap<String, Limits>,
    pub variable: Option<(String, String)>,
}

impl ApiGateway {
    pub(crate) fn new(config: &SdkConfig) -> Self {
        Self(Client::new(config))
    }

    pub(crate) async fn stage(&self, api: &str, stage: &str) -> Result<Stage, ReadError> {
        let about = self.0.get_api().api_id(api).send();
        let shown = self.0.get_stage().api_id(api).stage_name(stage).send();
        let (about, shown) = tokio::join!(about, shown);
        let about = about.map_err(|error| ReadError::of("apigateway:GetApi", &error))?;
        let shown = shown.map_err(|error| ReadError::of("apigateway:GetStage", &error))?;
        let routes = shown.route_settings().into_iter().flatten();
        let variables = shown.stage_variables().into_iter().flatten();
        Ok(Stage {
            protocol: about.protocol_type().map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
            default: shown.default_route_settings().map(limits).unwrap_or_default(),
            routes: routes.map(|(key, settings)| (key.clone(), limits(settings))).collect(),
            variables: variables.map(|(name, value)| (name.clone(), value.clone())).collect(),
        })
    }

    pub(crate) async fn update(&self, api: &str, stage: &str, change: &Change) -> CallResult {
        let mut call = self.0.update_stage().api_id(api).stage_name(stage);
        call = call.default_route_settings(settings(change.default));
        for (key, of) in &change.routes {
            call = call.route_settings(key, settings(*of));
        }
        if let Some((name, value)) = &change.variable {
            call = call.stage_variables(name, value);
        }
        match call.send().await {
            Ok(output) => CallResult::Accepted { reference: output.request_id().unwrap_or("accepted").to_owned() },
            Err(error) => call_failure("apigateway:UpdateStage", &error),
        }
    }
}

fn limits(settings: &RouteSettings) -> Limits {
    Limits {
        rate: settings.throttling_rate_limit(),
        burst: settings.throttling_burst_limit(),
        metrics: settings.detailed_metrics_enabled(),
    }
}

fn settings(limits: Limits) -> RouteSettings {
    RouteSettings::builder()
        .set_throttling_rate_limit(limits.rate)
        .set_throttling_burst_limit(limits.burst)
        .set_detailed_metrics_enabled(limits.metrics)
        .build()
}
