use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::fixtures::{self, EAST, WEST};
use crate::manifest::{Check, Probe, Vantage};
use crate::signal::Reading;

mod grey;
mod noise;
mod table;

const EU: &str = "eu-central-1";
const AP: &str = "ap-south-1";
const NOW: u64 = 10_000;

/// A service in two regions with one check, and what is seen of it. Observers are named by the first letter of their
/// place: `e` east, `w` west, `x` and `y` elsewhere.
struct Scene {
    service: Service,
    led_since: Timestamp,
    observers: BTreeMap<AgentId, Observer>,
    sights: Vec<Sight>,
}

fn http(name: &str) -> Check {
    Check {
        name: name.to_owned(),
        probe: Probe::Http {
            urls: [EAST, WEST, EU].map(|region| (fixtures::region(region), format!("http://{region}/"))).into(),
            expect_status: 200,
            body_contains: None,
            latency_max: None,
            ca_file: None,
        },
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        fail_after: 3,
        pass_after: 2,
        critical: true,
        observe_only: false,
        from: Vantage::Both,
    }
}

fn place(observer: &str) -> &'static str {
    match observer.chars().next() {
        Some('e') => EAST,
        Some('w') => WEST,
        Some('x') => EU,
        _ => AP,
    }
}

fn ago(seconds: u64) -> Timestamp {
    fixtures::at(NOW - seconds)
}

impl Scene {
    fn new() -> Self {
        let mut service = fixtures::fleet().services.remove(&fixtures::service("maip")).expect("the fixture has it");
        service.manifest.checks = vec![http("api")];
        service.manifest.policy.sustained = Duration::from_secs(30);
        Self { service, led_since: fixtures::at(0), observers: BTreeMap::new(), sights: Vec::new() }
    }

    /// What is seen of the east's `api`.
    fn east(script: &str) -> Self {
        Self::new().and(EAST, "api", script)
    }

    /// Words like `w1-30@2~3!`: observer, what it sees (`+` passes, `-30` has failed for 30 s, `/` fails, though it passed a
    /// moment ago, `?` cannot find out), how many seconds ago, alternations, and `!` doubts itself, `z` is silent.
    fn and(mut self, about: &str, check: &str, script: &str) -> Self {
        for word in script.split_whitespace() {
            self.take(about, check, word);
        }
        self
    }

    fn take(&mut self, about: &str, check: &str, word: &str) {
        let (observer, rest) = word.split_at(2);
        let number = |mark: char| -> u64 {
            let digits = rest.split_once(mark).map_or("", |(_, rest)| rest);
            digits.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0)
        };
        let reading = match rest.chars().next() {
            Some('+') => Reading::Passing { latency: Duration::from_millis(9) },
            // The wall clock of the observer is hours off.
            Some('-' | '/') => Reading::Failing { reason: "refused".to_owned(), since: ago(900) },
            _ => Reading::Unknown { reason: "no resolver".to_owned() },
        };
        let failing = rest.starts_with('-');
        self.sights.push(Sight {
            signal: Arc::new(Signal {
                observer: fixtures::agent(observer),
                observer_region: fixtures::region(place(observer)),
                service: self.service.manifest.service.clone(),
                region: fixtures::region(about),
                subject: check.to_owned(),
                reading,
                at: Timestamp::default(),
            }),
            observed_at: ago(number('@')),
            failing_since: failing.then(|| ago(number('-'))),
            heard_at: ago(number('@')),
            alternations: u32::try_from(number('~')).expect("small"),
        });
        let heard_at = Some(ago(if rest.contains('z') { 7 } else { 0 }));
        let doubt = rest.contains('!').then_some(Doubt::TimersSlip);
        let region = fixtures::region(place(observer));
        self.observers.insert(fixtures::agent(observer), Observer { region, heard_at, doubt });
    }

    /// Registered and never heard of.
    fn with_unheard(mut self, observers: &str) -> Self {
        for observer in observers.split_whitespace() {
            let observer_of = Observer { region: fixtures::region(place(observer)), heard_at: None, doubt: None };
            self.observers.insert(fixtures::agent(observer), observer_of);
        }
        self
    }

    fn set(mut self, change: impl FnOnce(&mut Service)) -> Self {
        change(&mut self.service);
        self
    }

    fn set_checks(self, checks: Vec<Check>) -> Self {
        self.set(|service| service.manifest.checks = checks)
    }

    fn verdicts(&self) -> BTreeMap<RegionId, RegionVerdict> {
        let evidence = Evidence::new(fixtures::at(NOW), self.led_since, self.observers.clone(), self.sights.clone());
        let verdicts = assess(&self.service, &evidence);
        for (region, verdict) in &verdicts {
            let glance = glance(&self.service, region, &evidence);
            let whole = (verdict.verdict, verdict.pattern);
            assert!(glance.is_none_or(|glance| glance == whole), "a glance at {region} sees {glance:?}: {whole:?}");
        }
        verdicts
    }

    fn of(&self, region: &str) -> RegionVerdict {
        self.verdicts().remove(&fixtures::region(region)).expect("every region of the service has a verdict")
    }

    /// `down outage`.
    fn judged(&self, region: &str) -> String {
        let verdict = self.of(region);
        format!("{} {}", verdict.verdict.name(), verdict.pattern.name())
    }
}
