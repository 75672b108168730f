//! How a mutating call ends when the exchange does not go well: what was certainly not sent, and all the rest.

use mesh_core::execute::{CallResult, Observation};
use mesh_providers::Provider;
use tokio::net::{TcpSocket, TcpStream};

use crate::jobs;
use crate::stub::{Reply, Stub, providers_at};

fn error(code: &str) -> String {
    format!("<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>")
}

#[tokio::test]
async fn a_refused_connection_was_not_applied() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    drop(listener);
    let providers = providers_at(&format!("http://{address}"), Vec::new()).await;
    for job in [jobs::promote(), jobs::replace(), jobs::notify("ops.fifo")] {
        assert!(matches!(providers.observe(&job, None).await, Observation::Unreadable { .. }), "{}", job.step);
    }
    let result = providers.call(&jobs::promote(), "{}").await;
    assert!(matches!(result, CallResult::NotApplied { .. }), "{result:?}");
}

#[tokio::test]
async fn nothing_is_sent_once_permission_has_ended_whatever_was_decided_before() {
    let stub = Stub::start(|_| Reply::Text(500, String::new())).await;
    let providers = stub.providers().await;
    for job in [jobs::promote(), jobs::fence(), jobs::notify("ops.fifo")] {
        let ended = std::sync::Arc::new(|| false);
        let result = mesh_providers::permit::while_permitted(ended, providers.call(&job, "{}")).await;
        assert!(matches!(result, CallResult::NotApplied { .. }), "{}: {result:?}", job.step);
        assert!(stub.seen().is_empty(), "{}: it was sent", job.step);
    }
    let result = mesh_providers::permit::while_permitted(std::sync::Arc::new(|| true), async {
        providers.call(&jobs::promote(), "{}").await
    });
    assert!(matches!(result.await, CallResult::Unknown { .. }));
    assert_eq!(stub.seen().len(), 1);
}

#[tokio::test]
async fn a_connection_that_never_opens_was_not_applied() {
    // A full backlog drops what comes next, as a dead region does.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let listener = socket.listen(1).expect("it listens");
    let address = listener.local_addr().expect("it is bound");
    let filling: Vec<_> = (0..8).map(|_| tokio::spawn(TcpStream::connect(address))).collect();
    tokio::task::yield_now().await;
    let providers = providers_at(&format!("http://{address}"), Vec::new()).await;
    // By now the two that fit are in; the first look may still slip through and time out reading.
    let _ = providers.observe(&jobs::promote(), None).await;
    let result = providers.call(&jobs::promote(), "{}").await;
    assert!(matches!(result, CallResult::NotApplied { .. }), "{result:?}");
    filling.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_connection_lost_after_sending_is_unknown_and_nothing_is_sent_again() {
    let stub = Stub::start(|_| Reply::Close).await;
    let result = stub.providers().await.call(&jobs::promote(), "{}").await;
    assert!(matches!(result, CallResult::Unknown { .. }), "{result:?}");
    assert_eq!(stub.seen().len(), 1, "one call is one request");
}

#[tokio::test]
async fn a_reply_that_never_comes_is_unknown_and_nothing_is_sent_again() {
    let stub = Stub::start(|_| Reply::Silence).await;
    let result = stub.providers().await.call(&jobs::promote(), "{}").await;
    assert!(matches!(result, CallResult::Unknown { .. }), "{result:?}");
    assert_eq!(stub.seen().len(), 1, "one call is one request");
}

#[tokio::test]
async fn a_reply_that_cannot_be_read_is_unknown() {
    let stub = Stub::start(|_| Reply::Text(200, "<html>".to_owned())).await;
    let result = stub.providers().await.call(&jobs::promote(), "{}").await;
    assert!(matches!(result, CallResult::Unknown { .. }), "{result:?}");
}

#[tokio::test]
async fn an_error_is_read_by_its_code_and_never_retried() {
    for (status, code, expected) in [
        (400, "Throttling", "not-applied"),
        (503, "RequestLimitExceeded", "not-applied"),
        (400, "InvalidDBInstanceState", "not-applied"),
        (500, "InternalFailure", "unknown"),
        (503, "ServiceUnavailable", "unknown"),
        (404, "DBInstanceNotFound", "rejected"),
        (403, "AccessDenied", "rejected"),
        (400, "InvalidParameterValue", "rejected"),
    ] {
        let stub = Stub::start(move |_| Reply::Text(status, error(code))).await;
        let ended = match stub.providers().await.call(&jobs::promote(), "{}").await {
            CallResult::Accepted { .. } => "accepted",
            CallResult::NotApplied { .. } => "not-applied",
            CallResult::Rejected { .. } => "rejected",
            CallResult::Unknown { .. } => "unknown",
        };
        assert_eq!(ended, expected, "{status} {code}");
        assert_eq!(stub.seen().len(), 1, "{code}: one call is one request");
    }
}

#[tokio::test]
async fn a_look_that_fails_blocks_only_when_a_person_has_to_act() {
    for (status, code, expected) in [
        (400, "Throttling", "unreadable"),
        (500, "InternalFailure", "unreadable"),
        (404, "DBInstanceNotFound", "blocked"),
        (403, "AccessDenied", "blocked"),
    ] {
        let stub = Stub::start(move |_| Reply::Text(status, error(code))).await;
        let seen = match stub.providers().await.observe(&jobs::fence(), None).await {
            Observation::Unreadable { .. } => "unreadable",
            Observation::Blocked { .. } => "blocked",
            _ => "other",
        };
        assert_eq!(seen, expected, "{status} {code}");
    }
}

#[tokio::test]
async fn an_agent_acts_on_databases_of_its_own_region_alone() {
    let stub = Stub::start(|_| Reply::Close).await;
    let providers = stub.providers().await;
    let mut job = jobs::promote();
    job.region = mesh_core::ids::RegionId::new("us-east-1").expect("a region");
    assert!(matches!(providers.observe(&job, None).await, Observation::Blocked { .. }));
    assert!(matches!(providers.call(&job, "{}").await, CallResult::Rejected { .. }));
    assert!(stub.seen().is_empty(), "nothing may be sent");
}
