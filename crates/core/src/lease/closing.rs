//! Is a region that lost its right closed? Never by a guess: by the acknowledgement of all who could write, or by the
//! certain end of everything that could let them.

use std::collections::BTreeSet;
use std::time::Duration;

use super::ledger::{Ledger, Mono};
use super::{Proof, Terms};
use crate::ids::{AgentId, Generation, RegionId, ServiceId};
use crate::time::duration_millis;

/// What has to be known of the region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case<'a> {
    pub service: &'a ServiceId,
    pub region: &'a RegionId,
    pub wanted: Generation,
    /// The agents of the region that may have had a lease.
    pub holders: BTreeSet<AgentId>,
    /// Every ask list that they may still use, without their own region's agents.
    pub lists: Vec<BTreeSet<AgentId>>,
    /// With the longest lease that was answered since the region was granted.
    pub terms: Terms,
    /// Time that the dead-man fence needs; `None`: there is none.
    pub dead_man: Option<Duration>,
    pub fence: FenceSeen,
}

/// What the steps that close the region have shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FenceSeen {
    /// All are done and were read back.
    Closed,
    /// Not all are done.
    Open,
    /// There are none: only a dead-man fence closes it.
    NoSteps,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closing {
    Proven(Proof),
    /// `until`: when time alone may change the answer.
    Waiting {
        until: Option<Mono>,
        missing: String,
    },
}

/// `now` and what the ledger has are of the same leader's clock.
pub fn closing(case: &Case<'_>, ledger: &Ledger, now: Mono) -> Closing {
    let given_up = given_up(case, ledger, now);
    if let Closing::Proven(_) = given_up {
        return given_up;
    }
    match (given_up, lease_ended(case, ledger, now)) {
        (_, proven @ Closing::Proven(_)) => proven,
        (Closing::Waiting { until: one, missing: a }, Closing::Waiting { until: other, missing: b }) => {
            Closing::Waiting { until: [one, other].into_iter().flatten().min(), missing: format!("{a}; {b}") }
        }
        (given_up, Closing::Waiting { .. }) => given_up,
    }
}

/// Every agent of the region has the wanted floor on disk and no right left, and the fence was seen (or, where nothing
/// but a dead-man fence closes the region, has had its time since).
fn given_up(case: &Case<'_>, ledger: &Ledger, now: Mono) -> Closing {
    let mut since = Mono::ZERO;
    for agent in &case.holders {
        let acked = ledger.acked(case.service, agent).filter(|acked| acked.ack.floor >= case.wanted);
        match acked {
            Some(acked) if acked.ack.writes.is_none_or(|writes| writes >= case.wanted) => {
                since = since.max(acked.since)
            }
            Some(_) => return waiting(None, format!("{agent} has a call out")),
            None => return waiting(None, format!("{agent} has not acknowledged")),
        }
    }
    match (case.fence, case.dead_man) {
        (FenceSeen::Closed, _) => {}
        (FenceSeen::Open, _) => return waiting(None, "the fence was not seen closed".to_owned()),
        (FenceSeen::NoSteps, None) => return waiting(None, "there is no fence that closes it".to_owned()),
        (FenceSeen::NoSteps, Some(reaction)) => {
            let over = since.saturating_add(super::stretched(reaction));
            if now < over {
                return waiting(Some(over), "the fence has had too little time".to_owned());
            }
        }
    }
    Closing::Proven(Proof::Fenced { agents: case.holders.clone() })
}

/// No lease lasts, nobody prolongs one, and the fence that closes by itself has had its time.
fn lease_ended(case: &Case<'_>, ledger: &Ledger, now: Mono) -> Closing {
    let Some(reaction) = case.dead_man else {
        return waiting(None, "no dead-man fence is declared".to_owned());
    };
    let lease_over = ledger.lease_over(case.service, case.region, case.terms);
    let mut over = lease_over;
    let mut promises = BTreeSet::new();
    // Nobody is asked for a promise by a list without members, and without a promise there is no hold.
    for list in case.lists.iter().filter(|list| !list.is_empty()) {
        let freed = |agent: &AgentId| {
            let acked = ledger.acked(case.service, agent).filter(|acked| acked.ack.floor >= case.wanted)?;
            Some((acked.free_at, agent.clone()))
        };
        let Some((free_at, agent)) = list.iter().filter_map(freed).min() else {
            return waiting(None, "no agent of another region has acknowledged".to_owned());
        };
        over = over.max(free_at.saturating_add(case.terms.margin));
        promises.insert(agent);
    }
    let over = over.saturating_add(super::stretched(reaction));
    if now < over {
        return waiting(Some(over), "its lease may not have ended".to_owned());
    }
    let waited = now.saturating_sub(lease_over.saturating_sub(case.terms.waited_out()));
    // As the log keeps it.
    let waited = Duration::from_millis(duration_millis(waited));
    Closing::Proven(Proof::LeaseEnded { waited, promises })
}

const fn waiting(until: Option<Mono>, missing: String) -> Closing {
    Closing::Waiting { until, missing }
}
