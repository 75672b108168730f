//! Refuses, before any handler runs, every call that [`mesh_core::access::TABLE`] does not allow its caller.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use mesh_core::access::{Identity, Role, TABLE, is_allowed, may_pass_on};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::identity::{Caller, ON_BEHALF_OF, Peer, PeerIdentity, PeerNames};

/// [`crate::grpc::serve`] puts it around all routes, so that no service can be mounted without it.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuthorizeLayer;

impl<S> Layer<S> for AuthorizeLayer {
    type Service = Authorize<S>;

    fn layer(&self, inner: S) -> Authorize<S> {
        Authorize { inner }
    }
}

#[derive(Clone, Debug)]
pub struct Authorize<S> {
    inner: S,
}

impl<S> Service<http::Request<Body>> for Authorize<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Send,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        match authorize(&request) {
            Ok((peer, caller)) => {
                let extensions = request.extensions_mut();
                extensions.insert(PeerIdentity(peer.identity));
                extensions.insert(PeerNames(peer.names));
                extensions.insert(Caller(caller));
                Box::pin(self.inner.call(request))
            }
            Err(refusal) => {
                tracing::info!(path = request.uri().path(), reason = refusal.message(), "call refused");
                Box::pin(std::future::ready(Ok(refusal.into_http())))
            }
        }
    }
}

/// The peer and the effective caller, or why the call is refused.
fn authorize<B>(request: &http::Request<B>) -> Result<(Peer, Identity), Status> {
    let peer = request.extensions().get::<Peer>();
    let peer = peer.ok_or_else(|| Status::unauthenticated("the connection has no identity"))?;
    let caller = effective_caller(&peer.identity, request.headers())?;
    let path = request.uri().path();
    if !is_allowed(caller.role, path) {
        return Err(Status::permission_denied(refusal(caller.role, path)));
    }
    if request.headers().contains_key(ON_BEHALF_OF) && !may_pass_on(caller.role, path) {
        return Err(Status::permission_denied(format!(
            "no coordinator calls {path} in the name of another {}",
            caller.role
        )));
    }
    Ok((peer.clone(), caller))
}

fn effective_caller(peer: &Identity, headers: &http::HeaderMap) -> Result<Identity, Status> {
    let mut values = headers.get_all(ON_BEHALF_OF).iter();
    let Some(value) = values.next() else { return Ok(peer.clone()) };
    if peer.role != Role::Coordinator {
        let text = format!("role {} may not speak for another; only a coordinator passes on requests", peer.role);
        return Err(Status::permission_denied(text));
    }
    if values.next().is_some() {
        return Err(Status::invalid_argument(format!("more than one {ON_BEHALF_OF}")));
    }
    let text = value.to_str().map_err(|_| Status::invalid_argument(format!("{ON_BEHALF_OF} is not ASCII")))?;
    let caller = text.parse::<Identity>();
    let caller = caller.map_err(|err| Status::invalid_argument(format!("{ON_BEHALF_OF}: {err}")))?;
    if caller.mesh != peer.mesh {
        let text = format!("{ON_BEHALF_OF}: identity of mesh {:?}, expected {:?}", caller.mesh, peer.mesh);
        return Err(Status::permission_denied(text));
    }
    Ok(caller)
}

/// `role viewer may not call /mesh.v1.Operator/StartRun; it needs operator or admin`
fn refusal(role: Role, path: &str) -> String {
    let Some((_, roles)) = TABLE.iter().find(|(listed, _)| *listed == path) else {
        return format!("role {role} may not call {path}; the mesh has no such call");
    };
    format!("role {role} may not call {path}; it needs {}", one_of(roles))
}

fn one_of(roles: &[Role]) -> String {
    let names: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
    match names.as_slice() {
        [] => "a role that does not exist".to_owned(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
