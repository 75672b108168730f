//! SNS topics, standard and FIFO, which deliver to SQS queues of any region.

use std::collections::{BTreeMap, VecDeque};

use crate::error::ApiError;
use crate::sqs;
use crate::wire::request::Call;
use crate::wire::{Node, clock, digest, json};
use crate::world::World;
use crate::world::timers::Timer;

const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// Deliveries that wait for a queue's region; AWS gives up after 23 days, the double when there are this many.
const WAITING_MAX: usize = 100_000;
const RETRY_MS: u64 = 200;

#[derive(Debug)]
pub struct Topic {
    pub region: String,
    pub name: String,
    pub subscriptions: Vec<sqs::QueueKey>,
    pub content_based_deduplication: bool,
    pub published: u64,
    /// Deduplication id to when it was first seen and under which sequence number.
    seen: BTreeMap<String, (u64, String)>,
    sequence: u64,
}

impl Topic {
    pub fn new(region: String, name: String, subscriptions: Vec<sqs::QueueKey>, by_content: bool) -> Self {
        let seen = BTreeMap::new();
        Self { region, name, subscriptions, content_based_deduplication: by_content, published: 0, seen, sequence: 0 }
    }

    pub fn is_fifo(&self) -> bool {
        is_fifo(&self.name)
    }
}

#[derive(Debug, Default)]
pub struct Sns {
    /// By ARN.
    pub topics: BTreeMap<String, Topic>,
    waiting: VecDeque<(String, sqs::QueueKey, sqs::Message)>,
    retry_at_ms: u64,
}

pub fn call(world: &mut World, call: &Call) -> Result<Node, ApiError> {
    let (region, input) = (call.region.as_str(), &call.input);
    match call.operation.as_str() {
        "Publish" => publish(world, region, input),
        "ListTopics" => {
            let here = world.sns.topics.iter().filter(|(_, topic)| topic.region == region);
            let topics = here.map(|(arn, _)| Node::map().with("TopicArn", arn)).collect();
            Ok(Node::map().with("Topics", Node::List("member", topics)))
        }
        "GetTopicAttributes" => attributes(world, region, input),
        "ListSubscriptionsByTopic" => subscriptions(world, region, input),
        other => Err(ApiError::unsupported(format!("sns {other}"))),
    }
}

pub fn is_fifo(name: &str) -> bool {
    name.ends_with(".fifo")
}

pub fn arn(account: &str, region: &str, name: &str) -> String {
    format!("arn:aws:sns:{region}:{account}:{name}")
}

fn publish(world: &mut World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let arn = topic_arn(world, region, input)?;
    let message = input.str("Message").filter(|text| !text.is_empty()).ok_or_else(|| invalid("Empty message"))?;
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(invalid("Message too long"));
    }
    for name in ["MessageStructure", "PhoneNumber", "TargetArn"] {
        if input.get(name).is_some() {
            return Err(ApiError::unsupported(format!("the parameter {name}")));
        }
    }
    let (now_ms, lifetime) = (world.now_ms, world.settings.fifo_deduplication_ms);
    let message_id = world.uuid();
    let topic = world.sns.topics.get_mut(&arn).ok_or_else(missing)?;
    let group = input.str("MessageGroupId");
    let mut key = input.str("MessageDeduplicationId");
    let mut sequence = None;
    if topic.is_fifo() {
        if group.is_none() {
            return Err(invalid("The MessageGroupId parameter is required for FIFO topics"));
        }
        if key.is_none() && topic.content_based_deduplication {
            key = Some(digest::hex(&digest::sha256(message.as_bytes())));
        }
        let id = key.clone().ok_or_else(|| {
            invalid("The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
        })?;
        topic.seen.retain(|_, (at, _)| *at + lifetime > now_ms);
        if let Some((_, first)) = topic.seen.get(&id) {
            // Accepted, as AWS does, and not delivered again.
            return Ok(Node::map().with("MessageId", message_id).with("SequenceNumber", first));
        }
        topic.sequence += 1;
        let number = format!("{:020}", 10_000_000_000_000_000_000u64 + topic.sequence);
        topic.seen.insert(id, (now_ms, number.clone()));
        sequence = Some(number);
    } else if key.is_some() {
        return Err(invalid(
            "The request includes MessageDeduplicationId parameter that is not valid for this topic type",
        ));
    }
    topic.published += 1;
    let targets = topic.subscriptions.clone();
    let body = envelope(&arn, &message_id, &message, input, now_ms, sequence.as_deref());
    for queue in targets {
        let copy = sqs::Message::new(world.uuid(), body.clone(), group.clone(), key.clone());
        if world.sns.waiting.len() < WAITING_MAX {
            world.sns.waiting.push_back((region.to_owned(), queue, copy));
        }
    }
    deliver(world);
    Ok(Node::map().with("MessageId", message_id).with_some("SequenceNumber", sequence))
}

/// What a subscriber without raw delivery receives.
fn envelope(arn: &str, id: &str, message: &str, input: &Node, now_ms: u64, sequence: Option<&str>) -> String {
    let attributes = input
        .list("MessageAttributes")
        .into_iter()
        .filter_map(|entry| {
            let value = entry.get("Value")?;
            let typed = Node::map()
                .with("Type", value.str("DataType").unwrap_or_default())
                .with("Value", value.str("StringValue").unwrap_or_default());
            Some((entry.str("Name")?, typed))
        })
        .collect::<Vec<_>>();
    let node = Node::map()
        .with("Type", "Notification")
        .with("MessageId", id)
        .with_some("SequenceNumber", sequence)
        .with("TopicArn", arn)
        .with_some("Subject", input.str("Subject"))
        .with("Message", message)
        .with("Timestamp", clock::iso(now_ms))
        .with("UnsubscribeURL", "https://sns.invalid/?Action=Unsubscribe")
        .with_some("MessageAttributes", (!attributes.is_empty()).then_some(Node::Map(attributes)));
    json::to_value(&node).to_string()
}

/// Hands over what waits, except to queues whose region cannot be reached: for those it waits on.
pub fn deliver(world: &mut World) {
    for (from, queue, message) in std::mem::take(&mut world.sns.waiting) {
        if world.reaches(Some(&from), &queue.region) {
            let now_ms = world.now_ms;
            let lifetime = world.settings.fifo_deduplication_ms;
            world.sqs.accept(&queue, message, now_ms, lifetime);
        } else {
            world.sns.waiting.push_back((from, queue, message));
        }
    }
    if !world.sns.waiting.is_empty() && world.sns.retry_at_ms <= world.now_ms {
        world.sns.retry_at_ms = world.now_ms + RETRY_MS;
        world.timers.set(world.sns.retry_at_ms, Timer::DeliverNotices);
    }
}

fn attributes(world: &World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let arn = topic_arn(world, region, input)?;
    let topic = world.sns.topics.get(&arn).ok_or_else(missing)?;
    let entry = |key: &str, value: String| Node::map().with("key", key).with("value", value);
    let mut entries =
        vec![entry("TopicArn", arn), entry("SubscriptionsConfirmed", topic.subscriptions.len().to_string())];
    if topic.is_fifo() {
        entries.push(entry("FifoTopic", "true".into()));
        entries.push(entry("ContentBasedDeduplication", topic.content_based_deduplication.to_string()));
    }
    Ok(Node::map().with("Attributes", Node::List("entry", entries)))
}

fn subscriptions(world: &World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let arn = topic_arn(world, region, input)?;
    let topic = world.sns.topics.get(&arn).ok_or_else(missing)?;
    let render = |queue: &sqs::QueueKey| {
        Node::map()
            .with("SubscriptionArn", format!("{arn}:{}", queue.name))
            .with("Owner", &world.account)
            .with("Protocol", "sqs")
            .with("Endpoint", queue.arn(&world.account))
            .with("TopicArn", &arn)
    };
    Ok(Node::map().with("Subscriptions", Node::List("member", topic.subscriptions.iter().map(render).collect())))
}

fn topic_arn(world: &World, region: &str, input: &Node) -> Result<String, ApiError> {
    let arn = input
        .str("TopicArn")
        .ok_or_else(|| invalid("TopicArn or TargetArn Reason: no value for required parameter"))?;
    let parts: Vec<&str> = arn.split(':').collect();
    match parts.as_slice() {
        ["arn", "aws", "sns", of, _, _] if *of == region => {}
        _ => return Err(invalid("TopicArn")),
    }
    if world.sns.topics.contains_key(&arn) { Ok(arn) } else { Err(missing()) }
}

fn invalid(why: &str) -> ApiError {
    ApiError::bad("InvalidParameter", format!("Invalid parameter: {why}"))
}

fn missing() -> ApiError {
    ApiError::new(404, "NotFound", "Topic does not exist")
}
