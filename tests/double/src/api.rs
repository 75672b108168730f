//! The way of an API request: reach the region, be authentic, meet its fault, be carried out, be logged, be answered.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::double::{Double, now_ms};
use crate::error::ApiError;
use crate::faults::{Kind, Strike};
use crate::http::Lost;
use crate::log::{Delivery, Effect, Outcome};
use crate::wire::request::{Call, Protocol, Raw, Service};
use crate::wire::sigv4::{Received, Signature};
use crate::wire::{Node, clock, json, reply};
use crate::world::settings::Unreachable;
use crate::{ecs, iam, route53, sqs};

const POLL: Duration = Duration::from_millis(20);

enum Ending {
    Reply(reply::Reply),
    /// No reply; the connection closes after this long.
    Lost(Duration),
}

/// Handles a request in a task of its own: what was sent is carried out even if its sender gives up.
pub async fn handle(double: Arc<Double>, request: Request<Bytes>) -> Result<Response<Body>, Lost> {
    let (sender, receiver) = oneshot::channel();
    tokio::spawn(async move {
        let mut attempt = Attempt::new(double.clone(), request);
        let ending = attempt.run().await;
        let lost = matches!(ending, Ending::Lost(_));
        let unheard = sender.send(ending).is_err();
        if lost || unheard {
            attempt.reply_was_lost();
        }
    });
    match receiver.await {
        Ok(Ending::Reply(reply)) => Ok(respond(reply)),
        Ok(Ending::Lost(after)) => {
            sleep(after).await;
            Err(Lost)
        }
        Err(_) => Err(Lost),
    }
}

struct Attempt {
    double: Arc<Double>,
    method: Method,
    path: String,
    query: String,
    headers: http::HeaderMap,
    body: Bytes,
    received_ms: u64,
    service: Option<Service>,
    protocol: Protocol,
    scope: (String, String),
    access_key: String,
    operation: String,
    input: Node,
    fault: Option<u64>,
    /// Known before the call is carried out: its reply will go nowhere.
    loses_reply: bool,
    logged: Option<u64>,
}

impl Attempt {
    fn new(double: Arc<Double>, request: Request<Bytes>) -> Self {
        let (head, body) = request.into_parts();
        Self {
            double,
            method: head.method,
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: head.headers,
            body,
            received_ms: now_ms(),
            service: None,
            protocol: Protocol::Query,
            scope: (String::new(), String::new()),
            access_key: String::new(),
            operation: String::new(),
            input: Node::map(),
            fault: None,
            loses_reply: false,
            logged: None,
        }
    }

    async fn run(&mut self) -> Ending {
        match self.admit() {
            Ok(Admitted::Call(admitted)) => self.meet(admitted.0, admitted.1).await,
            Ok(Admitted::Unreachable) => self.unreachable(),
            Err(error) => self.refuse(error),
        }
    }

    /// Everything before the service itself sees the call.
    fn admit(&mut self) -> Result<Admitted, ApiError> {
        let signature = Signature::parse(&self.headers)?;
        self.scope = (signature.service.clone(), signature.region.clone());
        self.access_key.clone_from(&signature.access_key);
        if self.headers.contains_key("x-amz-target") {
            self.protocol = Protocol::Json;
        }
        let service = Service::named(&signature.service)
            .ok_or_else(|| ApiError::unsupported(format!("the service {}", signature.service)))?;
        self.service = Some(service);
        let raw = Raw {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &self.headers,
            body: &self.body,
        };
        self.protocol = raw.protocol(service);
        let operation = raw.operation(service);
        let input = raw.input(service);
        self.operation = operation.as_ref().cloned().unwrap_or_default();
        self.input = input.as_ref().cloned().unwrap_or_else(|_| Node::map());
        if !self.is_reachable(service) {
            return Ok(Admitted::Unreachable);
        }
        self.authenticate(&signature)?;
        let call = Call {
            service,
            region: signature.region.clone(),
            protocol: self.protocol,
            operation: operation?,
            input: input?,
            access_key: signature.access_key.clone(),
        };
        Ok(Admitted::Call(Box::new((call, signature))))
    }

    fn is_reachable(&self, service: Service) -> bool {
        self.double.world(|world| {
            let from = world.access_keys.get(&self.access_key).and_then(|key| key.region.clone());
            world.reaches(from.as_deref(), &world.home_of(service, &self.scope.1))
        })
    }

    fn authenticate(&self, signature: &Signature) -> Result<(), ApiError> {
        let (key, known, now, lifetime) = self.double.world(|world| {
            let key = world.access_keys.get(&signature.access_key).cloned();
            let known = world.regions.contains_key(&signature.region);
            (key, known, world.now_ms, world.settings.signature_lifetime_ms)
        });
        let invalid =
            || ApiError::new(403, "InvalidClientTokenId", "The security token included in the request is invalid.");
        let key = key.ok_or_else(invalid)?;
        if self.headers.contains_key("x-amz-security-token") {
            return Err(invalid());
        }
        signature.check_lifetime(now, lifetime)?;
        let received = Received {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &self.headers,
            body: &self.body,
        };
        signature.verify(&key.secret, &received)?;
        if known {
            return Ok(());
        }
        Err(ApiError::unsupported(format!("the region {}: it is not in the world file", signature.region)))
    }

    async fn meet(&mut self, call: Call, signature: Signature) -> Ending {
        let home = self.double.world(|world| world.home_of(call.service, &call.region));
        let strike = self.double.faults(|faults| faults.strike(call.service, [&call.region, &home], &call.operation));
        self.fault = strike.as_ref().map(|strike| strike.fault);
        let Some(mut strike) = strike else { return self.apply(call, &signature).await };
        let delay = Duration::from_millis(strike.delay_ms.unwrap_or(0));
        match strike.kind {
            Kind::Error | Kind::Throttle => self.refuse(struck(call.service, &strike)),
            Kind::TimeoutNotApplied => {
                self.log(Outcome::Dropped, None);
                Ending::Lost(self.lost_after(&strike))
            }
            Kind::TimeoutApplied => {
                self.loses_reply = true;
                self.apply(call, &signature).await;
                Ending::Lost(self.lost_after(&strike))
            }
            Kind::HoldBefore => {
                strike.released().await;
                self.apply(call, &signature).await
            }
            Kind::HoldAfter => {
                let ending = self.apply(call, &signature).await;
                strike.released().await;
                ending
            }
            Kind::Slow => {
                sleep(delay).await;
                self.apply(call, &signature).await
            }
            Kind::Late => {
                strike.delay_ms = None;
                let closes_after = self.lost_after(&strike);
                self.arrive_later(call, signature, delay);
                Ending::Lost(closes_after)
            }
        }
    }

    /// The sender is told nothing; the request is on its way still.
    fn arrive_later(&self, call: Call, signature: Signature, delay: Duration) {
        let request = Request::from_parts(Request::new(()).into_parts().0, self.body.clone());
        let mut later = Self::new(self.double.clone(), request);
        (later.received_ms, later.loses_reply) = (self.received_ms, true);
        (later.service, later.protocol, later.fault) = (self.service, self.protocol, self.fault);
        (later.scope, later.access_key) = (self.scope.clone(), self.access_key.clone());
        (later.operation, later.input) = (self.operation.clone(), self.input.clone());
        tokio::spawn(async move {
            sleep(delay).await;
            later.apply(call, &signature).await;
        });
    }

    /// The moment at which the service carries the call out, or will not.
    async fn apply(&mut self, call: Call, signature: &Signature) -> Ending {
        if !self.is_reachable(call.service) {
            return self.unreachable();
        }
        let wait_until = now_ms() + if call.operation == "ReceiveMessage" { sqs::wait_ms(&call.input) } else { 0 };
        let (result, accepting) = loop {
            let (result, accepting) = self.double.world(|world| {
                let lifetime = world.settings.signature_lifetime_ms;
                let mut result = signature.check_lifetime(world.now_ms, lifetime);
                if result.is_ok() && call.service == Service::Route53 {
                    result = route53::throttle(world);
                }
                let result = result.and_then(|()| iam::authorize(world, &call)).and_then(|()| world.call(&call));
                let accepts = call.operation == "ChangeResourceRecordSets" && result.is_ok();
                (result, if accepts { route53::batch::accepting_ms(world, &call.input) } else { 0 })
            });
            let empty = result.as_ref().is_ok_and(|node| node.get("Messages").is_none());
            if !empty || now_ms() >= wait_until {
                break (result, accepting);
            }
            sleep(POLL).await;
        };
        match &result {
            Ok(_) => self.log(Outcome::Applied, None),
            Err(error) => self.log(Outcome::Refused, Some(error.code.clone())),
        }
        sleep(Duration::from_millis(accepting)).await;
        self.encode(&result)
    }

    fn refuse(&mut self, error: ApiError) -> Ending {
        self.log(Outcome::Refused, Some(error.code.clone()));
        self.encode(&Err(error))
    }

    fn unreachable(&mut self) -> Ending {
        self.log(Outcome::Dropped, None);
        let (how, lost_reply_ms) =
            self.double.world(|world| (world.settings.unreachable, world.settings.lost_reply_ms));
        Ending::Lost(match how {
            Unreachable::Silent => Duration::from_millis(lost_reply_ms),
            Unreachable::Reset => Duration::ZERO,
        })
    }

    fn lost_after(&self, strike: &Strike) -> Duration {
        let ms = strike.delay_ms.unwrap_or_else(|| self.double.world(|world| world.settings.lost_reply_ms));
        Duration::from_millis(ms)
    }

    fn encode(&self, result: &Result<Node, ApiError>) -> Ending {
        let service = self.service.unwrap_or(Service::Sts);
        let (request_id, now, own) =
            self.double.world(|world| (world.uuid(), world.now_ms, world.settings.route53_own_batch_error));
        let mut reply = match result {
            Err(error) if own && error.code == "InvalidChangeBatch" => reply::own_batch_error(&request_id, error),
            _ => reply::encode(service, self.protocol, &self.operation, &request_id, result),
        };
        reply.headers.push(("date", clock::http_date(now)));
        Ending::Reply(reply)
    }

    fn log(&mut self, outcome: Outcome, error: Option<String>) {
        let at_ms = self.double.world(|world| world.now_ms);
        let mutating = self.service.is_some() && Call::mutates(&self.operation);
        let effect = Effect {
            seq: 0,
            received_ms: self.received_ms,
            at_ms,
            service: self.service.map_or_else(|| self.scope.0.clone(), |service| service.name().to_owned()),
            region: self.scope.1.clone(),
            operation: self.operation.clone(),
            resource: resource(self.service, &self.input),
            parameters: parameters(&self.input),
            outcome,
            error,
            reply: if self.loses_reply || outcome == Outcome::Dropped { Delivery::Lost } else { Delivery::Sent },
            mutating,
            access_key: self.access_key.clone(),
            fault: self.fault,
        };
        self.logged = Some(self.double.log(|log| log.add(effect)));
    }

    fn reply_was_lost(&self) {
        if let Some(seq) = self.logged {
            self.double.log(|log| log.reply_was_lost(seq));
        }
    }
}

enum Admitted {
    Call(Box<(Call, Signature)>),
    Unreachable,
}

/// In the service's own words, unless the fault names others.
fn struck(service: Service, strike: &Strike) -> ApiError {
    let (status, code, message) = match (strike.kind, service) {
        (Kind::Throttle, Service::DynamoDb) => {
            let message = "The level of configured throughput was exceeded.";
            (400, "ProvisionedThroughputExceededException", message)
        }
        (Kind::Throttle, Service::Eks) => (429, "ThrottlingException", "Rate exceeded"),
        (Kind::Throttle, Service::Ecs) => (400, "ThrottlingException", "Rate exceeded"),
        (Kind::Throttle, Service::ApiGateway) => (429, "TooManyRequestsException", "Too Many Requests"),
        (Kind::Throttle, Service::Kafka) => (429, "TooManyRequestsException", "429 response"),
        (Kind::Throttle, _) => (400, "Throttling", "Rate exceeded"),
        (_, Service::DynamoDb) => (500, "InternalServerError", "Internal server error"),
        (_, Service::Eks | Service::Ecs) => {
            (500, "ServerException", "These errors are usually caused by a server-side issue.")
        }
        (_, Service::Kafka) => (500, "InternalServerErrorException", "An error occurred."),
        _ => (500, "InternalFailure", "The request processing has failed."),
    };
    ApiError::new(strike.status.unwrap_or(status), strike.code.as_deref().unwrap_or(code), message)
}

/// What the call is about, as far as one name tells.
fn resource(service: Option<Service>, input: &Node) -> String {
    let path = |names: [&str; 2]| {
        let parts = names.iter().filter_map(|name| input.str(name)).map(|name| ecs::short(&name).to_owned());
        parts.collect::<Vec<_>>().join("/")
    };
    match service {
        Some(Service::Eks) if input.get("clusterName").is_some() => return path(["clusterName", "nodegroupName"]),
        Some(Service::Eks) => return path(["name", "nodegroupName"]),
        Some(Service::Ecs) => return path(["cluster", "service"]),
        Some(Service::ApiGateway) => return path(["apiId", "stageName"]),
        Some(Service::Kafka) => return input.str("clusterArn").unwrap_or_default(),
        _ => {}
    }
    let names = [
        "DBInstanceIdentifier",
        "TableName",
        "SourceIdentifier",
        "TopicArn",
        "QueueUrl",
        "QueueName",
        "AlarmName",
        "MetricName",
        "Id",
    ];
    names.iter().find_map(|name| input.str(name)).map(|name| route53::bare(&name).to_owned()).unwrap_or_default()
}

fn parameters(input: &Node) -> Value {
    let mut value = plain(input);
    if let Some(entries) = value.as_object_mut() {
        entries.remove("Action");
        entries.remove("Version");
    }
    value
}

/// JSON in which a list is an array, whichever protocol brought it.
fn plain(node: &Node) -> Value {
    const ITEMS: [&str; 2] = ["Change", "ResourceRecord"];
    match node {
        Node::Map(entries) => match entries.as_slice() {
            [(_, list @ Node::List(..))] => plain(list),
            [(name, _), ..] if ITEMS.contains(&name.as_str()) => entries.iter().map(|(_, item)| plain(item)).collect(),
            _ => Value::Object(entries.iter().map(|(name, node)| (name.clone(), plain(node))).collect()),
        },
        Node::List(_, items) => items.iter().map(plain).collect(),
        other => json::to_value(other),
    }
}

fn respond(reply: reply::Reply) -> Response<Body> {
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in reply.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
