//! The certificates of a cluster's API server, made anew with each start.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Context as _;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

pub struct Identity {
    pub authority_pem: String,
    pub acceptor: TlsAcceptor,
}

pub fn identity(cluster: &str, ip: IpAddr) -> anyhow::Result<Identity> {
    let mut authority = CertificateParams::new(Vec::new()).context("an authority")?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    authority.distinguished_name.push(DnType::CommonName, format!("kubernetes {cluster}"));
    let authority_key = KeyPair::generate().context("an authority's key")?;
    let authority_certificate = authority.self_signed(&authority_key).context("an authority's certificate")?;
    let issuer = Issuer::new(authority, authority_key);
    let names = vec![ip.to_string(), "kubernetes".to_owned(), "localhost".to_owned()];
    let mut leaf = CertificateParams::new(names).context("a server's names")?;
    leaf.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    leaf.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().context("a server's key")?;
    let certificate = leaf.signed_by(&key, &issuer).context("a server's certificate")?;
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .context("TLS versions")?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .context("a server's certificate")?;
    Ok(Identity { authority_pem: authority_certificate.pem(), acceptor: TlsAcceptor::from(Arc::new(config)) })
}
