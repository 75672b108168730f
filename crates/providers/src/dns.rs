//! DNS as a client: names to addresses for probes, and a TXT record as one given server shows it.
//!
//! Nothing is cached: a probe and a verification want what is answered now.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::sync::Semaphore;

use crate::probe::Trouble;

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
    let response = ask(server, name, kind, true).await?;
    let values = response.answers.iter().filter(|record| record.record_type() == kind);
    let values = values.filter_map(|record| match &record.data {
        RData::A(a) => Some(a.0.to_string()),
        RData::AAAA(aaaa) => Some(aaaa.0.to_string()),
        RData::CNAME(target) => Some(target.0.to_ascii().trim_end_matches('.').to_ascii_lowercase()),
        RData::TXT(txt) => Some(txt.txt_data.iter().map(|part| String::from_utf8_lossy(part)).collect::<String>()),
        _ => None,
    });
    Ok(values.take(ADDRESSES_MAX).collect())
}

/// The values of the TXT record `name` as `server` answers, each with its strings joined; empty if there is none.
pub(crate) async fn txt(server: SocketAddr, name: &str) -> Result<Vec<String>, String> {
    let response = ask(server, name, RecordType::TXT, false).await?;
    let values = response.answers.iter().filter_map(|record| match &record.data {
        RData::TXT(txt) => Some(txt.txt_data.iter().map(|part| String::from_utf8_lossy(part)).collect::<String>()),
        _ => None,
    });
    Ok(values.collect())
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
    let mut name = host.to_owned();
    for _ in 0..CNAMES_MAX {
        let response = ask(server, &name, kind, true).await.map_err(Trouble::of_another)?;
        let found: Vec<IpAddr> = response
            .answers
            .iter()
            .filter_map(|record| match &record.data {
                RData::A(a) => Some(IpAddr::V4(a.0)),
                RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
                _ => None,
            })
            .take(ADDRESSES_MAX)
            .collect();
        let alias = response.answers.iter().rev().find_map(|record| match &record.data {
            RData::CNAME(target) => Some(target.0.to_ascii()),
            _ => None,
        });
        match alias {
            Some(target) if found.is_empty() => name = target,
            _ => return Ok(found),
        }
    }
    Err(Trouble::Target(format!("more than {CNAMES_MAX} CNAMEs")))
}

/// What a server does not answer counts against that server.
async fn ask(server: SocketAddr, name: &str, kind: RecordType, recurse: bool) -> Result<Message, Trouble> {
    let mut parsed = Name::from_ascii(name).map_err(|error| Trouble::Own(format!("{name} is no DNS name: {error}")))?;
    parsed.set_fqdn(true);
    let mut query = Message::query();
    query.metadata.recursion_desired = recurse;
    query.add_query(Query::query(parsed, kind));
    let response = exchange::exchange(server, &query).await?;
    match response.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => Ok(response),
        code => Err(Trouble::Target(format!("{server} answered {code} for {name} {kind}"))),
    }
}
