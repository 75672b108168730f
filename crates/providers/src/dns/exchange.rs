//! One question, one answer: UDP, then TCP when the answer was cut off.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use hickory_proto::op::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::{ASK_TIMEOUT, UDP_TRIES, answer};
use crate::probe::Trouble;

/// Largest DNS message: its length is sixteen bits.
const MESSAGE_MAX: usize = 65_535;
/// Datagrams that do not answer our question are passed over, but not without end.
const STRAYS_MAX: usize = 16;

pub(super) async fn exchange(server: SocketAddr, query: &Message) -> Result<Message, Trouble> {
    let request =
        query.to_vec().map_err(|error| Trouble::Own(format!("the DNS question could not be written: {error}")))?;
    let mut failure = Trouble::Own("it was not asked".to_owned());
    for _ in 0..UDP_TRIES {
        match timeout(ASK_TIMEOUT, by_udp(server, query, &request)).await {
            Ok(Ok(response)) if response.metadata.truncation => {
                return timeout(ASK_TIMEOUT, by_tcp(server, query, &request))
                    .await
                    .unwrap_or_else(|_| Err(Trouble::Target(format!("{server} did not answer over TCP in time"))));
            }
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(error)) => failure = error,
            Err(_) => failure = Trouble::Target(format!("{server} did not answer in time")),
        }
    }
    Err(failure)
}

async fn by_udp(server: SocketAddr, query: &Message, request: &[u8]) -> Result<Message, Trouble> {
    let failed = |error: std::io::Error| Trouble::io("asking over UDP", server, &error);
    let from = if server.is_ipv4() {
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
    } else {
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
    };
    let socket = UdpSocket::bind(from).await.map_err(failed)?;
    socket.connect(server).await.map_err(failed)?;
    socket.send(request).await.map_err(failed)?;
    let mut buffer = vec![0u8; MESSAGE_MAX];
    for _ in 0..STRAYS_MAX {
        let length = socket.recv(&mut buffer).await.map_err(failed)?;
        let received = buffer.get(..length).unwrap_or_default();
        if let Some(response) = answer::read(query, received) {
            return Ok(response);
        }
    }
    Err(Trouble::Target(format!("{server} answered something else {STRAYS_MAX} times")))
}

async fn by_tcp(server: SocketAddr, query: &Message, request: &[u8]) -> Result<Message, Trouble> {
    let failed = |error: std::io::Error| Trouble::io("asking over TCP", server, &error);
    let length = u16::try_from(request.len()).map_err(|_| Trouble::Own("the DNS question is too long".to_owned()))?;
    let mut stream = TcpStream::connect(server).await.map_err(failed)?;
    stream.write_all(&[&length.to_be_bytes(), request].concat()).await.map_err(failed)?;
    let mut response = vec![0u8; usize::from(stream.read_u16().await.map_err(failed)?)];
    stream.read_exact(&mut response).await.map_err(failed)?;
    answer::read(query, &response)
        .ok_or_else(|| Trouble::Target(format!("{server} did not answer the question over TCP")))
}
