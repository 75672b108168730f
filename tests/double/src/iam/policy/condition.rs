//! What else must be true of a request for a statement to apply.

use serde_json::Value;

use super::{Context, like, texts};

const KEYS: [&str; 8] = [
    "aws:requestedregion",
    "aws:principalarn",
    "aws:securetransport",
    "cloudwatch:namespace",
    "ecs:cluster",
    "route53:changeresourcerecordsetsactions",
    "route53:changeresourcerecordsetsnormalizedrecordnames",
    "route53:changeresourcerecordsetsrecordtypes",
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    quantifier: Quantifier,
    negated: bool,
    wildcards: bool,
    ignores_case: bool,
    if_exists: bool,
    key: String,
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantifier {
    One,
    All,
    Any,
}

impl Condition {
    pub fn read(operator: &str, key: &str, values: &Value) -> Result<Self, String> {
        let (quantifier, rest) = match operator.split_once(':') {
            None => (Quantifier::One, operator),
            Some(("ForAllValues", rest)) => (Quantifier::All, rest),
            Some(("ForAnyValue", rest)) => (Quantifier::Any, rest),
            Some(_) => return Err(format!("the double evaluates no condition {operator}")),
        };
        let (rest, if_exists) = match rest.strip_suffix("IfExists") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let (negated, wildcards, ignores_case) = match rest {
            "StringEquals" => (false, false, false),
            "StringNotEquals" => (true, false, false),
            "StringEqualsIgnoreCase" | "Bool" => (false, false, true),
            "StringLike" | "ArnLike" | "ArnEquals" => (false, true, false),
            "StringNotLike" | "ArnNotLike" | "ArnNotEquals" => (true, true, false),
            _ => return Err(format!("the double evaluates no condition {operator}")),
        };
        let key = key.to_lowercase();
        if !KEYS.contains(&key.as_str()) {
            return Err(format!("the double knows no condition key {key}"));
        }
        let values = texts(values)?;
        Ok(Self { quantifier, negated, wildcards, ignores_case, if_exists, key, values })
    }

    pub fn holds(&self, context: &Context) -> bool {
        let found = context.get(&self.key).map(Vec::as_slice).unwrap_or_default();
        let fits = |value: &String| {
            let listed = self.values.iter().any(|wanted| {
                if self.wildcards {
                    like(wanted, value, false)
                } else if self.ignores_case {
                    wanted.eq_ignore_ascii_case(value)
                } else {
                    wanted == value
                }
            });
            listed != self.negated
        };
        match (found.is_empty(), self.quantifier) {
            // A key that the request lacks equals nothing, and so differs from everything.
            (true, Quantifier::One) => self.if_exists || self.negated,
            (true, Quantifier::Any) => self.if_exists,
            (_, Quantifier::All) => found.iter().all(fits),
            (false, Quantifier::One | Quantifier::Any) => found.iter().any(fits),
        }
    }
}
