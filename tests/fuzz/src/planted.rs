//! Decoders that are wrong on purpose, one for each kind of mistake: the short run must find every one of them.
//!
//! They read records of a length (two bytes), a sum of the body (one byte) and the body.

use mesh_core::plan::Plan;
use mesh_proto::v1;
use prost::Message;

use crate::target::{Shape, Target};

pub fn all() -> Vec<Target> {
    let planted = |name, check| {
        let target = Target::new(name, "a decoder with a mistake", Shape::Bytes, seeds, check);
        target.allocates(64 * 1024, 16)
    };
    vec![
        planted("planted-panic", |input| records(input, Mistake::TrustsTheLength)),
        planted("planted-allocation", |input| records(input, Mistake::ReservesTheLength)),
        planted("planted-checksum", |input| records(input, Mistake::ForgetsTheSumOfLongOnes)),
        planted("planted-unstable", |input| records(input, Mistake::DropsEmptyOnes)),
        planted("planted-loop", |input| records(input, Mistake::StaysAtEmptyOnes)),
        planted("planted-recursion", |input| depth(input) < 3),
        Target { check: lost_field, shape: Shape::Message, seeds: plans, ..planted("planted-lost-field", lost_field) },
    ]
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mistake {
    TrustsTheLength,
    ReservesTheLength,
    ForgetsTheSumOfLongOnes,
    DropsEmptyOnes,
    StaysAtEmptyOnes,
}

fn seeds() -> Vec<Vec<u8>> {
    let record = |body: &[u8]| {
        let length = u16::try_from(body.len()).unwrap_or_default().to_be_bytes();
        [&length, [sum(body)].as_slice(), body].concat()
    };
    vec![record(b"one"), [record(b"a record of more than twenty bytes"), record(b"two")].concat(), vec![b'('; 3]]
}

fn sum(body: &[u8]) -> u8 {
    body.iter().fold(0, |sum, byte| sum.wrapping_mul(31).wrapping_add(*byte))
}

fn records(input: &[u8], mistake: Mistake) -> bool {
    let Some(list) = read(input, mistake) else { return false };
    assert!(list.iter().all(|(known, body)| sum(body) == *known), "a damaged record was accepted");
    let written: Vec<u8> = list
        .iter()
        .filter(|(_, body)| mistake != Mistake::DropsEmptyOnes || !body.is_empty())
        .flat_map(|(_, body)| {
            let length = u16::try_from(body.len()).unwrap_or_default().to_be_bytes();
            [&length, [sum(body)].as_slice(), body].concat()
        })
        .collect();
    assert_eq!(written, input, "what was read is written otherwise");
    true
}

fn read(mut input: &[u8], mistake: Mistake) -> Option<Vec<(u8, Vec<u8>)>> {
    let mut list = Vec::new();
    while !input.is_empty() {
        let (head, rest) = input.split_first_chunk::<3>()?;
        let length = usize::from(u16::from_be_bytes([head[0], head[1]]));
        if mistake == Mistake::ReservesTheLength {
            drop(std::hint::black_box(Vec::<[u8; 64]>::with_capacity(length)));
        }
        let body = match mistake {
            Mistake::TrustsTheLength => &rest[..length],
            _ => rest.get(..length)?,
        };
        let forgets = mistake == Mistake::ForgetsTheSumOfLongOnes && length > 20;
        if sum(body) != head[2] && !forgets {
            return None;
        }
        if mistake == Mistake::StaysAtEmptyOnes && length == 0 {
            continue;
        }
        list.push((head[2], body.to_vec()));
        input = rest.get(length..)?;
    }
    Some(list)
}

/// Nested as deep as its input says.
fn depth(input: &[u8]) -> u64 {
    match input.split_first() {
        Some((b'(', rest)) => 1 + std::hint::black_box(depth(rest)),
        // A frame for each level of what a length field claims.
        Some((b'!', rest)) if rest.len() > 2 => 1 + std::hint::black_box(depth(input)),
        Some(_) | None => 0,
    }
}

fn plans() -> Vec<Vec<u8>> {
    crate::targets::values::plans().iter().map(|plan| v1::Plan::from(plan).encode_to_vec()).collect()
}

/// A conversion that forgets the warnings of a plan that has more than one.
fn lost_field(input: &[u8]) -> bool {
    let Some(plan) = v1::Plan::decode(input).ok().and_then(|wire| Plan::try_from(wire).ok()) else { return false };
    let mut wire = v1::Plan::from(&plan);
    if wire.warnings.len() > 2 {
        wire.warnings.clear();
    }
    assert_eq!(Plan::try_from(wire), Ok(plan), "a field was lost");
    true
}
