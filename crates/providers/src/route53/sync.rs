//! Has a change whose id is not known, because the reply that carried it was lost, reached all name servers? They are
//! asked for the token.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use mesh_core::ids::Token;
use tokio::task::JoinSet;

use super::Records;
use super::name::token_name;
use crate::aws::error::ReadError;
use crate::dns;

/// A delegation set has four; more configured ones are an error of the configuration that does no harm.
const NAME_SERVERS_MAX: usize = 16;
const DNS_PORT: u16 = 53;

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

    async fn servers(&self, zone_id: &str) -> Result<Result<BTreeSet<SocketAddr>, String>, ReadError> {
        if !self.name_servers.is_empty() {
            return Ok(Ok(self.name_servers.iter().copied().take(NAME_SERVERS_MAX).collect()));
        }
        let mut servers = BTreeSet::new();
        for name in self.route53.name_servers(zone_id).await?.into_iter().take(NAME_SERVERS_MAX) {
            match self.resolver.addresses(&name).await {
                Ok(found) => servers.extend(found.first().map(|ip| SocketAddr::new(*ip, DNS_PORT))),
                Err(note) => return Ok(Err(note)),
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
