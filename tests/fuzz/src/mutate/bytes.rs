//! Changes that know nothing of a form.

use crate::rng::Rng;

pub fn mutate(mut input: Vec<u8>, other: &[u8], words: &[&str], rng: &mut Rng) -> Vec<u8> {
    let at = rng.below(input.len() + 1);
    let end = (at + 1 + rng.below(16)).min(input.len());
    match rng.below(10) {
        0 => flip(&mut input, rng),
        1 => input.iter_mut().skip(at).take(1).for_each(|byte| *byte = rng.byte()),
        2 => drop(input.drain(at.min(end)..end)),
        3 => input.truncate(at),
        4 => {
            let again = input[at.min(end)..end].to_vec();
            input.splice(at.min(end)..at.min(end), again);
        }
        5 => number(&mut input, at, rng),
        6 => {
            let word = rng.pick(words).copied().unwrap_or("\0");
            input.splice(at..at, word.bytes());
        }
        7 => splice(&mut input, at, other, rng),
        8 => {
            let length = 1 + rng.below(8);
            let byte = rng.byte();
            input.splice(at..at, std::iter::repeat_n(byte, length));
        }
        _ => {
            let places = (rng.below(input.len()), rng.below(input.len()));
            if !input.is_empty() {
                input.swap(places.0, places.1);
            }
        }
    }
    input
}

/// Blocks of eight bytes: changed, added, taken away.
pub fn mutate_blocks(mut input: Vec<u8>, other: &[u8], rng: &mut Rng) -> Vec<u8> {
    match rng.below(4) {
        0 => input.extend_from_slice(other.chunks(8).next().unwrap_or_default()),
        1 => input.extend((0..8).map(|_| rng.byte())),
        2 => input.truncate(input.len().saturating_sub(8)),
        _ => {
            if input.is_empty() {
                input.extend((0..8).map(|_| rng.byte()));
            }
            let at = rng.below(input.len());
            input[at] = rng.byte();
        }
    }
    input
}

fn flip(input: &mut [u8], rng: &mut Rng) {
    let (at, bit) = (rng.below(input.len()), rng.below(8));
    input.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << bit);
}

/// A number as a length field might hold it: one to eight bytes, either end first.
fn number(input: &mut [u8], at: usize, rng: &mut Rng) {
    let number = rng.number();
    let width = 1 << rng.below(4);
    let bytes = if rng.one_in(2) { number.to_le_bytes() } else { number.to_be_bytes() };
    let from = if rng.one_in(2) { 0 } else { 8 - width };
    for (place, byte) in input.iter_mut().skip(at).zip(&bytes[from..from + width]) {
        *place = *byte;
    }
}

/// The beginning of one and the end of the other.
fn splice(input: &mut Vec<u8>, at: usize, other: &[u8], rng: &mut Rng) {
    let from = rng.below(other.len() + 1);
    input.truncate(at);
    input.extend_from_slice(&other[from..]);
}
