//! Replication to one node as one stream: requests go out while earlier ones are still unanswered, and are answered in
//! their order.
//!
//! The stream of answers drives the requests too, so when openraft drops it, nothing is left that would take further
//! entries from the log.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use mesh_proto::v1;
use mesh_proto::v1::raft_message::Message;
use openraft::base::BoxStream;
use openraft::errors::RPCError;
use openraft::network::RPCOption;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, StreamAppendResult};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::super::convert;
use super::super::types::{LogId, Types};
use super::{Peer, for_node, garbled, unreachable};

/// Requests sent and not answered; each holds at most one read of the log.
const UNANSWERED_MAX: usize = 32;
/// Shortest wait for an answer: a follower's slow disk is no reason to send everything again.
const ANSWER_WITHIN_MIN: Duration = Duration::from_secs(1);
/// The next stream finds the connection of then, before a server would end this one for its age.
const AGE_MAX: Duration = Duration::from_secs(300);

type Answer = Result<StreamAppendResult<Types>, RPCError<Types>>;

/// What each unanswered request holds: the entry before its first, and its last.
type Unanswered = VecDeque<(Option<LogId>, Option<LogId>)>;

struct Pipeline<S> {
    peer: Arc<super::Peers>,
    target: u64,
    within: Duration,
    requests: Option<S>,
    sender: mpsc::Sender<v1::RaftMessage>,
    answers: Streaming<v1::RaftMessage>,
    unanswered: Unanswered,
    /// When the oldest unanswered request was sent, or the last answer came.
    progressed: Instant,
}

/// Opens the stream, once there is something to send; the status says why it could not be.
pub async fn open<'s, S>(peer: &Peer, requests: S, option: &RPCOption) -> Result<BoxStream<'s, Answer>, Status>
where
    S: Stream<Item = AppendEntriesRequest<Types>> + Send + Unpin + 'static,
{
    let mut client = peer.peers.client(&peer.address)?;
    let (sender, receiver) = mpsc::channel(UNANSWERED_MAX);
    let request = for_node(peer.target, ReceiverStream::new(receiver));
    let aged = tokio::time::sleep(AGE_MAX);
    let mut requests = Box::pin(requests.take_until(Box::pin(aged)));
    let mut unanswered = VecDeque::new();
    // After a failure openraft holds the first request back for a while: whoever opened without it would try a peer
    // that refuses connections again and again. And it goes out with the opening: a heartbeat is a stream of one request
    // and must be answered within its interval, and at 150 ms two round trips would be too long.
    let Some(first) = requests.next().await else {
        return Ok(Box::pin(futures::stream::empty()));
    };
    send(&sender, &mut unanswered, first);
    let requests = Some(requests);
    let late = |_| Status::deadline_exceeded("no stream was opened in time");
    let opened = tokio::time::timeout(option.soft_ttl(), client.append_stream(request)).await;
    let answers = opened.map_err(late)??.into_inner();
    let pipeline = Pipeline {
        peer: Arc::clone(&peer.peers),
        target: peer.target,
        within: option.soft_ttl().max(ANSWER_WITHIN_MIN),
        requests,
        sender,
        answers,
        unanswered,
        progressed: Instant::now(),
    };
    Ok(Box::pin(futures::stream::unfold(Some(pipeline), |pipeline| async {
        let mut pipeline = pipeline?;
        let answer = pipeline.next().await?;
        let goes_on = matches!(&answer, Ok(Ok(_)));
        Some((answer, goes_on.then_some(pipeline)))
    })))
}

fn send(sender: &mpsc::Sender<v1::RaftMessage>, unanswered: &mut Unanswered, request: AppendEntriesRequest<Types>) {
    let last = request.entries.last().map(|entry| entry.log_id).or(request.prev_log_id);
    unanswered.push_back((request.prev_log_id, last));
    let message = convert::message(Message::Append(convert::append_to(request)));
    // There is room for every unanswered request. A stream that is gone says so where its answer is due.
    let _ = sender.try_send(message);
}

impl<S: Stream<Item = AppendEntriesRequest<Types>> + Send + Unpin> Pipeline<S> {
    /// The next answer; none when everything that was to be sent is answered.
    async fn next(&mut self) -> Option<Answer> {
        loop {
            if self.requests.is_none() && self.unanswered.is_empty() {
                return None;
            }
            let room = self.unanswered.len() < UNANSWERED_MAX;
            let late = tokio::time::sleep_until(self.progressed + self.within);
            let requests = &mut self.requests;
            let request = async {
                match requests {
                    Some(requests) => requests.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                answer = self.answers.message(), if !self.unanswered.is_empty() => {
                    self.progressed = Instant::now();
                    return Some(self.answered(answer));
                }
                request = request, if room => match request {
                    Some(request) => self.send(request),
                    None => self.requests = None,
                },
                () = late, if !self.unanswered.is_empty() => {
                    return Some(Err(super::timed_out(&self.peer, self.target, self.within)));
                }
            }
        }
    }

    fn send(&mut self, request: AppendEntriesRequest<Types>) {
        if self.unanswered.is_empty() {
            self.progressed = Instant::now();
        }
        send(&self.sender, &mut self.unanswered, request);
    }

    fn answered(&mut self, answer: Result<Option<v1::RaftMessage>, Status>) -> Answer {
        let ended = || Status::unavailable("the stream ended");
        let answer = answer.and_then(|answer| answer.ok_or_else(ended)).map_err(|status| unreachable(&status))?;
        let picked = convert::picked(answer, |message| match message {
            Message::AppendResponse(response) => Some(response),
            _ => None,
        });
        let response = picked.and_then(convert::appended_from).map_err(garbled)?;
        let (prev, last) = self.unanswered.pop_front().unwrap_or_default();
        let said_of_others = match &response {
            AppendEntriesResponse::PartialSuccess(upto) => *upto > last,
            AppendEntriesResponse::Conflict => prev.is_none(),
            AppendEntriesResponse::Success | AppendEntriesResponse::HigherVote(_) => false,
        };
        match said_of_others {
            true => Err(garbled(convert::wrong("an answer about entries that were not sent"))),
            false => Ok(response.into_stream_result(prev, last)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use hyper_util::rt::TokioIo;
    use tokio::net::TcpStream;
    use tonic::transport::Endpoint;

    use super::*;

    /// Turns of the runtime in which any connection would have been tried.
    const TURNS: usize = 1_000;

    /// A peer that refuses every connection, and how many it has refused.
    fn refusing() -> (Peer, Arc<AtomicUsize>) {
        let tried = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&tried);
        let dial: super::super::Dial = Arc::new(move |address| {
            let tried = Arc::clone(&counted);
            let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| error.to_string())?;
            Ok(endpoint.connect_with_connector_lazy(tower::service_fn(move |_| {
                tried.fetch_add(1, Ordering::SeqCst);
                async { Err::<TokioIo<TcpStream>, _>(io::Error::from(io::ErrorKind::ConnectionRefused)) }
            })))
        });
        (Peer { peers: super::super::Peers::new(1, dial), target: 2, address: "peer:1".to_owned() }, tried)
    }

    #[tokio::test]
    async fn a_peer_that_refuses_connections_is_tried_when_there_is_a_request_and_not_before() {
        let (peer, tried) = refusing();
        let option = RPCOption::new(Duration::from_secs(60));
        let (requests, held_back) = mpsc::channel(1);
        let opening = open(&peer, ReceiverStream::new(held_back), &option);
        tokio::pin!(opening);
        for _ in 0..TURNS {
            tokio::select! {
                biased;
                _ = &mut opening => panic!("opened, or failed, with nothing to send"),
                () = tokio::task::yield_now() => {}
            }
        }
        assert_eq!(tried.load(Ordering::SeqCst), 0);
        let request = AppendEntriesRequest {
            vote: openraft::Vote::new_committed(1, 1),
            prev_log_id: None,
            entries: Vec::new(),
            leader_commit: None,
        };
        requests.send(request).await.expect("it waits for one");
        assert!(opening.await.is_err());
        assert_eq!(tried.load(Ordering::SeqCst), 1);
    }
}
