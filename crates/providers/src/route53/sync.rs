//! Has a change whose id is not known, because the reply that carried it was lost, reached all name servers? They are
//! asked for the token.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use mesh_core::ids::Token;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Records;
use super::name::token_name;
use crate::aws::error::ReadError;
use crate::dns;

/// A delegation set has four; more configured ones are an error of the configuration that does no harm.
const NAME_SERVERS_MAX: usize = 16;
const DNS_PORT: u16 = 53;
/// A name server that does not answer within this is no help.
const SIGHT_WITHIN: Duration = Duration::from_millis(300);

pub(super) enum InSync {
    Yes { proof: String },
    NotYet { note: String },
    CannotKnow { reason: String },
}

impl Records {
    pub(super) async fn shown_by_all(&self, zone_id: &str, record: &str, token: Token) -> Result<InSync, ReadError> {
        let servers = match self.servers(zone_id).await? {
            Ok(servers) if !servers.is_empty() => servers,
            Ok(_) => {
                return Ok(InSync::CannotKnow {
                    reason: format!(
                        "zone {zone_id} has no public name servers to ask for token {token}: set \
                         dns.route53_nameservers of the agents"
                    ),
                });
            }
            Err(note) => return Ok(InSync::NotYet { note }),
        };
        Ok(all_show(servers, &token_name(record), &token.to_string()).await)
    }

    /// Does one of the zone's name servers show the token? `None`: it could not be asked. No proof, since the others may
    /// lag; a reason to ask Route 53.
    pub(super) async fn shown_by_one(&self, zone_id: &str, record: &str, token: Token) -> Option<bool> {
        let server = self.a_server(zone_id).await?;
        let values = timeout(SIGHT_WITHIN, dns::txt(server, &token_name(record))).await.ok()?.ok()?;
        Some(values == [token.to_string()])
    }

    async fn a_server(&self, zone_id: &str) -> Option<SocketAddr> {
        if let Some(server) = self.watches.server(zone_id) {
            return Some(server);
        }
        let server = self.servers(zone_id).await.ok()?.ok()?.first().copied()?;
        self.watches.note_server(zone_id, server);
        Some(server)
    }

    async fn servers(&self, zone_id: &str) -> Result<Result<BTreeSet<SocketAddr>, String>, ReadError> {
        if !self.name_servers.is_empty() {
            return Ok(Ok(self.name_servers.iter().copied().take(NAME_SERVERS_MAX).collect()));
        }
        let mut servers = BTreeSet::new();
        for name in self.route53.name_servers(zone_id).await?.into_iter().take(NAME_SERVERS_MAX) {
            match self.resolver.addresses(&name).await {
                Ok(found) => servers.extend(found.first().map(|ip| SocketAddr::new(*ip, DNS_PORT))),
                Err(note) => return Ok(Err(note.into())),
            }
        }
        Ok(Ok(servers))
    }
}

async fn all_show(servers: BTreeSet<SocketAddr>, name: &str, value: &str) -> InSync {
    let mut asking = JoinSet::new();
    for server in servers {
        let name = name.to_owned();
        asking.spawn(async move { (server, dns::txt(server, &name).await) });
    }
    let mut shown_by = BTreeSet::new();
    while let Some(answered) = asking.join_next().await {
        let note = match answered {
            Ok((server, Ok(values))) if values == [value] => {
                shown_by.insert(server.to_string());
                continue;
            }
            Ok((server, Ok(values))) => format!("{server} shows {values:?} at {name}, not yet {value}"),
            Ok((_, Err(note))) => note,
            Err(error) => format!("asking for {name} failed: {error}"),
        };
        return InSync::NotYet { note };
    }
    let servers: Vec<_> = shown_by.into_iter().collect();
    InSync::Yes { proof: format!("shown by {}", servers.join(", ")) }
}
