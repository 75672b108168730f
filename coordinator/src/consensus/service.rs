//! The gRPC service `Raft`: what the other coordinators ask of this one.

use std::pin::Pin;
use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt, future};
use mesh_proto::v1;
use mesh_proto::v1::raft_message::Message;
use mesh_runtime::blocking;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, StreamAppendError, VoteRequest};
use tokio::sync::Semaphore;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::admission::Admission;
use super::convert::{self, WireError};
use super::heard::Heard;
use super::network::TARGET;
use super::types::{LogId, Raft, Snapshot, SnapshotData, SnapshotMeta, Types, Vote};
use crate::store::snapshot::{self, Part};
use crate::store::{Store, StoreError};

pub struct RaftHandler {
    own_id: u64,
    raft: Raft,
    store: Arc<Store>,
    admission: Arc<Admission>,
    heard: Arc<Heard>,
    /// One snapshot at a time: a second stream could only be a repetition of the first.
    receiving: Arc<Semaphore>,
}

impl RaftHandler {
    pub fn new(own_id: u64, raft: Raft, store: Arc<Store>, admission: Arc<Admission>, heard: Arc<Heard>) -> Self {
        Self { own_id, raft, store, admission, heard, receiving: Arc::new(Semaphore::new(1)) }
    }

    fn check_target<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let target = request.metadata().get(TARGET).and_then(|value| value.to_str().ok());
        match target.and_then(|text| text.parse::<u64>().ok()) {
            Some(target) if target == self.own_id => Ok(()),
            _ => Err(Status::failed_precondition(format!("this is node {}", self.own_id))),
        }
    }

    /// The message, if it is meant for this node and this node may take part.
    fn accept(&self, request: Request<v1::RaftMessage>) -> Result<v1::RaftMessage, Status> {
        self.check_target(&request)?;
        self.check_admitted()?;
        Ok(request.into_inner())
    }

    fn check_admitted(&self) -> Result<(), Status> {
        match self.admission.is_admitted() {
            true => Ok(()),
            false => Err(Status::failed_precondition("this node's disk is empty and it has not been admitted")),
        }
    }

    async fn receive(&self, mut chunks: Streaming<v1::SnapshotChunk>) -> Result<(Vote, SnapshotMeta, Part), Status> {
        let first = chunks.message().await?.ok_or_else(|| Status::invalid_argument("an empty stream"))?;
        let vote = convert::vote_from(first.vote).map_err(garbled)?;
        let meta = first.meta.ok_or_else(|| Status::invalid_argument("the first chunk has no meta"))?;
        let meta = convert::meta_from(meta).map_err(garbled)?;
        let mut part = self.store.receive_snapshot().map_err(stored)?;
        let mut data = Some(first.data);
        while let Some(bytes) = data {
            part.append(&bytes).map_err(|error| Status::internal(error.to_string()))?;
            data = chunks.message().await?.map(|chunk| chunk.data);
        }
        Ok((vote, meta, part))
    }
}

fn garbled(error: WireError) -> Status {
    Status::invalid_argument(error.to_string())
}

fn stored(error: StoreError) -> Status {
    Status::internal(error.to_string())
}

fn stopped(error: impl std::fmt::Display) -> Status {
    Status::unavailable(error.to_string())
}

fn answer(message: Message) -> Result<Response<v1::RaftMessage>, Status> {
    Ok(Response::new(convert::message(message)))
}

fn vote_request(message: v1::RaftMessage) -> Result<VoteRequest<Types>, Status> {
    let request = convert::picked(message, |message| match message {
        Message::Vote(request) => Some(request),
        _ => None,
    });
    request.and_then(convert::vote_request_from).map_err(garbled)
}

fn append_request(message: v1::RaftMessage) -> Result<AppendEntriesRequest<Types>, WireError> {
    let request = convert::picked(message, |message| match message {
        Message::Append(request) => Some(request),
        _ => None,
    });
    request.and_then(convert::append_from)
}

/// What one append of a stream came to, in the words of a single one.
fn appended(result: Result<Option<LogId>, StreamAppendError<Types>>) -> v1::RaftMessage {
    let response = match result {
        Ok(upto) => AppendEntriesResponse::PartialSuccess(upto),
        Err(StreamAppendError::Conflict(_)) => AppendEntriesResponse::Conflict,
        Err(StreamAppendError::HigherVote(vote)) => AppendEntriesResponse::HigherVote(vote),
    };
    convert::message(Message::AppendResponse(convert::appended_to(response)))
}

#[tonic::async_trait]
impl v1::raft_server::Raft for RaftHandler {
    type SegmentStream = Pin<Box<dyn Stream<Item = Result<v1::SegmentChunk, Status>> + Send>>;
    type AppendStreamStream = BoxStream<'static, Result<v1::RaftMessage, Status>>;

    async fn append(&self, request: Request<v1::RaftMessage>) -> Result<Response<v1::RaftMessage>, Status> {
        let request = append_request(self.accept(request)?).map_err(garbled)?;
        self.heard.note();
        let response = self.raft.append_entries(request).await.map_err(stopped)?;
        answer(Message::AppendResponse(convert::appended_to(response)))
    }

    async fn append_stream(
        &self,
        request: Request<Streaming<v1::RaftMessage>>,
    ) -> Result<Response<Self::AppendStreamStream>, Status> {
        self.check_target(&request)?;
        self.check_admitted()?;
        // A message that cannot be read ends the stream: the leader begins again from what was answered.
        let heard = Arc::clone(&self.heard);
        let requests = request.into_inner().map(move |message| {
            let message = message.ok()?;
            heard.note();
            append_request(message).ok()
        });
        let requests = requests.take_while(|request| future::ready(request.is_some())).filter_map(future::ready);
        let answers = self.raft.stream_append(requests);
        Ok(Response::new(answers.map(|answer| answer.map(appended).map_err(stopped)).boxed()))
    }

    async fn vote(&self, request: Request<v1::RaftMessage>) -> Result<Response<v1::RaftMessage>, Status> {
        let request = vote_request(self.accept(request)?)?;
        let response = self.raft.vote(request).await.map_err(stopped)?;
        answer(Message::VoteResponse(convert::vote_response_to(&response)))
    }

    async fn pre_vote(&self, request: Request<v1::RaftMessage>) -> Result<Response<v1::RaftMessage>, Status> {
        let request = vote_request(self.accept(request)?)?;
        let response = self.raft.pre_vote(request).await.map_err(stopped)?;
        answer(Message::VoteResponse(convert::vote_response_to(&response)))
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<v1::SnapshotChunk>>,
    ) -> Result<Response<v1::RaftMessage>, Status> {
        self.check_target(&request)?;
        self.check_admitted()?;
        let busy = |_| Status::resource_exhausted("another snapshot is being received");
        let _permit = Arc::clone(&self.receiving).try_acquire_owned().map_err(busy)?;
        let (vote, meta, part) = self.receive(request.into_inner()).await?;
        let path = part.path().to_owned();
        let inspected = blocking::run(move || snapshot::inspect(&path)).await.map_err(stopped)?;
        let (summary, _) = inspected.map_err(|error| Status::data_loss(error.to_string()))?;
        if convert::meta_of(&summary).map_err(garbled)? != meta {
            return Err(Status::invalid_argument("the snapshot is not the one that was announced"));
        }
        let data = SnapshotData { path: part.path().to_owned(), part: Some(part) };
        let installed = self.raft.install_full_snapshot(vote, Snapshot { meta, snapshot: data }).await;
        let response = installed.map_err(stopped)?;
        answer(Message::SnapshotResponse(convert::vote_to(&response.vote)))
    }

    async fn transfer_leader(&self, request: Request<v1::RaftMessage>) -> Result<Response<v1::RaftMessage>, Status> {
        let request = convert::picked(self.accept(request)?, |message| match message {
            Message::TransferLeader(request) => Some(request),
            _ => None,
        });
        let request = request.and_then(convert::transfer_from).map_err(garbled)?;
        let handled = self.raft.handle_transfer_leader(request).await.map_err(stopped)?;
        handled.map_err(|refused| Status::failed_precondition(refused.to_string()))?;
        answer(Message::Ok(true))
    }

    async fn standing(&self, request: Request<v1::StandingRequest>) -> Result<Response<v1::StandingResponse>, Status> {
        self.check_target(&request)?;
        if request.get_ref().admit && self.admission.is_pristine() {
            self.admission.admit().map_err(stored)?;
        }
        Ok(Response::new(self.admission.standing()))
    }

    async fn segment(&self, request: Request<v1::SegmentRequest>) -> Result<Response<Self::SegmentStream>, Status> {
        self.check_target(&request)?;
        self.check_admitted()?;
        let chunks = super::history::send(Arc::clone(&self.store), request.get_ref().number);
        Ok(Response::new(Box::pin(ReceiverStream::new(chunks))))
    }
}
