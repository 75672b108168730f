use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use http::{HeaderMap, Method, Request, header};
use serde_json::Value;
use tokio::time::sleep;

use crate::double::{Double, now_ms};
use crate::eks::ClusterKey;
use crate::faults::{Kind, Strike};
use crate::kubernetes::access::{self, Identity};
use crate::kubernetes::request::Ask;
use crate::kubernetes::status::Status;
use crate::kubernetes::token::Token;
use crate::log::{Delivery, Effect, Outcome};
use crate::wire::request::{Call, Service};
use crate::world::settings::Unreachable;

pub enum Ending {
    Reply(Result<Value, Status>),
    /// No reply; the connection closes after this long.
    Lost(Duration),
}

#[derive(Clone)]
pub struct Attempt {
    pub double: Arc<Double>,
    cluster: ClusterKey,
    received_ms: u64,
    /// Without an Authorization header the caller is anonymous.
    token: Option<Result<Token, String>>,
    ask: Result<Ask, Status>,
    fault: Option<u64>,
    /// Known before the call is carried out: its reply will go nowhere.
    loses_reply: bool,
    pub logged: Option<u64>,
}

impl Attempt {
    pub fn new(double: Arc<Double>, cluster: ClusterKey, request: Request<Bytes>) -> Self {
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

    pub async fn run(&mut self) -> Ending {
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
                crate::kubernetes::call(world, &self.cluster, ask)
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

pub fn silence(double: &Double) -> Duration {
    double.world(|world| match world.settings.unreachable {
        Unreachable::Silent => Duration::from_millis(world.settings.lost_reply_ms),
        Unreachable::Reset => Duration::ZERO,
    })
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn struck(strike: &Strike, code: u16, reason: &str, message: &str) -> Status {
    Status::new(strike.status.unwrap_or(code), strike.code.as_deref().unwrap_or(reason), message)
}
