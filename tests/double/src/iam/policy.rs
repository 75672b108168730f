//! An identity policy: statements that allow and deny. What the double cannot evaluate it does not accept.

pub mod condition;

use std::collections::BTreeMap;

use serde_json::Value;

use condition::Condition;

/// What is known of a request beyond action and resource; a key may have several values.
pub type Context = BTreeMap<String, Vec<String>>;

const DOCUMENT_BYTES_MAX: usize = 10_240;
const VERSION: &str = "2012-10-17";
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    NotAllowed,
    Denied,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    statements: Vec<Statement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Statement {
    allows: bool,
    actions: Patterns,
    resources: Patterns,
    conditions: Vec<Condition>,
}

/// `Action` or `NotAction`, `Resource` or `NotResource`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Patterns {
    patterns: Vec<String>,
    negated: bool,
}

impl Policy {
    pub fn read(document: &Value) -> Result<Self, String> {
        let size = document.to_string().len();
        if size > DOCUMENT_BYTES_MAX {
            return Err(format!("the policy has {size} bytes, of which {DOCUMENT_BYTES_MAX} are allowed"));
        }
        let fields = document.as_object().ok_or("a policy is a JSON object")?;
        if let Some(name) = fields.keys().find(|name| !["Version", "Id", "Statement"].contains(&name.as_str())) {
            return Err(format!("a policy has no {name}"));
        }
        if document.get("Version").and_then(Value::as_str) != Some(VERSION) {
            return Err(format!("Version must be {VERSION}"));
        }
        let statements = match document.get("Statement") {
            Some(Value::Array(all)) => all.iter().map(statement).collect::<Result<Vec<_>, _>>()?,
            Some(one @ Value::Object(_)) => vec![statement(one)?],
            _ => return Err("a policy needs Statement".to_owned()),
        };
        Ok(Self { statements })
    }

    pub fn check(&self, action: &str, resource: &str, context: &Context) -> Result<(), Refusal> {
        let fits = |statement: &&Statement| {
            statement.actions.fit(action, true)
                && statement.resources.fit(resource, false)
                && statement.conditions.iter().all(|condition| condition.holds(context))
        };
        let mut fitting = self.statements.iter().filter(fits).peekable();
        if fitting.peek().is_none() {
            return Err(Refusal::NotAllowed);
        }
        if fitting.all(|statement| statement.allows) { Ok(()) } else { Err(Refusal::Denied) }
    }
}

fn statement(value: &Value) -> Result<Statement, String> {
    let fields = value.as_object().ok_or("a statement is a JSON object")?;
    let known = ["Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"];
    if let Some(name) = fields.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("an identity policy's statement has no {name}"));
    }
    if let Some(sid) = value.get("Sid") {
        let sid = sid.as_str().ok_or("Sid must be text")?;
        if !sid.chars().all(|letter| letter.is_ascii_alphanumeric()) {
            return Err(format!("Sid {sid} may have letters and digits only"));
        }
    }
    let allows = match value.get("Effect").and_then(Value::as_str) {
        Some("Allow") => true,
        Some("Deny") => false,
        _ => return Err("Effect must be Allow or Deny".to_owned()),
    };
    let actions = patterns(value, "Action", "NotAction")?;
    if let Some(action) = actions.patterns.iter().find(|action| *action != "*" && !action.contains(':')) {
        return Err(format!("{action} is no action: it names no service"));
    }
    let resources = patterns(value, "Resource", "NotResource")?;
    if let Some(resource) = resources.patterns.iter().find(|one| *one != "*" && !is_arn(one)) {
        return Err(format!("{resource} is no ARN"));
    }
    let mut conditions = Vec::new();
    if let Some(all) = value.get("Condition") {
        for (operator, keys) in all.as_object().ok_or("Condition is a JSON object")? {
            for (key, values) in keys.as_object().ok_or("a condition's operator has a JSON object")? {
                conditions.push(Condition::read(operator, key, values)?);
            }
        }
    }
    Ok(Statement { allows, actions, resources, conditions })
}

fn is_arn(text: &str) -> bool {
    text.starts_with("arn:") && text.split(':').count() >= 6
}

fn patterns(value: &Value, name: &str, negated: &str) -> Result<Patterns, String> {
    let (given, negated) = match (value.get(name), value.get(negated)) {
        (Some(given), None) => (given, false),
        (None, Some(given)) => (given, true),
        _ => return Err(format!("a statement needs one of {name} and {negated}")),
    };
    let patterns = texts(given)?;
    if patterns.is_empty() {
        return Err(format!("{name} is empty"));
    }
    if let Some(pattern) = patterns.iter().find(|pattern| pattern.contains("${")) {
        return Err(format!("the double evaluates no policy variable, as in {pattern}"));
    }
    Ok(Patterns { patterns, negated })
}

fn texts(value: &Value) -> Result<Vec<String>, String> {
    let text = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(value) => Ok(value.to_string()),
        _ => Err(format!("{value} is no text")),
    };
    match value {
        Value::Array(all) => all.iter().map(text).collect(),
        one => Ok(vec![text(one)?]),
    }
}

impl Patterns {
    fn fit(&self, text: &str, ignores_case: bool) -> bool {
        self.patterns.iter().any(|pattern| like(pattern, text, ignores_case)) != self.negated
    }
}

/// `*` is any text, `?` any one character.
pub fn like(pattern: &str, text: &str, ignores_case: bool) -> bool {
    let fold = |text: &str| if ignores_case { text.to_lowercase() } else { text.to_owned() };
    let (pattern, text): (Vec<char>, Vec<char>) = (fold(pattern).chars().collect(), fold(text).chars().collect());
    // The rows of a table: which beginnings of the text the pattern so far can match.
    let mut reach: Vec<bool> = std::iter::once(true).chain(text.iter().map(|_| false)).collect();
    for wanted in pattern {
        let mut next = Vec::with_capacity(reach.len());
        let mut any = false;
        for at in 0..reach.len() {
            let here = reach.get(at).copied().unwrap_or(false);
            any |= here;
            let before = at.checked_sub(1).and_then(|at| Some((reach.get(at).copied()?, *text.get(at)?)));
            next.push(match wanted {
                '*' => any,
                '?' => before.is_some_and(|(reached, _)| reached),
                letter => before.is_some_and(|(reached, found)| reached && found == letter),
            });
        }
        reach = next;
    }
    reach.last().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn wildcards_match_any_text_and_any_letter() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("arn:aws:rds:*:1:db:*", "*", false),
            ("", "", true),
        ] {
            assert_eq!(like(pattern, text, false), fits, "{pattern} {text}");
        }
        assert!(like("RDS:describe*", "rds:DescribeDBInstances", true));
    }

    fn policy(statements: Value) -> Result<Policy, String> {
        Policy::read(&json!({ "Version": "2012-10-17", "Statement": statements }))
    }

    #[test]
    fn what_is_not_allowed_is_refused_and_a_denial_outweighs() {
        let policy = policy(json!([
            { "Effect": "Allow", "Action": "rds:*", "Resource": "*" },
            { "Effect": "Deny", "Action": "rds:Promote*", "Resource": "arn:aws:rds:*:1:db:kept" },
        ]))
        .expect("a policy");
        let check = |action: &str, resource: &str| policy.check(action, resource, &Context::new());
        assert_eq!(check("rds:PromoteReadReplica", "arn:aws:rds:r:1:db:other"), Ok(()));
        assert_eq!(check("rds:PromoteReadReplica", "arn:aws:rds:r:1:db:kept"), Err(Refusal::Denied));
        assert_eq!(check("sns:Publish", "arn:aws:sns:r:1:t"), Err(Refusal::NotAllowed));
    }

    #[test]
    fn a_condition_on_the_region_holds_there_only() {
        let policy = policy(json!({
            "Effect": "Allow", "Action": ["eks:*"], "Resource": "*",
            "Condition": { "StringEquals": { "aws:RequestedRegion": "us-west-2" } },
        }))
        .expect("a policy");
        let there = |region: &str| Context::from([("aws:requestedregion".to_owned(), vec![region.to_owned()])]);
        assert_eq!(policy.check("eks:DescribeCluster", "*", &there("us-west-2")), Ok(()));
        assert_eq!(policy.check("eks:DescribeCluster", "*", &there("us-east-1")), Err(Refusal::NotAllowed));
        assert_eq!(policy.check("eks:DescribeCluster", "*", &Context::new()), Err(Refusal::NotAllowed));
    }

    #[test]
    fn for_all_values_holds_when_each_value_is_listed() {
        let key = "route53:ChangeResourceRecordSetsRecordTypes";
        let policy = policy(json!({
            "Effect": "Allow", "Action": "route53:*", "Resource": "*",
            "Condition": { "ForAllValues:StringEquals": { key: ["A", "TXT"] } },
        }))
        .expect("a policy");
        let with = |types: &[&str]| {
            Context::from([(key.to_lowercase(), types.iter().map(|kind| (*kind).to_owned()).collect())])
        };
        assert_eq!(policy.check("route53:X", "*", &with(&["A", "TXT"])), Ok(()));
        assert_eq!(policy.check("route53:X", "*", &with(&["A", "NS"])), Err(Refusal::NotAllowed));
    }

    #[test]
    fn what_cannot_be_evaluated_is_no_policy_here() {
        for statement in [
            json!({ "Effect": "Allow", "Action": "rds:*" }),
            json!({ "Effect": "Perhaps", "Action": "rds:*", "Resource": "*" }),
            json!({ "Effect": "Allow", "Action": "rds", "Resource": "*" }),
            json!({ "Effect": "Allow", "Action": "rds:*", "Resource": "my-database" }),
            json!({ "Effect": "Allow", "Action": "rds:*", "Resource": "arn:aws:rds:*:*:db:${aws:username}" }),
            json!({ "Effect": "Allow", "Action": "rds:*", "Resource": "*", "Principal": "*" }),
            json!({ "Effect": "Allow", "Action": "rds:*", "Resource": "*",
                    "Condition": { "NumericEquals": { "aws:RequestedRegion": "1" } } }),
            json!({ "Effect": "Allow", "Action": "rds:*", "Resource": "*",
                    "Condition": { "StringEquals": { "aws:Moon": "full" } } }),
        ] {
            assert!(policy(statement.clone()).is_err(), "{statement}");
        }
        assert!(Policy::read(&json!({ "Statement": [] })).is_err(), "without a version");
    }
}
