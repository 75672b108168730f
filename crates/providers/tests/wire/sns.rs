//! SNS as it answers.

use mesh_core::execute::{CallResult, Observation};
use mesh_providers::Provider;

use crate::jobs;
use crate::stub::{Reply, Request, Stub};

fn is_publish(request: &Request) -> bool {
    request.body.contains("Action=Publish")
}

fn topic() -> Reply {
    let body = "<GetTopicAttributesResponse><GetTopicAttributesResult><Attributes/></GetTopicAttributesResult>\
                </GetTopicAttributesResponse>";
    Reply::Text(200, body.to_owned())
}

fn published() -> Reply {
    let body = "<PublishResponse><PublishResult><MessageId>message-1</MessageId></PublishResult></PublishResponse>";
    Reply::Text(200, body.to_owned())
}

#[tokio::test]
async fn a_notice_carries_its_key_as_deduplication_id_attribute_and_last_line() {
    let stub = Stub::start(|request| if is_publish(request) { published() } else { topic() }).await;
    let providers = stub.providers().await;
    let job = jobs::notify("ops.fifo");
    assert!(matches!(providers.observe(&job, None).await, Observation::Ready { .. }));
    let result = providers.call(&job, "{}").await;
    assert_eq!(result, CallResult::Accepted { reference: "message-1".to_owned() });
    let sent = stub.seen_with("Action=Publish");
    assert_eq!(sent.len(), 1);
    for part in [
        "MessageGroupId=maip",
        "MessageDeduplicationId=maip-g7%2Fsns-notify-ops",
        "MessageAttributes.entry.1.Name=IdempotencyKey",
        "Idempotency-Key%3A%20maip-g7%2Fsns-notify-ops&",
    ] {
        assert!(sent[0].body.contains(part), "{part} in {}", sent[0].body);
    }
    let Observation::Satisfied { read_back } = providers.observe(&job, Some("message-1")).await else {
        panic!("it went out");
    };
    assert_eq!(read_back, r#"{"message_id":"message-1"}"#);
}

#[tokio::test]
async fn a_notice_without_an_answer_is_repeated_on_a_fifo_topic_alone() {
    for (name, repeated) in [("ops.fifo", true), ("ops", false)] {
        let stub = Stub::start(|request| if is_publish(request) { Reply::Close } else { topic() }).await;
        let providers = stub.providers().await;
        let job = jobs::notify(name);
        let result = providers.call(&job, "{}").await;
        assert!(matches!(result, CallResult::Unknown { .. }), "{result:?}");
        let observed = providers.observe(&job, None).await;
        assert_eq!(matches!(observed, Observation::Ready { .. }), repeated, "{name}: {observed:?}");
        assert_eq!(matches!(observed, Observation::Ambiguous { .. }), !repeated, "{name}: {observed:?}");
    }
}

#[tokio::test]
async fn a_notice_that_was_certainly_not_sent_may_be_sent_again() {
    let throttled = "<ErrorResponse><Error><Type>Sender</Type><Code>Throttled</Code><Message>slow</Message></Error>\
                     </ErrorResponse>";
    let stub = Stub::start(move |request| match is_publish(request) {
        true => Reply::Text(429, throttled.to_owned()),
        false => topic(),
    })
    .await;
    let providers = stub.providers().await;
    let job = jobs::notify("ops");
    let result = providers.call(&job, "{}").await;
    assert!(matches!(result, CallResult::NotApplied { .. }), "{result:?}");
    assert!(matches!(providers.observe(&job, None).await, Observation::Ready { .. }));
}
