//! A certificate is accepted when an authority of ours signed it, it is valid now, and its identity is of our mesh;
//! a server must also be a coordinator or the very agent that was asked for. Host names do not count: addresses change,
//! identities do not.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore, SignatureScheme,
};

use mesh_core::access::{Identity, Role};

use super::{TlsError, names};
use crate::identity::{IdentityError, identity_in_mesh};

#[derive(Debug)]
pub(super) struct ClientVerifier {
    chain: Arc<dyn ClientCertVerifier>,
    mesh: String,
}

impl ClientVerifier {
    pub fn new(roots: Arc<RootCertStore>, mesh: &str, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
        let chain = builder.build().map_err(|err| TlsError::Settings(err.to_string()))?;
        Ok(Self { chain, mesh: mesh.to_owned() })
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        identity_in_mesh(end_entity, &self.mesh).map_err(refuse)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

#[derive(Debug)]
pub(super) struct ServerVerifier {
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
    mesh: String,
}

impl ServerVerifier {
    pub fn new(roots: Arc<RootCertStore>, mesh: &str, provider: &CryptoProvider) -> Self {
        Self { roots, algorithms: provider.signature_verification_algorithms, mesh: mesh.to_owned() }
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)?;
        let found = identity_in_mesh(end_entity, &self.mesh).map_err(refuse)?;
        wanted(found, server_name).map_err(refuse)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Who was asked for must answer. Two agents that advertise one address must not count as two, so the name is looked at.
fn wanted(found: Identity, name: &ServerName<'_>) -> Result<(), IdentityError> {
    let expected = if *name == names::coordinator() { Role::Coordinator } else { Role::Agent };
    if found.role != expected {
        return Err(IdentityError::WrongRole { found, expected });
    }
    if expected == Role::Agent && *name != names::agent(&found.name) {
        return Err(IdentityError::AnotherAgent { found });
    }
    Ok(())
}

fn refuse(reason: IdentityError) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(reason))))
}
