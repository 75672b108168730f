//! Changes that keep a text a text: words, numbers, lines, indentation, letters that are more than a byte.

use crate::rng::Rng;

const ODD: [&str; 12] = ["\u{0}", "\u{feff}", "\u{2028}", "é", "🜁", "\u{202e}", "\"", "'", "\t", "\r\n", "-", "\u{7f}"];

pub fn mutate(input: Vec<u8>, other: &[u8], words: &[&str], rng: &mut Rng) -> Vec<u8> {
    let Ok(text) = String::from_utf8(input.clone()) else {
        return super::bytes::mutate(input, other, words, rng);
    };
    let other = String::from_utf8_lossy(other);
    match rng.below(7) {
        0 => insert(text, rng.pick(words).copied().unwrap_or("0"), rng),
        1 => insert(text, rng.pick(&ODD).copied().unwrap_or("0"), rng),
        2 => numbers(&text, rng),
        3 | 4 => lines(&text, &other, rng),
        5 => replace_word(&text, rng.pick(words).copied().unwrap_or("0"), rng),
        _ => return super::bytes::mutate(text.into_bytes(), other.as_bytes(), words, rng),
    }
    .into_bytes()
}

fn insert(mut text: String, word: &str, rng: &mut Rng) -> String {
    let at = text.floor_char_boundary(rng.below(text.len() + 1));
    text.insert_str(at, word);
    text
}

/// One number becomes another.
fn numbers(text: &str, rng: &mut Rng) -> String {
    let starts: Vec<usize> = text
        .char_indices()
        .filter(|(at, c)| c.is_ascii_digit() && !text[..*at].ends_with(|c: char| c.is_ascii_digit()))
        .map(|(at, _)| at)
        .collect();
    let Some(at) = rng.pick(&starts).copied() else { return text.to_owned() };
    let (before, rest) = text.split_at(at);
    let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{before}{}{after}", rng.number())
}

/// Lines are dropped, doubled, swapped, indented, or come from the other text.
fn lines(text: &str, other: &str, rng: &mut Rng) -> String {
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    let (at, to) = (rng.below(lines.len()), rng.below(lines.len()));
    if lines.is_empty() {
        return other.to_owned();
    }
    match rng.below(6) {
        0 => drop(lines.remove(at)),
        1 => lines.insert(to, lines[at].clone()),
        2 => lines.swap(at, to),
        3 => lines[at].insert_str(0, "  "),
        4 => lines[at] = lines[at].strip_prefix("  ").unwrap_or(&lines[at]).to_owned(),
        _ => {
            let others: Vec<&str> = other.split_inclusive('\n').collect();
            let from = rng.below(others.len());
            let taken = others.iter().skip(from).take(1 + rng.below(6)).map(|line| (*line).to_owned());
            lines.splice(at..at, taken);
        }
    }
    lines.concat()
}

fn replace_word(text: &str, word: &str, rng: &mut Rng) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let starts: Vec<usize> = text
        .char_indices()
        .filter(|(at, c)| is_word(*c) && !text[..*at].ends_with(is_word))
        .map(|(at, _)| at)
        .collect();
    let Some(at) = rng.pick(&starts).copied() else { return text.to_owned() };
    let (before, rest) = text.split_at(at);
    format!("{before}{word}{}", rest.trim_start_matches(is_word))
}
