//! One table of role × call, enforced before any handler.

use mesh_core::access::{Role, TABLE, may_pass_on};
use mesh_runtime::identity;
use tonic::{Code, Request};

use crate::support::{MESH, REACHED, TestMesh, TestServer, call_path, every_service};

const START_RUN: &str = "/mesh.v1.Operator/StartRun";

#[tokio::test]
async fn every_cell_of_the_table_holds_on_the_wire() {
    let mesh = TestMesh::new(MESH);
    let server = TestServer::start(&mesh.identities(Role::Coordinator, "c1"), every_service()).await;
    for role in Role::ALL {
        let channel = server.channel(&mesh.identities(role, &format!("x-{role}")));
        for (path, roles) in TABLE {
            let status = call_path(&channel, path, None).await;
            let expected = if roles.contains(&role) { REACHED } else { Code::PermissionDenied };
            assert_eq!(status.code(), expected, "{role} calls {path}: {}", status.message());
        }
    }
}

#[tokio::test]
async fn a_call_that_the_table_does_not_list_is_refused_to_everyone() {
    let mesh = TestMesh::new(MESH);
    let server = TestServer::start(&mesh.identities(Role::Coordinator, "c1"), every_service()).await;
    for role in Role::ALL {
        let channel = server.channel(&mesh.identities(role, &format!("x-{role}")));
        for path in ["/mesh.v1.Operator/DropEverything", "/other.Service/Method", "/"] {
            let status = call_path(&channel, path, None).await;
            assert_eq!(status.code(), Code::PermissionDenied, "{role} calls {path}: {}", status.message());
        }
    }
}

#[tokio::test]
async fn a_refusal_says_which_role_may() {
    let mesh = TestMesh::new(MESH);
    let server = TestServer::start(&mesh.identities(Role::Coordinator, "c1"), every_service()).await;
    let viewer = server.channel(&mesh.identities(Role::Viewer, "vera"));
    let refusal = |path| call_path(&viewer, path, None);
    assert_eq!(
        refusal(START_RUN).await.message(),
        "role viewer may not call /mesh.v1.Operator/StartRun; it needs operator or admin"
    );
    assert_eq!(
        refusal("/mesh.v1.Pki/Renew").await.message(),
        "role viewer may not call /mesh.v1.Pki/Renew; it needs agent or coordinator"
    );
    assert_eq!(
        refusal("/mesh.v1.Operator/Nothing").await.message(),
        "role viewer may not call /mesh.v1.Operator/Nothing; the mesh has no such call"
    );
}

#[tokio::test]
async fn a_coordinator_speaks_with_the_rights_of_the_one_who_asked() {
    let mesh = TestMesh::new(MESH);
    let server = TestServer::start(&mesh.identities(Role::Coordinator, "c1"), every_service()).await;
    let channel = server.channel(&mesh.identities(Role::Coordinator, "c2"));
    let viewer = mesh.identity(Role::Viewer, "vera").to_string();
    let operator = mesh.identity(Role::Operator, "otto").to_string();

    let denied = call_path(&channel, START_RUN, Some(&viewer)).await;
    assert_eq!(denied.code(), Code::PermissionDenied, "{}", denied.message());
    assert!(denied.message().starts_with("role viewer may not"), "{}", denied.message());

    let allowed = call_path(&channel, START_RUN, Some(&operator)).await;
    assert_eq!((allowed.code(), allowed.message()), (REACHED, operator.as_str()), "the caller is the one who asked");

    let raft = call_path(&channel, "/mesh.v1.Raft/Vote", Some(&operator)).await;
    assert_eq!(raft.code(), Code::PermissionDenied, "an operator does not vote through a coordinator");
}

#[tokio::test]
async fn a_coordinator_speaks_for_another_only_in_what_is_passed_on() {
    let mesh = TestMesh::new(MESH);
    let server = TestServer::start(&mesh.identities(Role::Coordinator, "c1"), every_service()).await;
    let channel = server.channel(&mesh.identities(Role::Coordinator, "c2"));
    for role in Role::ALL {
        let another = mesh.identity(role, &format!("x-{role}")).to_string();
        for (path, _) in TABLE {
            let status = call_path(&channel, path, Some(&another)).await;
            let expected = if may_pass_on(role, path) { REACHED } else { Code::PermissionDenied };
            assert_eq!(status.code(), expected, "{path} for {role}: {}", status.message());
        }
    }
}

#[tokio::test]
async fn only_a_coordinator_speaks_for_another() {
    let mesh = TestMesh::new(MESH);
    let server = TestServer::start(&mesh.identities(Role::Coordinator, "c1"), every_service()).await;
    let admin = mesh.identity(Role::Admin, "ada").to_string();
    for role in Role::ALL.into_iter().filter(|role| *role != Role::Coordinator) {
        let channel = server.channel(&mesh.identities(role, &format!("x-{role}")));
        let status = call_path(&channel, START_RUN, Some(&admin)).await;
        assert_eq!(status.code(), Code::PermissionDenied, "{role}: {}", status.message());
        assert!(status.message().contains("may not speak for another"), "{role}: {}", status.message());
    }
}

#[tokio::test]
async fn a_coordinator_speaks_for_nobody_outside_its_mesh() {
    let mesh = TestMesh::new(MESH);
    let server = TestServer::start(&mesh.identities(Role::Coordinator, "c1"), every_service()).await;
    let channel = server.channel(&mesh.identities(Role::Coordinator, "c2"));
    let stranger = "spiffe://other/region/us-east-1/admin/ada";
    let denied = call_path(&channel, START_RUN, Some(stranger)).await;
    assert_eq!(denied.code(), Code::PermissionDenied);
    assert!(denied.message().contains("identity of mesh \"other\", expected \"demo\""), "{}", denied.message());
    let malformed = call_path(&channel, START_RUN, Some("ada")).await;
    assert_eq!(malformed.code(), Code::InvalidArgument, "{}", malformed.message());
}

#[test]
fn a_request_that_is_passed_on_carries_who_asked() {
    let mesh = TestMesh::new(MESH);
    let mut request = Request::new(());
    identity::speak_for(&mut request, &mesh.identity(Role::Operator, "otto"));
    let value = request.metadata().get(identity::ON_BEHALF_OF).expect("set");
    assert_eq!(value.to_str().expect("ASCII"), "spiffe://demo/region/us-east-1/operator/otto");
}

#[tokio::test]
async fn a_handler_without_the_layer_knows_no_caller() {
    let refused = identity::caller(&Request::new(())).expect_err("refused");
    assert_eq!(refused.code(), Code::Unauthenticated);
}
