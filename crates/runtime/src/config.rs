//! TOML configuration. Every error names file, line, column and reason, before anything else is done.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{}: cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}:{line}:{column}: {reason}", path.display())]
    Invalid { path: PathBuf, line: usize, column: usize, reason: String },
}

/// Reads and checks a configuration file.
pub fn load<T: DeserializeOwned>(path: impl AsRef<Path>) -> Result<T, ConfigError> {
    let path = path.as_ref();
    let read = |source| ConfigError::Read { path: path.to_owned(), source };
    let bytes = crate::files::read_small(path).map_err(read)?;
    let text = String::from_utf8(bytes).map_err(|err| {
        let valid = err.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(err.as_bytes().get(..valid).unwrap_or_default()).into_owned();
        invalid(path, &before, before.len(), "not UTF-8 text")
    })?;
    parse(path, &text)
}

/// As [`load`], of text that was read already.
pub fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|err| {
        let at = err.span().map_or(0, |span| span.start);
        invalid(path, text, at, err.message())
    })
}

/// An error at the first line that sets `key`, for rules that the types cannot state. Without such a line, at 1:1.
pub fn refuse(path: &Path, text: &str, key: &str, reason: &str) -> ConfigError {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        let set = line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='));
        if set {
            return invalid(path, text, at + indent, reason);
        }
        at += line.len();
    }
    invalid(path, text, 0, reason)
}

fn invalid(path: &Path, text: &str, at: usize, reason: &str) -> ConfigError {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    ConfigError::Invalid { path: path.to_owned(), line, column, reason: reason.trim().replace('\n', "; ") }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[expect(dead_code, reason = "only its type is of interest")]
        node_id: u64,
    }

    fn error_of(text: &str) -> String {
        parse::<Sample>(Path::new("mesh.toml"), text).expect_err("refused").to_string()
    }

    #[test]
    fn a_wrong_value_is_named_by_file_line_and_column() {
        let error = error_of("# a node\nnode_id = \"one\"\n");
        assert!(error.starts_with("mesh.toml:2:11: invalid type"), "{error}");
    }

    #[test]
    fn an_unknown_key_is_refused_where_it_stands() {
        let error = error_of("node_id = 1\n\n  nod_id = 2\n");
        assert!(error.starts_with("mesh.toml:3:3: unknown field `nod_id`"), "{error}");
    }

    #[test]
    fn a_broken_file_is_refused_where_it_breaks() {
        assert!(error_of("node_id = \n").starts_with("mesh.toml:1:11: "), "{}", error_of("node_id = \n"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load::<Sample>("/nonexistent/mesh.toml").expect_err("refused").to_string();
        assert!(error.starts_with("/nonexistent/mesh.toml: cannot be read"), "{error}");
    }

    #[test]
    fn a_rule_that_types_cannot_state_is_reported_at_its_key() {
        let text = "mesh = \"demo\"\n  node_id = 0\n";
        let error = refuse(Path::new("mesh.toml"), text, "node_id", "must be at least 1").to_string();
        assert_eq!(error, "mesh.toml:2:3: must be at least 1");
    }
}
