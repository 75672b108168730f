//! The way of a request to a cluster: reach it, be known, meet its fault, be allowed, be carried out, be logged.

pub mod attempt;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use http::{HeaderValue, Request, Response, StatusCode, header};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::status::Status;
use crate::double::Double;
use crate::eks::ClusterKey;
use crate::http::{self as web, Lost};
use attempt::{Attempt, Ending, silence};

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
