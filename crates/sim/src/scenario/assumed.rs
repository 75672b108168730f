//! What no manifest says: distances, delays, and how long providers take. Each has a name, a default and a reason.

use std::collections::BTreeMap;

use crate::rng::Rng;
use crate::{MILLI, MINUTE, Micros, SECOND};

const HOUR: Micros = 60 * MINUTE;

/// Drawn anew each time, evenly between both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub from: Micros,
    pub to: Micros,
}

impl Range {
    pub fn draw(self, rng: &mut Rng) -> Micros {
        rng.between(self.from, self.to)
    }
}

/// Name, default, what it is.
pub const TIMES: &[(&str, &str, &str)] = &[
    ("round-trip", "70ms", "between two regions, there and back"),
    ("replication-lag", "50ms..1s", "a write is at the replicas so much later; drawn once a run"),
    ("cloudwatch-late", "60s..120s", "until RDS's measured lag is known, which is dated by its minute"),
    ("provider-call", "50ms..200ms", "one call of a provider's API"),
    ("postgresql-promotion", "300ms..4s", "pg_promote, until the server takes writes"),
    ("rds-promotion", "5m..10m", "PromoteReadReplica, until the instance is available"),
    ("rds-change", "10s..40s", "ModifyDBInstance, until its security groups are in place"),
    ("rds-reboot", "30s..2m", "RebootDBInstance, until it is available"),
    ("rds-caught-up", "1m..3m", "until CloudWatch shows no lag after a fence"),
    ("eks-nodes", "1m..4m", "a node group, until its new nodes are ready"),
    ("kubernetes-pods", "20s..90s", "deployments, until their new pods are ready"),
    ("ecs-tasks", "30s..2m", "a service, until its new tasks run"),
    ("route53-insync", "5s..60s", "a change of records, until Route 53 says INSYNC"),
    ("verification", "100ms..2s", "one question of `verify`"),
    ("hook", "100ms..5s", "a command of the operator's own"),
    ("disk-sync", "2ms", "fsync of a coordinator's or an agent's disk"),
];
/// The region of the third coordinator, where a manifest has only two.
pub const WITNESS: &str = "witness";
const ROUTE53: &str = "route53-answers";
const TIME_MAX: Micros = 24 * HOUR;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assumed {
    times: BTreeMap<&'static str, Range>,
    pub witness: String,
    /// Although us-east-1, where its control plane is, may be what is lost.
    pub route53_answers: bool,
}

impl Default for Assumed {
    fn default() -> Self {
        let times = TIMES.iter().map(|(name, default, _)| (*name, range(default).expect("a default is a range")));
        Self { times: times.collect(), witness: WITNESS.to_owned(), route53_answers: true }
    }
}

impl Assumed {
    pub fn range(&self, name: &str) -> Range {
        self.times[name]
    }

    /// # Errors
    /// What is wrong with the name or the value.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        if name == WITNESS {
            value.clone_into(&mut self.witness);
            return Ok(());
        }
        if name == ROUTE53 {
            self.route53_answers = match value {
                "yes" => true,
                "no" => false,
                _ => return Err(format!("{name} is yes or no, not {value:?}")),
            };
            return Ok(());
        }
        let Some((known, _, _)) = TIMES.iter().find(|(known, _, _)| *known == name) else {
            let names = TIMES.iter().map(|(known, _, _)| *known).chain([WITNESS, ROUTE53]);
            let near = super::named::nearest(name, names, 1).join("");
            return Err(format!("nothing is assumed under the name {name:?}; near it is {near}"));
        };
        let given = range(value).filter(|range| range.to <= TIME_MAX);
        let given = given.ok_or_else(|| format!("{name}: {value:?} is no time up to 24h, like 70ms or 5m..10m"))?;
        self.times.insert(known, given);
        Ok(())
    }

    /// Name, value, what it is; in the order of the table.
    pub fn all(&self) -> Vec<(&'static str, String, &'static str)> {
        let times = TIMES.iter().map(|(name, _, what)| (*name, self.range(name).to_string(), *what));
        let answers = if self.route53_answers { "yes" } else { "no" };
        let others = [
            (WITNESS, self.witness.clone(), "region of the third coordinator, if the manifest has only two regions"),
            (ROUTE53, answers.to_owned(), "its control plane, which is in us-east-1, also while that region is lost"),
        ];
        times.chain(others).collect()
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.from == self.to {
            true => f.write_str(&written(self.from)),
            false => write!(f, "{}..{}", written(self.from), written(self.to)),
        }
    }
}

fn written(time: Micros) -> String {
    for (unit, name) in [(HOUR, "h"), (MINUTE, "m"), (SECOND, "s")] {
        if time >= unit && time.is_multiple_of(unit) {
            return format!("{}{name}", time / unit);
        }
    }
    format!("{}ms", time / MILLI)
}

fn range(text: &str) -> Option<Range> {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let (from, to) = (time(from)?, time(to)?);
    (from <= to).then_some(Range { from, to })
}

fn time(text: &str) -> Option<Micros> {
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(unit)?;
    let factor = match unit {
        "ms" => MILLI,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_assumed_reads_back_as_it_was_written_and_nonsense_is_refused() {
        let mut assumed = Assumed::default();
        for (name, default, _) in TIMES {
            assert_eq!(assumed.range(name).to_string(), range(default).expect("a range").to_string(), "{name}");
        }
        assert_eq!(assumed.set("rds-promotion", "2m..90m"), Ok(()));
        assert_eq!(assumed.range("rds-promotion"), Range { from: 2 * MINUTE, to: 90 * MINUTE });
        let wrong = assumed.set("rds-promotoin", "2m").expect_err("no such name");
        assert!(wrong.contains("rds-promotion"), "{wrong}");
        for bad in ["", "5", "5m..", "10m..5m", "-1s", "1.5s", "25h", "99999999999999999999s"] {
            assert!(assumed.set("rds-promotion", bad).is_err(), "{bad:?}");
        }
        assert!(assumed.set("route53-answers", "perhaps").is_err());
    }
}
