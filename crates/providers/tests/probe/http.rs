use std::collections::BTreeSet;
use std::time::Duration;

use mesh_providers::probe::{HttpQuestion, Question};

use crate::rig::{PATIENT, Reply, SHORT, Server, ask, blackhole, failed, get, nobody, passed, unknown};

async fn asked(url: String) -> mesh_providers::probe::Answer {
    ask(Question::Http(get(url)), PATIENT).await
}

#[tokio::test]
async fn status_body_and_latency_have_to_be_right() {
    let server = Server::start(|head| match head.starts_with("GET /health?deep=1 ") {
        true => Reply::Text(200, "", "status: UP"),
        false => Reply::Text(503, "", "down"),
    })
    .await;
    let well = HttpQuestion { body_contains: Some("UP".to_owned()), ..get(server.url("/health?deep=1")) };
    passed(ask(Question::Http(well.clone()), PATIENT).await);
    failed(asked(server.url("/")).await, "status 503");
    let other = HttpQuestion { body_contains: Some("READY".to_owned()), ..well.clone() };
    let reason = failed(ask(Question::Http(other), PATIENT).await, "does not contain \"READY\"");
    assert!(reason.contains("status: UP"), "{reason}");
    let late = HttpQuestion { latency_max: Some(Duration::from_nanos(1)), ..well.clone() };
    failed(ask(Question::Http(late), PATIENT).await, "but only after");
    let expected = HttpQuestion { expect_status: 503, ..get(server.url("/")) };
    passed(ask(Question::Http(expected), PATIENT).await);
    let slow = HttpQuestion { latency_max: Some(PATIENT), ..well };
    passed(ask(Question::Http(slow), PATIENT).await);
}

#[tokio::test]
async fn each_way_to_fail_has_its_own_words() {
    let server = Server::start(|head| match head.split(' ').nth(1) {
        Some("/closed") => Reply::Close,
        Some("/silent") => Reply::Silence,
        Some("/garbage") => Reply::Garbage,
        Some("/cut") => Reply::Cut,
        Some("/moved") => Reply::Text(302, "location: /\r\n", ""),
        _ => Reply::Text(500, "", ""),
    })
    .await;
    let cut = HttpQuestion { body_contains: Some("whole".to_owned()), ..get(server.url("/cut")) };
    let (hole, _listener, _waiting) = blackhole().await;
    let reasons = [
        failed(asked(format!("http://{}/", nobody().await)).await, "refused the connection"),
        failed(asked(server.url("/closed")).await, "closed the connection before it answered"),
        failed(asked(server.url("/garbage")).await, "does not speak HTTP"),
        failed(asked(server.url("/moved")).await, "redirects are not followed"),
        failed(asked(server.url("/")).await, "status 500"),
        failed(ask(Question::Http(cut), PATIENT).await, "broke off"),
        failed(ask(Question::Http(get(server.url("/silent"))), SHORT).await, "gave no answer within 300 ms"),
        failed(ask(Question::Http(get(format!("http://{hole}/"))), SHORT).await, "no connection to"),
    ];
    let place = server.address.to_string();
    let texts: BTreeSet<String> = reasons.iter().map(|reason| reason.replace(&place, "it")).collect();
    assert_eq!(texts.len(), reasons.len(), "{texts:#?}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server = Server::start(|_| Reply::Text(301, "location: /elsewhere\r\n", "")).await;
    failed(asked(server.url("/")).await, "status 301");
    assert_eq!(server.heads(), 1);
}

#[tokio::test]
async fn a_body_without_an_end_is_read_as_far_as_it_may_be() {
    let server = Server::start(|_| Reply::Endless).await;
    let question = HttpQuestion { body_contains: Some("never".to_owned()), ..get(server.url("/")) };
    failed(ask(Question::Http(question), PATIENT).await, "does not contain");
    passed(asked(server.url("/")).await);
}

#[tokio::test]
async fn who_asks_too_often_learns_nothing_about_the_target() {
    let server = Server::start(|_| Reply::Text(429, "retry-after: 1\r\n", "")).await;
    unknown(asked(server.url("/")).await, "asked too often");
    let expected = HttpQuestion { expect_status: 429, ..get(server.url("/")) };
    passed(ask(Question::Http(expected), PATIENT).await);
}

#[tokio::test]
async fn a_question_that_cannot_be_asked_is_no_failure_of_anybody() {
    for url in ["not a url", "ftp://127.0.0.1/", "http://"] {
        unknown(asked(url.to_owned()).await, "is no URL");
    }
}

#[tokio::test]
async fn a_port_answers_or_refuses_or_says_nothing() {
    let server = Server::start(|_| Reply::Silence).await;
    let tcp = |address: String| Question::Tcp { address };
    passed(ask(tcp(server.address.to_string()), PATIENT).await);
    passed(ask(tcp(format!("localhost:{}", server.address.port())), PATIENT).await);
    failed(ask(tcp(nobody().await.to_string()), PATIENT).await, "refused the connection");
    let (hole, _listener, _waiting) = blackhole().await;
    failed(ask(tcp(hole.to_string()), SHORT).await, "no connection to");
    unknown(ask(tcp("no port".to_owned()), PATIENT).await, "is not host:port");
}
