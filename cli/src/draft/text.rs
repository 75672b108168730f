//! YAML as a person would write it.

/// Quoted unless it is surely a plain text.
pub fn scalar(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    let words = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    let is_word = words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if begins && !is_word && text.bytes().all(plain) { text.to_owned() } else { quoted(text) }
}

pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            character if character.is_control() => out.push(' '),
            character => out.push(character),
        }
    }
    out.push('"');
    out
}

/// What a person has to fill in.
pub fn blank(what: &str) -> String {
    format!("\"<{what}>\"")
}

/// One or more lines; whatever AWS's names hold, none of it ends the comment.
pub fn comment(indent: usize, text: &str) -> String {
    const WIDTH: usize = 110;
    let pad = " ".repeat(indent);
    let mut out = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && indent + 2 + line.chars().count() + 1 + word.chars().count() > WIDTH {
            out.push_str(&format!("{pad}# {line}\n"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        out.push_str(&format!("{pad}# {line}\n"));
    }
    out
}

/// A name of the manifest (`a-z`, `0-9`, `-`) out of any text, at most 32 long.
pub fn name(text: &str, otherwise: &str) -> String {
    let mut out = String::new();
    for character in text.chars().map(|character| character.to_ascii_lowercase()) {
        match character {
            'a'..='z' | '0'..='9' => out.push(character),
            _ if out.is_empty() || out.ends_with('-') => {}
            _ => out.push('-'),
        }
    }
    let short: String = out.chars().take(32).collect();
    let short = short.trim_end_matches('-');
    if short.is_empty() { otherwise.to_owned() } else { short.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_read_as_something_else_is_quoted() {
        for (given, written) in [
            ("maip-prod", "maip-prod"),
            ("on", "\"on\""),
            ("7", "\"7\""),
            ("a: b", "\"a: b\""),
            ("#x", "\"#x\""),
            ("say \"no\"", "\"say \\\"no\\\"\""),
            ("two\nlines", "\"two lines\""),
            ("", "\"\""),
        ] {
            assert_eq!(scalar(given), written);
        }
    }

    #[test]
    fn a_comment_stays_one_whatever_is_in_it() {
        let text = comment(2, "one\nservice: evil\r\n two");
        assert_eq!(text, "  # one service: evil two\n");
        assert!(comment(0, &"word ".repeat(100)).lines().all(|line| line.starts_with("# ") && line.len() <= 112));
    }

    #[test]
    fn a_name_is_one_that_a_manifest_accepts() {
        assert_eq!(name("Maip_Prod.Kafka", "x"), "maip-prod-kafka");
        assert_eq!(name("---", "database"), "database");
        assert!(name(&"long-".repeat(20), "x").len() <= 32);
    }
}
