//! People with a certificate or a role that does not fit, and what they may not send.

use std::path::Path;

use mesh_suite::Rig;
use mesh_suite::ctl::{Said, meshctl};

use crate::papers::{self, HOUR};

const EVE: &str = "spiffe://demo/region/us-east-1/admin/eve";
const MOVE: [&str; 4] = ["failover", "--to", "us-west-2", "--yes"];

pub async fn a_certificate_that_does_not_fit_is_refused(rig: &Rig) {
    let trusted = papers::admin(rig).tls.authorities;
    let expired = papers::issue_expired(rig, "expired", EVE).await;
    let of_another_authority = papers::issue_elsewhere(rig, "foreign", EVE, Some(&trusted));
    let trusting_another = papers::issue_elsewhere(rig, "foreigner", EVE, None);
    let of_another_mesh = papers::issue_for_another_mesh(rig, "other", "spiffe://other/region/us-east-1/admin/eve");
    for (mesh, tls, says, hint) in [
        ("demo", &expired, "our certificate expired", "meshctl pki issue"),
        ("demo", &of_another_authority, "refused our certificate", "issued by this mesh's CA"),
        ("demo", &trusting_another, "authority that we do not trust", "`authorities` in [tls]"),
        ("demo", &of_another_mesh, "mesh \"other\", expected \"demo\"", "meshctl pki issue"),
        ("other", &of_another_mesh, "mesh \"demo\", expected \"other\"", "belongs to a coordinator of this mesh"),
    ] {
        let stem = tls.certificate.file_stem().expect("a name").to_string_lossy().into_owned() + mesh;
        let profile = papers::profile(rig, &stem, mesh, tls);
        for command in [MOVE.as_slice(), &["status"], &["status", "--stale"]] {
            refused(&profile, command, 4, &[says, hint]).await;
        }
    }
}

pub async fn a_role_may_do_what_the_table_says_and_no_more(rig: &Rig) {
    let profile = |stem: &str, who: &str| papers::profile(rig, stem, "demo", &papers::issue(rig, stem, who, HOUR));
    let viewer = profile("viewer", "spiffe://demo/region/us-east-1/viewer/vic");
    let operator = profile("olga", "spiffe://demo/region/us-east-1/operator/olga");
    let agent = profile("agent", "spiffe://demo/region/us-east-1/agent/use1-a");
    let coordinator = profile("node", "spiffe://demo/region/us-east-1/coordinator/coordinator-1");
    meshctl(&viewer, &["status"]).await.expect(0);

    let needs_operator = ["viewer", "it needs operator or admin", "--profile"];
    refused(&viewer, &MOVE, 4, &needs_operator).await;
    refused(&viewer, &["abort", "maip-g1", "--reason", "mine", "--yes"], 4, &needs_operator).await;
    refused(&viewer, &["failover", "--to", "us-west-2", "--dry-run"], 4, &needs_operator).await;

    let (key, public) = (rig.path("mallory.key"), rig.path("mallory.key.pub"));
    let (key, public) = (key.display().to_string(), public.display().to_string());
    meshctl(&operator, &["keys", "generate", "--name", "mallory", "--owner", "olga", "-o", &key]).await.expect(0);
    let needs_admin = ["operator", "it needs admin"];
    refused(&operator, &["keys", "enroll", &public, "--yes"], 4, &needs_admin).await;
    refused(&operator, &["keys", "revoke", "ann", "--yes"], 4, &needs_admin).await;
    refused(&operator, &["coordinator", "remove", "3", "--yes"], 4, &needs_admin).await;
    let manifest = rig.stand.layout.manifest();
    let text = std::fs::read_to_string(&manifest).expect("the manifest") + "# mine\n";
    let mine = write(rig, "mine.yaml", &text);
    refused(&operator, &["apply", "-f", &mine, "--yes"], 4, &needs_admin).await;

    for program in [&agent, &coordinator] {
        let role = if program == &agent { "role agent" } else { "role coordinator" };
        refused(program, &MOVE, 4, &[role]).await;
        refused(program, &["keys", "enroll", &public, "--yes"], 4, &[role]).await;
    }
    refused(&agent, &["status"], 4, &["role agent", "viewer, operator, approver or admin"]).await;
}

pub async fn a_manifest_that_is_too_large_is_refused_where_it_stands(rig: &Rig) {
    let good = std::fs::read_to_string(rig.stand.layout.manifest()).expect("the manifest");
    // Valid but for its size, at once beyond every limit and just above the smallest.
    for (name, bytes) in [("huge.yaml", 2 * 1024 * 1024), ("large.yaml", 300 * 1024)] {
        let path = write(rig, name, &format!("{good}# {}\n", "x".repeat(bytes)));
        let limit = ["1:1", "bytes", "at most"];
        let found = meshctl(&rig.stand.layout.profile(), &["validate", "-f", &path]).await.expect(1);
        assert!(limit.iter().all(|word| found.stdout.contains(word)), "{found:?}");
        refused(
            &rig.stand.layout.profile(),
            &["apply", "-f", &path, "--yes"],
            3,
            &[&limit[..], &["validate"]].concat(),
        )
        .await;
    }
}

fn write(rig: &Rig, name: &str, text: &str) -> String {
    let path = rig.path(name);
    std::fs::write(&path, text).expect("writable");
    path.display().to_string()
}

pub async fn refused(profile: &Path, command: &[&str], code: i32, says: &[&str]) -> Said {
    let said = meshctl(profile, command).await;
    assert_eq!(said.code, code, "{command:?} with {}: {said:?}", profile.display());
    for word in says {
        assert!(said.stderr.contains(word), "{command:?} must say {word:?}: {}", said.stderr);
    }
    said
}
