//! The sample application of a region. It keeps one pooled session with its region's database, as applications do: the
//! pool outlives a change of the security group, and not a reboot.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use http::{Request, Response, StatusCode};
use rand::Rng as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::apigateway;
use crate::double::Double;
use crate::http::{self as web, Lost};
use crate::rds::InstanceKey;
use crate::rds::data::{self, Refusal, Session};
use crate::world::settings::Unreachable;
use crate::world::{RegionState, World};

const BIND_ATTEMPTS: usize = 200;
const ID_MAX: usize = 200;

/// A listener for each: one port number, an address each (a loopback one where none is given), so that one URL works
/// wherever a name points.
pub async fn bind(addresses: &[Option<IpAddr>]) -> std::io::Result<Vec<TcpListener>> {
    let mut last = std::io::Error::other("no port was free on all addresses");
    for _ in 0..BIND_ATTEMPTS {
        match bind_once(addresses).await {
            Ok(listeners) => return Ok(listeners),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn bind_once(addresses: &[Option<IpAddr>]) -> std::io::Result<Vec<TcpListener>> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    for address in addresses {
        let port = match listeners.first() {
            Some(first) => first.local_addr()?.port(),
            None => 0,
        };
        let ip = address.unwrap_or_else(|| random_address().into());
        listeners.push(TcpListener::bind(SocketAddr::new(ip, port)).await?);
    }
    Ok(listeners)
}

fn random_address() -> Ipv4Addr {
    let mut rng = rand::rng();
    Ipv4Addr::new(127, rng.random_range(1..=254), rng.random_range(1..=254), rng.random_range(1..=254))
}

pub async fn serve(double: Arc<Double>, listener: TcpListener, region: String) {
    web::serve(listener, move |request| answer(double.clone(), region.clone(), request)).await;
}

async fn answer(double: Arc<Double>, region: String, request: Request<Bytes>) -> Result<Response<Body>, Lost> {
    let (up, settings) = double.world(|world| (world.region_state(&region) == RegionState::Up, world.settings.clone()));
    if !up {
        if settings.unreachable == Unreachable::Silent {
            sleep(Duration::from_millis(settings.lost_reply_ms)).await;
        }
        return Err(Lost);
    }
    let (method, path) = (request.method().as_str(), request.uri().path());
    let (status, body) = match (method, path) {
        ("GET" | "HEAD", "/actuator/health") => health(&double, &region),
        (_, "/orders") if !double.world(|world| admitted(world, &region, method)) => {
            (StatusCode::TOO_MANY_REQUESTS, json!({ "message": "Too Many Requests" }))
        }
        ("POST", "/orders") => order(&double, &region, request.body()),
        ("GET", "/orders") => orders(&double, &region),
        ("GET", "/") => (StatusCode::OK, json!({ "service": "sample", "region": region })),
        _ => (StatusCode::NOT_FOUND, json!({ "error": "no such path" })),
    };
    Ok(web::json(status, &body))
}

fn health(double: &Double, region: &str) -> (StatusCode, Value) {
    match double.world(|world| with_session(world, region, |world, session| data::check_writable(world, session))) {
        Ok(()) => (StatusCode::OK, json!({ "status": "UP", "region": region, "writable": true })),
        Err(refusal) => {
            let body = json!({ "status": "DOWN", "region": region, "writable": false, "reason": reason(refusal) });
            (StatusCode::SERVICE_UNAVAILABLE, body)
        }
    }
}

fn order(double: &Double, region: &str, body: &[u8]) -> (StatusCode, Value) {
    let given = serde_json::from_slice::<Value>(body).ok().and_then(|body| Some(body.get("id")?.as_str()?.to_owned()));
    let id = given.unwrap_or_else(|| double.world(World::uuid));
    if id.is_empty() || id.len() > ID_MAX || id.contains(char::is_whitespace) {
        return (StatusCode::BAD_REQUEST, json!({ "error": "an order's id is one short word" }));
    }
    match double.world(|world| with_session(world, region, |world, session| data::write(world, session, &id))) {
        Ok(count) => (StatusCode::CREATED, json!({ "id": id, "region": region, "n": count })),
        Err(refusal) => (StatusCode::SERVICE_UNAVAILABLE, json!({ "error": reason(refusal), "region": region })),
    }
}

fn orders(double: &Double, region: &str) -> (StatusCode, Value) {
    let ids = double.world(|world| {
        with_session(world, region, |world, session| {
            let instance = data::check(world, session)?;
            Ok(instance.writes.iter().map(|write| write.id.clone()).collect::<Vec<_>>())
        })
    });
    match ids {
        Ok(ids) => (StatusCode::OK, json!({ "region": region, "orders": ids })),
        Err(refusal) => (StatusCode::SERVICE_UNAVAILABLE, json!({ "error": reason(refusal) })),
    }
}

fn admitted(world: &World, region: &str, method: &str) -> bool {
    let gateway = world.apps.get(region).and_then(|app| app.gateway.as_ref());
    gateway.is_none_or(|(api, stage)| apigateway::admits(world, region, api, stage, &format!("{method} /orders")))
}

/// With the pooled session, or a new one where that has ended.
fn with_session<T>(
    world: &mut World,
    region: &str,
    act: impl FnOnce(&mut World, &Session) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let app = world.apps.get(region).ok_or(Refusal::NoSuchDatabase)?;
    let key = InstanceKey { region: region.to_owned(), id: app.database.clone() };
    let pooled = app.session.clone().filter(|session| data::check(world, session).is_ok());
    let session = match pooled {
        Some(session) => session,
        None => data::open(world, &key)?,
    };
    if let Some(app) = world.apps.get_mut(region) {
        app.session = Some(session.clone());
    }
    act(world, &session)
}

fn reason(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::NoSuchDatabase => "there is no database",
        Refusal::RegionDown => "the database's region is down",
        Refusal::NotServing => "the database is not serving",
        Refusal::GroupClosed => "the database cannot be reached",
        Refusal::SessionEnded => "the database ended the session",
        Refusal::ReadOnly => "the database is read-only",
        Refusal::Full => "the database is full",
    }
}
