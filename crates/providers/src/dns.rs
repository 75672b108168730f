//! DNS as a client: names to addresses for probes, and a TXT record as one given server shows it.
//!
//! Nothing is cached: a probe and a verification want what is answered now.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use tokio::sync::Semaphore;

use crate::probe::Trouble;

pub mod answer;
mod exchange;
mod system;

/// One question to one server over one transport.
pub const ASK_TIMEOUT: Duration = Duration::from_secs(1);
/// A UDP datagram may be lost: it is sent at most this often.
const UDP_TRIES: u32 = 2;
/// Longest chain of CNAMEs that is followed.
const CNAMES_MAX: usize = 8;
/// Addresses of one name that are used.
const ADDRESSES_MAX: usize = 16;
/// As many as resolv.conf(5) has.
const NAMESERVERS_MAX: usize = 3;
/// A resolver that is well answers within it, and the next one is spared.
const STAGGER: Duration = Duration::from_millis(200);
/// Lookups of the system that are under way at once: each holds a thread, for long where no resolver answers.
const SYSTEM_LOOKUPS_MAX: usize = 32;

/// Looks names up at the given servers, or as the system does when there are none.
#[derive(Clone, Debug)]
pub struct Resolver {
    nameservers: Arc<[SocketAddr]>,
    by_system: Arc<Semaphore>,
}

impl Resolver {
    pub fn new(nameservers: Vec<SocketAddr>) -> Self {
        Self { nameservers: nameservers.into(), by_system: Arc::new(Semaphore::new(SYSTEM_LOOKUPS_MAX)) }
    }

    /// The addresses of `host` now; at least one. That there is none is the target's trouble; that nobody answers is not.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Trouble> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(vec![ip]);
        }
        // RFC 6761: never asked of a server.
        if host.eq_ignore_ascii_case("localhost") {
            return Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]);
        }
        let found = if self.nameservers.is_empty() {
            system::addresses(&self.by_system, host).await
        } else {
            self.of_any(|server| by_server(server, host)).await
        };
        found.map_err(|trouble| match trouble {
            Trouble::Target(reason) => Trouble::Target(format!("{host} does not resolve: {reason}")),
            Trouble::Own(reason) => Trouble::Own(format!("no resolver answered for {host}: {reason}")),
        })
    }

    /// The values of `name`, as the resolvers have them.
    pub(crate) async fn values(&self, name: &str, kind: RecordType) -> Result<Vec<String>, Trouble> {
        let configured = if self.nameservers.is_empty() { system::nameservers().await? } else { Vec::new() };
        let asker = if configured.is_empty() { self.clone() } else { Self::new(configured) };
        asker.of_any(|server| async move { values(server, name, kind).await.map_err(Trouble::of_another) }).await
    }

    /// Each server a little after the one before it; the first that knows counts.
    async fn of_any<T, F>(&self, ask: impl Fn(SocketAddr) -> F) -> Result<T, Trouble>
    where
        F: Future<Output = Result<T, Trouble>>,
    {
        let mut asking: FuturesUnordered<_> = (0u32..)
            .zip(self.nameservers.iter().take(NAMESERVERS_MAX))
            .map(|(place, server)| {
                let asked = ask(*server);
                async move {
                    tokio::time::sleep(STAGGER * place).await;
                    asked.await.map_err(|trouble| match trouble {
                        Trouble::Own(reason) => Trouble::Own(format!("{server}: {reason}")),
                        Trouble::Target(reason) => Trouble::Target(reason),
                    })
                }
            })
            .collect();
        let mut last = Trouble::Own("none is configured".to_owned());
        while let Some(answer) = asking.next().await {
            match answer {
                Err(trouble @ Trouble::Own(_)) => last = trouble,
                known => return known,
            }
        }
        Err(last)
    }
}

/// The values of `name` as `server` itself has them, without any where there are none. Names without the final dot.
pub(crate) async fn values(server: SocketAddr, name: &str, kind: RecordType) -> Result<Vec<String>, Trouble> {
    ask(server, &parsed(name)?, kind, true).await.map(|response| answer::values(&response, kind))
}

/// The values of the TXT record `name` as `server` answers, each with its strings joined; empty if there is none.
pub(crate) async fn txt(server: SocketAddr, name: &str) -> Result<Vec<String>, String> {
    let response = ask(server, &parsed(name)?, RecordType::TXT, false).await?;
    Ok(answer::texts(&response))
}

async fn by_server(server: SocketAddr, host: &str) -> Result<Vec<IpAddr>, Trouble> {
    for kind in [RecordType::A, RecordType::AAAA] {
        let found = follow(server, host, kind).await?;
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Err(Trouble::Target("it has no address".to_owned()))
}

/// Follows CNAMEs, within an answer and, where a server answers only for its own zone, across questions.
async fn follow(server: SocketAddr, host: &str, kind: RecordType) -> Result<Vec<IpAddr>, Trouble> {
    let mut name = parsed(host)?;
    for _ in 0..CNAMES_MAX {
        let response = ask(server, &name, kind, true).await.map_err(Trouble::of_another)?;
        let found = answer::addresses(&response);
        match answer::alias(&response) {
            Some(target) if found.is_empty() => name = target,
            _ => return Ok(found),
        }
    }
    Err(Trouble::Target(format!("more than {CNAMES_MAX} CNAMEs")))
}

/// What a server does not answer counts against that server.
async fn ask(server: SocketAddr, name: &Name, kind: RecordType, recurse: bool) -> Result<Message, Trouble> {
    let mut query = Message::query();
    query.metadata.recursion_desired = recurse;
    query.add_query(Query::query(name.clone(), kind));
    let response = exchange::exchange(server, &query).await?;
    match response.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => Ok(response),
        code => Err(Trouble::Target(format!("{server} answered {code} for {} {kind}", shown(name)))),
    }
}

/// A name as people write it. One that a server gave is asked for as it came: its text may not be one.
fn parsed(name: &str) -> Result<Name, Trouble> {
    let mut parsed = Name::from_ascii(name).map_err(|error| Trouble::Own(format!("{name} is no DNS name: {error}")))?;
    parsed.set_fqdn(true);
    Ok(parsed)
}

/// Without the final dot, as it was asked for.
fn shown(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_owned()
}
