//! SQS, as far as a subscriber of notices needs it: standard and FIFO queues, visibility, deduplication.

use std::collections::BTreeMap;

use crate::error::ApiError;
use crate::sns::is_fifo;
use crate::wire::request::Call;
use crate::wire::{Node, digest};
use crate::world::World;

const RECEIVE_MAX: i64 = 10;
const WAIT_SECONDS_MAX: i64 = 20;
const VISIBILITY_SECONDS_MAX: i64 = 43_200;
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// AWS counts in days; this is what keeps a runaway publisher from filling memory.
const MESSAGES_MAX: usize = 100_000;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueueKey {
    pub region: String,
    pub name: String,
}

impl QueueKey {
    pub fn arn(&self, account: &str) -> String {
        format!("arn:aws:sqs:{}:{account}:{}", self.region, self.name)
    }
}

#[derive(Clone, Debug)]
pub struct Message {
    pub id: String,
    pub body: String,
    pub group: Option<String>,
    pub deduplication: Option<String>,
    pub sent_ms: u64,
    sequence: u64,
    visible_from_ms: u64,
    receipt: Option<String>,
    received: u32,
}

impl Message {
    pub fn new(id: String, body: String, group: Option<String>, deduplication: Option<String>) -> Self {
        Self { id, body, group, deduplication, sent_ms: 0, sequence: 0, visible_from_ms: 0, receipt: None, received: 0 }
    }
}

#[derive(Debug, Default)]
pub struct Queue {
    pub visibility_timeout_ms: u64,
    pub content_based_deduplication: bool,
    messages: Vec<Message>,
    /// Every message that ever arrived, for whoever asks what was delivered.
    pub arrived: Vec<Message>,
    seen: BTreeMap<String, (u64, String, u64)>,
    sequence: u64,
}

impl Queue {
    pub fn new(visibility_timeout_ms: u64, content_based_deduplication: bool) -> Self {
        Self { visibility_timeout_ms, content_based_deduplication, ..Self::default() }
    }
}

#[derive(Debug, Default)]
pub struct Sqs {
    pub queues: BTreeMap<QueueKey, Queue>,
}

impl Sqs {
    /// The id and sequence number that the message has in the queue: those of the first one, if it is a repetition.
    pub fn accept(
        &mut self,
        key: &QueueKey,
        mut message: Message,
        now_ms: u64,
        lifetime_ms: u64,
    ) -> Option<(String, u64)> {
        let queue = self.queues.get_mut(key)?;
        let fifo = is_fifo(&key.name);
        if let Some(id) = message.deduplication.clone().filter(|_| fifo) {
            queue.seen.retain(|_, (at, _, _)| *at + lifetime_ms > now_ms);
            if let Some((_, first, number)) = queue.seen.get(&id) {
                return Some((first.clone(), *number));
            }
            queue.seen.insert(id, (now_ms, message.id.clone(), queue.sequence + 1));
        }
        if queue.arrived.len() >= MESSAGES_MAX {
            return None;
        }
        queue.sequence += 1;
        message.sent_ms = now_ms;
        message.sequence = queue.sequence;
        let answer = (message.id.clone(), message.sequence);
        queue.arrived.push(message.clone());
        queue.messages.push(message);
        Some(answer)
    }
}

pub fn call(world: &mut World, call: &Call) -> Result<Node, ApiError> {
    let (region, input) = (call.region.as_str(), &call.input);
    match call.operation.as_str() {
        "GetQueueUrl" => {
            let key = QueueKey { region: region.to_owned(), name: input.need("QueueName")? };
            find(world, &key)?;
            Ok(Node::map()
                .with("QueueUrl", format!("http://sqs.{region}.amazonaws.com/{}/{}", world.account, key.name)))
        }
        "SendMessage" => send(world, region, input),
        "ReceiveMessage" => receive(world, region, input),
        "DeleteMessage" => delete(world, region, input),
        "ChangeMessageVisibility" => change_visibility(world, region, input),
        "GetQueueAttributes" => attributes(world, region, input),
        other => Err(ApiError::unsupported(format!("sqs {other}"))),
    }
}

/// How long a receive call may wait for a first message.
pub fn wait_ms(input: &Node) -> u64 {
    let seconds = input.int("WaitTimeSeconds").ok().flatten().unwrap_or(0).clamp(0, WAIT_SECONDS_MAX);
    u64::try_from(seconds).unwrap_or(0) * 1000
}

fn send(world: &mut World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let key = queue_key(world, region, input)?;
    let body = input.need("MessageBody")?;
    if body.len() > BODY_BYTES_MAX {
        return Err(ApiError::bad(
            "InvalidParameterValue",
            "One or more parameters are invalid. Reason: Message must be shorter.",
        ));
    }
    let (group, mut deduplication) = (input.str("MessageGroupId"), input.str("MessageDeduplicationId"));
    let by_content = find(world, &key)?.content_based_deduplication;
    let fifo = is_fifo(&key.name);
    if fifo {
        if group.is_none() {
            return Err(ApiError::bad("MissingParameter", "The request must contain the parameter MessageGroupId."));
        }
        if deduplication.is_none() && by_content {
            deduplication = Some(digest::hex(&digest::sha256(body.as_bytes())));
        }
        if deduplication.is_none() {
            let text = "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly";
            return Err(ApiError::bad("InvalidParameterValue", text));
        }
    }
    let message = Message::new(world.uuid(), body.clone(), group, deduplication);
    let (now_ms, lifetime) = (world.now_ms, world.settings.fifo_deduplication_ms);
    let (id, sequence) = world
        .sqs
        .accept(&key, message, now_ms, lifetime)
        .ok_or_else(|| ApiError::new(403, "OverLimit", "the double keeps no more messages"))?;
    Ok(Node::map()
        .with("MessageId", id)
        .with("MD5OfMessageBody", digest::md5(body.as_bytes()))
        .with_some("SequenceNumber", fifo.then(|| sequence_text(sequence))))
}

/// A FIFO queue gives nothing of a group while an earlier message of it is in flight.
pub fn receive(world: &mut World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let key = queue_key(world, region, input)?;
    let most = input.int("MaxNumberOfMessages")?.unwrap_or(1);
    if !(1..=RECEIVE_MAX).contains(&most) {
        return Err(ApiError::bad("InvalidParameterValue", "MaxNumberOfMessages must be between 1 and 10."));
    }
    let timeout = visibility(input)?.unwrap_or(find(world, &key)?.visibility_timeout_ms);
    let (now_ms, fifo) = (world.now_ms, is_fifo(&key.name));
    let receipts: Vec<String> = (0..most).map(|_| world.random_id(40)).collect();
    let Some(queue) = world.sqs.queues.get_mut(&key) else { return Err(missing()) };
    let mut blocked: Vec<Option<String>> = if fifo {
        let in_flight = queue.messages.iter().filter(|one| one.visible_from_ms > now_ms && one.receipt.is_some());
        in_flight.map(|one| one.group.clone()).collect()
    } else {
        Vec::new()
    };
    let mut given = Vec::new();
    let mut receipts = receipts.into_iter();
    for message in &mut queue.messages {
        if message.visible_from_ms > now_ms || blocked.contains(&message.group) {
            blocked.extend(fifo.then(|| message.group.clone()));
            continue;
        }
        let Some(receipt) = receipts.next() else { break };
        message.visible_from_ms = now_ms + timeout;
        message.receipt = Some(receipt);
        message.received += 1;
        given.push(render(message, fifo));
    }
    if given.is_empty() { Ok(Node::map()) } else { Ok(Node::map().with("Messages", Node::List("Message", given))) }
}

fn render(message: &Message, fifo: bool) -> Node {
    let mut attributes = Node::map()
        .with("SentTimestamp", message.sent_ms.to_string())
        .with("ApproximateReceiveCount", message.received.to_string());
    if fifo {
        attributes = attributes
            .with("SequenceNumber", sequence_text(message.sequence))
            .with_some("MessageGroupId", message.group.as_ref())
            .with_some("MessageDeduplicationId", message.deduplication.as_ref());
    }
    Node::map()
        .with("MessageId", &message.id)
        .with_some("ReceiptHandle", message.receipt.as_ref())
        .with("MD5OfBody", digest::md5(message.body.as_bytes()))
        .with("Body", &message.body)
        .with("Attributes", attributes)
}

fn delete(world: &mut World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let key = queue_key(world, region, input)?;
    let receipt = input.need("ReceiptHandle")?;
    let (now_ms, fifo) = (world.now_ms, is_fifo(&key.name));
    let queue = world.sqs.queues.get_mut(&key).ok_or_else(missing)?;
    // A FIFO queue takes no receipt whose visibility is over.
    queue.messages.retain(|one| one.receipt.as_ref() != Some(&receipt) || (fifo && one.visible_from_ms <= now_ms));
    Ok(Node::map())
}

fn change_visibility(world: &mut World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let key = queue_key(world, region, input)?;
    let receipt = input.need("ReceiptHandle")?;
    let timeout =
        visibility(input)?.ok_or_else(|| ApiError::bad("MissingParameter", "VisibilityTimeout is missing"))?;
    let now_ms = world.now_ms;
    let queue = world.sqs.queues.get_mut(&key).ok_or_else(missing)?;
    let in_flight = |one: &&mut Message| one.receipt.as_ref() == Some(&receipt) && one.visible_from_ms > now_ms;
    let message = queue
        .messages
        .iter_mut()
        .find(in_flight)
        .ok_or_else(|| ApiError::bad("MessageNotInflight", "The specified message isn't in flight."))?;
    message.visible_from_ms = now_ms + timeout;
    Ok(Node::map())
}

fn attributes(world: &World, region: &str, input: &Node) -> Result<Node, ApiError> {
    let key = queue_key(world, region, input)?;
    let queue = find(world, &key)?;
    let in_flight = queue.messages.iter().filter(|one| one.visible_from_ms > world.now_ms).count();
    let visible = queue.messages.len() - in_flight;
    let mut all = vec![
        ("QueueArn", key.arn(&world.account)),
        ("ApproximateNumberOfMessages", visible.to_string()),
        ("ApproximateNumberOfMessagesNotVisible", in_flight.to_string()),
        ("VisibilityTimeout", (queue.visibility_timeout_ms / 1000).to_string()),
    ];
    if is_fifo(&key.name) {
        all.push(("FifoQueue", "true".to_owned()));
        all.push(("ContentBasedDeduplication", queue.content_based_deduplication.to_string()));
    }
    let names = input.str_list("AttributeNames");
    let wanted = |name: &str| names.iter().any(|one| one == "All" || one == name);
    let found = all.into_iter().filter(|(name, _)| wanted(name));
    Ok(Node::map().with("Attributes", found.fold(Node::map(), |node, (name, value)| node.with(name, value))))
}

fn visibility(input: &Node) -> Result<Option<u64>, ApiError> {
    let Some(seconds) = input.int("VisibilityTimeout")? else { return Ok(None) };
    if !(0..=VISIBILITY_SECONDS_MAX).contains(&seconds) {
        return Err(ApiError::bad("InvalidParameterValue", "VisibilityTimeout must be between 0 and 43200."));
    }
    Ok(u64::try_from(seconds).ok().map(|seconds| seconds * 1000))
}

fn queue_key(world: &World, region: &str, input: &Node) -> Result<QueueKey, ApiError> {
    let url = input.need("QueueUrl")?;
    let name = url.rsplit('/').next().unwrap_or_default().to_owned();
    let key = QueueKey { region: region.to_owned(), name };
    find(world, &key)?;
    Ok(key)
}

fn find<'a>(world: &'a World, key: &QueueKey) -> Result<&'a Queue, ApiError> {
    world.sqs.queues.get(key).ok_or_else(missing)
}

fn sequence_text(number: u64) -> String {
    format!("{:020}", 18_000_000_000_000_000_000u64 + number)
}

fn missing() -> ApiError {
    ApiError::bad("AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")
}
