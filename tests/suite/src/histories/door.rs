//! One call to one coordinator, and what of its outcome is known. Nothing is asked twice here: a repetition is an operation of
//! its own.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use mesh_proto::v1::operator_client::OperatorClient;
use mesh_runtime::connect_error::connect_error;
use mesh_runtime::grpc;
use mesh_runtime::tls::Identities;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

/// Longer than an election, so that an old leader that is woken still finds requests.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

pub type Client = OperatorClient<Channel>;

/// A client of each coordinator, in the order of their numbers.
#[derive(Clone)]
pub struct Doors(Vec<Client>);

pub enum Answer<T> {
    Ok(T),
    /// No connection came about: nothing was sent.
    NotSent,
    /// It may be carried out, or have been, or not.
    Unknown,
    /// It was not carried out, or is said not to have been.
    Said(Status),
}

impl Doors {
    /// To these addresses, as the person of the profile.
    pub fn open(profile: &Path, addresses: &[String]) -> Self {
        let profile = meshctl::profile::load(Some(profile)).expect("the profile was written");
        let identities = Identities::load(&profile.tls, &profile.mesh).expect("its certificate is good");
        let channel = |address: &String| grpc::connect(address, &identities).expect("an address");
        let clients = addresses.iter().map(channel).map(OperatorClient::new);
        Self(clients.map(|client| client.max_decoding_message_size(grpc::MESSAGE_MAX)).collect())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn at(&self, nth: usize) -> Client {
        self.0[nth % self.0.len()].clone()
    }
}

pub async fn ask<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Answer<T> {
    match tokio::time::timeout(ANSWER_WITHIN, call).await {
        Err(_) => Answer::Unknown,
        Ok(Ok(answer)) => Answer::Ok(answer.into_inner()),
        Ok(Err(status)) if connect_error(&status).is_some() => Answer::NotSent,
        Ok(Err(status)) => match status.code() {
            // A connection that ended under the call is told by tonic as one of these.
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown | Code::Internal => {
                Answer::Unknown
            }
            _ => Answer::Said(status),
        },
    }
}
