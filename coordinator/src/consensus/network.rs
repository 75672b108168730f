//! Calls to the other coordinators.
//!
//! One channel for each peer, kept and shared by replication, heartbeats, votes and snapshots: HTTP/2 keeps them from
//! blocking one another. Entries go down one stream, several requests at a time (`pipeline`), so that a commit waits
//! for no other's round trip. Every call has the deadline that openraft gives it. A call that found no peer ends
//! `Unreachable`, never in an answer: a made-up grant of a pre-vote would let an isolated node raise its term.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::Stream;
use mesh_proto::v1;
use mesh_proto::v1::raft_client::RaftClient;
use mesh_proto::v1::raft_message::Message;
use mesh_runtime::grpc;
use openraft::OptionalSend;
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use tokio::io::AsyncReadExt;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use super::convert::{self, WireError};
use super::types::{Member, Snapshot, SnapshotData, Types, Vote};

mod pipeline;

/// Names the node that a call is meant for, so that a reused address cannot stand in for another node.
pub const TARGET: &str = "mesh-node";
pub const CHUNK_BYTES: usize = 1024 * 1024;
/// What one append carries at most beside the entry that crosses this, which is at most half of a gRPC message.
const APPEND_BYTES_MAX: usize = grpc::MESSAGE_MAX / 4;

/// Makes the channel to an address, without waiting for it.
pub type Dial = Arc<dyn Fn(&str) -> Result<Channel, String> + Send + Sync>;

/// The channels to the other coordinators, by address.
pub struct Peers {
    own_id: u64,
    dial: Dial,
    channels: Mutex<BTreeMap<String, Channel>>,
}

#[derive(Clone)]
pub struct Network(pub Arc<Peers>);

pub struct Peer {
    peers: Arc<Peers>,
    target: u64,
    address: String,
}

impl Peers {
    pub fn new(own_id: u64, dial: Dial) -> Arc<Self> {
        Arc::new(Self { own_id, dial, channels: Mutex::default() })
    }

    pub fn client(&self, address: &str) -> Result<RaftClient<Channel>, Status> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = match channels.get(address) {
            Some(channel) => channel.clone(),
            None => {
                let channel = (self.dial)(address).map_err(Status::unavailable)?;
                channels.insert(address.to_owned(), channel.clone());
                channel
            }
        };
        let client = RaftClient::new(channel);
        Ok(client.max_decoding_message_size(grpc::MESSAGE_MAX).max_encoding_message_size(grpc::MESSAGE_MAX))
    }

    /// A call for `node` at `address`, within `deadline`.
    pub async fn call<T, R, F>(
        &self,
        (node, address): (u64, &str),
        message: T,
        deadline: Duration,
        call: impl FnOnce(RaftClient<Channel>, Request<T>) -> F,
    ) -> Result<R, Status>
    where
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let mut request = for_node(node, message);
        request.set_timeout(deadline);
        let late = |_| Status::deadline_exceeded(format!("no answer within {} ms", deadline.as_millis()));
        let answer = tokio::time::timeout(deadline, call(self.client(address)?, request)).await;
        answer.map_err(late)?.map(Response::into_inner)
    }
}

type Opened<'s> = Result<BoxStream<'s, Result<StreamAppendResult<Types>, RPCError<Types>>>, RPCError<Types>>;

impl RaftNetworkFactory<Types> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, node: &Member) -> Peer {
        Peer { peers: Arc::clone(&self.0), target, address: node.address.clone() }
    }
}

fn for_node<T>(node: u64, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(TARGET, MetadataValue::from(node));
    request
}

impl Peer {
    async fn send<F>(
        &self,
        message: Message,
        option: &RPCOption,
        call: impl FnOnce(RaftClient<Channel>, Request<v1::RaftMessage>) -> F,
    ) -> Result<v1::RaftMessage, Status>
    where
        F: Future<Output = Result<Response<v1::RaftMessage>, Status>>,
    {
        let peer = (self.target, self.address.as_str());
        self.peers.call(peer, convert::message(message), option.soft_ttl(), call).await
    }

    fn failed(&self, action: RPCTypes, option: &RPCOption, status: Status) -> RPCError<Types> {
        match status.code() {
            Code::DeadlineExceeded => RPCError::Timeout(Timeout {
                action,
                id: self.peers.own_id,
                target: self.target,
                timeout: option.soft_ttl(),
            }),
            _ => unreachable(&status),
        }
    }
}

fn timed_out(peers: &Peers, target: u64, after: Duration) -> RPCError<Types> {
    let (action, id) = (RPCTypes::AppendEntries, peers.own_id);
    RPCError::Timeout(Timeout { action, id, target, timeout: after })
}

fn unreachable(status: &Status) -> RPCError<Types> {
    RPCError::Unreachable(Unreachable::from_string(format!("{:?}: {}", status.code(), status.message())))
}

fn garbled(error: WireError) -> RPCError<Types> {
    RPCError::Network(NetworkError::from_string(error))
}

impl RaftNetworkV2<Types> for Peer {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        mut rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let cut = cut_to_size(&mut rpc);
        let message = Message::Append(convert::append_to(rpc));
        let answer = self.send(message, &option, |mut client, request| async move { client.append(request).await });
        let answer = answer.await.map_err(|status| self.failed(RPCTypes::AppendEntries, &option, status))?;
        let picked = convert::picked(answer, |message| match message {
            Message::AppendResponse(response) => Some(response),
            _ => None,
        });
        match (picked.and_then(convert::appended_from).map_err(garbled)?, cut) {
            (AppendEntriesResponse::Success, Some(upto)) => Ok(AppendEntriesResponse::PartialSuccess(Some(upto))),
            (response, _) => Ok(response),
        }
    }

    fn stream_append<'s, S>(&'s mut self, input: S, option: RPCOption) -> BoxFuture<'s, Opened<'s>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            pipeline::open(self, input, &option)
                .await
                .map_err(|status| self.failed(RPCTypes::AppendEntries, &option, status))
        })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let message = Message::Vote(convert::vote_request_to(&rpc));
        let answer = self.send(message, &option, |mut client, request| async move { client.vote(request).await });
        let answer = answer.await.map_err(|status| self.failed(RPCTypes::Vote, &option, status))?;
        voted(answer).map_err(garbled)
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let message = Message::Vote(convert::vote_request_to(&rpc));
        let answer = self.send(message, &option, |mut client, request| async move { client.pre_vote(request).await });
        voted(answer.await.map_err(|status| unreachable(&status))?).map_err(garbled)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let unreadable = |error: io::Error| StreamingError::Network(NetworkError::new(&error));
        let file = tokio::fs::File::open(&snapshot.snapshot.path).await.map_err(unreadable)?;
        let first = v1::SnapshotChunk {
            vote: Some(convert::vote_to(&vote)),
            meta: Some(convert::meta_to(&snapshot.meta)),
            data: Vec::new(),
        };
        let peer = (self.target, self.address.as_str());
        let sending = self.peers.call(peer, chunks(first, file), option.soft_ttl(), |mut client, request| async move {
            client.snapshot(request).await
        });
        let answer = tokio::select! {
            answer = sending => answer.map_err(|status| self.failed(RPCTypes::InstallSnapshot, &option, status))?,
            closed = cancel => return Err(StreamingError::Closed(closed)),
        };
        let vote = convert::picked(answer, |message| match message {
            Message::SnapshotResponse(vote) => Some(vote),
            _ => None,
        });
        let vote = vote.and_then(|vote| convert::vote_from(Some(vote))).map_err(garbled)?;
        Ok(SnapshotResponse::new(vote))
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        let message = Message::TransferLeader(convert::transfer_to(&req));
        let answer =
            self.send(message, &option, |mut client, request| async move { client.transfer_leader(request).await });
        answer.await.map_err(|status| self.failed(RPCTypes::TransferLeader, &option, status))?;
        Ok(Ok(()))
    }
}

/// Keeps of the entries what fits into one message, at least one. If it was not all: the last one kept.
fn cut_to_size(rpc: &mut AppendEntriesRequest<Types>) -> Option<super::types::LogId> {
    let mut bytes = 0;
    let fitting = rpc.entries.iter().take_while(|entry| {
        let fits = bytes < APPEND_BYTES_MAX;
        bytes += match &entry.payload {
            openraft::EntryPayload::Normal(command) => command.0.len(),
            openraft::EntryPayload::Blank | openraft::EntryPayload::Membership(_) => 0,
        };
        fits
    });
    let fitting = fitting.count();
    if fitting == rpc.entries.len() {
        return None;
    }
    rpc.entries.truncate(fitting);
    rpc.entries.last().map(|entry| entry.log_id)
}

fn voted(answer: v1::RaftMessage) -> Result<VoteResponse<Types>, WireError> {
    let response = convert::picked(answer, |message| match message {
        Message::VoteResponse(response) => Some(response),
        _ => None,
    });
    convert::vote_response_from(response?)
}

/// `first`, then the file in chunks. A read that fails ends the stream early, which the checksum tells at the other
/// end.
fn chunks(first: v1::SnapshotChunk, file: tokio::fs::File) -> impl Stream<Item = v1::SnapshotChunk> + Send + 'static {
    futures::stream::unfold((Some(first), file), |(first, mut file)| async move {
        if let Some(first) = first {
            return Some((first, (None, file)));
        }
        let mut data = Vec::with_capacity(CHUNK_BYTES);
        match (&mut file).take(CHUNK_BYTES as u64).read_to_end(&mut data).await {
            Ok(0) => None,
            Ok(_) => Some((v1::SnapshotChunk { vote: None, meta: None, data }, (None, file))),
            Err(error) => {
                tracing::warn!(%error, "reading the snapshot that is being sent");
                None
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::COMMAND_BYTES_MAX;
    use crate::consensus::types::{Entry, LogBytes};

    fn request(lengths: &[usize]) -> AppendEntriesRequest<Types> {
        let place = |index| convert::log_id(crate::store::position::LogPosition { term: 1, node: 1, index });
        let entry = |(index, length): (u64, &usize)| Entry {
            log_id: place(index),
            payload: openraft::EntryPayload::Normal(LogBytes(vec![0; *length].into())),
        };
        AppendEntriesRequest {
            vote: openraft::Vote::new_committed(1, 1),
            prev_log_id: None,
            entries: (0..).zip(lengths).map(entry).collect(),
            leader_commit: None,
        }
    }

    #[test]
    fn whatever_is_appended_fits_into_one_message() {
        for lengths in [&[COMMAND_BYTES_MAX; 5][..], &[APPEND_BYTES_MAX - 1, COMMAND_BYTES_MAX, 1], &[1; 300]] {
            let mut cut = request(lengths);
            let upto = cut_to_size(&mut cut);
            assert!(!cut.entries.is_empty(), "the first always goes");
            assert_eq!(upto.is_none(), cut.entries.len() == lengths.len());
            assert!(upto.is_none() || upto == cut.entries.last().map(|entry| entry.log_id));
            let message = convert::message(Message::Append(convert::append_to(cut)));
            assert!(prost::Message::encoded_len(&message) <= grpc::MESSAGE_MAX);
        }
    }
}
