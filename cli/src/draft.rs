//! A manifest from what exists. What cannot be known is left as a blank, `<what belongs here>`, which no manifest with
//! one left is valid; whatever was decided where something else was possible is said in a comment.

use std::collections::BTreeMap;

use mesh_core::ids::{RegionId, ServiceId};
use mesh_core::survey::Inventory;

pub mod alike;
mod place;
mod resources;
mod text;
mod traffic;

pub use place::{Place, PlaceError, place};

/// What is drafted from.
pub struct Seen<'a> {
    pub service: &'a ServiceId,
    pub inventories: &'a BTreeMap<RegionId, Inventory>,
    pub place: &'a Place,
}

pub struct Draft {
    pub yaml: String,
    /// Blanks that a person has to fill.
    pub blanks: usize,
}

/// A loss objective that AWS's own lag figures (one a minute, up to 5 minutes on an idle PostgreSQL) can prove.
const RPO: &str = "5m";
const RTO: &str = "30m";

pub fn draft(seen: &Seen<'_>) -> Draft {
    let Place { primary, standby } = seen.place;
    let empty = Inventory::default();
    let of = |region: &RegionId| seen.inventories.get(region).unwrap_or(&empty);
    let pair = Pair {
        service: seen.service.as_str(),
        primary: primary.as_str(),
        standby: standby.as_str(),
        here: of(primary),
        there: of(standby),
    };
    let resources = resources::resources(&pair);
    let zones: Vec<_> = seen.inventories.values().flat_map(|inventory| &inventory.zones).collect();
    let traffic = traffic::traffic(&pair, &zones);
    let notices = resources::notices(&pair);
    let writer = if resources.has_database { "single" } else { "multi" };
    let mut yaml = head(&pair, writer);
    yaml.push_str(&resources.checks);
    yaml.push_str(&resources.yaml);
    yaml.push_str(&traffic.yaml);
    yaml.push_str(&traffic.verify);
    yaml.push_str(&notices);
    yaml.push_str(&gaps(seen));
    let blanks = yaml.lines().filter(|line| !line.trim_start().starts_with('#') && line.contains("\"<")).count();
    Draft { yaml, blanks }
}

/// The two regions and what is in them.
struct Pair<'a> {
    service: &'a str,
    primary: &'a str,
    standby: &'a str,
    here: &'a Inventory,
    there: &'a Inventory,
}

fn head(pair: &Pair<'_>, writer: &str) -> String {
    let Pair { service, primary, standby, .. } = pair;
    let why = match writer {
        "single" => "one region may write: its database is promoted in a failover",
        _ => "no database with a replica was found, so a failover moves traffic only",
    };
    format!(
        "# Drafted by `meshctl import` from what the agents saw. Fill in whatever stands in <angle brackets>: the comment\n\
         # above it says with what, and `meshctl validate -f FILE` points at what is left. Then look at the rest.\n\
         apiVersion: mesh/v1\n\
         service: {service}\n\
         description: {}\n\
         writer: {writer} # {why}\n\
         regions:\n  {primary}: primary # serves now\n  {standby}: standby\n\
         objectives:\n  \
         # Yours to decide: how long an outage may last, and how much of what was written last may be lost.\n  \
         rto: {RTO}\n  rpo: {RPO}\n",
        text::quoted(&format!("{service}, active in {primary}, standby in {standby}")),
    )
}

/// What could not be seen is said where it is missed.
fn gaps(seen: &Seen<'_>) -> String {
    let mut out = String::new();
    for finding in seen.inventories.values().flat_map(|inventory| &inventory.gaps) {
        if out.is_empty() {
            out.push_str("# Not seen, so not in this draft:\n");
        }
        out.push_str(&text::comment(0, &format!("- {}: {} ({})", finding.subject, finding.text, finding.mend)));
    }
    out
}

#[cfg(test)]
mod tests;
