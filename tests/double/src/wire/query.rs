use super::Node;
use crate::error::ApiError;

/// More parameters than any supported call has.
const PARAMETERS_MAX: usize = 4000;
const DEPTH_MAX: usize = 16;

/// `a=1&b=2`, decoded, in order.
pub fn pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(key), decode(value))
        })
        .collect()
}

/// The AWS Query form as a tree: `A.member.1.B=x` is A, a list, whose first item has B.
pub fn parse(body: &str) -> Result<Node, ApiError> {
    let pairs = pairs(body);
    if pairs.len() > PARAMETERS_MAX {
        return Err(ApiError::bad("MalformedQueryString", "too many parameters"));
    }
    let mut root = Node::map();
    for (key, value) in pairs {
        let path: Vec<&str> = key.split('.').collect();
        if path.len() > DEPTH_MAX {
            return Err(ApiError::bad("MalformedQueryString", "a parameter is nested too deeply"));
        }
        insert(&mut root, &path, value);
    }
    Ok(listed(root))
}

fn insert(node: &mut Node, path: &[&str], value: String) {
    let (Some((first, rest)), Node::Map(entries)) = (path.split_first(), node) else { return };
    if rest.is_empty() {
        entries.push(((*first).to_owned(), Node::Text(value)));
        return;
    }
    if !entries.iter().any(|(name, child)| name == first && matches!(child, Node::Map(_))) {
        entries.push(((*first).to_owned(), Node::map()));
    }
    if let Some((_, child)) = entries.iter_mut().find(|(name, child)| name == first && matches!(child, Node::Map(_))) {
        insert(child, rest, value);
    }
}

/// Maps whose keys are numbers become lists.
fn listed(node: Node) -> Node {
    let Node::Map(entries) = node else { return node };
    let numbered: Option<Vec<u32>> = entries.iter().map(|(name, _)| name.parse().ok()).collect();
    match numbered {
        Some(numbers) if !numbers.is_empty() => {
            let mut items: Vec<(u32, Node)> =
                numbers.into_iter().zip(entries.into_iter().map(|(_, child)| listed(child))).collect();
            items.sort_by_key(|(number, _)| *number);
            Node::List("member", items.into_iter().map(|(_, child)| child).collect())
        }
        _ => Node::Map(entries.into_iter().map(|(name, child)| (name, listed(child))).collect()),
    }
}

pub fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let mut ahead = rest.clone();
                match (ahead.next().and_then(hex_digit), ahead.next().and_then(hex_digit)) {
                    (Some(high), Some(low)) => {
                        bytes.push(high * 16 + low);
                        rest = ahead;
                    }
                    _ => bytes.push(b'%'),
                }
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Percent-encoding as signatures want it: everything but unreserved characters, upper-case hex.
pub fn encode(text: &str, keep_slash: bool) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        let plain = byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || (keep_slash && byte == b'/');
        if plain {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_parameters_become_lists() {
        let node = parse("Action=X&L.member.2.N=b&L.member.1.N=a&Ids.Id.1=sg%2D1").expect("small");
        let names: Vec<_> = node.list("L").into_iter().filter_map(|item| item.str("N")).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(node.str_list("Ids"), ["sg-1"]);
        assert_eq!(node.str("Action").as_deref(), Some("X"));
    }
}
