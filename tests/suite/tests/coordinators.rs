//! Membership, leadership, and the audit of what was decided.

use mesh_suite::Rig;

#[tokio::test]
async fn leadership_moves_when_it_is_told_to_and_the_audit_verifies() {
    let rig = Rig::raise().await;
    let leader = rig.leader().await;
    let target = (1..=3).find(|node| format!("coordinator-{node}") != leader).expect("another node").to_string();
    rig.ctl(&["coordinator", "transfer", &target, "--yes"]).await.expect(0);
    let mesh = rig.mesh();
    let deadline = std::time::Instant::now() + mesh_suite::rig::LONG;
    while rig.leader().await != format!("coordinator-{target}") {
        assert!(std::time::Instant::now() < deadline, "node {target} never led");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(mesh.status(false).await.is_ok());

    rig.ctl(&["audit", "verify"]).await.expect(0);
    let file = rig.path("audit.bin");
    let path = file.display().to_string();
    rig.ctl(&["audit", "export", "-o", &path]).await.expect(0);
    rig.ctl(&["audit", "verify", &path]).await.expect(0);
    let mut bytes = std::fs::read(&file).expect("the export");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x01;
    std::fs::write(&file, &bytes).expect("a changed export");
    rig.ctl(&["audit", "verify", &path]).await.expect(1);
}

#[tokio::test]
async fn a_removal_needs_two_people_once_keys_are_enrolled() {
    let rig = Rig::raise().await;
    let leader = rig.leader().await;
    let other = (1..=3).find(|node| format!("coordinator-{node}") != leader).expect("another node").to_string();
    let refused = rig.ctl(&["coordinator", "remove", &other, "--yes"]).await;
    assert_ne!(refused.code, 0, "{refused:?}");
    assert!(refused.stderr.contains("approv"), "{}", refused.stderr);
    let subject = format!("membership remove {other}");
    let mut files = Vec::new();
    for person in ["ann", "bob"] {
        let file = rig.path(&format!("{person}.approval")).display().to_string();
        let key = rig.stand.layout.key(person).display().to_string();
        let sign = ["approval", "sign", "--subject", &subject, "--key", &key, "-o", &file, "--yes"];
        rig.ctl_as(person, &sign).await.expect(0);
        files.push(file);
    }
    let remove = ["coordinator", "remove", &other, "--approval", &files[0], "--approval", &files[1], "--yes"];
    rig.ctl(&remove).await.expect(0);
    let status = rig.mesh().membership().await.expect("a membership");
    assert_eq!(status.members.len(), 2, "{status:?}");
}
