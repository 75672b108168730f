//! Of the faults of a seed that breaks a rule, as few as still break it (Zeller, Hildebrandt: "Simplifying and Isolating
//! Failure-Inducing Input", 2002).

use crate::fault::Planned;
use crate::plant::Bug;
use crate::swarm::Drawn;

/// Worlds that are played for one seed.
const PLAYS_MAX: u32 = 300;

/// The faults without any of which `rule` would hold.
pub fn minimised(drawn: &Drawn, plant: Option<Bug>, rule: &str) -> Vec<Planned> {
    let mut plays = 0;
    let mut breaks = |faults: &[Planned]| {
        plays += 1;
        let smaller = Drawn { faults: faults.to_vec(), ..drawn.clone() };
        plays <= PLAYS_MAX && smaller.play(plant).judge.violations.iter().any(|violation| violation.rule == rule)
    };
    let mut faults = drawn.faults.clone();
    let mut parts = 2;
    while !faults.is_empty() && parts <= faults.len().max(2) {
        let size = faults.len().div_ceil(parts);
        let without = (0..faults.len()).step_by(size).map(|from| {
            let until = (from + size).min(faults.len());
            [&faults[..from], &faults[until..]].concat()
        });
        match without.into_iter().find(|rest| breaks(rest)) {
            Some(rest) => {
                faults = rest;
                parts = (parts - 1).max(2);
            }
            None if size == 1 => break,
            None => parts = (parts * 2).min(faults.len()),
        }
    }
    faults
}
