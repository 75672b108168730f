//! Approvals of a held run that must not count.

use std::time::Duration;

use mesh_core::access::loss_subject;
use mesh_core::ids::{RunId, StepId};
use mesh_core::run::{Approval, Need, RunState, WorkState};
use mesh_core::time::Timestamp;
use mesh_runtime::clock::unix_now;
use mesh_suite::Rig;
use meshctl::exit::Exit;
use meshctl::mesh::Mesh;
use meshctl::signing::Signer;

use crate::people::refused;

const MINUTE: Duration = Duration::from_secs(60);
const ROUNDS_MAX: usize = 20;

pub async fn of_the_wrong_kind_counts_for_nothing(rig: &mut Rig) {
    let ann = rig.stand.layout.profile_of("ann");
    let ann_key = rig.stand.layout.key("ann").display().to_string();
    refused(&ann, &["approve", "maip-g99", "--key", &ann_key, "--yes"], 3, &["maip-g99", "meshctl history"]).await;
    let run = held(rig).await;
    let (id, rig) = (run.to_string(), &*rig);
    let before = rig.mesh().run(&run).await.expect("the run");

    // By command: keys that are not enrolled, of someone else, or given by someone without the role.
    let mine = generate(rig, "ann-2", "ann").await;
    refused(&ann, &["approve", &id, "--key", &mine, "--yes"], 3, &["ann-2 is not enrolled", "meshctl keys list"]).await;
    let false_ann = generate(rig, "ann", "ann").await;
    refused(&ann, &["approve", &id, "--key", &false_ann, "--yes"], 4, &["signature", "enrolled key"]).await;
    let bob_key = rig.stand.layout.key("bob").display().to_string();
    refused(&ann, &["approve", &id, "--key", &bob_key, "--yes"], 4, &["bob", "by the key's owner"]).await;
    let operator = rig.stand.layout.profile_of("operator");
    refused(&operator, &["approve", &id, "--key", &ann_key, "--yes"], 4, &["it needs approver or admin"]).await;
    refused(&ann, &["approve", &id, "--key", &ann_key], 2, &["--yes"]).await;

    // By hand: what meshctl would not sign.
    let mesh = Mesh::open(&meshctl::profile::load(Some(&ann)).expect("a profile")).expect("ann's certificate");
    let signer = Signer::load(&rig.stand.layout.key("ann")).expect("ann's key");
    let held = rig.mesh().run(&run).await.expect("the run");
    let (plan_hash, loss) = (held.plan_hash, &held.loss);
    let subject = loss_subject(&run, &plan_hash, loss);
    let other_run = loss_subject(&"maip-g99".parse().expect("a run"), &plan_hash, loss);
    let sign = |mesh: &str, subject: &str, from: Timestamp, minutes: u32| {
        signer.sign(mesh, subject, from, MINUTE * minutes).expect("signed")
    };
    let now = unix_now();
    let earlier = Timestamp::from_millis(now.as_millis() - 3_600_000);
    let good = sign("demo", &subject, now, 10);
    let long_lived = Approval { expires_at: now.plus(MINUTE * 60), ..good.clone() };
    let renamed = Approval { subject: subject.clone(), ..sign("demo", &other_run, now, 10) };
    for (approval, exit, says) in [
        (sign("demo", &subject, earlier, 10), Exit::Refused, "expired: sign again"),
        (sign("demo", &other_run, now, 10), Exit::Refused, "maip-g99"),
        (sign("demo", &subject, now, 60 * 48), Exit::Refused, "24 hours"),
        (sign("other", &subject, now, 10), Exit::NotAllowed, "signature"),
        (long_lived, Exit::NotAllowed, "signature"),
        (renamed, Exit::NotAllowed, "signature"),
        (Approval { signature: vec![0; 64], ..good.clone() }, Exit::NotAllowed, "signature"),
        (Approval { signature: Vec::new(), ..good.clone() }, Exit::Refused, "64 are needed"),
    ] {
        let failure = mesh.approve(&run, &approval).await.err().unwrap_or_else(|| panic!("{says}: it was taken"));
        assert_eq!(failure.exit, exit, "{says}: {failure}");
        assert!(failure.message.contains(says), "{says}: {failure}");
    }
    let still = rig.mesh().run(&run).await.expect("the run");
    assert!(matches!(still.state, RunState::Held { .. }) && still.approvals.is_empty(), "{still:?}");
    assert_eq!((&before.steps, &before.state), (&still.steps, &still.state), "nothing came of it");
    assert_eq!(rig.applied().await.get(&("PromoteReadReplica".to_owned(), "us-west-2".to_owned())), None);

    // The same signature twice is one person.
    let good = consents(rig, &mesh, &run, &signer).await;
    assert_eq!(mesh.approve(&run, &good).await.map_or(1, |(_, missing)| missing), 1);
    let still = rig.mesh().run(&run).await.expect("the run");
    assert!(matches!(still.state, RunState::Held { .. }), "one person is not two: {:?}", still.state);
}

/// A failover from a region that is gone.
async fn held(rig: &mut Rig) -> RunId {
    rig.region("us-east-1", "down").await;
    rig.kill("agent-use1-a");
    rig.kill("agent-use1-b");
    let run = rig.begin_failover().await;
    let held = rig.until_settled(&run).await;
    assert!(matches!(held.state, RunState::Held { need: Need::Consent { .. }, .. }), "{:?}", held.state);
    // What stands beside the promotion goes on while the run is held.
    let beside = |step: &StepId| {
        ["eks-scale", "kubernetes-scale", "ecs-scale", "dynamodb-await-lag"]
            .iter()
            .any(|name| step.as_str().starts_with(name))
    };
    rig.until(&run, "capacity in the target", |run| {
        run.steps.iter().filter(|(id, _)| beside(id)).all(|(_, step)| step.forward.state == WorkState::Done)
    })
    .await;
    run
}

/// Signs what the run shows, again if more is expected to be lost before it arrives.
async fn consents(rig: &Rig, mesh: &Mesh, run: &RunId, signer: &Signer) -> Approval {
    for _ in 0..ROUNDS_MAX {
        let held = rig.mesh().run(run).await.expect("the run");
        let subject = loss_subject(run, &held.plan_hash, &held.loss);
        let good = signer.sign("demo", &subject, unix_now(), MINUTE * 10).expect("signed");
        match mesh.approve(run, &good).await {
            Ok((_, missing)) => {
                assert_eq!(missing, 1, "ann is one of two");
                return good;
            }
            Err(failure) => assert!(failure.message.contains("more is expected to be lost"), "{failure}"),
        }
    }
    panic!("ann never signed what was expected");
}

async fn generate(rig: &Rig, name: &str, owner: &str) -> String {
    let path = rig.path(&format!("false-{name}.key")).display().to_string();
    rig.ctl(&["keys", "generate", "--name", name, "--owner", owner, "-o", &path]).await.expect(0);
    path
}
