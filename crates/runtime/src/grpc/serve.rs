//! Serves routes to peers of the mesh, each call authorized, until the shutdown has drained.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::service::Routes;
use tonic::transport::Server;

use super::accept::accept;
use super::net::Listener;
use super::{
    CONNECTION_AGE_GRACE, CONNECTION_AGE_MAX, HEADERS_MAX, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT,
    STREAMS_PER_CONNECTION_MAX,
};
use crate::access::AuthorizeLayer;
use crate::shutdown::Shutdown;
use crate::tls::Identities;

/// Verified connections that the server has not taken up yet.
const ACCEPTED_MAX: usize = 64;
/// For connections that were cut to be gone.
const CUT_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
#[error("serving gRPC")]
pub struct ServeError(#[from] tonic::transport::Error);

/// Serves `routes` behind [`AuthorizeLayer`]. When `shutdown` begins, nothing new is accepted, calls may end within
/// its drain time, and what is open then is cut. Dropping the future cuts everything at once.
pub async fn serve(
    listener: impl Listener,
    identities: Arc<Identities>,
    routes: Routes,
    shutdown: Shutdown,
) -> Result<(), ServeError> {
    let cut = CancellationToken::new();
    let _cut_on_drop = cut.clone().drop_guard();
    let (sender, accepted) = mpsc::channel(ACCEPTED_MAX);
    let _accepting = AbortOnDropHandle::new(tokio::spawn(accept(listener, identities, sender, cut.clone())));
    let begun = shutdown.token().cancelled_owned();
    let serving = server().add_routes(routes).serve_with_incoming_shutdown(ReceiverStream::new(accepted), begun);
    tokio::pin!(serving);
    let drained = async {
        shutdown.begun().await;
        tokio::time::sleep(shutdown.drain()).await;
    };
    tokio::select! {
        served = &mut serving => return Ok(served?),
        () = drained => {}
    }
    tracing::info!(drain_ms = shutdown.drain().as_millis(), "calls still open after the drain time are cut");
    cut.cancel();
    match tokio::time::timeout(CUT_TIMEOUT, serving).await {
        Ok(served) => Ok(served?),
        Err(_) => Ok(()),
    }
}

fn server() -> Server<tower::layer::util::Stack<AuthorizeLayer, tower::layer::util::Identity>> {
    Server::builder()
        .max_connection_age(CONNECTION_AGE_MAX)
        .max_connection_age_grace(CONNECTION_AGE_GRACE)
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .http2_max_header_list_size(HEADERS_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .trace_fn(crate::telemetry::span_of)
        .layer(AuthorizeLayer)
}
