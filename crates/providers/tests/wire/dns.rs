//! A name server: one TXT value for `_mesh.*`, 127.0.0.1 for everything else, over UDP or, cut off there, over TCP.

use std::net::{Ipv4Addr, SocketAddr};

use hickory_proto::op::{Message, OpCode};
use hickory_proto::rr::rdata::{A, TXT};
use hickory_proto::rr::{RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;

pub struct DnsStub {
    pub address: SocketAddr,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for DnsStub {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl DnsStub {
    pub async fn start(value: &str, only_tcp: bool) -> Self {
        let (udp, tcp) = bind_both().await;
        let address = udp.local_addr().expect("it is bound");
        let (for_udp, for_tcp) = (value.to_owned(), value.to_owned());
        let by_udp = tokio::spawn(async move {
            let mut buffer = [0u8; 1500];
            while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
                let mut response = answer(&buffer[..length], &for_udp);
                if only_tcp {
                    response.answers.clear();
                    response.metadata.truncation = true;
                }
                let _ = udp.send_to(&response.to_vec().expect("it can be written"), from).await;
            }
        });
        let by_tcp = tokio::spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                let length = stream.read_u16().await.expect("a length");
                let mut question = vec![0u8; usize::from(length)];
                stream.read_exact(&mut question).await.expect("a question");
                let response = answer(&question, &for_tcp).to_vec().expect("it can be written");
                let length = u16::try_from(response.len()).expect("it is short");
                stream.write_all(&[&length.to_be_bytes()[..], &response].concat()).await.expect("it is read");
            }
        });
        Self { address, tasks: [by_udp, by_tcp] }
    }
}

/// The same free port for both transports.
async fn bind_both() -> (UdpSocket, TcpListener) {
    for _ in 0..100 {
        let udp = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().expect("it is bound")).await {
            return (udp, tcp);
        }
    }
    panic!("no port is free for both UDP and TCP");
}

fn answer(question: &[u8], value: &str) -> Message {
    let question = Message::from_vec(question).expect("a DNS message");
    let query = question.queries.first().expect("one question").clone();
    let mut response = Message::response(question.metadata.id, OpCode::Query);
    let data = match query.query_type() {
        RecordType::TXT => Some(RData::TXT(TXT::new(vec![value.to_owned()]))),
        RecordType::A => Some(RData::A(A(Ipv4Addr::LOCALHOST))),
        _ => None,
    };
    if let Some(data) = data {
        response.add_answer(Record::from_rdata(query.name().clone(), 60, data));
    }
    response.add_query(query);
    response
}
