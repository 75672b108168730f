//! The lease endpoint: `GET /v1/lease/SERVICE` answers 200 only while this agent's region may write the service, else 503.
//!
//! It is what a proxy or a load balancer on the writer's path checks (HAProxy: `option httpchk`, `on-marked-down
//! shutdown-sessions`). No answer counts as no: a stopped agent closes the fence.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use mesh_core::ids::ServiceId;
use mesh_core::time::duration_millis;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Leases, Right};

/// Serves until `stop`.
pub async fn serve(listener: TcpListener, leases: Arc<Leases>, stop: CancellationToken) -> std::io::Result<()> {
    let routes = Router::new().route("/v1/lease/{service}", get(answer)).with_state(leases);
    axum::serve(listener, routes).with_graceful_shutdown(async move { stop.cancelled().await }).await
}

async fn answer(State(leases): State<Arc<Leases>>, Path(service): Path<String>) -> impl IntoResponse {
    let (status, body) = match ServiceId::new(service).ok().and_then(|service| leases.right(&service)) {
        Some(right) => (status(&right), body(&right)),
        None => (StatusCode::NOT_FOUND, "{\"error\":\"no such service with leases\"}\n".to_owned()),
    };
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, body)
}

fn status(right: &Right) -> StatusCode {
    if right.standing.is_some() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// Names need no escaping: they hold a-z, 0-9, '-', '.' and '_'.
fn body(right: &Right) -> String {
    let (generation, left) = match right.standing {
        Some(standing) => (standing.generation.0.to_string(), duration_millis(standing.left).to_string()),
        None => ("null".to_owned(), "0".to_owned()),
    };
    format!(
        "{{\"service\":\"{}\",\"region\":\"{}\",\"writes\":{},\"state\":\"{}\",\"generation\":{generation},\"left_ms\":{left}}}\n",
        right.service,
        right.region,
        right.standing.is_some(),
        right.state(),
    )
}
