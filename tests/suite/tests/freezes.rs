//! What ends a freeze, on real processes.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that finds something else fails its test"
)]

use mesh_suite::Rig;

#[tokio::test]
async fn ending_a_freeze_says_what_stays_frozen() {
    let rig = Rig::raise_by_itself("").await;
    rig.ctl(&["freeze", "maip", "--for", "1h", "--reason", "a release"]).await.expect(0);
    rig.ctl(&["freeze", "--for", "1h", "--reason", "an exercise"]).await.expect(0);
    let said = rig.ctl(&["unfreeze", "maip"]).await.expect(0).stdout;
    assert!(said.contains("every service is still frozen") && said.contains("`meshctl unfreeze` ends that"), "{said}");
    rig.ctl(&["freeze", "maip", "--for", "1h", "--reason", "a release"]).await.expect(0);
    let said = rig.ctl(&["unfreeze"]).await.expect(0).stdout;
    assert!(said.contains("maip is still frozen") && said.contains("`meshctl unfreeze maip` ends that"), "{said}");
    let said = rig.ctl(&["unfreeze", "maip"]).await.expect(0).stdout;
    assert!(said.contains("maip: no longer frozen") && !said.contains("still"), "{said}");
    let again = rig.ctl(&["unfreeze", "maip"]).await;
    assert!(again.code != 0 && again.stderr.contains("maip is not frozen"), "{}", again.stderr);
}
