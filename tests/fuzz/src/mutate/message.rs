//! Changes to a protobuf message that leave it one: fields go, come twice, change places and values, at any depth, and
//! every length around them is written anew.

use crate::rng::Rng;

const DEPTH_MAX: usize = 12;
/// Of a message that is taken apart.
const FIELDS_MAX: usize = 4_096;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    number: u64,
    value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Varint(u64),
    Fixed64([u8; 8]),
    Fixed32([u8; 4]),
    Bytes(Vec<u8>),
}

pub fn mutate(input: &[u8], other: &[u8], words: &[&str], rng: &mut Rng) -> Vec<u8> {
    at_depth(input, other, words, rng, 0)
}

/// Messages, each with its length before it.
pub fn mutate_list(input: &[u8], other: &[u8], words: &[&str], rng: &mut Rng) -> Vec<u8> {
    let (mut list, others) = (split(input), split(other));
    let (at, to) = (rng.below(list.len()), rng.below(list.len()));
    match rng.below(8) {
        0 if !list.is_empty() => drop(list.remove(at)),
        1 if !list.is_empty() => list.insert(to, list[at].clone()),
        2 if !list.is_empty() => list.swap(at, to),
        3 => list.extend(rng.pick(&others).cloned()),
        4 => list.truncate(at),
        _ if list.is_empty() => list.push(other.to_vec()),
        _ => {
            let donor = rng.pick(&others).cloned().unwrap_or_default();
            list[at] = mutate(&list[at], &donor, words, rng);
        }
    }
    list.iter().flat_map(|message| delimited(message)).collect()
}

fn at_depth(input: &[u8], other: &[u8], words: &[&str], rng: &mut Rng, depth: usize) -> Vec<u8> {
    let Some(mut fields) = read(input) else { return super::bytes::mutate(input.to_vec(), other, words, rng) };
    let donors = read(other).unwrap_or_default();
    let (at, to) = (rng.below(fields.len()), rng.below(fields.len()));
    match rng.below(10) {
        0 if !fields.is_empty() => drop(fields.remove(at)),
        1 if !fields.is_empty() => fields.insert(to, fields[at].clone()),
        2 if !fields.is_empty() => fields.swap(at, to),
        3 => fields.extend(rng.pick(&donors).cloned()),
        4 => fields.push(Field { number: 1 + rng.below(24) as u64, value: Value::Varint(rng.number()) }),
        5 => fields.push(Field { number: 1 + rng.below(24) as u64, value: Value::Bytes(Vec::new()) }),
        _ => {
            let donor = rng.pick(&donors).cloned();
            if let Some(field) = fields.get_mut(at) {
                field.value = changed(&field.value, donor.map(|donor| donor.value), words, rng, depth);
            }
        }
    }
    write(&fields)
}

fn changed(value: &Value, donor: Option<Value>, words: &[&str], rng: &mut Rng, depth: usize) -> Value {
    match value {
        Value::Varint(_) => Value::Varint(rng.number()),
        Value::Fixed64(_) => Value::Fixed64(rng.draw().to_le_bytes()),
        Value::Fixed32(_) => Value::Fixed32(rng.draw().to_le_bytes()[..4].try_into().unwrap_or_default()),
        Value::Bytes(bytes) => {
            let other = match &donor {
                Some(Value::Bytes(other)) => other.as_slice(),
                _ => &[],
            };
            // A text is often a message by chance; a long one seldom is.
            let nested = depth < DEPTH_MAX && read(bytes).is_some_and(|fields| !fields.is_empty());
            let is_text = std::str::from_utf8(bytes).is_ok_and(|text| text.chars().all(|c| !c.is_control()));
            Value::Bytes(match rng.below(4) {
                _ if nested && (!is_text || rng.one_in(4)) => at_depth(bytes, other, words, rng, depth + 1),
                0 => Vec::new(),
                1 => rng.pick(words).map(|word| word.as_bytes().to_vec()).unwrap_or_default(),
                2 => bytes.repeat(1 << rng.below(10)),
                _ => super::text::mutate(bytes.clone(), other, words, rng),
            })
        }
    }
}

fn split(mut input: &[u8]) -> Vec<Vec<u8>> {
    let mut list = Vec::new();
    while let Some((length, rest)) = varint(input)
        && let Some((message, rest)) = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length))
        && list.len() < FIELDS_MAX
    {
        list.push(message.to_vec());
        input = rest;
    }
    list
}

/// `message` with its length before it.
pub fn delimited(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 2);
    put_varint(message.len() as u64, &mut out);
    out.extend_from_slice(message);
    out
}

fn read(mut input: &[u8]) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !input.is_empty() {
        let (tag, rest) = varint(input)?;
        let (value, rest) = match tag & 7 {
            0 => varint(rest).map(|(value, rest)| (Value::Varint(value), rest))?,
            1 => rest.split_first_chunk().map(|(value, rest)| (Value::Fixed64(*value), rest))?,
            2 => {
                let (length, rest) = varint(rest)?;
                let (bytes, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                (Value::Bytes(bytes.to_vec()), rest)
            }
            5 => rest.split_first_chunk().map(|(value, rest)| (Value::Fixed32(*value), rest))?,
            _ => return None,
        };
        if tag >> 3 == 0 || fields.len() >= FIELDS_MAX {
            return None;
        }
        fields.push(Field { number: tag >> 3, value });
        input = rest;
    }
    Some(fields)
}

fn write(fields: &[Field]) -> Vec<u8> {
    let mut out = Vec::new();
    for Field { number, value } in fields {
        let kind = match value {
            Value::Varint(_) => 0,
            Value::Fixed64(_) => 1,
            Value::Bytes(_) => 2,
            Value::Fixed32(_) => 5,
        };
        put_varint(number << 3 | kind, &mut out);
        match value {
            Value::Varint(value) => put_varint(*value, &mut out),
            Value::Fixed64(value) => out.extend_from_slice(value),
            Value::Fixed32(value) => out.extend_from_slice(value),
            Value::Bytes(bytes) => out.extend(delimited(bytes)),
        }
    }
    out
}

fn varint(input: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (nth, byte) in input.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * nth);
        if byte & 0x80 == 0 {
            return Some((value, &input[nth + 1..]));
        }
    }
    None
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_taken_apart_is_put_together_again() {
        let inner = write(&[Field { number: 3, value: Value::Varint(300) }]);
        let fields = vec![
            Field { number: 1, value: Value::Varint(u64::MAX) },
            Field { number: 2, value: Value::Bytes(inner) },
            Field { number: 400, value: Value::Fixed32([1, 2, 3, 4]) },
            Field { number: 5, value: Value::Fixed64([8; 8]) },
        ];
        assert_eq!(read(&write(&fields)), Some(fields));
    }
}
