//! From single answers to a reading: a single failed probe is not an outage, and a single passed one no recovery.

use std::time::Duration;

use mesh_core::signal::Reading;
use mesh_core::time::Timestamp;

#[derive(Clone, Debug)]
pub struct Hysteresis {
    fail_after: u32,
    pass_after: u32,
    passes: u32,
    failures: u32,
    /// First failure of the present row of failures.
    row_since: Timestamp,
    reading: Reading,
}

impl Hysteresis {
    pub fn new(fail_after: u32, pass_after: u32) -> Self {
        Self {
            fail_after: fail_after.max(1),
            pass_after: pass_after.max(1),
            passes: 0,
            failures: 0,
            row_since: Timestamp::default(),
            reading: Reading::Unknown { reason: "not enough answers yet".to_owned() },
        }
    }

    pub fn record(&mut self, answer: Result<Duration, String>, at: Timestamp) -> Reading {
        match answer {
            Ok(latency) => {
                self.failures = 0;
                self.passes = self.passes.saturating_add(1);
                let passing = matches!(self.reading, Reading::Passing { .. });
                if passing || self.passes >= self.pass_after {
                    self.reading = Reading::Passing { latency };
                }
            }
            Err(reason) => {
                if self.failures == 0 {
                    self.row_since = at;
                }
                self.passes = 0;
                self.failures = self.failures.saturating_add(1);
                let failing_since = match &self.reading {
                    Reading::Failing { since, .. } => Some(*since),
                    Reading::Passing { .. } | Reading::ReplicaLag { .. } | Reading::Unknown { .. } => None,
                };
                if failing_since.is_some() || self.failures >= self.fail_after {
                    self.reading = Reading::Failing { reason, since: failing_since.unwrap_or(self.row_since) };
                }
            }
        }
        self.reading.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(answers: &str) -> Vec<String> {
        let mut hysteresis = Hysteresis::new(3, 2);
        let answers = answers.chars().zip(1u64..);
        answers
            .map(|(answer, second)| {
                let answer = if answer == '+' { Ok(Duration::from_millis(5)) } else { Err("refused".to_owned()) };
                match hysteresis.record(answer, Timestamp::from_millis(second)) {
                    Reading::Passing { .. } => "up".to_owned(),
                    Reading::Failing { since, .. } => format!("down@{}", since.as_millis()),
                    Reading::ReplicaLag { .. } => "lag".to_owned(),
                    Reading::Unknown { .. } => "?".to_owned(),
                }
            })
            .collect()
    }

    #[test]
    fn a_single_failed_probe_is_not_an_outage() {
        assert_eq!(readings("++-+--+"), ["?", "up", "up", "up", "up", "up", "up"]);
    }

    #[test]
    fn an_outage_began_with_the_first_failure_of_its_row() {
        assert_eq!(readings("++---"), ["?", "up", "up", "up", "down@3"]);
    }

    #[test]
    fn a_single_passed_probe_is_no_recovery() {
        assert_eq!(readings("---+-++"), ["?", "?", "down@1", "down@1", "down@1", "down@1", "up"]);
    }
}
