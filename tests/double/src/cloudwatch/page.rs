use crate::error::ApiError;
use crate::wire::Node;

/// How many the pages before this one have shown.
pub fn start(input: &Node) -> Result<usize, ApiError> {
    match input.str("NextToken") {
        Some(token) => token.parse().map_err(|_| ApiError::bad("InvalidNextToken", "The next token is invalid")),
        None => Ok(0),
    }
}

pub fn cut<T>(all: Vec<T>, input: &Node, size: usize) -> Result<(Vec<T>, Option<String>), ApiError> {
    let start = start(input)?;
    let end = start.saturating_add(size);
    let next = (end < all.len()).then(|| end.to_string());
    Ok((all.into_iter().take(end).skip(start).collect(), next))
}
