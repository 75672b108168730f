//! All coordinators lose their disks, and the mesh goes on from a backup.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that finds something else fails its test"
)]

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use mesh_core::ids::RunId;
use mesh_core::run::RunState;
use mesh_suite::Rig;
use mesh_suite::rig::{LONG, describe};

fn config(rig: &Rig, node: u64) -> PathBuf {
    rig.stand.layout.dir.join(format!("coordinator-{node}")).join("coordinator.toml")
}

/// The same places, and ids that were never used.
fn give_new_ids(rig: &Rig) {
    for node in 1..=3 {
        let path = config(rig, node);
        let text = std::fs::read_to_string(&path).expect("a configuration");
        let renamed = text.lines().map(|line| match line.split_once(" = ") {
            Some((key @ ("id" | "node_id"), id)) => format!("{key} = 1{id}\n"),
            _ => format!("{line}\n"),
        });
        std::fs::write(&path, renamed.collect::<String>()).expect("written");
    }
}

fn restore(rig: &Rig, file: &std::path::Path, more: &[&str]) -> (bool, String) {
    let mut command = Command::new(&rig.stand.programs.coordinator);
    command.arg("restore").arg("--config").arg(config(rig, 1)).arg("--from").arg(file).args(more);
    let output = command.output().expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

async fn until_three_vote(rig: &Rig) {
    let deadline = Instant::now() + LONG;
    loop {
        if let Ok(membership) = rig.mesh().membership().await {
            let voters: Vec<u64> = membership.members.iter().filter(|m| m.voter).map(|m| m.id).collect();
            if voters == [11, 12, 13] {
                return;
            }
        }
        assert!(Instant::now() < deadline, "three never voted: {}", rig.log("coordinator-1"));
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_mesh_that_lost_every_disk_goes_on_from_its_backup_and_moves_a_service_once_it_is_armed_again() {
    let mut rig = Rig::raise().await;
    let before = rig.ctl(&["--json", "history"]).await.expect(0).json();
    let old = before[0]["run"].as_str().expect("the run that set the traffic up").to_owned();
    let file = rig.path("mesh.backup");
    let name = file.display().to_string();
    // Under load: what is decided meanwhile is in it or not, and nothing is torn.
    let backup = ["--json", "coordinator", "backup", "-o", &name];
    let (made, (), ()) = tokio::join!(rig.ctl(&backup), rig.decide("one"), rig.decide("two"));
    let made = made.expect(0).json();
    let checked = rig.ctl(&["--json", "coordinator", "verify-backup", &name]).await.expect(0).json();
    assert_eq!(checked["checksum"], made["checksum"]);
    let head = checked["audit_head"].as_str().expect("a hash").to_owned();

    for node in 1..=3 {
        let process = format!("coordinator-{node}");
        rig.kill(&process);
        std::fs::remove_dir_all(rig.data_dir(&process)).expect("a disk to lose");
    }
    let (taken, said) = restore(&rig, &file, &[]);
    assert!(!taken && said.contains("never used"), "old ids are refused: {said}");
    give_new_ids(&rig);
    let (taken, said) = restore(&rig, &file, &["--lost-minutes-ago", "11"]);
    assert!(taken && said.contains("NOT KNOWN") && said.contains("meshctl arm"), "{said}");
    let (twice, said) = restore(&rig, &file, &[]);
    assert!(!twice && said.contains("not empty"), "{said}");
    for node in 1..=3 {
        rig.restart(&format!("coordinator-{node}"));
    }
    until_three_vote(&rig).await;
    rig.until_whole().await;

    // History, audit and the old run are there, and the audit holds the head that the backup named.
    rig.ctl(&["audit", "verify", "--head", &head]).await.expect(0);
    rig.ctl(&["report", &old]).await.expect(0);
    let after = rig.ctl(&["--json", "history"]).await.expect(0).json();
    assert_eq!(after, before);

    let refused = rig.ctl(&["failover", "--to", "us-west-2", "--service", "maip", "--yes"]).await;
    assert!(refused.code != 0 && format!("{refused:?}").contains("arm"), "{refused:?}");
    rig.ctl(&["arm", "maip", "--yes"]).await.expect(0);
    let said = rig
        .ctl(&["--json", "failover", "--to", "us-west-2", "--service", "maip", "--yes", "--no-wait"])
        .await
        .expect(0);
    let run = RunId::new(said.json()["runs"][0].as_str().expect("a run").to_owned()).expect("a name");
    assert!(run.as_str() > "maip-g1000", "beyond any generation of the old group: {run}");
    let run = rig.until_settled(&run).await;
    assert_eq!(run.state, RunState::Done, "{}", describe(&run));
}
