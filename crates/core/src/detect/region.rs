//! From the checks of a region to its verdict, and from the regions to a doubt of the whole.

use std::collections::BTreeMap;

use super::roll::Roll;
use super::tally::{Finding, SecondKind, Words, find};
use super::votes::Vote;
use super::{Evidence, Pattern, Quorum, REGIONS_NEEDED, RegionVerdict, Sight, VIEWS_MAX, Verdict, View};
use crate::fleet::Service;
use crate::ids::RegionId;
use crate::manifest::Check;

pub fn assess_region<'a>(
    service: &'a Service,
    about: &'a RegionId,
    evidence: &'a Evidence,
    words: Words,
) -> RegionVerdict {
    let mut by_check = votes(service, about, evidence);
    let checks = service.manifest.checks.iter().filter(|check| check.regions(&service.manifest).contains(&about));
    let (requests, probes): (Vec<&Check>, Vec<&Check>) = checks.partition(|check| check.probe.is_requester_side());
    let mut take = |check: &Check| by_check.remove(check.name.as_str()).unwrap_or_default();
    let requests: Vec<Finding<'_>> = requests
        .into_iter()
        .map(|check| find(check, about, take(check), &SecondKind::new(), service, evidence, words))
        .collect();
    let second = second_kind(&requests, service);
    let probes: Vec<Finding<'_>> =
        probes.into_iter().map(|check| find(check, about, take(check), &second, service, evidence, words)).collect();
    let mut verdict = combine(&probes, &requests, about);
    if words == Words::All {
        verdict.views = views(&probes, &requests);
    }
    verdict
}

/// Most regions of a service do not die at once: rather our own sight is wrong, and nothing counts as down.
pub fn doubt_ourselves(verdicts: &mut BTreeMap<RegionId, RegionVerdict>) {
    let dead = verdicts.values().filter(|verdict| looks_dead(verdict)).count();
    let of = verdicts.len();
    if dead < 2 || dead <= of / 2 {
        return;
    }
    for verdict in verdicts.values_mut().filter(|verdict| looks_dead(verdict)) {
        verdict.verdict = Verdict::Suspect;
        verdict.pattern = Pattern::MostRegionsDown;
        verdict
            .missing
            .push(format!("most regions to look alive: {dead} of {of} look dead, so our own sight is in doubt"));
    }
}

/// A quorum sees it fail, for however long.
pub fn looks_dead(verdict: &RegionVerdict) -> bool {
    let Quorum { needed, failing, regions_failing, fresh, .. } = verdict.quorum;
    let most = failing >= needed && regions_failing >= REGIONS_NEEDED && failing * 2 > fresh;
    most && matches!(verdict.verdict, Verdict::Down | Verdict::Suspect) && verdict.pattern != Pattern::OutsideOnly
}

/// The sights of the region, by check. Those of a check that is no more have no vote and are not shown.
fn votes<'a>(service: &'a Service, about: &RegionId, evidence: &'a Evidence) -> BTreeMap<&'a str, Vec<Vote<'a>>> {
    let sights = evidence.of_service(&service.manifest.service);
    let start = sights.partition_point(|sight| sight.signal.region < *about);
    let end = sights.partition_point(|sight| sight.signal.region <= *about);
    let mut votes: BTreeMap<&str, Vec<Vote<'a>>> = BTreeMap::new();
    for of_check in sights.get(start..end).unwrap_or_default().chunk_by(|a, b| a.signal.subject == b.signal.subject) {
        let Some(subject) = of_check.first().map(|sight| sight.signal.subject.as_str()) else { continue };
        let Some(check) = service.manifest.checks.iter().find(|check| check.name == subject) else { continue };
        let mut observers = Roll::of(&evidence.observers);
        let of = |sight: &'a Sight| {
            let observer = observers.find(&sight.signal.observer);
            Vote::of(sight, observer, check, about, service, evidence)
        };
        votes.insert(subject, newest(of_check).filter_map(of).collect());
    }
    votes
}

/// One sight of each observer: a second one gives it no second vote. They come in the order of their observers.
fn newest(sights: &[Sight]) -> impl Iterator<Item = &Sight> {
    let newer =
        |known: &'_ Sight, sight: &Sight| (known.observed_at, known.heard_at) < (sight.observed_at, sight.heard_at);
    let of_observer = sights.chunk_by(|a, b| a.signal.observer == b.signal.observer);
    of_observer.filter_map(move |of| of.iter().reduce(|known, sight| if newer(known, sight) { sight } else { known }))
}

/// Observers outside to whom a requester-side check has failed for the whole of the time.
fn second_kind<'a>(requests: &[Finding<'a>], service: &Service) -> SecondKind<'a> {
    let mut second = SecondKind::new();
    for vote in requests.iter().flat_map(|finding| &finding.votes) {
        if vote.outside && vote.is_sustained(service.manifest.policy.sustained) {
            let since = second.entry(vote.observer()).or_insert((vote.region, vote.since()));
            since.1 = since.1.min(vote.since());
        }
    }
    second
}

fn combine(probes: &[Finding<'_>], requests: &[Finding<'_>], about: &RegionId) -> RegionVerdict {
    let counted = probes.iter().filter(|finding| !finding.check.observe_only);
    let (critical, other): (Vec<&Finding<'_>>, Vec<&Finding<'_>>) = counted.partition(|it| it.check.critical);
    let requests: Vec<&Finding<'_>> = requests.iter().filter(|finding| !finding.check.observe_only).collect();
    // One critical check is enough; where none is critical it takes all.
    let one_is_enough = !critical.is_empty();
    let decisive = if one_is_enough { &critical } else { &other };
    let enough = |verdict: Verdict| {
        let all = decisive.iter().all(|finding| finding.verdict == verdict);
        first(decisive, verdict).filter(|_| one_is_enough || all)
    };
    if let Some(down) = enough(Verdict::Down) {
        return of(down, Verdict::Down, down.pattern);
    }
    if let Some(suspect) = first(&critical, Verdict::Suspect) {
        return of(suspect, Verdict::Suspect, suspect.pattern);
    }
    if let Some(failing) = requests.iter().find(|finding| finding.ails()) {
        return requests_fail(failing, about);
    }
    if let Some(failing) = other.iter().find(|finding| finding.ails()) {
        let alone = !one_is_enough && other.iter().all(|finding| finding.ails());
        return partly_fails(failing, alone, about);
    }
    if let Some(unknown) = enough(Verdict::Unknown) {
        return of(unknown, Verdict::Unknown, Pattern::Blind);
    }
    let well = first(decisive, Verdict::Healthy).or_else(|| first(&requests, Verdict::Healthy));
    well.map_or_else(|| unasked(about), |well| of(well, Verdict::Healthy, Pattern::Well))
}

fn first<'f, 'a>(findings: &[&'f Finding<'a>], verdict: Verdict) -> Option<&'f Finding<'a>> {
    findings.iter().copied().find(|finding| finding.verdict == verdict)
}

fn requests_fail(failing: &Finding<'_>, about: &RegionId) -> RegionVerdict {
    let check = &failing.check.name;
    let missing = format!("a probe of {about} that fails for as long: {check} alone is one source for all observers");
    RegionVerdict { missing: vec![missing], ..of(failing, Verdict::Suspect, Pattern::Grey) }
}

/// What is not critical fails: `alone` if nothing else passes.
fn partly_fails(failing: &Finding<'_>, alone: bool, about: &RegionId) -> RegionVerdict {
    let mut verdict = of(failing, Verdict::Suspect, if alone { failing.pattern } else { Pattern::Grey });
    if failing.verdict == Verdict::Down || !alone {
        verdict.missing.push(format!("a critical check of {about} to fail, or all of its checks"));
    }
    verdict
}

fn of(finding: &Finding<'_>, verdict: Verdict, pattern: Pattern) -> RegionVerdict {
    let (since, quorum, short, missing) = (finding.since, finding.quorum, finding.short, finding.missing.clone());
    RegionVerdict { verdict, pattern, since, quorum, short, views: Vec::new(), missing }
}

fn unasked(about: &RegionId) -> RegionVerdict {
    RegionVerdict {
        verdict: Verdict::Unknown,
        pattern: Pattern::Blind,
        since: None,
        quorum: Quorum { regions_needed: REGIONS_NEEDED, ..Quorum::default() },
        short: None,
        views: Vec::new(),
        missing: vec![format!("a check that is asked about {about}")],
    }
}

/// Those that fail and count come first, so that what is cut off says least.
fn views(probes: &[Finding<'_>], requests: &[Finding<'_>]) -> Vec<View> {
    let mut votes: Vec<&Vote<'_>> = probes.iter().chain(requests).flat_map(|finding| &finding.votes).collect();
    let rank = |vote: &Vote<'_>| (!(vote.fails() && vote.outside), !vote.fails(), !vote.votes());
    let order = |a: &&Vote<'_>, b: &&Vote<'_>| {
        rank(a)
            .cmp(&rank(b))
            .then_with(|| a.sight.signal.subject.cmp(&b.sight.signal.subject))
            .then_with(|| a.observer().cmp(b.observer()))
    };
    // Of ten thousand, only those that are kept are put in order.
    if votes.len() > VIEWS_MAX {
        votes.select_nth_unstable_by(VIEWS_MAX, order);
        votes.truncate(VIEWS_MAX);
    }
    votes.sort_by(order);
    votes.into_iter().map(Vote::view).collect()
}
