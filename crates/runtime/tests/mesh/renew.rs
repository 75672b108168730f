//! Certificates renew themselves, and no crash leaves a pair that cannot be used.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mesh_core::access::Role;
use mesh_proto::v1::pki_server::{Pki, PkiServer};
use mesh_proto::v1::{RenewRequest, RenewResponse};
use mesh_runtime::client::MeshClient;
use mesh_runtime::pki::{self, Authority};
use mesh_runtime::renew::{self, RenewError};
use mesh_runtime::tls::{Identities, TlsFiles};
use mesh_runtime::{files, identity};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::support::{HOUR, MESH, PATIENCE, TestMesh, TestServer, every_service};

const LONGER: Duration = Duration::from_secs(2 * 3600);

struct Signer(Authority);

#[tonic::async_trait]
impl Pki for Signer {
    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        let (caller, names) = (identity::caller(&request)?, identity::peer_names(&request));
        let chain = self.0.sign_csr(&request.get_ref().csr, &caller, &names, LONGER);
        let chain = chain.map_err(|err| Status::invalid_argument(err.to_string()))?;
        Ok(Response::new(RenewResponse { chain }))
    }
}

fn pending(files: &TlsFiles) -> std::path::PathBuf {
    files::with_suffix(&files.key, ".next")
}

fn assert_pair_is_whole(files: &TlsFiles) {
    let text = |path| String::from_utf8(files::read_small(path).expect("read")).expect("text");
    let (chain, key) = (text(&files.certificate), text(&files.key));
    assert!(pki::is_for_key(&chain, &key).expect("readable"), "certificate and key belong together");
    assert!(!pending(files).exists(), "nothing is left beside them");
}

#[tokio::test]
async fn an_agent_renews_through_a_coordinator_and_uses_the_new_certificate_at_once() {
    let mesh = TestMesh::new(MESH);
    let signer = Signer(mesh.root.create_issuing().expect("an issuing authority"));
    let routes = Routes::new(PkiServer::new(signer));
    let server = TestServer::start(&mesh.identities(Role::Coordinator, "c1"), routes).await;
    let agent = mesh.identities(Role::Agent, "use1-a");
    let files = agent.files().clone();
    let before = agent.current().subject.clone();
    let client = MeshClient::new(&[server.address.to_string()], &agent).expect("addresses");

    let not_after = renew::renew_once(&agent, &files, |csr| renew::through(&client, csr)).await.expect("renewed");

    let after = agent.current().subject.clone();
    assert_eq!(after.not_after, not_after);
    assert!(not_after > before.not_after, "it lasts longer");
    assert_eq!((after.identity, after.names), (before.identity, before.names), "it is for the same, by the same names");
    assert_pair_is_whole(&files);
    let mode = std::fs::metadata(&files.key).expect("metadata").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let fresh = MeshClient::new(&[server.address.to_string()], &agent).expect("addresses");
    let request = pki::request().expect("a request");
    renew::through(&fresh, request.csr_der).await.expect("the new certificate opens connections");
}

#[tokio::test]
async fn the_next_coordinator_is_asked_when_one_has_no_issuing_key() {
    let mesh = TestMesh::new(MESH);
    let keyless = TestServer::start(&mesh.identities(Role::Coordinator, "c1"), every_service()).await;
    let routes = Routes::new(PkiServer::new(Signer(mesh.root.create_issuing().expect("an issuing authority"))));
    let signing = TestServer::start(&mesh.identities(Role::Coordinator, "c2"), routes).await;
    let agent = mesh.identities(Role::Agent, "use1-a");
    let addresses = [keyless.address.to_string(), signing.address.to_string()];
    let client = MeshClient::new(&addresses, &agent).expect("addresses");
    let request = pki::request().expect("a request");
    renew::through(&client, request.csr_der).await.expect("the second signs");
}

#[tokio::test]
async fn renewal_begins_by_itself_and_is_repeated_until_it_succeeds() {
    let mesh = TestMesh::new(MESH);
    let agent = mesh.identities_for(Role::Agent, "use1-a", Duration::from_secs(2), &[&mesh.root]);
    let (before, files) = (agent.not_after(), agent.files().clone());
    let signer = Arc::new(mesh.root.create_issuing().expect("an issuing authority"));
    let asked = Arc::new(AtomicUsize::new(0));
    let (identity, counter) = (agent.identity(), Arc::clone(&asked));
    let renewer = move |csr: Vec<u8>| {
        let first = counter.fetch_add(1, Ordering::SeqCst) == 0;
        let signed = signer.sign_csr(&csr, &identity, &[], HOUR);
        async move {
            if first {
                return Err(RenewError::Call("no leader".to_owned()));
            }
            Ok(signed?)
        }
    };
    let stop = CancellationToken::new();
    let running = tokio::spawn(renew::run(Arc::clone(&agent), files.clone(), renewer, stop.clone()));
    let renewed = async {
        while agent.not_after() <= before {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, renewed).await.expect("renewed");
    stop.cancel();
    tokio::time::timeout(PATIENCE, running).await.expect("it stops when told").expect("no panic");
    assert_eq!(asked.load(Ordering::SeqCst), 2, "once refused, once renewed, and then not before it is due");
    assert_pair_is_whole(&files);
}

#[tokio::test]
async fn an_answer_for_another_identity_or_key_is_not_taken() {
    let mesh = TestMesh::new(MESH);
    let agent = mesh.identities(Role::Agent, "use1-a");
    let files = agent.files().clone();
    let (own, foreign) = (agent.identity(), mesh.identity(Role::Admin, "mallory"));
    let before = std::fs::read(&files.certificate).expect("read");

    let for_another = renew::renew_once(&agent, &files, |csr| {
        let signed = mesh.issuing.sign_csr(&csr, &foreign, &[], LONGER);
        async move { Ok(signed?) }
    });
    assert!(matches!(for_another.await, Err(RenewError::Answer(_))), "another identity");
    let for_another_key = renew::renew_once(&agent, &files, |_| {
        let issued = mesh.issuing.issue(&own, &[], LONGER);
        async move { Ok(issued?.chain_pem) }
    });
    assert!(matches!(for_another_key.await, Err(RenewError::Answer(_))), "another key");
    let no_longer = renew::renew_once(&agent, &files, |csr| {
        let signed = mesh.issuing.sign_csr(&csr, &own, &[], Duration::from_secs(60));
        async move { Ok(signed?) }
    });
    assert!(matches!(no_longer.await, Err(RenewError::Answer(_))), "one that ends sooner");
    assert_eq!(std::fs::read(&files.certificate).expect("read"), before, "nothing was changed");
}

#[tokio::test]
async fn a_crash_before_the_certificate_is_in_place_leaves_the_old_pair() {
    let mesh = TestMesh::new(MESH);
    let files = mesh.files(Role::Agent, "use1-a", HOUR, &[&mesh.root]);
    let unused = pki::request().expect("a key");
    files::replace(&pending(&files), unused.key_pem.as_bytes(), 0o600).expect("written");
    Identities::load(&files, MESH).expect("the old pair is used");
}

#[tokio::test]
async fn a_crash_between_certificate_and_key_leaves_the_new_pair() {
    let mesh = TestMesh::new(MESH);
    let files = mesh.files(Role::Agent, "use1-a", HOUR, &[&mesh.root]);
    let own = mesh.identity(Role::Agent, "use1-a");
    let request = pki::request().expect("a request");
    let chain = mesh.issuing.sign_csr(&request.csr_der, &own, &[], LONGER).expect("signed");
    files::replace(&pending(&files), request.key_pem.as_bytes(), 0o600).expect("written");
    files::replace(&files.certificate, chain.as_bytes(), 0o644).expect("written");

    let identities = Identities::load(&files, MESH).expect("the new pair is used");
    assert_eq!(identities.not_after(), pki::inspect(&chain).expect("readable").not_after);
    let refused = renew::renew_once(&identities, &files, |_| async { Err(RenewError::Call("down".to_owned())) });
    refused.await.expect_err("no answer");
    Identities::load(&files, MESH).expect("a failed renewal does not lose the key");
    let renewed = renew::renew_once(&identities, &files, |csr| {
        let signed = mesh.issuing.sign_csr(&csr, &own, &[], LONGER + HOUR);
        async move { Ok(signed?) }
    });
    renewed.await.expect("renewed");
    assert_pair_is_whole(&files);
}
