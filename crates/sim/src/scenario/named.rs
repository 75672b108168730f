//! Faults by name, for the regions of a manifest.

use super::Given;
use crate::event::Who;
use crate::fault::Fault;
use crate::net::{around, both_ways};
use crate::setting::AGENTS_PER_REGION;
use crate::{MILLI, SECOND};

const FLAPS_EVERY: u64 = 10 * SECOND;
const SLOWER: u64 = 300 * MILLI;
const LOSSY_PER_MILLE: u64 = 200;

#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: String,
    /// What happens, in a sentence.
    pub what: String,
    pub faults: Vec<Fault>,
}

impl Scenario {
    /// All that can happen to these regions.
    pub fn all(given: &Given) -> Vec<Self> {
        let mut all = Vec::new();
        let regions = given.regions.len();
        for at in 0..regions {
            of_region(given, at, &mut all);
        }
        for (one, other) in (0..regions).flat_map(|one| (one + 1..regions).map(move |other| (one, other))) {
            let (a, b) = (&given.regions[one], &given.regions[other]);
            all.push(scenario(
                format!("{a}-{b}-cut"),
                "nothing passes between them",
                vec![Fault::Cut(both_ways(one, other))],
            ));
            let both = [lost(given, one), lost(given, other)].concat();
            all.push(scenario(format!("{a}-and-{b}-lost"), "both regions, with all that is in them", both));
        }
        all
    }

    /// # Errors
    /// The nearest names there are.
    pub fn find(given: &Given, name: &str) -> Result<Self, Vec<String>> {
        let all = Self::all(given);
        match all.iter().find(|scenario| scenario.name == name) {
            Some(found) => Ok(found.clone()),
            None => Err(nearest(name, all.iter().map(|scenario| scenario.name.as_str()), 3)),
        }
    }
}

fn scenario(name: String, what: &str, faults: Vec<Fault>) -> Scenario {
    Scenario { name, what: what.to_owned(), faults }
}

fn of_region(given: &Given, at: usize, all: &mut Vec<Scenario>) {
    let (region, regions) = (&given.regions[at], given.regions.len());
    let mut push = |name: &str, what: &str, faults| all.push(scenario(format!("{region}-{name}"), what, faults));
    let all_of_it = match at < given.workloads {
        true => "its coordinator, agents, workload and database are gone",
        false => "its coordinator and agents are gone",
    };
    push("lost", all_of_it, lost(given, at));
    push("isolated", "nothing enters or leaves it; inside it all goes on", vec![Fault::Cut(around(at, regions))]);
    push("flapping", "10 s cut off, 10 s not", vec![Fault::Flap(around(at, regions), FLAPS_EVERY)]);
    push("slow", "its links are slower by 300 to 600 ms each way", vec![Fault::Slow(around(at, regions), SLOWER)]);
    push("lossy", "its links lose a fifth of all packets", vec![Fault::Lossy(around(at, regions), LOSSY_PER_MILLE)]);
    push("agents-lost", "its agents are gone, all else lives", agents(at));
    push("coordinator-lost", "its coordinator is gone, all else lives", vec![Fault::Crash(Who::Node(at))]);
    push("no-name-server", "its agents can resolve no name", vec![Fault::NoNames(at)]);
    if at < given.workloads {
        push("database-down", "its database answers nobody, and the checks say so", vec![Fault::Down(at)]);
        push("service-down", "its checks fail, its database is well", vec![Fault::Sick(at, 1_000)]);
    }
}

fn agents(region: usize) -> Vec<Fault> {
    (0..AGENTS_PER_REGION).map(|nth| Fault::Crash(Who::Agent(region * AGENTS_PER_REGION + nth))).collect()
}

/// Nobody refuses a connection there: nothing answers at all.
fn lost(given: &Given, region: usize) -> Vec<Fault> {
    let mut faults = agents(region);
    faults.push(Fault::Crash(Who::Node(region)));
    faults.push(Fault::Cut(around(region, given.regions.len())));
    faults.extend((region < given.workloads).then_some(Fault::Down(region)));
    faults
}

/// Those that are spelt most like it.
pub fn nearest<'a>(name: &str, of: impl Iterator<Item = &'a str>, most: usize) -> Vec<String> {
    let mut known: Vec<(usize, &str)> = of.map(|other| (distance(name, other), other)).collect();
    known.sort_unstable();
    known.into_iter().take(most).map(|(_, other)| other.to_owned()).collect()
}

/// Letters to insert, remove or replace (Levenshtein, 1965).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (to, wanted) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *wanted);
            diagonal = row[to + 1];
            row[to + 1] = replaced.min(row[to] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_the_one_with_the_fewest_wrong_letters() {
        let names = ["us-east-1-lost", "us-west-2-lost", "us-east-1-slow"];
        assert_eq!(nearest("us-east1-lost", names.into_iter(), 1), ["us-east-1-lost"]);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
