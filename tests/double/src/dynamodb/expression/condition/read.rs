use super::super::Context;
use super::super::parse::Parser;
use super::super::path::Path;
use super::super::token::Token;
use super::{Condition, Operand};
use crate::dynamodb::value::Value;
use crate::error::ApiError;

const COMPARISONS: [&str; 6] = ["=", "<>", "<", "<=", ">", ">="];

pub fn read(text: &str, of: &'static str, context: &mut Context) -> Result<Condition, ApiError> {
    let mut parser = Parser::new(text, of, context)?;
    let condition = either(&mut parser)?;
    parser.end()?;
    Ok(condition)
}

fn either(parser: &mut Parser<'_>) -> Result<Condition, ApiError> {
    let mut left = both(parser)?;
    while parser.take_word("OR") {
        left = Condition::Or(Box::new(left), Box::new(both(parser)?));
    }
    Ok(left)
}

fn both(parser: &mut Parser<'_>) -> Result<Condition, ApiError> {
    let mut left = single(parser)?;
    while parser.take_word("AND") {
        left = Condition::And(Box::new(left), Box::new(single(parser)?));
    }
    Ok(left)
}

fn single(parser: &mut Parser<'_>) -> Result<Condition, ApiError> {
    if parser.take_word("NOT") {
        return Ok(Condition::Not(Box::new(parser.deeper(single)?)));
    }
    if parser.take("(") {
        let inner = parser.deeper(either)?;
        parser.expect(")")?;
        return Ok(inner);
    }
    match parser.function() {
        Some(name) if name == "size" => {
            let size = Operand::Size(closed(parser)?);
            comparison(parser, size)
        }
        Some(name) => function(parser, &name),
        None => {
            let left = operand(parser)?;
            comparison(parser, left)
        }
    }
}

fn function(parser: &mut Parser<'_>, name: &str) -> Result<Condition, ApiError> {
    match name {
        "attribute_exists" => Ok(Condition::Exists(closed(parser)?)),
        "attribute_not_exists" => Ok(Condition::NotExists(closed(parser)?)),
        "attribute_type" => {
            let path = parser.path()?;
            parser.expect(",")?;
            let kind = parser.placeholder()?;
            parser.expect(")")?;
            match kind {
                Some(Value::Text(kind)) => Ok(Condition::Type(path, kind)),
                _ => Err(parser
                    .wrong("Incorrect operand type for operator or function; operator or function: attribute_type")),
            }
        }
        "begins_with" | "contains" => {
            let left = operand(parser)?;
            parser.expect(",")?;
            let right = operand(parser)?;
            parser.expect(")")?;
            Ok(if name == "contains" { Condition::Contains(left, right) } else { Condition::BeginsWith(left, right) })
        }
        other => Err(parser.wrong(format!("Invalid function name; function: {other}"))),
    }
}

fn closed(parser: &mut Parser<'_>) -> Result<Path, ApiError> {
    let path = parser.path()?;
    parser.expect(")")?;
    Ok(path)
}

fn comparison(parser: &mut Parser<'_>, left: Operand) -> Result<Condition, ApiError> {
    if parser.take_word("BETWEEN") {
        let low = operand(parser)?;
        if !parser.take_word("AND") {
            return Err(parser.syntax());
        }
        return Ok(Condition::Between(left, low, operand(parser)?));
    }
    if parser.take_word("IN") {
        parser.expect("(")?;
        let mut among = vec![operand(parser)?];
        while parser.take(",") {
            among.push(operand(parser)?);
        }
        parser.expect(")")?;
        return Ok(Condition::In(left, among));
    }
    let sign = match parser.pop() {
        Some(Token::Sign(sign)) if COMPARISONS.contains(&sign) => sign,
        _ => return Err(parser.syntax()),
    };
    let right = operand(parser)?;
    if !matches!(sign, "=" | "<>") {
        for side in [&left, &right] {
            check_ordered(parser, sign, side)?;
        }
    }
    Ok(Condition::Compare(left, sign, right))
}

fn check_ordered(parser: &Parser<'_>, sign: &str, side: &Operand) -> Result<(), ApiError> {
    match side {
        Operand::Value(value) if !matches!(value, Value::Text(_) | Value::Number(_) | Value::Bytes(_)) => {
            let kind = value.kind();
            Err(parser.wrong(format!(
                "Incorrect operand type for operator or function; operator or function: {sign}, operand type: {kind}"
            )))
        }
        Operand::Value(_) | Operand::Path(_) | Operand::Size(_) => Ok(()),
    }
}

fn operand(parser: &mut Parser<'_>) -> Result<Operand, ApiError> {
    if let Some(value) = parser.placeholder()? {
        return Ok(Operand::Value(value));
    }
    match parser.function() {
        Some(name) if name == "size" => Ok(Operand::Size(closed(parser)?)),
        Some(other) => Err(parser.wrong(format!("The function is not allowed to be used this way; function: {other}"))),
        None => parser.path().map(Operand::Path),
    }
}
