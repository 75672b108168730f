//! Who is at the other end of a connection, and for whom it speaks.
//!
//! A certificate holds exactly one URI name, `spiffe://MESH/region/REGION/ROLE/NAME`. The acceptor puts it into every
//! request as [`Peer`]; [`crate::access::AuthorizeLayer`] adds [`PeerIdentity`] and the [`Caller`]: the peer itself or,
//! when the peer is a coordinator that passes a request on, the one it speaks for.

use std::net::SocketAddr;
use std::time::Duration;

use mesh_core::access::{Identity, Role};
use mesh_core::time::Timestamp;
use tonic::{Request, Status};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Request metadata with which a coordinator passes on a request: the identity of the one who asked.
pub const ON_BEHALF_OF: &str = "mesh-on-behalf-of";

/// The identity in the certificate of the connection's other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity(pub Identity);

/// DNS names and IP addresses in the peer's certificate: a renewal keeps them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerNames(pub Vec<String>);

/// The effective caller, put into a request by the authorization layer alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller(pub Identity);

/// The connection's other end, as the acceptor verified it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub identity: Identity,
    pub names: Vec<String>,
    pub address: SocketAddr,
}

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    pub identity: Identity,
    /// DNS names and IP addresses.
    pub names: Vec<String>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

impl Subject {
    pub fn lifetime(&self) -> Duration {
        self.not_after.since(self.not_before)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error("the certificate cannot be read: {0}")]
    Unreadable(String),
    #[error("the certificate holds no identity (a URI name spiffe://MESH/region/REGION/ROLE/NAME)")]
    Missing,
    #[error("the certificate holds {0} URI names, expected exactly one identity")]
    Several(usize),
    #[error("{0}")]
    Malformed(String),
    #[error("identity of mesh {found:?}, expected {expected:?}")]
    WrongMesh { found: String, expected: String },
    #[error("identity {found} has role {role}, expected {expected}", role = found.role)]
    WrongRole { found: Identity, expected: Role },
    #[error("identity {found} is not the agent that was asked for")]
    AnotherAgent { found: Identity },
}

/// Reads the identity, names and validity of a DER certificate. Verifies no signature.
pub fn subject_of(der: &[u8]) -> Result<Subject, IdentityError> {
    let unreadable = |err: String| IdentityError::Unreadable(err);
    let (_, certificate) = X509Certificate::from_der(der).map_err(|err| unreadable(err.to_string()))?;
    let (mut uris, mut names) = (Vec::new(), Vec::new());
    for extension in certificate.extensions() {
        let ParsedExtension::SubjectAlternativeName(san) = extension.parsed_extension() else { continue };
        for name in &san.general_names {
            match name {
                GeneralName::URI(uri) => uris.push(*uri),
                GeneralName::DNSName(dns) => names.push((*dns).to_owned()),
                GeneralName::IPAddress(bytes) => names.extend(ip_text(bytes)),
                _ => {}
            }
        }
    }
    let uri = match uris.as_slice() {
        [] => return Err(IdentityError::Missing),
        [uri] => *uri,
        several => return Err(IdentityError::Several(several.len())),
    };
    let identity = uri.parse::<Identity>().map_err(|err| IdentityError::Malformed(err.to_string()))?;
    let validity = certificate.validity();
    let (not_before, not_after) = (stamp(validity.not_before.timestamp()), stamp(validity.not_after.timestamp()));
    Ok(Subject { identity, names, not_before, not_after })
}

/// The identity of a certificate that must belong to `mesh`.
pub fn identity_in_mesh(der: &[u8], mesh: &str) -> Result<Identity, IdentityError> {
    let identity = subject_of(der)?.identity;
    if identity.mesh != mesh {
        return Err(IdentityError::WrongMesh { found: identity.mesh, expected: mesh.to_owned() });
    }
    Ok(identity)
}

/// The effective caller of a request: whose role was checked, and whose name goes into the audit.
pub fn caller<T>(request: &Request<T>) -> Result<Identity, Status> {
    let caller = request.extensions().get::<Caller>().map(|caller| caller.0.clone());
    caller.ok_or_else(|| Status::unauthenticated("the request came without an identity"))
}

/// The connection's other end, whomever it speaks for.
pub fn peer<T>(request: &Request<T>) -> Result<Identity, Status> {
    let peer = request.extensions().get::<PeerIdentity>().map(|peer| peer.0.clone());
    peer.ok_or_else(|| Status::unauthenticated("the connection has no identity"))
}

/// DNS names and IP addresses in the certificate of the connection's other end.
pub fn peer_names<T>(request: &Request<T>) -> Vec<String> {
    request.extensions().get::<PeerNames>().map(|names| names.0.clone()).unwrap_or_default()
}

/// Marks a request that a coordinator passes on with the identity of the one who asked.
pub fn speak_for<T>(request: &mut Request<T>, caller: &Identity) {
    let value = caller.to_string().parse().expect("an identity is ASCII without control characters");
    request.metadata_mut().insert(ON_BEHALF_OF, value);
}

fn stamp(unix_seconds: i64) -> Timestamp {
    Timestamp::from_millis(u64::try_from(unix_seconds).unwrap_or_default().saturating_mul(1000))
}

fn ip_text(bytes: &[u8]) -> Option<String> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(v4).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|v6| std::net::Ipv6Addr::from(v6).to_string())
}
