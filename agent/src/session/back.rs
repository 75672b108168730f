//! Back from a session that another coordinator passes on to one with the leader itself, once that has answered for a while.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::seek::Patience;
use mesh_runtime::grpc;
use mesh_runtime::tls::Identities;
use tokio::time::{Instant, sleep, timeout};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// Between two questions to a leader that is out of reach.
const ASK_EVERY: Duration = Duration::from_secs(1);
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Returns when the leader at `address` has answered every question for long enough.
pub async fn until_mended(address: &str, identities: &Arc<Identities>, patience: Patience) {
    let mut answers_since = None;
    loop {
        sleep(ASK_EVERY).await;
        if !answers(address, identities).await {
            answers_since = None;
        } else if answers_since.get_or_insert_with(Instant::now).elapsed() >= patience.steady {
            return;
        }
    }
}

/// Over a connection of its own: one that was made before the cut might be stuck.
async fn answers(address: &str, identities: &Arc<Identities>) -> bool {
    let Ok(channel) = grpc::connect(address, identities) else { return false };
    let mut health = HealthClient::new(channel);
    match timeout(ANSWER_WITHIN, health.check(HealthCheckRequest::default())).await {
        Ok(Ok(_)) => true,
        // A refusal has come all the way, too.
        Ok(Err(status)) => !matches!(status.code(), Code::Unavailable | Code::Unknown),
        Err(_) => false,
    }
}
