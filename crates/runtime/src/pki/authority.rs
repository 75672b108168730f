//! Root and issuing authorities, and what they sign.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use mesh_core::access::{Identity, Role};
use mesh_core::time::Timestamp;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};
use rustls::pki_types::CertificateSigningRequestDer;
use time::OffsetDateTime;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{BACKDATE, ISSUING_LIFETIME, PkiError, ROOT_LIFETIME, first_certificate, write_pair};
use crate::clock::unix_now;
use crate::files;

/// Largest certificate request that is parsed.
const CSR_LEN_MAX: usize = 16 * 1024;
/// Most DNS names and addresses in one certificate.
const NAMES_MAX: usize = 16;

/// A certificate with its key.
#[derive(Clone, Debug)]
pub struct Issued {
    /// Leaf first, without the root.
    pub chain_pem: String,
    /// PKCS#8.
    pub key_pem: String,
}

/// Signs certificates of one mesh.
pub struct Authority {
    mesh: String,
    /// PEM of this authority's own certificate and of those between it and the root.
    certificate_pem: String,
    key_pem: String,
    is_root: bool,
    not_after: Timestamp,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("mesh", &self.mesh).field("is_root", &self.is_root).finish_non_exhaustive()
    }
}

impl Authority {
    /// A new self-signed root. Its key belongs to people, away from the machines that run the mesh.
    pub fn create(mesh: &str) -> Result<Self, PkiError> {
        let key = KeyPair::generate()?;
        let params = authority_params(mesh, "root", 1, ROOT_LIFETIME)?;
        let certificate_pem = params.self_signed(&key)?.pem();
        Self::from_pem(&certificate_pem, &key.serialize_pem())
    }

    /// A new issuing authority below this one: it signs programs and people, and no further authority.
    pub fn create_issuing(&self) -> Result<Self, PkiError> {
        let key = KeyPair::generate()?;
        let mut params = authority_params(&self.mesh, "issuing", 0, ISSUING_LIFETIME)?;
        params.not_after = params.not_after.min(date(self.not_after)?);
        let mut certificate_pem = params.signed_by(&key, &self.issuer)?.pem();
        if !self.is_root {
            certificate_pem.push_str(&self.certificate_pem);
        }
        Self::from_pem(&certificate_pem, &key.serialize_pem())
    }

    pub fn load(certificate: &Path, key: &Path) -> Result<Self, PkiError> {
        let read = |what, path: &Path| {
            let refuse = |reason| PkiError::File { what, path: path.display().to_string(), reason };
            let bytes = files::read_small(path).map_err(|err| refuse(err.to_string()))?;
            String::from_utf8(bytes).map_err(|_| refuse("not text".to_owned()))
        };
        Self::from_pem(&read("authority's certificate", certificate)?, &read("authority's key", key)?)
    }

    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Result<Self, PkiError> {
        let key = KeyPair::from_pem(key_pem)?;
        let der = first_certificate(certificate_pem)?;
        let unreadable = |err: String| PkiError::Crypto(format!("authority's certificate: {err}"));
        let (_, certificate) = X509Certificate::from_der(&der).map_err(|err| unreadable(err.to_string()))?;
        if !certificate.is_ca() {
            return Err(PkiError::NotAnAuthority);
        }
        if certificate.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return Err(PkiError::KeyMismatch);
        }
        let not_after = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or_default();
        Ok(Self {
            mesh: mesh_of(&certificate).ok_or(PkiError::NotAnAuthority)?,
            certificate_pem: certificate_pem.to_owned(),
            key_pem: key_pem.to_owned(),
            is_root: certificate.issuer() == certificate.subject(),
            not_after: Timestamp::from_millis(not_after.saturating_mul(1000)),
            issuer: Issuer::from_ca_cert_der(&der, key)?,
        })
    }

    pub fn save(&self, certificate: &Path, key: &Path) -> std::io::Result<()> {
        write_pair(certificate, key, &self.certificate_pem, &self.key_pem)
    }

    pub fn mesh(&self) -> &str {
        &self.mesh
    }

    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// For a root: what everyone's `authorities` file holds.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// A new key with a certificate. `names`: DNS names and IP addresses that it is reached by.
    pub fn issue(&self, identity: &Identity, names: &[String], lifetime: Duration) -> Result<Issued, PkiError> {
        let key = KeyPair::generate()?;
        Ok(Issued { chain_pem: self.sign(&key, identity, names, lifetime)?, key_pem: key.serialize_pem() })
    }

    /// Certifies the public key of a PKCS#10 request for `identity`; whatever else the request says is ignored.
    /// Returns the chain as PEM, leaf first.
    pub fn sign_csr(
        &self,
        csr_der: &[u8],
        identity: &Identity,
        names: &[String],
        lifetime: Duration,
    ) -> Result<String, PkiError> {
        if csr_der.len() > CSR_LEN_MAX {
            return Err(PkiError::BadRequest(format!("larger than {CSR_LEN_MAX} bytes")));
        }
        let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(csr_der));
        let request = request.map_err(|err| PkiError::BadRequest(err.to_string()))?;
        self.sign(&request.public_key, identity, names, lifetime)
    }

    fn sign(
        &self,
        public_key: &impl PublicKeyData,
        identity: &Identity,
        names: &[String],
        lifetime: Duration,
    ) -> Result<String, PkiError> {
        if identity.mesh != self.mesh {
            return Err(PkiError::WrongMesh { found: identity.mesh.clone(), expected: self.mesh.clone() });
        }
        if self.not_after <= unix_now() {
            return Err(PkiError::AuthorityExpired);
        }
        let mut params = leaf_params(identity, names, lifetime)?;
        params.not_after = params.not_after.min(date(self.not_after)?);
        let mut chain = params.signed_by(public_key, &self.issuer)?.pem();
        if !self.is_root {
            chain.push_str(&self.certificate_pem);
        }
        Ok(chain)
    }
}

fn leaf_params(identity: &Identity, names: &[String], lifetime: Duration) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = validity(lifetime)?;
    params.distinguished_name = common_name(&format!("{} {}", identity.role, identity.name));
    params.subject_alt_names = vec![SanType::URI(ascii(&identity.to_string())?)];
    if names.len() > NAMES_MAX {
        return Err(PkiError::BadRequest(format!("more than {NAMES_MAX} names")));
    }
    for name in names {
        params.subject_alt_names.push(match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(dns_name(name)?),
        });
    }
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    // Agents serve one another: promises.
    if matches!(identity.role, Role::Coordinator | Role::Agent) {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn authority_params(mesh: &str, kind: &str, path_len: u8, lifetime: Duration) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = validity(lifetime)?;
    params.distinguished_name = common_name(&format!("mesh {mesh} {kind}"));
    params.subject_alt_names = vec![SanType::URI(ascii(&format!("spiffe://{mesh}"))?)];
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_len));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn common_name(text: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, text);
    name
}

fn mesh_of(certificate: &X509Certificate<'_>) -> Option<String> {
    let san = certificate.subject_alternative_name().ok()??;
    san.value.general_names.iter().find_map(|name| match name {
        GeneralName::URI(uri) => uri.strip_prefix("spiffe://").map(str::to_owned),
        _ => None,
    })
}

fn dns_name(name: &str) -> Result<Ia5String, PkiError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if name.is_empty() || name.len() > 253 || !name.chars().all(allowed) {
        return Err(PkiError::BadName { name: name.chars().take(253).collect() });
    }
    ascii(name)
}

fn ascii(text: &str) -> Result<Ia5String, PkiError> {
    Ok(Ia5String::try_from(text)?)
}

fn validity(lifetime: Duration) -> Result<(OffsetDateTime, OffsetDateTime), PkiError> {
    let now = unix_now();
    let begin = Timestamp::from_millis(now.as_millis().saturating_sub(mesh_core::time::duration_millis(BACKDATE)));
    Ok((date(begin)?, date(now.plus(lifetime))?))
}

fn date(at: Timestamp) -> Result<OffsetDateTime, PkiError> {
    let seconds = i64::try_from(at.as_millis() / 1000).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|err| PkiError::Crypto(err.to_string()))
}
