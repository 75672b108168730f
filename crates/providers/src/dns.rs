//! DNS as a client: names to addresses for probes, and a TXT record as one given server shows it.
//!
//! Nothing is cached: a probe and a verification want what is answered now.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

mod exchange;

/// One question to one server over one transport.
pub const ASK_TIMEOUT: Duration = Duration::from_secs(1);
/// A UDP datagram may be lost: it is sent at most this often.
const UDP_TRIES: u32 = 2;
/// Longest chain of CNAMEs that is followed.
const CNAMES_MAX: usize = 8;
/// Addresses of one name that are used.
const ADDRESSES_MAX: usize = 16;

/// Looks names up at the given servers, or as the system does when there are none; and makes HTTP requests with it.
#[derive(Clone, Debug)]
pub struct Resolver {
    nameservers: Arc<[SocketAddr]>,
    http: reqwest::Client,
}

impl Resolver {
    pub fn new(nameservers: Vec<SocketAddr>) -> Result<Self, crate::SetupError> {
        let nameservers: Arc<[SocketAddr]> = nameservers.into();
        // Every request resolves and connects anew: an old connection says nothing about where traffic goes now.
        let http = reqwest::Client::builder()
            .dns_resolver(Arc::new(ForHttp(Arc::clone(&nameservers))))
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .http1_only()
            .user_agent(concat!("mesh-agent/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { nameservers, http })
    }

    /// The addresses of `host` now; at least one.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        addresses(&self.nameservers, host).await
    }

    pub(crate) const fn http(&self) -> &reqwest::Client {
        &self.http
    }
}

struct ForHttp(Arc<[SocketAddr]>);

impl reqwest::dns::Resolve for ForHttp {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let nameservers = Arc::clone(&self.0);
        Box::pin(async move {
            let found = addresses(&nameservers, name.as_str()).await?;
            let addresses: reqwest::dns::Addrs = Box::new(found.into_iter().map(|ip| SocketAddr::new(ip, 0)));
            Ok(addresses)
        })
    }
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

async fn addresses(nameservers: &[SocketAddr], host: &str) -> Result<Vec<IpAddr>, String> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(vec![ip]);
    }
    // RFC 6761: never asked of a server.
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    }
    if nameservers.is_empty() {
        return by_system(host).await;
    }
    let mut last = String::new();
    for server in nameservers {
        match by_server(*server, host).await {
            Ok(found) => return Ok(found),
            Err(reason) => last = format!("{server}: {reason}"),
        }
    }
    Err(format!("{host} could not be resolved: {last}"))
}

async fn by_system(host: &str) -> Result<Vec<IpAddr>, String> {
    let found = tokio::time::timeout(ASK_TIMEOUT * UDP_TRIES * 2, tokio::net::lookup_host((host, 0)))
        .await
        .map_err(|_| format!("{host} could not be resolved in time"))?
        .map_err(|error| format!("{host} could not be resolved: {error}"))?;
    let found: Vec<IpAddr> = found.map(|address| address.ip()).take(ADDRESSES_MAX).collect();
    if found.is_empty() { Err(format!("{host} has no address")) } else { Ok(found) }
}

async fn by_server(server: SocketAddr, host: &str) -> Result<Vec<IpAddr>, String> {
    let mut reason = String::new();
    for kind in [RecordType::A, RecordType::AAAA] {
        match follow(server, host, kind).await {
            Ok(found) if !found.is_empty() => return Ok(found),
            Ok(_) if reason.is_empty() => "no address".clone_into(&mut reason),
            Ok(_) => {}
            Err(error) => return Err(error),
        }
    }
    Err(reason)
}

/// Follows CNAMEs, within an answer and, where a server answers only for its own zone, across questions.
async fn follow(server: SocketAddr, host: &str, kind: RecordType) -> Result<Vec<IpAddr>, String> {
    let mut name = host.to_owned();
    for _ in 0..CNAMES_MAX {
        let response = ask(server, &name, kind, true).await?;
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
    Err(format!("more than {CNAMES_MAX} CNAMEs"))
}

async fn ask(server: SocketAddr, name: &str, kind: RecordType, recurse: bool) -> Result<Message, String> {
    let mut parsed = Name::from_ascii(name).map_err(|error| format!("{name} is no DNS name: {error}"))?;
    parsed.set_fqdn(true);
    let mut query = Message::query();
    query.metadata.recursion_desired = recurse;
    query.add_query(Query::query(parsed, kind));
    let response = exchange::exchange(server, &query).await?;
    match response.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => Ok(response),
        code => Err(format!("{server} answered {code} for {name} {kind}")),
    }
}
