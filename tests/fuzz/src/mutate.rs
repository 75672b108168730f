//! Inputs near to good ones. Each round changes little; what a format holds together (lengths, checksums) is mended by
//! the shape or by the target, so that the change is seen by what lies behind.

use crate::Target;
use crate::rng::Rng;
use crate::target::Shape;

mod bytes;
mod message;
mod text;

pub use message::delimited;

/// Changes to one input.
const ROUNDS_MAX: usize = 4;

/// A new input out of `from`. `pool` holds others of the same target, to take parts of.
pub fn mutate(target: &Target, from: &[u8], pool: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut input = from.to_vec();
    for _ in 0..=rng.below(ROUNDS_MAX) {
        input = once(target, input, pool, rng);
    }
    input.truncate(target.bytes_max);
    input
}

fn once(target: &Target, input: Vec<u8>, pool: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let other = rng.pick(pool).map(Vec::as_slice).unwrap_or_default();
    // A shape is a help and no limit: now and then anything is changed.
    if rng.one_in(8) {
        return bytes::mutate(input, other, target.words, rng);
    }
    match target.shape {
        Shape::Bytes => bytes::mutate(input, other, target.words, rng),
        Shape::Text => text::mutate(input, other, target.words, rng),
        Shape::Message => message::mutate(&input, other, target.words, rng),
        Shape::Messages => message::mutate_list(&input, other, target.words, rng),
        Shape::Edits => bytes::mutate_blocks(input, other, rng),
        Shape::ChosenMessage => {
            chosen(input, other, rng, |rest, other, rng| message::mutate(&rest, other, target.words, rng))
        }
        Shape::ChosenText => chosen(input, other, rng, |rest, other, rng| text::mutate(rest, other, target.words, rng)),
    }
}

/// Keeps the choice most of the time: another decoder makes little of the same bytes.
fn chosen(
    input: Vec<u8>,
    other: &[u8],
    rng: &mut Rng,
    rest: impl FnOnce(Vec<u8>, &[u8], &mut Rng) -> Vec<u8>,
) -> Vec<u8> {
    let (choice, body) = input.split_first().map_or((0, Vec::new()), |(choice, body)| (*choice, body.to_vec()));
    let choice = if rng.one_in(16) { rng.byte() } else { choice };
    let same = other.first() == Some(&choice);
    let other = if same { other.get(1..).unwrap_or_default() } else { &body.clone() };
    let mut changed = vec![choice];
    changed.extend(rest(body, other, rng));
    changed
}
