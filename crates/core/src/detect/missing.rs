//! What is wanted yet before a region counts as down, in words.

use std::collections::BTreeSet;
use std::time::Duration;

use super::tally::Tally;
use super::votes::{Vote, words};
use super::{Evidence, Pattern, REGIONS_NEEDED, SETTLE, Verdict};
use crate::ids::RegionId;
use crate::manifest::Vantage;

pub fn of(tally: &Tally<'_, '_>, verdict: Verdict, pattern: Pattern, evidence: &Evidence) -> Vec<String> {
    match verdict {
        Verdict::Healthy | Verdict::Down => Vec::new(),
        Verdict::Unknown => vec![view_from_outside(tally)],
        Verdict::Suspect => suspect(tally, pattern, evidence),
    }
}

fn suspect(tally: &Tally<'_, '_>, pattern: Pattern, evidence: &Evidence) -> Vec<String> {
    let (check, about) = (&tally.check.name, tally.about);
    let mut missing = Vec::new();
    if tally.failing.is_empty() && tally.joining.is_empty() {
        missing.push(match pattern {
            Pattern::Flapping => format!("a steady {check}: it passes now, and has alternated lately"),
            Pattern::Blind => view_from_outside(tally),
            _ if tally.check.from == Vantage::Own => {
                format!("{check} to be asked from outside {about}: its own word does not count")
            }
            _ => format!(
                "{} outside {about} to see {check} fail: only its own region does, {} see it well",
                observers(tally.needed),
                observers(tally.passing.len())
            ),
        });
        return missing;
    }
    let quorum = tally.quorum();
    if quorum.failing < quorum.needed {
        missing.push(format!("{} outside {about}", more_observers(quorum.needed - quorum.failing)));
    } else if quorum.failing <= tally.passing.len() {
        let short = tally.passing.len() + 1 - quorum.failing;
        missing.push(format!("{} outside {about}: as many see {check} pass", more_observers(short)));
    }
    if quorum.regions_failing < REGIONS_NEEDED {
        let short = REGIONS_NEEDED - quorum.regions_failing;
        missing.push(format!("a failing view from {short} more region{} outside {about}", plural(short)));
    }
    missing.extend(time(tally));
    if tally.own_contradicts() {
        missing.push(format!("{about} itself sees {check} pass: it may be the way to it that fails"));
    }
    if pattern == Pattern::Asymmetric {
        missing.push(links(tally));
    }
    if tally.settling && tally.electorate > quorum.fresh {
        let left = SETTLE.saturating_sub(evidence.now.since(evidence.led_since));
        let unheard = tally.electorate - quorum.fresh;
        missing.push(format!(
            "word of {} yet unheard, or {} more: this leader is new",
            observers(unheard),
            words(left)
        ));
    }
    missing
}

/// `11 s of 30 s`, of the observer that is needed and has seen least.
fn time(tally: &Tally<'_, '_>) -> Option<String> {
    let sustained = tally.policy.sustained;
    let left = |vote: &&Vote<'_>| vote.wanted(sustained).saturating_sub(vote.seen_failing_for());
    let mut votes = tally.failing.clone();
    votes.sort_by_key(left);
    let wanted = tally.needed.saturating_sub(tally.joining.len()).clamp(1, votes.len().max(1));
    let vote = votes.get(wanted - 1)?;
    if vote.is_sustained(sustained) {
        return None;
    }
    let (seen, whole) = (vote.seen_failing_for(), vote.wanted(sustained));
    let why = if whole > sustained { ": it alternates, and must fail for longer" } else { "" };
    Some(format!("{} of {}{why}", words(seen.min(whole.saturating_sub(Duration::from_millis(1)))), words(whole)))
}

/// Which way it fails, and which way it does not.
fn links(tally: &Tally<'_, '_>) -> String {
    let about = tally.about;
    let named = |votes: &[&Vote<'_>]| {
        let regions: BTreeSet<&RegionId> = votes.iter().map(|vote| vote.region).collect();
        regions.into_iter().map(|region| format!("{region} → {about}")).collect::<Vec<_>>().join(", ")
    };
    format!("agreement: {} fails, {} passes", named(&tally.failing), named(&tally.passing))
}

fn view_from_outside(tally: &Tally<'_, '_>) -> String {
    match tally.check.from {
        Vantage::Own => format!("a fresh answer to {} from {} itself", tally.check.name, tally.about),
        Vantage::Others | Vantage::Both => {
            format!("a fresh answer to {} from outside {}", tally.check.name, tally.about)
        }
    }
}

fn more_observers(count: usize) -> String {
    format!("{count} more observer{}", plural(count))
}

fn observers(count: usize) -> String {
    format!("{count} observer{}", plural(count))
}

const fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
