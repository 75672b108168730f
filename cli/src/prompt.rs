//! Questions before something changes. Without a terminal and without `--yes` the answer is no.

use std::io::{BufRead, IsTerminal, Write};

use crate::failure::Failure;

/// Longest answer that is read.
const ANSWER_LEN_MAX: u64 = 256;

/// Asks for one of `accepted`. `what` completes "refusing to … without being asked to".
pub fn confirm(question: &str, accepted: &[&str], yes: bool, what: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(no_terminal(what));
    }
    let mut stderr = std::io::stderr();
    let _ = write!(stderr, "{question} ");
    let _ = stderr.flush();
    decide(&mut stdin.lock(), accepted)
}

fn no_terminal(what: &str) -> Failure {
    Failure::usage(format!("refusing to {what}: standard input is no terminal to ask on"))
        .hint("look at the plan first, then give the command with --yes")
}

fn decide(input: &mut dyn BufRead, accepted: &[&str]) -> Result<(), Failure> {
    let mut answer = String::new();
    let mut limited = std::io::Read::take(input, ANSWER_LEN_MAX);
    limited.read_line(&mut answer).map_err(|error| Failure::usage(format!("cannot read the answer: {error}")))?;
    if accepted.contains(&answer.trim()) {
        return Ok(());
    }
    Err(Failure::refused("not confirmed; nothing was changed"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn only_an_accepted_answer_is_a_yes() {
        let ask = |text: &str| decide(&mut text.as_bytes(), &["yes", "maip"]);
        assert!(ask("yes\n").is_ok());
        assert!(ask("  maip \n").is_ok());
        for no in ["", "\n", "y\n", "no\n", "YES\n", "yes please\n"] {
            assert_eq!(ask(no).expect_err("a no").exit, Exit::Refused, "{no:?}");
        }
    }

    #[test]
    fn without_a_terminal_the_answer_is_no_and_the_exit_code_says_usage() {
        let failure = no_terminal("start");
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.hint.expect("a hint").contains("--yes"));
    }
}
