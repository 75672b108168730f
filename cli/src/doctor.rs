//! What is missing or wrong, from the ground up. Each part turns what was seen into findings and asks nothing itself.

use mesh_core::survey::{Answer, Finding, Level};
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::mesh::Surveyed;
use crate::output::Paint;

pub mod agents;
pub mod coordinators;
pub mod people;
pub mod services;
pub mod you;

/// Findings of one kind, under one heading.
pub struct Part {
    pub name: String,
    pub findings: Vec<Finding>,
}

impl Part {
    pub fn new(name: impl Into<String>, findings: Vec<Finding>) -> Self {
        Self { name: name.into(), findings }
    }
}

/// All parts, in the order in which they should be mended.
#[derive(Default)]
pub struct Report {
    pub parts: Vec<Part>,
}

impl Report {
    pub fn add(&mut self, name: impl Into<String>, findings: Vec<Finding>) {
        if !findings.is_empty() {
            self.parts.push(Part::new(name, findings));
        }
    }

    fn all(&self) -> impl Iterator<Item = &Finding> {
        self.parts.iter().flat_map(|part| &part.findings)
    }

    pub fn count(&self, level: Level) -> usize {
        self.all().filter(|finding| finding.level == level).count()
    }

    pub fn is_well(&self) -> bool {
        !self.all().any(|finding| finding.level.stands_in_the_way())
    }

    pub fn exit(&self) -> Exit {
        if self.is_well() { Exit::Ok } else { Exit::Failed }
    }

    pub fn json(&self) -> Value {
        json!({
            "ok": self.is_well(),
            "problems": self.count(Level::Problem),
            "unknown": self.count(Level::Unknown),
            "warnings": self.count(Level::Warning),
            "parts": self.parts.iter().map(|part| json!({
                "name": part.name,
                "findings": part.findings.iter().map(|finding| json!({
                    "level": finding.level.as_str(), "subject": finding.subject,
                    "text": finding.text, "mend": finding.mend,
                })).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
        })
    }

    /// Without `verbose`, a part in which all is well is one line.
    pub fn render(&self, verbose: bool, paint: Paint) -> String {
        let mut out = String::new();
        for part in &self.parts {
            let well = part.findings.iter().filter(|finding| finding.level == Level::Ok).count();
            let shown = part.findings.iter().filter(|finding| verbose || finding.level != Level::Ok);
            out.push_str(&format!("{}\n", paint.bold(&part.name)));
            for finding in shown {
                out.push_str(&line(finding, paint));
            }
            if !verbose && well > 0 {
                let mark = mark(Level::Ok, paint);
                let what = if well == part.findings.len() { "all well" } else { "well" };
                let named = part.findings.iter().find(|finding| finding.level == Level::Ok);
                match named.filter(|_| well == 1) {
                    Some(one) => out.push_str(&format!("  {mark} {}: {}\n", one.subject, one.text)),
                    None => out.push_str(&format!("  {mark} {what}: {well} of {} looks\n", part.findings.len())),
                }
            }
        }
        out.push_str(&format!("\n{}\n", self.summary()));
        out
    }

    fn summary(&self) -> String {
        let count = |level, one: &str, many: &str| match self.count(level) {
            0 => None,
            1 => Some(format!("1 {one}")),
            n => Some(format!("{n} {many}")),
        };
        let counts: Vec<String> = [
            count(Level::Problem, "problem", "problems"),
            count(Level::Unknown, "thing that could not be looked at", "things that could not be looked at"),
            count(Level::Warning, "warning", "warnings"),
        ]
        .into_iter()
        .flatten()
        .collect();
        if counts.is_empty() {
            return "Nothing is missing or wrong.".to_owned();
        }
        let first = self.all().find(|finding| finding.level.stands_in_the_way() && !finding.mend.is_empty());
        let next = first.map(|finding| format!("\nFirst, {}: {}", finding.subject, finding.mend)).unwrap_or_default();
        format!("{}.{next}", counts.join(", "))
    }
}

/// One finding with what mends it.
pub fn line(finding: &Finding, paint: Paint) -> String {
    let mut out = format!("  {} {}: {}\n", mark(finding.level, paint), finding.subject, finding.text);
    if !finding.mend.is_empty() && finding.level != Level::Ok {
        out.push_str(&format!("      → {}\n", finding.mend));
    }
    out
}

fn mark(level: Level, paint: Paint) -> String {
    match level {
        Level::Ok => paint.green("✓"),
        Level::Warning => paint.yellow("!"),
        Level::Problem => paint.red("✗"),
        Level::Unknown => paint.red("?"),
    }
}

/// What agents found, theirs first who could not be asked.
pub fn of_survey(answers: Vec<Surveyed>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for Surveyed { region, agent, answer } in answers {
        let subject = if agent.is_empty() { region } else { format!("{region} agent {agent}") };
        match answer {
            Ok(Answer::Findings(found)) => findings.extend(found),
            Ok(Answer::Inventory(_)) => findings.push(Finding::unknown(
                subject,
                "answered another question than was asked",
                "use agents of the same version as the coordinators",
            )),
            Err(reason) => {
                findings.push(Finding::unknown(subject, reason, "look at the agent's log, and start it if it is down"));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(levels: &[Level]) -> Report {
        let finding = |level: &Level| Finding {
            level: *level,
            subject: "it".to_owned(),
            text: "is so".to_owned(),
            mend: "mend it".to_owned(),
        };
        Report { parts: vec![Part::new("Part", levels.iter().map(finding).collect())] }
    }

    #[test]
    fn a_warning_is_no_problem_and_what_was_not_seen_is_one() {
        assert_eq!(report(&[Level::Ok, Level::Warning]).exit(), Exit::Ok);
        assert_eq!(report(&[Level::Ok, Level::Unknown]).exit(), Exit::Failed);
        assert_eq!(report(&[Level::Problem]).exit(), Exit::Failed);
    }

    #[test]
    fn what_is_wrong_is_shown_with_its_mend_and_the_first_mend_again_at_the_end() {
        let text = report(&[Level::Ok, Level::Warning, Level::Problem]).render(false, Paint::PLAIN);
        assert_eq!(
            text,
            "Part\n  ! it: is so\n      → mend it\n  ✗ it: is so\n      → mend it\n  ✓ it: is so\n\n\
             1 problem, 1 warning.\nFirst, it: mend it\n"
        );
        let well = report(&[Level::Ok, Level::Ok]).render(false, Paint::PLAIN);
        assert_eq!(well, "Part\n  ✓ all well: 2 of 2 looks\n\nNothing is missing or wrong.\n");
    }

    #[test]
    fn a_region_without_an_agent_is_named() {
        let silent = Surveyed { region: "us-west-2".to_owned(), agent: String::new(), answer: Err("none".to_owned()) };
        let findings = of_survey(vec![silent]);
        assert!(matches!(findings.as_slice(), [one] if one.subject == "us-west-2" && one.level == Level::Unknown));
    }
}
