//! The double's name server, authoritative for the hosted zones and the load balancers' names. UDP and TCP.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{self, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;

use crate::double::Double;
use crate::route53::answer::{self, Answer, Outcome};

const UDP_PLAIN_MAX: u16 = 512;
const UDP_EDNS_MAX: u16 = 1232;
const TCP_IDLE: Duration = Duration::from_secs(10);
const TCP_CONNECTIONS_MAX: usize = 256;
const BIND_ATTEMPTS: usize = 50;
/// How long a negative answer may be kept: the SOA's minimum.
const NEGATIVE_TTL: u32 = 5;

/// One port number for both transports.
pub async fn bind(ip: IpAddr) -> std::io::Result<(UdpSocket, TcpListener)> {
    let mut last = std::io::Error::other("no port was free for both UDP and TCP");
    for _ in 0..BIND_ATTEMPTS {
        let udp = UdpSocket::bind(SocketAddr::new(ip, 0)).await?;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

pub async fn serve_udp(double: Arc<Double>, socket: UdpSocket) {
    let mut buffer = vec![0u8; usize::from(u16::MAX)];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let Some(request) = buffer.get(..length).and_then(|bytes| Message::from_vec(bytes).ok()) else { continue };
        let limit =
            request.edns.as_ref().map_or(UDP_PLAIN_MAX, |edns| edns.max_payload().clamp(UDP_PLAIN_MAX, UDP_EDNS_MAX));
        let mut reply = respond(&double, &request);
        if reply.to_vec().is_ok_and(|bytes| bytes.len() > usize::from(limit)) {
            reply = reply.truncate();
        }
        if let Ok(bytes) = reply.to_vec() {
            // A reply that cannot be sent is lost, as on any network.
            let _ = socket.send_to(&bytes, from).await;
        }
    }
}

pub async fn serve_tcp(double: Arc<Double>, listener: TcpListener) {
    let slots = Arc::new(Semaphore::new(TCP_CONNECTIONS_MAX));
    loop {
        let Ok((mut stream, _)) = listener.accept().await else { continue };
        let Ok(slot) = slots.clone().try_acquire_owned() else { continue };
        let double = double.clone();
        tokio::spawn(async move {
            while let Ok(Ok(())) = tokio::time::timeout(TCP_IDLE, exchange(&double, &mut stream)).await {}
            drop(slot);
        });
    }
}

async fn exchange(double: &Double, stream: &mut TcpStream) -> std::io::Result<()> {
    let length = stream.read_u16().await?;
    let mut bytes = vec![0u8; usize::from(length)];
    stream.read_exact(&mut bytes).await?;
    let invalid = |error: &dyn std::fmt::Display| std::io::Error::other(error.to_string());
    let request = Message::from_vec(&bytes).map_err(|error| invalid(&error))?;
    let reply = respond(double, &request).to_vec().map_err(|error| invalid(&error))?;
    let length = u16::try_from(reply.len()).map_err(|error| invalid(&error))?;
    stream.write_u16(length).await?;
    stream.write_all(&reply).await
}

fn respond(double: &Double, request: &Message) -> Message {
    let mut reply = Message::response(request.metadata.id, request.metadata.op_code);
    reply.metadata.recursion_desired = request.metadata.recursion_desired;
    if request.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_EDNS_MAX);
        reply.set_edns(edns);
    }
    let [query] = request.queries.as_slice() else {
        reply.metadata.response_code = ResponseCode::FormErr;
        return reply;
    };
    reply.add_query(query.clone());
    if request.metadata.op_code != OpCode::Query {
        reply.metadata.response_code = ResponseCode::NotImp;
        return reply;
    }
    let (name, kind) = (query.name().to_ascii(), query.query_type().to_string());
    match double.world(|world| answer::answer(world, &name, &kind)) {
        Outcome::Found(answers) => {
            reply.metadata.authoritative = true;
            reply.add_answers(answers.iter().filter_map(|answer| record(query, answer)));
        }
        Outcome::Empty(zone) => deny(double, &mut reply, &zone, ResponseCode::NoError),
        Outcome::NoSuchName(zone) => deny(double, &mut reply, &zone, ResponseCode::NXDomain),
        Outcome::Refused => reply.metadata.response_code = ResponseCode::Refused,
    }
    reply
}

fn deny(double: &Double, reply: &mut Message, zone: &str, code: ResponseCode) {
    reply.metadata.authoritative = true;
    reply.metadata.response_code = code;
    let apex = double.world(|world| world.route53.zones.get(zone).map(|zone| zone.name.clone()));
    let apex = apex.unwrap_or_else(|| zone.to_owned());
    let names = (
        Name::from_ascii(&apex),
        Name::from_ascii("ns-101.awsdns-12.com."),
        Name::from_ascii("awsdns-hostmaster.amazon.com."),
    );
    if let (Ok(apex), Ok(server), Ok(mailbox)) = names {
        let soa = SOA::new(server, mailbox, 1, 7200, 900, 1_209_600, NEGATIVE_TTL);
        reply.add_authority(Record::from_rdata(apex, NEGATIVE_TTL, RData::SOA(soa)));
    }
}

/// The question's own spelling of the name is kept, as resolvers that vary its case require.
fn record(query: &Query, answer: &Answer) -> Option<Record> {
    let own = Name::from_ascii(&answer.name).ok()?;
    let name = if own == *query.name() { query.name().clone() } else { own };
    Some(Record::from_rdata(name, answer.ttl, rdata_of(&answer.kind, &answer.value)?))
}

fn rdata_of(kind: &str, value: &str) -> Option<RData> {
    match kind.parse::<RecordType>().ok()? {
        RecordType::A => Some(RData::A(value.parse().ok()?)),
        RecordType::AAAA => Some(RData::AAAA(value.parse().ok()?)),
        RecordType::CNAME => Some(RData::CNAME(rdata::CNAME(Name::from_ascii(value).ok()?))),
        RecordType::NS => Some(RData::NS(rdata::NS(Name::from_ascii(value).ok()?))),
        RecordType::TXT => Some(RData::TXT(TXT::new(strings(value)))),
        RecordType::SOA => {
            let parts: Vec<&str> = value.split_ascii_whitespace().collect();
            let [server, mailbox, serial, refresh, retry, expire, _] = parts.as_slice() else { return None };
            let (server, mailbox) = (Name::from_ascii(server).ok()?, Name::from_ascii(mailbox).ok()?);
            let (refresh, retry, expire) = (refresh.parse().ok()?, retry.parse().ok()?, expire.parse().ok()?);
            Some(RData::SOA(SOA::new(server, mailbox, serial.parse().ok()?, refresh, retry, expire, NEGATIVE_TTL)))
        }
        RecordType::MX => {
            let (preference, exchange) = value.split_once(' ')?;
            Some(RData::MX(rdata::MX::new(preference.parse().ok()?, Name::from_ascii(exchange).ok()?)))
        }
        _ => None,
    }
}

/// `"a" "b"` is two character strings; a quote within one is escaped.
fn strings(value: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut open: Option<String> = None;
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match (character, open.as_mut()) {
            ('"', Some(_)) => all.extend(open.take()),
            ('"', None) => open = Some(String::new()),
            ('\\', Some(text)) => text.extend(characters.next()),
            (other, Some(text)) => text.push(other),
            (_, None) => {}
        }
    }
    all
}
