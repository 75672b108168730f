//! Coordinators that lose their disk, come back, are replaced, are told to stop.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper that finds something else fails its test"
)]

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use mesh_suite::Rig;
use mesh_suite::ctl::meshctl;
use mesh_suite::processes::Signal;
use mesh_suite::rig::LONG;

const REGIONS: [&str; 3] = ["us-east-1", "us-west-2", "eu-central-1"];

fn followers(leader: &str) -> Vec<u64> {
    (1..=3).filter(|node| format!("coordinator-{node}") != leader).collect()
}

/// A change of membership with the approvals of two people; refused ones are given again while a node catches up.
async fn change(rig: &Rig, words: &[&str], decision: &str) {
    let approvals = rig.approvals(&format!("membership {decision}")).await;
    let mut args = vec!["coordinator"];
    args.extend(words);
    args.extend(approvals.iter().map(String::as_str));
    args.push("--yes");
    let deadline = std::time::Instant::now() + LONG;
    loop {
        let said = rig.ctl(&args).await;
        if said.code == 0 {
            return;
        }
        assert!(said.code == 3 || said.code == 5, "{said:?}");
        assert!(std::time::Instant::now() < deadline, "{words:?}: {said:?}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_coordinator_without_its_disk_is_no_member_until_it_has_a_new_id() {
    let mut rig = Rig::raise().await;
    let leader = rig.leader().await;
    let others = followers(&leader);
    let (lost, other) = (others[0], others[1]);
    let name = format!("coordinator-{lost}");
    rig.kill(&name);
    std::fs::remove_dir_all(rig.data_dir(&name)).expect("a disk to lose");
    rig.restart(&name);
    rig.until_logged(&name, "must not take part in the mesh").await;
    assert!(rig.log(&name).contains("under a new id"), "it says what to do");

    // It runs and has no vote: with the other follower gone there is no majority, and with it there is.
    rig.kill(&format!("coordinator-{other}"));
    let alone = rig.ctl(&["--timeout", "6", "status"]).await.expect(5);
    assert!(alone.stderr.contains("error"), "{}", alone.stderr);
    rig.restart(&format!("coordinator-{other}"));
    rig.leader().await;
    rig.ctl(&["status"]).await.expect(0);

    let region = REGIONS[usize::try_from(lost).expect("small") - 1];
    let address = rig.start_coordinator(4, region).await;
    let unsigned = rig.ctl(&["coordinator", "add", "4", &address, "--region", region, "--yes"]).await;
    assert!(unsigned.code != 0 && unsigned.stderr.contains("approv"), "{unsigned:?}");
    change(&rig, &["add", "4", &address, "--region", region], &format!("add-learner 4 {address}")).await;
    let member = |id: u64| {
        let rig = &rig;
        async move {
            let members = rig.mesh().membership().await.expect("a membership").members;
            members.into_iter().find(|member| member.id == id)
        }
    };
    assert!(!member(4).await.expect("a learner").voter, "a learner has no vote yet");
    change(&rig, &["promote", "4"], "promote 4").await;
    assert!(member(4).await.expect("a voter").voter);
    change(&rig, &["remove", &lost.to_string()], &format!("remove {lost}")).await;
    assert!(member(lost).await.is_none());
    rig.kill(&name);

    // The newcomer is a full member: it leads a failover, which agents that never heard of it carry out.
    let deadline = std::time::Instant::now() + LONG;
    while rig.leader().await != "coordinator-4" {
        assert!(std::time::Instant::now() < deadline, "node 4 never led");
        let said = rig.ctl(&["coordinator", "transfer", "4", "--yes"]).await;
        assert!([0, 3, 5].contains(&said.code), "{said:?}");
    }
    rig.until_whole().await;
    let run = rig.begin_failover().await;
    let run = rig.until_settled(&run).await;
    rig.judge_failover(&run).await;
    rig.ctl(&["audit", "verify"]).await.expect(0);
}

/// Turns one bit in the middle of what the file holds.
fn damage(file: &Path) {
    let mut open = std::fs::File::options().read(true).write(true).open(file).expect("a chunk of the log");
    let mut bytes = Vec::new();
    open.read_to_end(&mut bytes).expect("its bytes");
    let used = bytes.iter().rposition(|byte| *byte != 0).expect("something was written");
    let at = used / 2;
    open.seek(SeekFrom::Start(u64::try_from(at).expect("small"))).expect("a place");
    open.write_all(&[bytes[at] ^ 0x10]).expect("written");
}

#[tokio::test]
async fn a_node_with_a_damaged_log_refuses_to_start_and_the_others_go_on() {
    let mut rig = Rig::raise().await;
    let leader = rig.leader().await;
    let name = format!("coordinator-{}", followers(&leader)[0]);
    rig.kill(&name);
    let log = rig.data_dir(&name).join("log");
    let mut chunks: Vec<_> = std::fs::read_dir(&log)
        .unwrap_or_else(|error| panic!("{}: {error}", log.display()))
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.metadata().is_ok_and(|about| about.is_file() && about.len() > 0))
        .collect();
    chunks.sort();
    damage(chunks.first().expect("a log has a chunk"));
    rig.restart(&name);
    rig.until_ended(&name).await;
    let said = rig.log(&name);
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with("mesh-coordinator: ") && last.contains("corrupt"), "{last}");
    assert!(last.contains(&log.display().to_string()), "it names the directory: {last}");
    assert!(last.contains("new id"), "it says what to do: {last}");

    let run = rig.begin_failover().await;
    let run = rig.until_settled(&run).await;
    rig.judge_failover(&run).await;
    rig.ctl(&["audit", "verify"]).await.expect(0);
}

#[tokio::test]
async fn a_leader_that_is_told_to_stop_hands_over_and_all_replicas_agree_afterwards() {
    let mut rig = Rig::raise().await;
    let hold = rig.fault("rds", "us-west-2", "PromoteReadReplica", "hold-after").await;
    let run = rig.begin_failover().await;
    rig.until_fired(&hold).await;
    let leader = rig.leader().await;
    rig.signal(&leader, Signal::TERM);
    rig.until_ended(&leader).await;
    let said = rig.log(&leader);
    assert!(said.contains("leadership handed over"), "{said}");
    assert!(said.contains("\"stopped\""), "it drained: {said}");
    assert_ne!(rig.leader().await, leader);
    rig.release(&hold).await;
    let done = rig.until_settled(&run).await;
    rig.judge_failover(&done).await;

    rig.restart(&leader);
    let addresses = rig.addresses().await;
    let deadline = std::time::Instant::now() + LONG;
    loop {
        let up = meshctl(&rig.profile_with("restarted", &restarted(&addresses, &leader)), &["status", "--stale"]).await;
        let states = if up.code == 0 { rig.own_states(&addresses).await } else { Vec::new() };
        if states.len() == 3 && states.iter().all(|(index, _)| *index == states[0].0) {
            assert!(states.iter().all(|(_, hash)| *hash == states[0].1), "same index, other state: {states:?}");
            break;
        }
        assert!(std::time::Instant::now() < deadline, "the replicas never stood at one index: {states:?}");
    }
    rig.ctl(&["audit", "verify"]).await.expect(0);
}

fn restarted(addresses: &[(u64, String)], name: &str) -> Vec<String> {
    let ours = addresses.iter().filter(|(id, _)| format!("coordinator-{id}") == name);
    ours.map(|(_, address)| address.clone()).collect()
}
