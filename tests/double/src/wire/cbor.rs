//! CBOR (RFC 8949) as the Smithy RPC v2 protocol uses it: definite and indefinite lengths, tag 1 for times.

use super::{Node, clock};
use crate::error::ApiError;

const DEPTH_MAX: usize = 32;
const ITEMS_MAX: usize = 10_000;
const TAG_EPOCH: u64 = 1;

pub fn parse(body: &[u8]) -> Result<Node, ApiError> {
    if body.is_empty() {
        return Ok(Node::map());
    }
    let mut reader = Decoder { rest: body };
    reader.value(0).ok_or_else(|| ApiError::bad("SerializationException", "the body is not the CBOR of a request"))
}

struct Decoder<'a> {
    rest: &'a [u8],
}

/// The initial byte of an item: its major type and its argument (none for an indefinite length).
type Head = (u8, u8, Option<u64>);

impl Decoder<'_> {
    fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken.to_vec())
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn head(&mut self) -> Option<Head> {
        let first = self.byte()?;
        let (major, info) = (first >> 5, first & 0x1f);
        let argument = match info {
            0..=23 => Some(u64::from(info)),
            24..=27 => Some(self.take(1 << (info - 24))?.into_iter().fold(0, |sum, byte| (sum << 8) | u64::from(byte))),
            31 => None,
            _ => return None,
        };
        Some((major, info, argument))
    }

    fn value(&mut self, depth: usize) -> Option<Node> {
        if depth > DEPTH_MAX {
            return None;
        }
        let (major, info, argument) = self.head()?;
        match (major, argument) {
            (0, Some(number)) => i64::try_from(number).ok().map(Node::Int),
            (1, Some(number)) => i64::try_from(number).ok().map(|number| Node::Int(-1 - number)),
            (2 | 3, length) => self.text(length).map(Node::Text),
            (4, length) => self.items(length, depth).map(|items| Node::List("member", items)),
            (5, length) => self.entries(length, depth).map(Node::Map),
            (6, Some(tag)) => self.tagged(tag, depth),
            (7, Some(bits)) => simple(info, bits),
            _ => None,
        }
    }

    fn at_break(&mut self) -> bool {
        let found = self.rest.first() == Some(&0xff);
        if found {
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
        found
    }

    fn text(&mut self, length: Option<u64>) -> Option<String> {
        if let Some(length) = length {
            return String::from_utf8(self.take(usize::try_from(length).ok()?)?).ok();
        }
        let mut text = String::new();
        for _ in 0..ITEMS_MAX {
            if self.at_break() {
                return Some(text);
            }
            let (_, _, length) = self.head()?;
            text.push_str(&String::from_utf8(self.take(usize::try_from(length?).ok()?)?).ok()?);
        }
        None
    }

    fn items(&mut self, length: Option<u64>, depth: usize) -> Option<Vec<Node>> {
        let mut items = Vec::new();
        while length.is_none_or(|length| u64::try_from(items.len()).is_ok_and(|have| have < length)) {
            if length.is_none() && self.at_break() {
                break;
            }
            if items.len() >= ITEMS_MAX {
                return None;
            }
            items.push(self.value(depth + 1)?);
        }
        Some(items)
    }

    fn entries(&mut self, length: Option<u64>, depth: usize) -> Option<Vec<(String, Node)>> {
        let mut entries = Vec::new();
        while length.is_none_or(|length| u64::try_from(entries.len()).is_ok_and(|have| have < length)) {
            if length.is_none() && self.at_break() {
                break;
            }
            if entries.len() >= ITEMS_MAX {
                return None;
            }
            let key = self.value(depth + 1)?.as_string()?;
            entries.push((key, self.value(depth + 1)?));
        }
        Some(entries)
    }

    fn tagged(&mut self, tag: u64, depth: usize) -> Option<Node> {
        match (tag, self.value(depth + 1)?) {
            (TAG_EPOCH, Node::Int(seconds)) => Some(Node::Time(u64::try_from(seconds).ok()?.checked_mul(1000)?)),
            (TAG_EPOCH, Node::Float(seconds)) => clock::from_seconds(seconds).map(Node::Time),
            (_, value) => Some(value),
        }
    }
}

fn simple(info: u8, bits: u64) -> Option<Node> {
    match (info, bits) {
        (20, _) => Some(Node::Bool(false)),
        (21, _) => Some(Node::Bool(true)),
        (22 | 23, _) => Some(Node::Null),
        (26, bits) => Some(Node::Float(f64::from(f32::from_bits(u32::try_from(bits).ok()?)))),
        (27, bits) => Some(Node::Float(f64::from_bits(bits))),
        _ => None,
    }
}

pub fn write(node: &Node) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, node);
    out
}

fn put(out: &mut Vec<u8>, node: &Node) {
    match node {
        Node::Null => out.push(0xf6),
        Node::Bool(value) => out.push(if *value { 0xf5 } else { 0xf4 }),
        Node::Int(number) => match u64::try_from(*number) {
            Ok(number) => head(out, 0, number),
            Err(_) => head(out, 1, number.unsigned_abs() - 1),
        },
        Node::Float(number) => put_float(out, *number),
        Node::Text(text) => {
            head(out, 3, length(text.len()));
            out.extend(text.as_bytes());
        }
        Node::Time(at) => {
            head(out, 6, TAG_EPOCH);
            put_float(out, clock::to_seconds(*at));
        }
        Node::List(_, items) => {
            head(out, 4, length(items.len()));
            items.iter().for_each(|item| put(out, item));
        }
        Node::Map(entries) => {
            head(out, 5, length(entries.len()));
            for (name, value) in entries {
                put(out, &Node::Text(name.clone()));
                put(out, value);
            }
        }
    }
}

fn put_float(out: &mut Vec<u8>, number: f64) {
    out.push(0xfb);
    out.extend(number.to_bits().to_be_bytes());
}

fn length(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let bytes = argument.to_be_bytes();
    let major = major << 5;
    match (u8::try_from(argument), u16::try_from(argument), u32::try_from(argument)) {
        (Ok(small), _, _) if small < 24 => out.push(major | small),
        (Ok(small), _, _) => out.extend([major | 24, small]),
        (_, Ok(two), _) => {
            out.push(major | 25);
            out.extend(two.to_be_bytes());
        }
        (_, _, Ok(four)) => {
            out.push(major | 26);
            out.extend(four.to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let node = Node::map()
            .with("list", Node::List("member", vec![Node::Int(-70_000), Node::Int(300), Node::Null]))
            .with("at", Node::Time(1_767_323_045_678))
            .with("text", "é".repeat(200))
            .with("float", 1.5);
        assert_eq!(parse(&write(&node)).expect("our own"), node);
    }

    #[test]
    fn indefinite_lengths_are_read_and_truncation_refused() {
        let body = [0xbf, 0x61, b'a', 0x9f, 0x01, 0xff, 0xff];
        assert_eq!(parse(&body).expect("valid").list("a"), [&Node::Int(1)]);
        for end in 1..body.len() {
            assert!(parse(&body[..end]).is_err(), "{end} bytes");
        }
    }
}
