//! Plans that are not what the planner made.

use mesh_core::ids::Hash32;
use mesh_core::plan::{Action, Plan, PlanKind};
use mesh_proto::plan_hash;
use mesh_suite::Rig;
use meshctl::exit::Exit;
use meshctl::mesh::Despite;

pub async fn an_altered_plan_is_neither_run_nor_checked(rig: &Rig) {
    let mesh = rig.mesh();
    let to = "us-west-2".parse().expect("a region");
    let made = mesh.plan(PlanKind::Failover, Some(&to), None, &[]).await.expect("a plan");
    let [made] = made.planned.as_slice() else { panic!("one service, one plan") };
    let good = &made.plan;

    let mut flipped = made.hash;
    flipped.0[0] ^= 1;
    for (plan, hash) in [(good, flipped), (good, Hash32::default()), (&without_fence(good), made.hash)] {
        let failure = mesh.start_run(plan, &hash, &Despite::default()).await.expect_err("the hash is not of this plan");
        assert_eq!(failure.exit, Exit::Refused, "{failure}");
        assert!(failure.message.contains("make the plan again"), "{failure}");
    }
    for (what, plan) in forgeries(good) {
        let failure = mesh.start_run(&plan, &plan_hash(&plan), &Despite::default()).await.expect_err(what);
        assert_eq!(failure.exit, Exit::Refused, "{what}: {failure}");
        assert!(failure.message.len() > 20, "{what}: {failure}");
    }
    for (what, plan) in forgeries(good) {
        let failure = mesh.check(&plan).await.err().unwrap_or_else(|| panic!("{what}: agents were sent to look"));
        assert_eq!(failure.exit, Exit::Refused, "{what}: {failure}");
    }
    mesh.check(good).await.expect("the planner's own plan is checked");
}

/// Each with the right hash of the wrong plan.
fn forgeries(good: &Plan) -> Vec<(&'static str, Plan)> {
    let altered = |alter: &dyn Fn(&mut Plan)| {
        let mut plan = good.clone();
        alter(&mut plan);
        plan
    };
    vec![
        ("no fence", without_fence(good)),
        ("no steps", altered(&|plan| plan.steps.clear())),
        ("no last step", altered(&|plan| drop(plan.steps.pop()))),
        ("steps in another order", altered(&|plan| plan.steps.reverse())),
        ("another instance", altered(&|plan| promote_another(plan))),
        (
            "another region's agents",
            altered(&|plan| plan.steps.iter_mut().for_each(|step| step.region = good.to.clone())),
        ),
        ("more time", altered(&|plan| plan.steps.iter_mut().for_each(|step| step.timeout *= 2))),
        ("another source", altered(&|plan| plan.from = good.to.clone())),
        ("a target that the service has not", altered(&|plan| plan.to = "mars-1".parse().expect("a name"))),
        ("the active region as target", altered(&|plan| plan.to = good.from.clone())),
        ("another kind", altered(&|plan| plan.kind = PlanKind::TrafficSetup)),
        ("a service that is not there", altered(&|plan| plan.service = "nobody".parse().expect("a name"))),
        ("a manifest to come", altered(&|plan| plan.manifest_version += 1)),
        ("a generation to come", altered(&|plan| plan.generation = plan.generation.next())),
    ]
}

fn without_fence(good: &Plan) -> Plan {
    let mut plan = good.clone();
    let fence = |action: &Action| matches!(action, Action::RdsSetSecurityGroups { .. } | Action::RdsReboot { .. });
    let gone: Vec<_> = plan.steps.iter().filter(|step| fence(&step.action)).map(|step| step.id.clone()).collect();
    assert!(!gone.is_empty(), "a failover fences");
    plan.steps.retain(|step| !gone.contains(&step.id));
    plan.steps.iter_mut().for_each(|step| step.after.retain(|id| !gone.contains(id)));
    plan
}

fn promote_another(plan: &mut Plan) {
    for step in &mut plan.steps {
        if let Action::RdsPromote { instance, .. } = &mut step.action {
            "someone-elses".clone_into(instance);
        }
    }
}
