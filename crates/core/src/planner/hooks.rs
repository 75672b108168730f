//! Fences that are the operator's own commands.

use std::collections::BTreeSet;

use super::{Builder, PlanError, RETRY, step_id};
use crate::ids::StepId;
use crate::plan::Action;

impl Builder<'_> {
    pub(super) fn close_by_hook(&mut self, hook: &str, fit: &BTreeSet<StepId>) -> Result<StepId, PlanError> {
        let (fence, unfence) = both(hook);
        let (id, timeout) = (step_id(fence.name(), hook)?, self.manifest.policy.fence_timeout);
        let title = format!("close {} by the hook {hook}", self.from);
        Ok(self.push(id, title, self.from.clone(), fence, fit.clone(), timeout, RETRY, Some(unfence)))
    }

    /// What an earlier failover closed, or was closed from the first, is open where the service is to be written.
    pub(super) fn open_by_hook(&mut self, hook: &str, after: &BTreeSet<StepId>) -> Result<StepId, PlanError> {
        let (fence, unfence) = both(hook);
        let (id, timeout) = (step_id(unfence.name(), hook)?, self.manifest.policy.promote_timeout);
        let title = format!("open {} by the hook {hook}", self.to);
        Ok(self.push(id, title, self.to.clone(), unfence, after.clone(), timeout, RETRY, Some(fence)))
    }
}

fn both(hook: &str) -> (Action, Action) {
    (Action::HookFence { hook: hook.to_owned() }, Action::HookUnfence { hook: hook.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::fixtures::{EAST, WEST, fleet, maip, region, service};
    use crate::fleet::Service;
    use crate::ids::StepId;
    use crate::lease::{Fence, Fencing};
    use crate::manifest::Manifest;
    use crate::manifest::check::check;
    use crate::plan::{Plan, Reversibility, Step};
    use crate::planner::{Evidence, plan_failover};

    fn manifest(hook: &str) -> Manifest {
        let fences = vec![Fence::Hook { name: hook.to_owned() }];
        Manifest { fence: Fencing { fences, ..Fencing::default() }, ..maip() }
    }

    fn plan() -> Plan {
        let before = fleet().services[&service("maip")].clone();
        let service = Service { manifest: manifest("writers"), ..before };
        plan_failover(&service, &region(WEST), &Evidence::default()).expect("a plan")
    }

    fn step<'p>(plan: &'p Plan, id: &str) -> &'p Step {
        plan.step(&StepId::new(id).expect("a name")).unwrap_or_else(|| panic!("no step {id}"))
    }

    fn names(steps: &BTreeSet<StepId>) -> Vec<&str> {
        steps.iter().map(StepId::as_str).collect()
    }

    #[test]
    fn the_old_region_is_closed_before_the_grant_and_the_new_one_opened_after_the_promotion() {
        let plan = plan();
        let (fence, open) = (step(&plan, "hook-fence-writers"), step(&plan, "hook-unfence-writers"));
        assert_eq!((&fence.region, &open.region), (&region(EAST), &region(WEST)));
        assert!(names(&step(&plan, "grant").after).contains(&"hook-fence-writers"));
        assert_eq!(names(&open.after), ["grant", "rds-promote-database"]);
        assert!(step(&plan, "route53-replace-api").after.contains(&open.id), "traffic waits for it");
        assert!(open.action.lets_write() && !fence.action.lets_write());
        assert_eq!((fence.reversibility, open.reversibility), (Reversibility::Reversible, Reversibility::Reversible));
    }

    #[test]
    fn a_hook_is_named_as_a_step_can_be() {
        assert_eq!(check(&manifest("stop-writers")), Vec::new());
        for bad in ["", "Stop", "/bin/sh -c x", &"x".repeat(41)] {
            let paths: Vec<String> = check(&manifest(bad)).into_iter().map(|problem| problem.path).collect();
            assert_eq!(paths, ["fence[0].hook"], "{bad:?}");
        }
    }
}
