//! Whatever process dies, and whenever: the run ends right and every effect happens once.

use std::collections::BTreeSet;

use mesh_core::run::{Run, WorkState};
use mesh_suite::Rig;

fn done_steps(run: &Run) -> BTreeSet<String> {
    run.steps
        .iter()
        .filter(|(_, step)| matches!(step.forward.state, WorkState::Done))
        .map(|(id, _)| id.to_string())
        .collect()
}

/// The agent that has the open intent of the step whose action has this name.
fn executor(run: &Run, action: &str) -> Option<String> {
    run.open_intents()
        .find(|(step, _, _)| step.action.name() == action)
        .map(|(_, _, intent)| format!("agent-{}", intent.agent))
}

#[tokio::test]
async fn the_leader_is_killed_at_every_step_boundary() {
    let mut rig = Rig::raise().await;
    let run = rig.begin_failover().await;
    let mut seen = BTreeSet::new();
    let mut kills = 0;
    loop {
        let before = seen.clone();
        let now = rig
            .until(&run, "another step done", |run| run.state.is_terminal() || !done_steps(run).is_subset(&before))
            .await;
        if now.state.is_terminal() {
            break;
        }
        seen.extend(done_steps(&now));
        let leader = rig.leader().await;
        rig.kill(&leader);
        kills += 1;
        rig.restart(&leader);
    }
    let run = rig.until_settled(&run).await;
    rig.judge_failover(&run).await;
    assert!(kills >= 4, "only {kills} leaders were killed");
}

#[tokio::test]
async fn the_leader_is_killed_in_the_middle_of_every_call() {
    let mut rig = Rig::raise().await;
    let mut faults = Vec::new();
    for (service, region, operation, _) in CALLS {
        faults.push(rig.fault(service, region, operation, "hold-after").await);
    }
    let run = rig.begin_failover().await;
    for fault in &faults {
        rig.until_fired(fault).await;
        let leader = rig.leader().await;
        rig.kill(&leader);
        rig.release(fault).await;
        rig.leader().await;
        rig.restart(&leader);
    }
    let run = rig.until_settled(&run).await;
    rig.judge_failover(&run).await;
}

#[tokio::test]
async fn all_coordinators_are_killed_and_come_back_in_the_middle_of_a_promotion() {
    let mut rig = Rig::raise().await;
    let fault = rig.fault("rds", "us-west-2", "PromoteReadReplica", "hold-after").await;
    let run = rig.begin_failover().await;
    rig.until_fired(&fault).await;
    for node in 1..=3 {
        rig.kill(&format!("coordinator-{node}"));
    }
    rig.release(&fault).await;
    for node in 1..=3 {
        rig.restart(&format!("coordinator-{node}"));
    }
    let run = rig.until_settled(&run).await;
    rig.judge_failover(&run).await;
    rig.ctl(&["audit", "verify"]).await.expect(0);
}

/// Every mutating call of the plan: (service, region, operation, action).
const CALLS: [(&str, &str, &str, &str); 5] = [
    ("rds", "us-east-1", "ModifyDBInstance", "rds-fence"),
    ("rds", "us-east-1", "RebootDBInstance", "rds-reboot"),
    ("rds", "us-west-2", "PromoteReadReplica", "rds-promote"),
    ("route53", "us-east-1", "ChangeResourceRecordSets", "route53-replace"),
    ("sns", "us-west-2", "Publish", "sns-notify"),
];

/// Kills the agent that is in the middle of each call, restarts it once the other has taken over.
async fn kill_executors(kind: &str) {
    let mut rig = Rig::raise().await;
    let mut faults = Vec::new();
    for (service, region, operation, _) in CALLS {
        faults.push(rig.fault(service, region, operation, kind).await);
    }
    let run = rig.begin_failover().await;
    for (fault, (_, _, operation, action)) in faults.iter().zip(CALLS) {
        rig.until_fired(fault).await;
        let now = rig.until(&run, "an executor", |run| executor(run, action).is_some()).await;
        let agent = executor(&now, action).expect(operation);
        rig.kill(&agent);
        rig.release(fault).await;
        let other = format!("agent-{}", &agent[6..]);
        rig.until(&run, "the other agent's turn", |run| executor(run, action).is_none_or(|now| now != other)).await;
        rig.restart(&agent);
    }
    let run = rig.until_settled(&run).await;
    rig.judge_failover(&run).await;
}

#[tokio::test]
async fn the_executor_is_killed_after_each_call_was_applied_and_before_it_heard_so() {
    kill_executors("hold-after").await;
}

#[tokio::test]
async fn the_executor_is_killed_while_each_call_is_on_its_way() {
    kill_executors("hold-before").await;
}
