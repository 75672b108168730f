//! Prolongs a right that nobody renews: asks every agent of the ask list for a promise, again and again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::ids::AgentId;
use mesh_core::time::duration_millis;
use mesh_proto::v1;
use mesh_proto::v1::agent_peer_client::AgentPeerClient;
use mesh_runtime::grpc;
use mesh_runtime::tls::Identities;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::{Leases, Round};

/// How often a right that runs out is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Of one agent. A round is worth a lease; what takes longer than this is not waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// Requests that are out at once, over all services.
const ASKED_MAX: usize = 256;

/// Runs until `stop`.
pub async fn run(leases: Arc<Leases>, identities: Arc<Identities>, stop: CancellationToken) {
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut channels: BTreeMap<AgentId, (String, Channel)> = BTreeMap::new();
    let mut asked = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = look.tick() => {}
        }
        while asked.try_join_next().is_some() {}
        for round in leases.rounds() {
            for (giver, address) in round.givers.clone() {
                if asked.len() >= ASKED_MAX {
                    break;
                }
                let Some(channel) = channel(&mut channels, &identities, &giver, &address) else { continue };
                asked.spawn(ask(Arc::clone(&leases), round.clone(), giver, channel));
            }
        }
    }
}

/// A connection that is kept: it connects again by itself.
fn channel(
    channels: &mut BTreeMap<AgentId, (String, Channel)>,
    identities: &Arc<Identities>,
    giver: &AgentId,
    address: &str,
) -> Option<Channel> {
    if let Some((known, channel)) = channels.get(giver)
        && known == address
    {
        return Some(channel.clone());
    }
    match grpc::connect_to_agent(address, identities, giver) {
        Ok(channel) => {
            channels.insert(giver.clone(), (address.to_owned(), channel.clone()));
            Some(channel)
        }
        Err(error) => {
            tracing::warn!(%giver, address, %error, "it cannot be asked for a promise");
            None
        }
    }
}

async fn ask(leases: Arc<Leases>, round: Round, giver: AgentId, channel: Channel) {
    let request = v1::PromiseRequest {
        service: round.service.to_string(),
        generation: round.ask.generation.0,
        length_ms: duration_millis(round.ask.length),
        round: round.ask.round,
    };
    let mut client = AgentPeerClient::new(channel);
    match timeout(ANSWER_WITHIN, client.promise(request)).await {
        Ok(Ok(reply)) => match reply.into_inner().refused {
            None => {
                if leases.promised(&round.service, &giver, round.ask.round) {
                    tracing::info!(service = %round.service, generation = %round.ask.generation, "held by promises");
                }
            }
            Some(reason) => tracing::info!(service = %round.service, %giver, reason, "no promise"),
        },
        Ok(Err(status)) => tracing::debug!(service = %round.service, %giver, reason = status.message(), "no promise"),
        Err(_) => tracing::debug!(service = %round.service, %giver, "no promise: no answer"),
    }
}
