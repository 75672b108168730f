use serde_json::Value;

use super::status::Status;

/// Which objects of a list are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    /// A JSON pointer to the value.
    at: String,
    wanted: Option<String>,
    equal: bool,
}

impl Selector {
    /// `a=b`, `a==b`, `a!=b` and `a`, joined by commas.
    pub fn read_labels(&mut self, text: &str) -> Result<(), Status> {
        self.read(text, |key| Ok(format!("/metadata/labels/{}", key.replace('~', "~0").replace('/', "~1"))))
    }

    pub fn read_fields(&mut self, text: &str) -> Result<(), Status> {
        self.read(text, |key| match key {
            "metadata.name" | "metadata.namespace" | "status.phase" | "spec.nodeName" => {
                Ok(format!("/{}", key.replace('.', "/")))
            }
            other => Err(Status::bad_request(format!("field label not supported: {other}"))),
        })
    }

    fn read(&mut self, text: &str, at: impl Fn(&str) -> Result<String, Status>) -> Result<(), Status> {
        for part in text.split(',').filter(|part| !part.is_empty()) {
            if part.contains(['(', ')', ' ']) || part.starts_with('!') {
                return Err(Status::unsupported(&format!("the selector {part}")));
            }
            let (key, wanted, equal) = match part.split_once("!=") {
                Some((key, value)) => (key, Some(value), false),
                None => match part.split_once('=') {
                    Some((key, value)) => (key, Some(value.trim_start_matches('=')), true),
                    None => (part, None, true),
                },
            };
            self.rules.push(Rule { at: at(key)?, wanted: wanted.map(str::to_owned), equal });
        }
        Ok(())
    }

    pub fn matches(&self, object: &Value) -> bool {
        self.rules.iter().all(|rule| {
            let found = object.pointer(&rule.at).and_then(Value::as_str);
            match &rule.wanted {
                None => found.is_some(),
                Some(wanted) => (found == Some(wanted.as_str())) == rule.equal,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_part_of_a_selector_must_hold() {
        let pod = json!({ "metadata": { "labels": { "app": "api", "a/b": "c" } }, "status": { "phase": "Pending" } });
        for (labels, fields, held) in [
            ("app=api", "", true),
            ("app==api,a/b=c", "status.phase=Pending", true),
            ("app!=api", "", false),
            ("tier", "", false),
            ("tier!=x", "status.phase!=Running", true),
            ("app=api", "status.phase=Running", false),
        ] {
            let mut selector = Selector::default();
            selector.read_labels(labels).expect("understood");
            selector.read_fields(fields).expect("understood");
            assert_eq!(selector.matches(&pod), held, "{labels} {fields}");
        }
        assert!(Selector::default().read_labels("app in (a)").is_err());
        assert!(Selector::default().read_fields("spec.secret=1").is_err());
    }
}
