//! Names: those that a probe needs, and those that it is about.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use mesh_core::manifest::DnsRecord;
use mesh_providers::probe::{Answer, Asks, DnsQuestion, Question};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use crate::rig::{PATIENT, Reply, SHORT, Server, failed, get, passed, providers, region, unknown};

#[derive(Clone, Debug)]
enum Says {
    Values(Vec<RData>),
    Code(ResponseCode),
    Nothing,
}

struct NameServer {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NameServer {
    async fn start(says: impl Fn(&str, RecordType) -> Says + Send + Sync + 'static) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = socket.local_addr().expect("it is bound");
        let task = tokio::spawn(async move {
            let mut buffer = [0u8; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let asked = Message::from_vec(&buffer[..length]).expect("a DNS message");
                let query = asked.queries.first().expect("one question").clone();
                let name = query.name().to_ascii().trim_end_matches('.').to_owned();
                let mut response = Message::response(asked.metadata.id, OpCode::Query);
                match says(&name, query.query_type()) {
                    Says::Values(values) => values.into_iter().for_each(|data| {
                        response.add_answer(Record::from_rdata(query.name().clone(), 60, data));
                    }),
                    Says::Code(code) => response.metadata.response_code = code,
                    Says::Nothing => continue,
                }
                response.add_query(query);
                let _ = socket.send_to(&response.to_vec().expect("it can be written"), from).await;
            }
        });
        Self { address, task }
    }

    async fn always(says: Says) -> Self {
        Self::start(move |_, _| says.clone()).await
    }
}

fn local(kind: RecordType) -> Says {
    Says::Values(if kind == RecordType::A { vec![RData::A(A(Ipv4Addr::LOCALHOST))] } else { Vec::new() })
}

async fn http_by(nameservers: Vec<SocketAddr>, port: u16, timeout: Duration) -> Answer {
    let asker = providers(nameservers, None).await;
    let question = Question::Http(get(format!("http://api.example.com:{port}/")));
    Asks::ask(asker.as_ref(), &question, &region(), timeout).await
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_the_targets_and_a_resolver_that_does_not_answer_is_not() {
    let server = Server::start(|_| Reply::Text(200, "", "UP")).await;
    let port = server.address.port();
    let by = async |says: Says, timeout| http_by(vec![NameServer::always(says).await.address], port, timeout).await;

    let resolving = NameServer::start(|_, kind| local(kind)).await;
    passed(http_by(vec![resolving.address], port, PATIENT).await);
    let gone = NameServer::always(Says::Code(ResponseCode::NXDomain)).await;
    failed(http_by(vec![gone.address], port, PATIENT).await, "does not resolve");
    let empty = NameServer::always(Says::Values(Vec::new())).await;
    failed(http_by(vec![empty.address], port, PATIENT).await, "does not resolve");
    for code in [ResponseCode::ServFail, ResponseCode::Refused] {
        let broken = NameServer::always(Says::Code(code)).await;
        unknown(http_by(vec![broken.address], port, PATIENT).await, "no resolver answered for api.example.com");
    }
    let silent = NameServer::always(Says::Nothing).await;
    unknown(http_by(vec![silent.address], port, SHORT).await, "no resolver answered for api.example.com");
    // Its socket is closed by now.
    unknown(by(Says::Nothing, PATIENT).await, "no resolver answered");
}

#[tokio::test]
async fn one_resolver_that_is_well_is_enough() {
    let server = Server::start(|_| Reply::Text(200, "", "UP")).await;
    let silent = NameServer::always(Says::Nothing).await;
    let broken = NameServer::always(Says::Code(ResponseCode::ServFail)).await;
    let well = NameServer::start(|_, kind| local(kind)).await;
    let all = vec![silent.address, broken.address, well.address];
    passed(http_by(all, server.address.port(), PATIENT).await);
}

fn question(server: Option<SocketAddr>, record: DnsRecord, answer: Option<&str>) -> Question {
    Question::Dns(DnsQuestion {
        name: "api.example.com".to_owned(),
        server: server.map(|address| address.to_string()),
        record,
        answer: answer.map(str::to_owned),
    })
}

#[tokio::test]
async fn a_record_is_there_and_holds_the_value() {
    let zone = NameServer::start(|_, kind| {
        let target = Name::from_ascii("WEB.example.net.").expect("a name");
        Says::Values(match kind {
            RecordType::A => [1, 2].map(|last| RData::A(A(Ipv4Addr::new(192, 0, 2, last)))).to_vec(),
            RecordType::CNAME => vec![RData::CNAME(CNAME(target))],
            RecordType::TXT => vec![RData::TXT(TXT::new(vec!["v=".to_owned(), "1".to_owned()]))],
            _ => Vec::new(),
        })
    })
    .await;
    for server in [Some(zone.address), None] {
        let asker = providers(vec![zone.address], None).await;
        let ask = async |record, answer| {
            Asks::ask(asker.as_ref(), &question(server, record, answer), &region(), PATIENT).await
        };
        passed(ask(DnsRecord::A, None).await);
        passed(ask(DnsRecord::A, Some("192.0.2.2")).await);
        passed(ask(DnsRecord::Cname, Some("web.example.net.")).await);
        passed(ask(DnsRecord::Txt, Some("v=1")).await);
        let reason = failed(ask(DnsRecord::A, Some("192.0.2.9")).await, "not 192.0.2.9");
        assert!(reason.contains("192.0.2.1, 192.0.2.2"), "{reason}");
        failed(ask(DnsRecord::Aaaa, None).await, "has no AAAA record");
    }
}

#[tokio::test]
async fn a_name_server_in_question_fails_by_itself_and_a_resolver_does_not() {
    let silent = NameServer::always(Says::Nothing).await;
    let broken = NameServer::always(Says::Code(ResponseCode::ServFail)).await;
    let asker = providers(vec![silent.address], None).await;
    let ask = async |server: Option<SocketAddr>| {
        Asks::ask(asker.as_ref(), &question(server, DnsRecord::A, None), &region(), SHORT).await
    };
    failed(ask(Some(silent.address)).await, "gave no answer within 300 ms");
    unknown(ask(None).await, "no resolver answered");
    let asked = question(Some(broken.address), DnsRecord::A, None);
    let reason = failed(Asks::ask(asker.as_ref(), &asked, &region(), PATIENT).await, "answered");
    assert!(reason.to_lowercase().contains("server failure") || reason.contains("SERVFAIL"), "{reason}");
}
