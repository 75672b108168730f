//! A leader's look at what it was told of the active region, and what becomes due by it. What it sees is judged by the core.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::decide::{self, Judgement};
use mesh_core::detect::{self, Evidence, Observer, Observers, Pattern, RegionVerdict, SelfReport, Sight, Verdict};
use mesh_core::fleet::Service;
use mesh_core::ids::{AgentId, RegionId, ServiceId};
use mesh_core::signal::{Reading, Signal};
use mesh_core::time::Timestamp;

use super::{LOOK_ANYWAY, Office};
use crate::SECOND;
use crate::desk::Held;
use crate::plant::Bug;
use crate::setting::{AGENTS_PER_REGION, REGIONS_MAX};
use crate::world::World;

/// Of the judgements that could come to nothing, one in so many is made all the same.
const JUDGE_ANYWAY: u64 = 127;

/// What a look at the active region could come to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outlook {
    /// A run is under way: nothing.
    Moving,
    /// A run waits for people, who are told of news.
    Held,
    /// Too few see it fail.
    Quiet,
    Failing,
}

impl World {
    pub(super) fn automatic(&mut self, node: usize, now: Timestamp, led_since: Timestamp) {
        if self.bug(Bug::SlowLook) && self.now % (200 * SECOND) > SECOND {
            return;
        }
        let outlook = self.outlook(node);
        if outlook == Outlook::Moving {
            return;
        }
        let office = &mut self.nodes[node].office;
        office.looks += 1;
        if outlook == Outlook::Quiet && !office.looks.is_multiple_of(LOOK_ANYWAY) {
            return;
        }
        let Some((evidence, judged)) = self.judged(node, now, led_since, outlook) else { return };
        let quiet = outlook == Outlook::Quiet;
        let judged: Vec<&Judgement> = judged.iter().collect();
        let due = decide::commands(&self.nodes[node].fleet, &judged, &evidence, &|plan| mesh_proto::plan_hash(plan));
        assert!(!quiet || due.is_empty(), "what cannot be down was moved");
        for command in due {
            self.propose_once(node, command);
        }
    }

    /// Services at which is looked now.
    fn looked_at(&self, node: usize) -> impl Iterator<Item = &Service> {
        let fleet = &self.nodes[node].fleet;
        fleet.services.values().filter(|service| decide::next::needs_a_look(fleet, service))
    }

    fn outlook(&self, node: usize) -> Outlook {
        let desk = &self.nodes[node].office.desk;
        // Less than any rule asks for: in two other regions it was seen to fail for most of the time.
        let sustained = Duration::from_secs(self.set.sustained_s);
        let row = if self.plant.is_some() { sustained / 64 } else { sustained * 3 / 4 };
        let fails = |service: &Service| {
            let active = self.names.region(&service.active);
            let of_active = desk.iter().skip(active).step_by(REGIONS_MAX).enumerate();
            let long = of_active.filter(|(_, held)| held.as_ref().is_some_and(|held| held.row() > row));
            let mut regions = long.map(|(agent, _)| agent / AGENTS_PER_REGION);
            let first = regions.next();
            self.plant.is_some() && first.is_some() || regions.any(|region| Some(region) != first)
        };
        let mut outlook = Outlook::Moving;
        for service in self.looked_at(node) {
            match (service.current_run.is_some(), outlook) {
                (true, _) => return Outlook::Held,
                (false, Outlook::Moving | Outlook::Quiet) if fails(service) => outlook = Outlook::Failing,
                (false, Outlook::Moving) => outlook = Outlook::Quiet,
                (false, _) => {}
            }
        }
        outlook
    }

    /// Will this round look at what every agent said?
    pub(super) fn will_judge(&self, node: usize) -> bool {
        let anyway = (self.nodes[node].office.looks + 1).is_multiple_of(LOOK_ANYWAY);
        anyway || self.outlook(node) != Outlook::Quiet
    }

    /// Nothing comes of a judgement while the active region is not down, unless a run waits for an approval. One of many
    /// is made all the same.
    fn judged(
        &mut self,
        node: usize,
        now: Timestamp,
        led_since: Timestamp,
        outlook: Outlook,
    ) -> Option<(Evidence, Vec<Judgement>)> {
        let services: Vec<ServiceId> = self.looked_at(node).map(|service| service.manifest.service.clone()).collect();
        let observers = self.observers(node, now);
        let mut without = None;
        let mut matter = Vec::new();
        for service in services {
            self.counts.judgements += 1;
            let anyway = outlook == Outlook::Held || self.counts.judgements.is_multiple_of(JUDGE_ANYWAY);
            let glance = self.glance(node, &service, now, led_since, &observers);
            let mut whole = None;
            if glance.is_none_or(|(verdict, _)| anyway || verdict == Verdict::Down) {
                // No verdict depends on a measured lag.
                let evidence = without.get_or_insert_with(|| self.evidence_of(node, now, led_since, false));
                whole = Some(self.verdicts(node, &service, evidence));
            }
            let active = &self.nodes[node].fleet.services[&service].active;
            let of_active = match &whole {
                Some(verdicts) => verdicts.get(active).map(|verdict| (verdict.verdict, verdict.pattern)),
                None => glance,
            };
            assert!(glance.is_none() || glance == of_active, "a glance sees what a look sees");
            if service == self.names.service {
                self.judge_verdict(of_active);
                // When a look is taken that could come to nothing depends on what rests.
                let at = if outlook == Outlook::Quiet { 0 } else { self.now };
                self.verdicts.note(at);
                self.verdicts.note(of_active.map_or(0, |(verdict, pattern)| verdict as u64 * 16 + pattern as u64 + 1));
            }
            let down = of_active.is_some_and(|(verdict, _)| verdict == Verdict::Down);
            if let Some(verdicts) = whole.filter(|_| down || anyway) {
                matter.push((service, verdicts));
            }
        }
        if matter.is_empty() {
            return None;
        }
        let evidence = self.evidence(node, now, led_since);
        let judge =
            |(service, verdicts): &(ServiceId, _)| decide::judge(&self.nodes[node].fleet, service, verdicts, &evidence);
        let judged = matter.iter().map(judge).collect();
        Some((evidence, judged))
    }

    /// What is known of the active region alone tells mostly that it is not down.
    fn glance(
        &self,
        node: usize,
        service: &ServiceId,
        now: Timestamp,
        led_since: Timestamp,
        observers: &Observers,
    ) -> Option<(Verdict, Pattern)> {
        if self.plant.is_some() {
            return None;
        }
        let steady = self.steady(node);
        let (it, service) = (&self.nodes[node], &self.nodes[node].fleet.services[service]);
        let nth = self.names.services.iter().position(|known| *known == service.manifest.service)?;
        let region = self.names.region(&service.active);
        let sights: Vec<Sight> = self
            .held_about(&it.office, region)
            .map(|held| held.sight_of(nth, &self.names.services, now, steady))
            .collect();
        detect::glance(service, &service.active, &Evidence::new(now, led_since, observers.clone(), sights))
    }

    /// What was told of a region, in the order in which it is looked at.
    fn held_about<'a>(&'a self, office: &'a Office, region: usize) -> impl Iterator<Item = &'a Held> {
        let agents = self.names.agents_by_name.iter();
        agents.filter_map(move |agent| office.desk[agent * REGIONS_MAX + region].as_ref())
    }

    pub fn verdicts(&self, node: usize, service: &ServiceId, evidence: &Evidence) -> BTreeMap<RegionId, RegionVerdict> {
        let service = &self.nodes[node].fleet.services[service];
        if self.bug(Bug::NotSustained) {
            let mut service = service.clone();
            service.manifest.policy.sustained = Duration::from_secs(1);
            return detect::assess(&service, evidence);
        }
        if self.bug(Bug::SustainedLonger) {
            let mut service = service.clone();
            service.manifest.policy.sustained = service.manifest.policy.sustained * 5 + Duration::from_secs(60);
            return detect::assess(&service, evidence);
        }
        detect::assess(service, evidence)
    }

    pub fn evidence(&self, node: usize, now: Timestamp, led_since: Timestamp) -> Evidence {
        self.evidence_of(node, now, led_since, true)
    }

    fn evidence_of(&self, node: usize, now: Timestamp, led_since: Timestamp, lags: bool) -> Evidence {
        let steady = self.steady(node);
        let office = &self.nodes[node].office;
        let mut sights = self.sights(office, now, steady, lags);
        if self.bug(Bug::BestLagCounts) {
            best_lag(&mut sights);
        }
        if self.bug(Bug::LagIsZero) {
            sights.iter_mut().for_each(without_lag);
        }
        // One question is asked for all services: those without a database have no answers of their own.
        let services = &self.names.services;
        for nth in 1..services.len() {
            let about = self.names.by_name.iter().flat_map(|region| self.held_about(office, *region));
            sights.extend(about.map(|held| held.sight_of(nth, services, now, steady)));
        }
        let led_since = if self.bug(Bug::NoSettling) { Timestamp::default() } else { led_since };
        Evidence::new(now, led_since, self.observers(node, now), sights)
    }

    fn observers(&self, node: usize, now: Timestamp) -> Observers {
        let steady = self.steady(node);
        let office = &self.nodes[node].office;
        let dated = |heard: Duration| now.minus(steady.saturating_sub(heard));
        let doubts = !self.bug(Bug::NoSelfDoubt);
        let observers: BTreeMap<AgentId, Observer> = (0..self.agents.len())
            .map(|agent| {
                let live = office.live(agent).map(|live| live.heard);
                let heard_at = live.or(office.gone[agent]).map(dated);
                let doubt = office.reports[agent].as_ref().and_then(SelfReport::doubt).filter(|_| doubts);
                let place = if self.bug(Bug::OneRegionIsEnough) { agent } else { agent / AGENTS_PER_REGION };
                let region = self.names.regions[place % self.set.regions].clone();
                (self.names.agents[agent].clone(), Observer { region, heard_at, doubt })
            })
            .collect();
        Observers::from(observers)
    }

    /// In the order in which they are looked at, so that nothing is left to sort.
    fn sights(&self, office: &Office, now: Timestamp, steady: Duration, lags: bool) -> Vec<Sight> {
        let mut sights = Vec::new();
        for region in &self.names.by_name {
            sights.extend(self.held_about(office, *region).map(|held| held.sight(now, steady)));
            for agent in self.names.agents_by_name.iter().copied().filter(|_| lags) {
                let held = &office.lags[agent * REGIONS_MAX + region];
                if !held.is_empty() {
                    let of = self.database_signal(agent, *region);
                    sights.extend(held.iter().map(|lag| lag.sight(&of, now, steady)));
                }
            }
        }
        sights
    }

    fn database_signal(&self, agent: usize, region: usize) -> Signal {
        Signal {
            observer: self.names.agents[agent].clone(),
            observer_region: self.names.regions[agent / AGENTS_PER_REGION].clone(),
            service: self.names.service.clone(),
            region: self.names.regions[region].clone(),
            subject: self.set.database().to_owned(),
            reading: Reading::Unknown { reason: String::new() },
            at: Timestamp::default(),
        }
    }
}

/// Every measurement says the smallest of all.
fn best_lag(sights: &mut [Sight]) {
    let lag = |sight: &Sight| match sight.signal.reading {
        Reading::ReplicaLag { lag } => Some(lag),
        _ => None,
    };
    let Some(best) = sights.iter().filter_map(lag).min() else { return };
    for sight in sights.iter_mut().filter(|sight| lag(sight).is_some()) {
        sight.signal = Arc::new(Signal { reading: Reading::ReplicaLag { lag: best }, ..(*sight.signal).clone() });
    }
}

fn without_lag(sight: &mut Sight) {
    if matches!(sight.signal.reading, Reading::ReplicaLag { .. }) {
        let reading = Reading::ReplicaLag { lag: Duration::ZERO };
        sight.signal = Arc::new(Signal { reading, ..(*sight.signal).clone() });
    }
}
