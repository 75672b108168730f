use super::super::invalid;
use crate::error::ApiError;

const EXPRESSION_BYTES_MAX: usize = 4096;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A name or a keyword.
    Word(String),
    /// `#name`
    Alias(String),
    /// `:value`
    Placeholder(String),
    Index(usize),
    Sign(&'static str),
}

const SIGNS: [&str; 14] = ["<>", "<=", ">=", "<", ">", "=", "(", ")", "[", "]", ",", ".", "+", "-"];

pub fn tokens(text: &str, of: &str) -> Result<Vec<Token>, ApiError> {
    if text.is_empty() {
        return Err(invalid(format!("Invalid {of}: The expression can not be empty;")));
    }
    if text.len() > EXPRESSION_BYTES_MAX {
        return Err(invalid(format!("Invalid {of}: Expression size has exceeded the maximum allowed size;")));
    }
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, after) = if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            (Token::Sign(sign), rest.strip_prefix(sign).unwrap_or_default())
        } else {
            word(first, rest).ok_or_else(|| {
                invalid(format!("Invalid {of}: Syntax error; token: \"{first}\", near: \"{}\"", near(rest)))
            })?
        };
        found.push(token);
        rest = after.trim_start();
    }
    Ok(found)
}

fn word(first: char, rest: &str) -> Option<(Token, &str)> {
    let sigil = matches!(first, '#' | ':');
    let start = usize::from(sigil);
    let body = rest.get(start..)?;
    let length = body.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(body.len());
    let (name, after) = (body.get(..length).filter(|name| !name.is_empty())?, body.get(length..)?);
    let token = match first {
        '#' => Token::Alias(format!("#{name}")),
        ':' => Token::Placeholder(format!(":{name}")),
        digit if digit.is_ascii_digit() => Token::Index(name.parse().ok()?),
        _ => Token::Word(name.to_owned()),
    };
    Some((token, after))
}

fn near(rest: &str) -> String {
    rest.chars().take(12).collect()
}
