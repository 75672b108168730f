//! A mesh whose first region is lost, with all that a leader would know of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::decide::{Conclusion, Judgement, RuleState, judge, next};
use crate::detect::{Evidence, Observer, Pattern, Quorum, RegionVerdict, Sight, Verdict};
use crate::fixtures::{EAST, HASH, WEST, agent, at, fleet, region, service};
use crate::fleet::{Command, Fleet, Service};
use crate::ids::{RegionId, ServiceId};
use crate::manifest::AutomaticMode;
use crate::plan::PredictedLoss;
use crate::signal::{Reading, Signal};
use crate::time::Timestamp;

/// When the outage began, and when it is looked at.
pub const BROKE: u64 = 1_000;
pub const NOW: u64 = 1_060;

pub struct Stand {
    pub fleet: Fleet,
    pub now: Timestamp,
    pub verdicts: BTreeMap<RegionId, RegionVerdict>,
    pub observers: BTreeMap<crate::ids::AgentId, Observer>,
    pub sights: Vec<Sight>,
}

pub fn verdict(verdict: Verdict, pattern: Pattern, since: Option<u64>) -> RegionVerdict {
    let failing = if verdict == Verdict::Down { 4 } else { 0 };
    RegionVerdict {
        verdict,
        pattern,
        since: since.map(at),
        quorum: Quorum { needed: 3, fresh: 4, failing, regions_failing: failing.min(2), regions_needed: 2 },
        short: None,
        views: Vec::new(),
        missing: Vec::new(),
    }
}

pub fn down() -> RegionVerdict {
    verdict(Verdict::Down, Pattern::Outage, Some(BROKE))
}

pub fn healthy() -> RegionVerdict {
    verdict(Verdict::Healthy, Pattern::Well, None)
}

/// A lag of the service's database as its replica's region measured it.
pub fn lag(of: &str, at_s: u64, lag: Duration) -> Sight {
    let signal = Signal {
        observer: agent("west-a"),
        observer_region: region(WEST),
        service: service(of),
        region: region(WEST),
        subject: "database".to_owned(),
        reading: Reading::ReplicaLag { lag },
        at: at(at_s),
    };
    let signal = Arc::new(signal);
    Sight { signal, observed_at: at(at_s), failing_since: None, heard_at: at(at_s), alternations: 0 }
}

impl Stand {
    /// `maip` of the fixtures, mode `full`: down in the east for a minute, its replica two seconds behind until then.
    pub fn outage() -> Self {
        let mut fleet = fleet();
        fleet.now = at(NOW);
        fleet.services.get_mut(&service("maip")).expect("the fixture's").manifest.policy.automatic =
            AutomaticMode::Full;
        let observers = fleet.agents.iter().map(|(id, record)| {
            let heard_at = (record.region.as_str() != EAST).then(|| at(NOW));
            (id.clone(), Observer { region: record.region.clone(), heard_at, doubt: None })
        });
        Self {
            now: at(NOW),
            verdicts: BTreeMap::from([(region(EAST), down()), (region(WEST), healthy())]),
            observers: observers.collect(),
            sights: vec![lag("maip", BROKE - 1, Duration::from_secs(2))],
            fleet,
        }
    }

    /// Further services like `maip`, by name.
    pub fn with(mut self, names: &[&str]) -> Self {
        let model = self.maip().clone();
        for name in names {
            let mut another = model.clone();
            another.manifest.service = service(name);
            self.fleet.services.insert(service(name), another);
            self.sights.push(lag(name, BROKE - 1, Duration::from_secs(2)));
        }
        self
    }

    pub fn maip(&mut self) -> &mut Service {
        self.fleet.services.get_mut(&service("maip")).expect("the fixture's")
    }

    pub fn of(&mut self, name: &str) -> &mut Service {
        self.fleet.services.get_mut(&service(name)).expect("a service of the stand")
    }

    pub fn evidence(&self) -> Evidence {
        let mut observers = self.observers.clone();
        for observer in observers.values_mut().filter(|observer| observer.heard_at.is_some()) {
            observer.heard_at = Some(self.now);
        }
        Evidence::new(self.now, at(0), observers, self.sights.clone())
    }

    pub fn judged(&self) -> Judgement {
        self.judge_one("maip")
    }

    pub fn judge_one(&self, name: &str) -> Judgement {
        judge(&self.fleet, &service(name), &self.verdicts, &self.evidence())
    }

    /// State and text of a rule.
    pub fn rule(&self, name: &str) -> (RuleState, String) {
        let judgement = self.judged();
        let rule = judgement.rules.iter().find(|rule| rule.rule == name);
        rule.map(|rule| (rule.state, rule.text.clone())).unwrap_or_else(|| panic!("no rule {name}"))
    }

    pub fn acts(&self) -> bool {
        matches!(self.judged().conclusion, Conclusion::Act { .. })
    }

    /// What is due, of all services, by the verdicts of the stand.
    pub fn due(&self) -> Vec<Command> {
        let judged: Vec<Judgement> =
            self.fleet.services.keys().map(|id: &ServiceId| self.judge_one(id.as_str())).collect();
        next::commands(&self.fleet, &judged.iter().collect::<Vec<_>>(), &self.evidence(), &|_| HASH)
    }

    pub fn starts(&self) -> Vec<Command> {
        self.due().into_iter().filter(|command| matches!(command, Command::StartRun { .. })).collect()
    }
}

pub fn started(commands: &[Command]) -> Vec<String> {
    let named = |command: &Command| match command {
        Command::StartRun { plan, .. } => Some(plan.service.to_string()),
        _ => None,
    };
    commands.iter().filter_map(named).collect()
}

/// The loss that the plan of a start expects.
pub fn loss_of(command: &Command) -> PredictedLoss {
    match command {
        Command::StartRun { plan, .. } => plan.loss.clone(),
        other => panic!("{other:?} is no start"),
    }
}
