//! What all the languages have in common: tokens one after another, paths, operands.

use super::super::invalid;
use super::super::value::Value;
use super::Context;
use super::path::{Path, Step};
use super::token::{Token, tokens};
use crate::error::ApiError;

/// The developer guide's list: these name an attribute only by way of `#name`, in any case.
const RESERVED: &str = include_str!("reserved.txt");

/// Deeper nesting than any sensible expression has.
const DEPTH_MAX: usize = 50;

pub struct Parser<'a> {
    tokens: std::vec::IntoIter<Token>,
    pub of: &'static str,
    pub context: &'a mut Context,
    depth: usize,
}

impl<'a> Parser<'a> {
    pub fn new(text: &str, of: &'static str, context: &'a mut Context) -> Result<Self, ApiError> {
        Ok(Self { tokens: tokens(text, of)?.into_iter(), of, context, depth: 0 })
    }

    pub fn peek(&self) -> Option<&Token> {
        self.tokens.as_slice().first()
    }

    pub fn pop(&mut self) -> Option<Token> {
        self.tokens.next()
    }

    pub fn take(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(other)) if *other == sign);
        if found {
            self.pop();
        }
        found
    }

    pub fn expect(&mut self, sign: &str) -> Result<(), ApiError> {
        if self.take(sign) { Ok(()) } else { Err(self.syntax()) }
    }

    /// Keywords are the same in any case.
    pub fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(other)) if other.eq_ignore_ascii_case(word));
        if found {
            self.pop();
        }
        found
    }

    /// The name before an opening parenthesis.
    pub fn function(&mut self) -> Option<String> {
        match self.tokens.as_slice() {
            [Token::Word(name), Token::Sign("("), ..] => {
                let name = name.clone();
                self.pop();
                self.pop();
                Some(name)
            }
            _ => None,
        }
    }

    pub fn path(&mut self) -> Result<Path, ApiError> {
        let top = self.name()?;
        let mut rest = Vec::new();
        loop {
            if self.take(".") {
                rest.push(Step::Name(self.name()?));
            } else if self.take("[") {
                match self.pop() {
                    Some(Token::Index(at)) => rest.push(Step::Index(at)),
                    _ => return Err(self.syntax()),
                }
                self.expect("]")?;
            } else {
                return Ok(Path { top, rest });
            }
        }
    }

    fn name(&mut self) -> Result<String, ApiError> {
        match self.pop() {
            Some(Token::Word(name)) if is_reserved(&name) => {
                Err(self.wrong(format!("Attribute name is a reserved keyword; reserved keyword: {name}")))
            }
            Some(Token::Word(name)) => Ok(name),
            Some(Token::Alias(alias)) => self.context.name(&alias, self.of),
            Some(Token::Placeholder(_) | Token::Index(_) | Token::Sign(_)) | None => Err(self.syntax()),
        }
    }

    pub fn placeholder(&mut self) -> Result<Option<Value>, ApiError> {
        let Some(Token::Placeholder(name)) = self.peek().cloned() else { return Ok(None) };
        self.pop();
        self.context.value(&name, self.of).map(Some)
    }

    pub fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, ApiError>) -> Result<T, ApiError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(ApiError::unsupported("expressions nested so deeply"));
        }
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    pub fn end(&self) -> Result<(), ApiError> {
        if self.peek().is_none() { Ok(()) } else { Err(self.syntax()) }
    }

    pub fn syntax(&self) -> ApiError {
        match self.peek() {
            Some(token) => self.wrong(format!("Syntax error; near: {token:?}")),
            None => self.wrong("Syntax error; token: \"<EOF>\""),
        }
    }

    pub fn wrong(&self, why: impl std::fmt::Display) -> ApiError {
        invalid(format!("Invalid {}: {why}", self.of))
    }
}

fn is_reserved(name: &str) -> bool {
    RESERVED.split_whitespace().any(|word| word.eq_ignore_ascii_case(name))
}
