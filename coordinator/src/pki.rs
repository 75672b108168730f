//! Renewal of certificates: of those who ask, and of this node's own.

use std::path::PathBuf;
use std::sync::Arc;

use mesh_core::access::Identity;
use mesh_proto::v1;
use mesh_runtime::client::MeshClient;
use mesh_runtime::identity;
use mesh_runtime::pki::{Authority, PROGRAM_LIFETIME, PkiError};
use mesh_runtime::renew::{self, RenewError};
use mesh_runtime::tls::Identities;
use tonic::{Request, Response, Status};
use tracing::{info, warn};

use crate::node::Node;

/// The pair that signs renewals, read anew for each: it is replaced in place.
#[derive(Clone, Debug)]
pub struct IssuingFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl IssuingFiles {
    pub fn load(&self) -> Result<Authority, PkiError> {
        Authority::load(&self.certificate, &self.key)
    }

    fn sign(&self, csr: &[u8], identity: &Identity, names: &[String]) -> Result<String, PkiError> {
        self.load()?.sign_csr(csr, identity, names, PROGRAM_LIFETIME)
    }
}

pub struct PkiService {
    issuing: Option<IssuingFiles>,
}

impl PkiService {
    pub fn new(issuing: Option<IssuingFiles>) -> Self {
        Self { issuing }
    }
}

#[tonic::async_trait]
impl v1::pki_server::Pki for PkiService {
    async fn renew(&self, request: Request<v1::RenewRequest>) -> Result<Response<v1::RenewResponse>, Status> {
        let caller = identity::caller(&request)?;
        if identity::peer(&request)? != caller {
            return Err(Status::permission_denied("a certificate is renewed for the caller itself, not on its behalf"));
        }
        let issuing = self.issuing.as_ref().ok_or_else(|| {
            Status::failed_precondition(
                "this coordinator has no issuing key: set issuing_certificate and issuing_key in its [tls]",
            )
        })?;
        let names = identity::peer_names(&request);
        let signed = issuing.sign(&request.get_ref().csr, &caller, &names);
        let chain = signed.map_err(|error| refused(&caller, &error))?;
        info!(identity = %caller, "certificate renewed");
        Ok(Response::new(v1::RenewResponse { chain }))
    }
}

fn refused(caller: &Identity, error: &PkiError) -> Status {
    match error {
        PkiError::BadRequest(_) | PkiError::BadName { .. } => Status::invalid_argument(error.to_string()),
        PkiError::File { .. }
        | PkiError::KeyMismatch
        | PkiError::NotAnAuthority
        | PkiError::WrongMesh { .. }
        | PkiError::AuthorityExpired
        | PkiError::Crypto(_) => {
            warn!(identity = %caller, %error, "certificate not renewed: the issuing pair cannot be used");
            Status::failed_precondition(format!("the issuing pair cannot be used: {error}"))
        }
    }
}

/// Keeps this node's own certificate fresh: signed here if the issuing key is here, else by another coordinator.
pub async fn renew_own(node: Arc<Node>, identities: Arc<Identities>, issuing: Option<IssuingFiles>) {
    let files = identities.files().clone();
    let renewer = |csr: Vec<u8>| {
        let (node, identities, issuing) = (Arc::clone(&node), Arc::clone(&identities), issuing.clone());
        async move {
            match issuing {
                Some(issuing) => {
                    let subject = identities.current().subject.clone();
                    Ok(issuing.sign(&csr, &subject.identity, &subject.names)?)
                }
                None => renew::through(&others(&node, &identities)?, csr).await,
            }
        }
    };
    renew::run(Arc::clone(&identities), files, renewer, node.draining.clone()).await;
}

fn others(node: &Node, identities: &Arc<Identities>) -> Result<MeshClient, RenewError> {
    let members = node.replica.membership().members;
    let addresses: Vec<String> =
        members.into_iter().filter(|member| member.id != node.id).map(|member| member.address).collect();
    MeshClient::new(&addresses, identities).map_err(|error| RenewError::Call(error.to_string()))
}
