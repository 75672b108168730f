use std::time::Duration;

use mesh_core::access::{Role, enroll_subject, loss_subject};
use mesh_core::ids::KeyId;
use mesh_core::time::Timestamp;
use mesh_proto::v1;
use mesh_proto::v1::pki_client::PkiClient;
use mesh_runtime::clock::unix_now;
use mesh_runtime::pki::approval::{self, ApprovalKey};
use mesh_runtime::pki::{self, inspect};
use tonic::Code;

use crate::fixture::{run, start_failover};
use crate::world::{MESH, World};

const HOUR: Duration = Duration::from_secs(3600);

async fn enroll(world: &World, name: &str, owner: &str) -> ApprovalKey {
    let key = approval::generate().expect("a key");
    let request = v1::EnrollKeyRequest {
        key: name.to_owned(),
        owner: owner.to_owned(),
        public_key: key.public_key.to_vec(),
        approvals: Vec::new(),
    };
    world.operator(1, Role::Admin, "ann").enroll_key(request).await.expect("enrolled");
    key
}

fn sign(key: &ApprovalKey, name: &str, subject: &str, expires_at: Timestamp) -> v1::Approval {
    let signature = approval::sign(&key.key_pem, MESH, subject, expires_at).expect("signed");
    let expires_at = expires_at.as_millis();
    v1::Approval { key: name.to_owned(), subject: subject.to_owned(), expires_at, signature, at: 0 }
}

#[tokio::test]
async fn the_third_key_needs_the_first_two_and_the_refusal_says_what_to_sign() {
    let world = World::start(1).await;
    let (first, second) = (enroll(&world, "k1", "ann").await, enroll(&world, "k2", "bob").await);
    let third = approval::generate().expect("a key");
    let request = |approvals| v1::EnrollKeyRequest {
        key: "k3".to_owned(),
        owner: "cyd".to_owned(),
        public_key: third.public_key.to_vec(),
        approvals,
    };
    let mut admin = world.operator(1, Role::Admin, "ann");
    let status = admin.enroll_key(request(Vec::new())).await.expect_err("refused");
    assert_eq!(status.code(), Code::FailedPrecondition);
    let subject = status.metadata().get("mesh-needs-approval").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let hex: String = third.public_key.iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = enroll_subject(&KeyId::new("k3").expect("a name"), "cyd", &hex);
    assert_eq!(subject.as_deref(), Some(expected.as_str()));
    let until = unix_now().plus(HOUR);
    let mut forged = sign(&second, "k2", &expected, until);
    forged.signature[7] ^= 1;
    let status = admin.enroll_key(request(vec![sign(&first, "k1", &expected, until), forged])).await;
    assert_eq!(status.expect_err("refused").code(), Code::PermissionDenied, "a broken signature counts for nothing");
    let both = vec![sign(&first, "k1", &expected, until), sign(&second, "k2", &expected, until)];
    admin.enroll_key(request(both)).await.expect("enrolled");
    assert_eq!(world.shared.with_fleet(|fleet| fleet.keys.len()), 3);
}

#[tokio::test]
async fn an_approval_counts_only_from_its_keys_owner_for_this_run_and_while_it_holds() {
    let world = World::start(1).await;
    let key = enroll(&world, "k1", "ann").await;
    enroll(&world, "k2", "bob").await;
    world.shared.apply(&world.shared.with_fleet(start_failover));
    let subject = world.shared.with_fleet(|fleet| {
        let known = &fleet.runs[&run("maip-g1")];
        loss_subject(&known.id, &known.plan_hash, &known.loss)
    });
    let until = unix_now().plus(HOUR);
    let approve = |approval| v1::ApproveRequest { run: "maip-g1".to_owned(), approval: Some(approval) };
    let mut ann = world.operator(1, Role::Approver, "ann");
    for (refused, code, why) in [
        (sign(&key, "k1", "accept-loss maip-g2 00", until), Code::InvalidArgument, "another run"),
        (sign(&key, "k2", &subject, until), Code::PermissionDenied, "another's key"),
        (sign(&key, "k1", &subject, Timestamp::from_millis(1)), Code::InvalidArgument, "expired"),
        (sign(&key, "k1", &subject, unix_now().plus(25 * HOUR)), Code::InvalidArgument, "valid for too long"),
    ] {
        let status = ann.approve(approve(refused)).await.expect_err(why);
        assert_eq!(status.code(), code, "{why}: {status}");
    }
    let good = sign(&key, "k1", &subject, until);
    let mut bob = world.operator(1, Role::Approver, "bob");
    assert_eq!(bob.approve(approve(good.clone())).await.expect_err("not his").code(), Code::PermissionDenied);
    let answer = ann.approve(approve(good.clone())).await.expect("taken").into_inner();
    assert_eq!(answer.missing, 1);
    let answer = ann.approve(approve(good)).await.expect("taken").into_inner();
    assert_eq!(answer.missing, 1, "one person twice is still one person");
}

#[tokio::test]
async fn a_certificate_is_renewed_for_the_callers_own_identity() {
    let world = World::start(2).await;
    let request = pki::request().expect("a request");
    let renew = |csr: &[u8]| v1::RenewRequest { csr: csr.to_vec() };
    let mut client = PkiClient::new(world.channel(1, Role::Agent, "use1-a"));
    let chain = client.renew(renew(&request.csr_der)).await.expect("renewed").into_inner().chain;
    let subject = inspect(&chain).expect("a certificate");
    assert_eq!(subject.identity.to_string(), "spiffe://test/region/us-east-1/agent/use1-a");
    assert_eq!(subject.names, ["127.0.0.1"], "a renewal keeps the names");
    let broken = client.renew(renew(b"no request")).await.expect_err("refused");
    assert_eq!(broken.code(), Code::InvalidArgument);
    let mut other = PkiClient::new(world.channel(2, Role::Agent, "use1-a"));
    let refused = other.renew(renew(&request.csr_der)).await.expect_err("refused");
    assert_eq!(refused.code(), Code::FailedPrecondition, "no issuing key there");
}
