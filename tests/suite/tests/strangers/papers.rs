//! Certificates that strangers bring, and profiles that name them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mesh_core::access::Identity;
use mesh_runtime::clock::unix_now;
use mesh_runtime::pki::{Authority, Issued, write_pair};
use mesh_runtime::tls::{Identities, TlsFiles};
use mesh_suite::Rig;
use meshctl::profile::Profile;

pub const HOUR: Duration = Duration::from_secs(60 * 60);

pub fn identity(text: &str) -> Identity {
    text.parse().expect("an identity")
}

/// Of the person who may do everything.
pub fn admin(rig: &Rig) -> Profile {
    meshctl::profile::load(Some(&rig.stand.layout.profile())).expect("the profile was written")
}

pub fn coordinators(rig: &Rig) -> Vec<String> {
    admin(rig).coordinators
}

/// A certificate of the mesh's own authority.
pub fn issue(rig: &Rig, stem: &str, who: &str, lifetime: Duration) -> TlsFiles {
    let authority = rig.stand.layout.authority().expect("the mesh's authority");
    let issued = authority.issue(&identity(who), &[], lifetime).expect("a certificate");
    write(rig, stem, &issued, &admin(rig).tls.authorities)
}

/// A certificate of the mesh's own authority whose end is past: it holds through the whole second that it names.
pub async fn issue_expired(rig: &Rig, stem: &str, who: &str) -> TlsFiles {
    let tls = issue(rig, stem, who, Duration::ZERO);
    let chain = std::fs::read_to_string(&tls.certificate).expect("a certificate");
    let end = mesh_runtime::pki::inspect(&chain).expect("a certificate").not_after.plus(Duration::from_secs(1));
    while unix_now() < end {
        tokio::time::sleep(end.since(unix_now())).await;
    }
    tls
}

/// As [`issue`], ready for calls.
pub fn identities(rig: &Rig, stem: &str, who: &str) -> std::sync::Arc<Identities> {
    Identities::load(&issue(rig, stem, who, HOUR), "demo").expect("a certificate of the mesh")
}

/// A certificate of an authority that nobody here knows; it trusts `authorities`.
pub fn issue_elsewhere(rig: &Rig, stem: &str, who: &str, authorities: Option<&Path>) -> TlsFiles {
    let root = Authority::create(&identity(who).mesh).expect("another authority");
    let issued = root.issue(&identity(who), &[], HOUR).expect("a certificate");
    let own = rig.path(&format!("{stem}-ca.pem"));
    std::fs::write(&own, root.certificate_pem()).expect("writable");
    write(rig, stem, &issued, authorities.unwrap_or(&own))
}

/// A certificate that the mesh's own authority signed for another mesh, as a stolen or shared key would.
pub fn issue_for_another_mesh(rig: &Rig, stem: &str, who: &str) -> TlsFiles {
    let authorities = admin(rig).tls.authorities;
    let beside = |name: &str| std::fs::read_to_string(authorities.with_file_name(name)).expect("the issuing pair");
    let chain = beside("issuing.pem");
    let key = rcgen::KeyPair::from_pem(&beside("issuing.key")).expect("a key");
    let issuer = rcgen::Issuer::from_ca_cert_pem(&chain, key).expect("an authority");
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.subject_alt_names = vec![rcgen::SanType::URI(who.try_into().expect("ASCII"))];
    params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let key = rcgen::KeyPair::generate().expect("a key");
    let leaf = params.signed_by(&key, &issuer).expect("signed");
    let issued = Issued { chain_pem: format!("{}{chain}", leaf.pem()), key_pem: key.serialize_pem() };
    write(rig, stem, &issued, &authorities)
}

fn write(rig: &Rig, stem: &str, issued: &Issued, authorities: &Path) -> TlsFiles {
    let (certificate, key) = (rig.path(&format!("{stem}.pem")), rig.path(&format!("{stem}.key")));
    write_pair(&certificate, &key, &issued.chain_pem, &issued.key_pem).expect("writable");
    TlsFiles { certificate, key, authorities: authorities.to_owned() }
}

/// A profile that brings these papers to our coordinators.
pub fn profile(rig: &Rig, stem: &str, mesh: &str, tls: &TlsFiles) -> PathBuf {
    let path = rig.path(&format!("{stem}.profile.toml"));
    let text = format!("mesh = {mesh:?}\ncoordinators = {:?}\n{}", coordinators(rig), tls_table(tls));
    std::fs::write(&path, text).expect("writable");
    path
}

pub fn tls_table(tls: &TlsFiles) -> String {
    format!("[tls]\ncertificate = {:?}\nkey = {:?}\nauthorities = {:?}\n", tls.certificate, tls.key, tls.authorities)
}
