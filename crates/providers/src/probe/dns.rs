//! A name, looked up at the server in question, or at the agent's resolvers.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::rr::RecordType;
use mesh_core::manifest::DnsRecord;

use super::deadline::Deadline;
use super::dial::Dialer;
use super::tcp::split;
use super::trouble::Trouble;
use crate::dns;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsQuestion {
    pub name: String,
    /// `host:port` of the server in question; none: the agent's resolvers, whose silence is no evidence.
    pub server: Option<String>,
    pub record: DnsRecord,
    pub answer: Option<String>,
}

impl Dialer {
    pub(crate) async fn dns(&self, question: &DnsQuestion, timeout: Duration) -> Result<Duration, Trouble> {
        let DnsQuestion { name, server, record, answer } = question;
        let deadline = Deadline::after(timeout);
        let kind = match record {
            DnsRecord::A => RecordType::A,
            DnsRecord::Aaaa => RecordType::AAAA,
            DnsRecord::Cname => RecordType::CNAME,
            DnsRecord::Txt => RecordType::TXT,
        };
        let (found, who) = match server {
            Some(server) => (self.at_server(server, name, kind, deadline).await?, server.as_str()),
            None => {
                let late = format!("no resolver answered for {name}");
                (deadline.of_another(&late, self.resolver.values(name, kind)).await?, "the resolvers")
            }
        };
        if found.is_empty() {
            return Err(Trouble::Target(format!("{name} has no {kind} record, {who} answered")));
        }
        match answer.as_deref().filter(|wanted| !found.iter().any(|value| same(*record, value, wanted))) {
            Some(wanted) => {
                let shown = found.join(", ");
                Err(Trouble::Target(format!("{name} {kind} is {shown}, not {wanted}, {who} answered")))
            }
            None => Ok(deadline.elapsed()),
        }
    }

    async fn at_server(
        &self,
        server: &str,
        name: &str,
        kind: RecordType,
        deadline: Deadline,
    ) -> Result<Vec<String>, Trouble> {
        let (host, port) = split(server)?;
        let resolving = self.resolver.addresses(host);
        let found = deadline.of_another(&format!("no resolver answered for {host}"), resolving).await?;
        let ip = found.first().ok_or_else(|| Trouble::Target(format!("{host} has no address")))?;
        let asked = dns::values(SocketAddr::new(*ip, port), name, kind);
        deadline.of_target(&format!("{server} gave no answer"), asked).await
    }
}

fn same(record: DnsRecord, value: &str, wanted: &str) -> bool {
    match record {
        DnsRecord::A | DnsRecord::Aaaa => match (value.parse::<IpAddr>(), wanted.parse::<IpAddr>()) {
            (Ok(value), Ok(wanted)) => value == wanted,
            _ => value == wanted,
        },
        DnsRecord::Cname => value.eq_ignore_ascii_case(wanted.trim_end_matches('.')),
        DnsRecord::Txt => value == wanted,
    }
}
