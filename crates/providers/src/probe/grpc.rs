//! `grpc.health.v1.Health/Check`, plain or over TLS.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::deadline::Deadline;
use super::dial::{Dialed, Dialer, Wrap};
use super::http::{Place, within};
use super::tls::Alpn;
use super::trouble::{Trouble, chain};

/// An answer has ten bytes.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
const SHOWN_MAX: usize = 200;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcQuestion {
    pub target: String,
    pub service: String,
    pub latency_max: Option<Duration>,
    pub ca_file: Option<String>,
}

impl Dialer {
    pub(crate) async fn grpc(&self, question: &GrpcQuestion, timeout: Duration) -> Result<Duration, Trouble> {
        let GrpcQuestion { target, service, latency_max, ca_file } = question;
        let deadline = Deadline::after(timeout);
        let place = Place::of(target)?;
        let wrap = match place.is_https {
            true => Wrap::Tls { ca_file: ca_file.as_deref(), alpn: Alpn::Http2 },
            false => Wrap::Plain,
        };
        let dialed = self.dial(&place.host, place.port, wrap, deadline).await?;
        let address = dialed.address;
        let late = format!("{address} accepted a connection, but gave no answer");
        let status = deadline.of_target(&late, ask(dialed, &place, service)).await?;
        let latency = deadline.elapsed();
        let named = if service.is_empty() { String::new() } else { format!("{service} at ") };
        match status {
            ServingStatus::Serving => within(latency, *latency_max, &format!("{named}{address} is serving"))?,
            ServingStatus::NotServing => return Err(Trouble::Target(format!("{named}{address} says NOT_SERVING"))),
            ServingStatus::Unknown => return Err(Trouble::Target(format!("{named}{address} says UNKNOWN"))),
            ServingStatus::ServiceUnknown => {
                return Err(Trouble::Target(format!("{address} knows no service {service:?}")));
            }
        }
        Ok(latency)
    }
}

async fn ask(dialed: Dialed, place: &Place, service: &str) -> Result<ServingStatus, Trouble> {
    let address = dialed.address;
    let channel = channel(dialed, place).await?;
    let mut client = HealthClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let request = Request::new(HealthCheckRequest { service: service.to_owned() });
    let response = client.check(request).await.map_err(|status| refused(address, service, &status))?;
    ServingStatus::try_from(response.into_inner().status)
        .map_err(|_| Trouble::Target(format!("{address} answered with a status that gRPC health does not have")))
}

/// Over the connection that is open already, and no other.
async fn channel(dialed: Dialed, place: &Place) -> Result<Channel, Trouble> {
    let Dialed { address, stream } = dialed;
    let authority = place.uri.authority().map_or_else(|| address.to_string(), ToString::to_string);
    // The connector has spoken TLS; tonic would want to do it itself for https.
    let endpoint = Endpoint::from_shared(format!("http://{authority}"))
        .map_err(|error| Trouble::Own(format!("{authority} cannot be asked: {}", chain(&error))))?
        .origin(place.uri.clone());
    let once = Mutex::new(Some(TokioIo::new(stream)));
    let connector = tower::service_fn(move |_| {
        let taken = once.lock().unwrap_or_else(PoisonError::into_inner).take();
        std::future::ready(taken.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::ConnectionReset)))
    });
    endpoint
        .connect_with_connector(connector)
        .await
        .map_err(|error| Trouble::Target(format!("{address} does not speak HTTP/2: {}", chain(&error))))
}

fn refused(address: SocketAddr, service: &str, status: &Status) -> Trouble {
    let message: String = status.message().chars().take(SHOWN_MAX).collect();
    match status.code() {
        Code::NotFound => Trouble::Target(format!("{address} knows no service {service:?}")),
        Code::Unimplemented => Trouble::Target(format!("{address} speaks gRPC, but has no health service")),
        Code::ResourceExhausted => Trouble::Own(format!("{address} was asked too often: {message}")),
        Code::Unauthenticated | Code::PermissionDenied => {
            Trouble::Own(format!("{address} does not tell this agent: {}: {message}", status.code()))
        }
        Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled if is_cut(status) => {
            Trouble::Target(format!("{address} closed the connection before it answered"))
        }
        code => Trouble::Target(format!("{address} answered {code:?}: {message}")),
    }
}

/// Did the connection end, rather than the server answer?
fn is_cut(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}
