//! The way of a request to a cluster: reach it, be known, meet its fault, be allowed, be carried out, be logged.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::access::{self, Identity};
use super::request::Ask;
use super::status::Status;
use super::token::Token;
use crate::double::{Double, now_ms};
use crate::eks::ClusterKey;
use crate::faults::{Kind, Strike};
use crate::http::{self as web, Lost};
use crate::log::{Delivery, Effect, Outcome};
use crate::wire::request::{Call, Service};
use crate::world::settings::Unreachable;

const CONNECTIONS_MAX: usize = 1024;
const HANDSHAKE: Duration = Duration::from_secs(10);
const RETRY_AFTER_SECONDS: &str = "1";

pub async fn serve(double: Arc<Double>, listener: TcpListener, acceptor: TlsAcceptor, cluster: ClusterKey) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let Ok(slot) = slots.clone().try_acquire_owned() else { continue };
        let (double, acceptor, cluster) = (double.clone(), acceptor.clone(), cluster.clone());
        tokio::spawn(async move {
            converse(double, stream, acceptor, cluster).await;
            drop(slot);
        });
    }
}

async fn converse(double: Arc<Double>, stream: TcpStream, acceptor: TlsAcceptor, cluster: ClusterKey) {
    // A dead region does not even shake hands.
    if !double.world(|world| world.is_alive(&cluster.region)) {
        sleep(silence(&double)).await;
        return;
    }
    match timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            web::converse(stream, move |request| handle(double.clone(), cluster.clone(), request)).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "no handshake"),
        Err(_) => tracing::debug!("a handshake took too long"),
    }
}

fn silence(double: &Double) -> Duration {
    double.world(|world| match world.settings.unreachable {
        Unreachable::Silent => Duration::from_millis(world.settings.lost_reply_ms),
        Unreachable::Reset => Duration::ZERO,
    })
}

enum Ending {
    Reply(Result<Value, Status>),
    /// No reply; the connection closes after this long.
    Lost(Duration),
}

/// In a task of its own: what was sent is carried out even if its sender gives up.
async fn handle(double: Arc<Double>, cluster: ClusterKey, request: Request<Bytes>) -> Result<Response<Body>, Lost> {
    let (sender, receiver) = oneshot::channel();
    tokio::spawn(async move {
        let mut attempt = Attempt::new(double, cluster, request);
        let ending = attempt.run().await;
        let lost = matches!(ending, Ending::Lost(_));
        let unheard = sender.send(ending).is_err();
        if (lost || unheard)
            && let Some(seq) = attempt.logged
        {
            attempt.double.log(|log| log.reply_was_lost(seq));
        }
    });
    match receiver.await {
        Ok(Ending::Reply(result)) => Ok(respond(result)),
        Ok(Ending::Lost(after)) => {
            sleep(after).await;
            Err(Lost)
        }
        Err(_) => Err(Lost),
    }
}

#[derive(Clone)]
struct Attempt {
    double: Arc<Double>,
    cluster: ClusterKey,
    received_ms: u64,
    /// Without an Authorization header the caller is anonymous.
    token: Option<Result<Token, String>>,
    ask: Result<Ask, Status>,
    fault: Option<u64>,
    /// Known before the call is carried out: its reply will go nowhere.
    loses_reply: bool,
    logged: Option<u64>,
}

impl Attempt {
    fn new(double: Arc<Double>, cluster: ClusterKey, request: Request<Bytes>) -> Self {
        let (head, body) = request.into_parts();
        let content_type = text(&head.headers, header::CONTENT_TYPE.as_str()).unwrap_or_default();
        let method: Method = head.method;
        let ask = Ask::read(&method, head.uri.path(), head.uri.query().unwrap_or_default(), &content_type, &body);
        let token = text(&head.headers, header::AUTHORIZATION.as_str()).map(|value| match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Token::parse(token.trim()),
            _ => Err("no bearer token".to_owned()),
        });
        Self { double, cluster, received_ms: now_ms(), token, ask, fault: None, loses_reply: false, logged: None }
    }

    async fn run(&mut self) -> Ending {
        if !self.is_reachable() {
            return self.unreachable();
        }
        let refused = self.identify().err().or_else(|| self.ask.as_ref().err().cloned());
        if let Some(status) = refused {
            return self.refuse(status);
        }
        let operation = self.operation();
        let region = self.cluster.region.clone();
        let strike = self.double.faults(|faults| faults.strike(Service::Kubernetes, [&region, &region], &operation));
        self.fault = strike.as_ref().map(|strike| strike.fault);
        match strike {
            Some(strike) => self.meet(strike).await,
            None => self.apply(),
        }
    }

    async fn meet(&mut self, mut strike: Strike) -> Ending {
        let delay = Duration::from_millis(strike.delay_ms.unwrap_or(0));
        match strike.kind {
            Kind::Error => self.refuse(struck(&strike, 500, "InternalError", "Internal error occurred")),
            Kind::Throttle => {
                self.refuse(struck(&strike, 429, "TooManyRequests", "Too many requests, please try again later."))
            }
            Kind::TimeoutNotApplied => {
                self.log(Outcome::Dropped, None);
                Ending::Lost(self.lost_after(&strike))
            }
            Kind::TimeoutApplied => {
                self.loses_reply = true;
                self.apply();
                Ending::Lost(self.lost_after(&strike))
            }
            Kind::HoldBefore => {
                strike.released().await;
                self.apply()
            }
            Kind::HoldAfter => {
                let ending = self.apply();
                strike.released().await;
                ending
            }
            Kind::Slow => {
                sleep(delay).await;
                self.apply()
            }
            Kind::Late => {
                strike.delay_ms = None;
                let mut later = self.clone();
                later.loses_reply = true;
                tokio::spawn(async move {
                    sleep(delay).await;
                    later.apply();
                });
                Ending::Lost(self.lost_after(&strike))
            }
        }
    }

    /// The moment at which the API server carries the request out, or will not.
    fn apply(&mut self) -> Ending {
        if !self.is_reachable() {
            return self.unreachable();
        }
        let result = self.identify().and_then(|identity| {
            let ask = self.ask.as_ref().map_err(Clone::clone)?;
            self.double.world(|world| {
                let cluster = world.eks.clusters.get(&self.cluster).ok_or_else(|| Status::internal("no cluster"))?;
                access::authorize(cluster, &identity, ask)?;
                super::call(world, &self.cluster, ask)
            })
        });
        match &result {
            Ok(_) => self.log(Outcome::Applied, None),
            Err(status) => self.log(Outcome::Refused, Some(status.reason.clone())),
        }
        Ending::Reply(result)
    }

    fn identify(&self) -> Result<Identity, Status> {
        let found = match &self.token {
            None => Ok(Identity::Anonymous),
            Some(Err(why)) => Err(why.clone()),
            Some(Ok(token)) => self.double.world(|world| token.verify(world, &self.cluster)),
        };
        found.map_err(|why| {
            tracing::info!(cluster = %self.cluster, why, "a token was refused");
            Status::unauthorized()
        })
    }

    fn access_key(&self) -> String {
        let token = self.token.as_ref().and_then(|token| token.as_ref().ok());
        token.map(|token| token.access_key().to_owned()).unwrap_or_default()
    }

    fn is_reachable(&self) -> bool {
        let access_key = self.access_key();
        self.double.world(|world| {
            let from = world.access_keys.get(&access_key).and_then(|key| key.region.clone());
            world.reaches(from.as_deref(), &self.cluster.region)
        })
    }

    fn unreachable(&mut self) -> Ending {
        self.log(Outcome::Dropped, None);
        Ending::Lost(silence(&self.double))
    }

    fn lost_after(&self, strike: &Strike) -> Duration {
        let ms = strike.delay_ms.unwrap_or_else(|| self.double.world(|world| world.settings.lost_reply_ms));
        Duration::from_millis(ms)
    }

    fn refuse(&mut self, status: Status) -> Ending {
        self.log(Outcome::Refused, Some(status.reason.clone()));
        Ending::Reply(Err(status))
    }

    fn operation(&self) -> String {
        self.ask.as_ref().map(|ask| ask.operation().to_owned()).unwrap_or_default()
    }

    fn log(&mut self, outcome: Outcome, error: Option<String>) {
        let operation = self.operation();
        let at_ms = self.double.world(|world| world.now_ms);
        let effect = Effect {
            seq: 0,
            received_ms: self.received_ms,
            at_ms,
            service: Service::Kubernetes.name().to_owned(),
            region: self.cluster.region.clone(),
            resource: self.resource(),
            parameters: self.ask.as_ref().map(|ask| ask.body.clone()).unwrap_or_default(),
            outcome,
            error,
            reply: if self.loses_reply || outcome == Outcome::Dropped { Delivery::Lost } else { Delivery::Sent },
            mutating: !operation.is_empty() && Call::mutates(&operation),
            operation,
            access_key: self.access_key(),
            fault: self.fault,
        };
        self.logged = Some(self.double.log(|log| log.add(effect)));
    }

    /// `cluster/namespace/name`, as far as the request names them.
    fn resource(&self) -> String {
        let scope = self.ask.as_ref().map(|ask| ask.scope.clone()).unwrap_or_default();
        let parts = [self.cluster.name.as_str(), &scope.namespace, &scope.name];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn struck(strike: &Strike, code: u16, reason: &str, message: &str) -> Status {
    Status::new(strike.status.unwrap_or(code), strike.code.as_deref().unwrap_or(reason), message)
}

fn respond(result: Result<Value, Status>) -> Response<Body> {
    match result {
        Ok(body) => web::json(StatusCode::OK, &body),
        Err(status) => {
            let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = web::json(code, &status.to_json());
            if code == StatusCode::TOO_MANY_REQUESTS {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
            }
            response
        }
    }
}
