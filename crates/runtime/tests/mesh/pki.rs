//! What the authorities sign, and what they refuse to.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use mesh_core::access::Role;
use mesh_runtime::clock::unix_now;
use mesh_runtime::pki::{self, Authority, BACKDATE, PkiError};
use rcgen::{CertificateParams, KeyPair, SanType};

use crate::support::{HOUR, MESH, TestMesh};

#[test]
fn a_leaf_says_who_it_is_for_and_how_long() {
    let mesh = TestMesh::new(MESH);
    let identity = mesh.identity(Role::Coordinator, "c1");
    let names = ["10.0.0.1".to_owned(), "c1.example.org".to_owned()];
    let issued = mesh.issuing.issue(&identity, &names, HOUR).expect("issued");
    let subject = pki::inspect(&issued.chain_pem).expect("readable");
    assert_eq!(subject.identity, identity);
    assert_eq!(subject.names, names);
    assert_eq!(subject.lifetime(), HOUR + BACKDATE, "dated back for clocks that are behind");
    assert!(subject.not_before < unix_now() && subject.not_after > unix_now());
    assert!(pki::is_for_key(&issued.chain_pem, &issued.key_pem).expect("readable"));
    assert_eq!(issued.chain_pem.matches("BEGIN CERTIFICATE").count(), 2, "leaf and issuing, not the root");
}

#[test]
fn of_a_request_only_the_public_key_is_used() {
    let mesh = TestMesh::new(MESH);
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    let admin = mesh.identity(Role::Admin, "mallory").to_string();
    params.subject_alt_names = vec![SanType::URI(admin.as_str().try_into().expect("ASCII"))];
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let csr = params.serialize_request(&key).expect("a request");
    let agent = mesh.identity(Role::Agent, "use1-a");
    let chain = mesh.issuing.sign_csr(csr.der(), &agent, &[], HOUR).expect("signed");
    assert_eq!(pki::inspect(&chain).expect("readable").identity, agent);
    assert!(pki::is_for_key(&chain, &key.serialize_pem()).expect("readable"));
    assert!(Authority::from_pem(&chain, &key.serialize_pem()).is_err(), "a leaf is no authority");
}

#[test]
fn a_request_that_is_no_request_is_refused() {
    let mesh = TestMesh::new(MESH);
    let agent = mesh.identity(Role::Agent, "use1-a");
    let mut tampered = pki::request().expect("a request").csr_der;
    if let Some(last) = tampered.last_mut() {
        *last ^= 1;
    }
    for bad in [Vec::new(), b"junk".to_vec(), vec![0x30; 100_000], tampered] {
        let refused = mesh.issuing.sign_csr(&bad, &agent, &[], HOUR).expect_err("refused");
        assert!(matches!(refused, PkiError::BadRequest(_)), "{refused}");
    }
}

#[test]
fn an_authority_signs_for_its_own_mesh_alone() {
    let (mesh, other) = (TestMesh::new(MESH), TestMesh::new("other"));
    let refused = mesh.issuing.issue(&other.identity(Role::Agent, "a"), &[], HOUR).expect_err("refused");
    assert!(matches!(refused, PkiError::WrongMesh { .. }), "{refused}");
}

#[test]
fn a_leaf_does_not_outlast_its_issuer() {
    let mesh = TestMesh::new(MESH);
    let long = Duration::from_secs(50 * 365 * 24 * 3600);
    let issued = mesh.issuing.issue(&mesh.identity(Role::Viewer, "vera"), &[], long).expect("issued");
    assert_eq!(pki::inspect(&issued.chain_pem).expect("readable").not_after, mesh.issuing.not_after());
}

#[test]
fn names_that_are_neither_dns_nor_ip_are_refused() {
    let mesh = TestMesh::new(MESH);
    for bad in ["", "a b", "x/y", "*.example.org", "é.example.org"] {
        let refused = mesh.issuing.issue(&mesh.identity(Role::Viewer, "v"), &[bad.to_owned()], HOUR);
        assert!(refused.is_err(), "{bad:?} must be refused");
    }
}

#[test]
fn an_authority_is_loaded_as_it_was_saved_and_its_key_is_private() {
    let mesh = TestMesh::new(MESH);
    let (certificate, key) = (mesh.dir.path().join("issuing.pem"), mesh.dir.path().join("issuing.key"));
    mesh.issuing.save(&certificate, &key).expect("saved");
    let loaded = Authority::load(&certificate, &key).expect("loaded");
    assert_eq!((loaded.mesh(), loaded.not_after()), (MESH, mesh.issuing.not_after()));
    loaded.issue(&mesh.identity(Role::Viewer, "vera"), &[], HOUR).expect("it signs");
    let mode = std::fs::metadata(&key).expect("metadata").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    mesh.root.save(&mesh.dir.path().join("ca.pem"), &key).expect("saved");
    assert!(matches!(Authority::load(&certificate, &key), Err(PkiError::KeyMismatch)));
}
