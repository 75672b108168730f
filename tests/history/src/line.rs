//! The text format: JSON, one object a line, in the order in which it happened.
//!
//! ```text
//! {"invoke":{"process":3,"object":"orders/manifest","op":{"apply":{"expected":4,"value":17}}}}
//! {"invoke":{"process":5,"object":"orders/manifest","op":"read"}}
//! {"return":{"process":3,"object":"orders/manifest","outcome":{"applied":{"version":5}}}}
//! {"note":"coordinator-2 killed"}
//! {"return":{"process":5,"object":"orders/manifest","outcome":{"found":{"version":5,"value":17}}}}
//! ```
//!
//! A process has one operation open on an object at most. One whose outcome nobody knows has no `return`: it may take effect
//! at any later time, or never, and its process asks nothing more. Notes are for readers.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Line {
    Invoke { process: u64, object: String, op: Op },
    Return { process: u64, object: String, outcome: Outcome },
    Note(String),
}

/// An object holds a value and its version, at first none and 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Op {
    Read,
    /// Whatever was there; the version stays. For objects that nobody applies to.
    Write {
        value: u64,
    },
    /// Stores the value as the next version if `expected` is the version now. If the value is there already nothing is
    /// changed, and it is answered as if it had been.
    Apply {
        expected: u64,
        value: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Outcome {
    Found {
        version: u64,
        value: Option<u64>,
    },
    Written,
    /// The version that the value has.
    Applied {
        version: u64,
    },
    /// Another version was there.
    Refused,
    /// It has not left the client, and never will.
    NotSent,
}

pub fn read(input: impl BufRead) -> io::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for (nth, text) in input.lines().enumerate() {
        let line = serde_json::from_str(&text?);
        lines.push(line.map_err(|error| io::Error::other(format!("line {}: {error}", nth + 1)))?);
    }
    Ok(lines)
}

pub fn write(lines: &[Line], mut output: impl Write) -> io::Result<()> {
    for line in lines {
        serde_json::to_writer(&mut output, line)?;
        output.write_all(b"\n")?;
    }
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_is_read_as_it_was_written() {
        let object = "orders/manifest".to_owned();
        let ops = [Op::Read, Op::Write { value: 1 }, Op::Apply { expected: 4, value: 17 }];
        let outcomes = [
            Outcome::Found { version: 0, value: None },
            Outcome::Found { version: 5, value: Some(17) },
            Outcome::Written,
            Outcome::Applied { version: 5 },
            Outcome::Refused,
            Outcome::NotSent,
        ];
        let invoked = ops.map(|op| Line::Invoke { process: 1, object: object.clone(), op });
        let returned = outcomes.map(|outcome| Line::Return { process: 1, object: object.clone(), outcome });
        let lines: Vec<Line> =
            invoked.into_iter().chain(returned).chain([Line::Note("coordinator-2 killed".to_owned())]).collect();
        let mut text = Vec::new();
        write(&lines, &mut text).expect("written to memory");
        assert_eq!(read(text.as_slice()).expect("what was just written"), lines);
    }

    #[test]
    fn the_format_is_the_one_that_is_documented() {
        let text = r#"{"invoke":{"process":3,"object":"orders/manifest","op":{"apply":{"expected":4,"value":17}}}}"#;
        let op = Op::Apply { expected: 4, value: 17 };
        let line = Line::Invoke { process: 3, object: "orders/manifest".to_owned(), op };
        assert_eq!(serde_json::to_string(&line).expect("plain data"), text);
        assert!(read(&b"{\"invoke\":{\"process\":3}}\n"[..]).is_err(), "a line that lacks something is no line");
    }
}
