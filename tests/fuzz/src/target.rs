//! What is fuzzed: a decoder, the form of its input, and its rules.

/// How inputs are built, so that mutations reach beyond the first length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Bytes,
    /// UTF-8; other bytes are given to it as well.
    Text,
    /// One protobuf message.
    Message,
    /// Length-delimited protobuf messages, one after the other.
    Messages,
    /// The first byte chooses one of several decoders; the rest has the form that follows.
    ChosenMessage,
    ChosenText,
    /// A list of [`crate::edits::Edit`]s, made to a file that is good.
    Edits,
}

/// What an input may allocate at once.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    pub base: u64,
    pub per_byte: u64,
}

impl Bound {
    pub fn of(self, input: &[u8]) -> u64 {
        self.per_byte.saturating_mul(input.len() as u64).saturating_add(self.base)
    }
}

#[derive(Clone, Debug)]
pub struct Target {
    pub name: &'static str,
    /// What it decodes, and whose bytes they are.
    pub reads: &'static str,
    pub shape: Shape,
    /// Inputs that are made by code and not kept as files: golden bytes, examples, what the encoders write.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// True if the input was accepted. Panics where a rule is broken.
    pub check: fn(&[u8]) -> bool,
    /// Words that mutations put in.
    pub words: &'static [&'static str],
    /// Mutated inputs of the short run.
    pub inputs: u32,
    pub bytes_max: usize,
    pub allocates: Bound,
}

impl Target {
    /// The bounds of a decoder that is quick and frugal; targets say where theirs differ.
    pub const fn new(
        name: &'static str,
        reads: &'static str,
        shape: Shape,
        seeds: fn() -> Vec<Vec<u8>>,
        check: fn(&[u8]) -> bool,
    ) -> Self {
        let allocates = Bound { base: 1024 * 1024, per_byte: 1024 };
        Self { name, reads, shape, seeds, check, words: &[], inputs: 2_000, bytes_max: 16 * 1024, allocates }
    }

    #[must_use]
    pub const fn words(self, words: &'static [&'static str]) -> Self {
        Self { words, ..self }
    }

    #[must_use]
    pub const fn inputs(self, inputs: u32) -> Self {
        Self { inputs, ..self }
    }

    #[must_use]
    pub const fn bytes_max(self, bytes_max: usize) -> Self {
        Self { bytes_max, ..self }
    }

    #[must_use]
    pub const fn allocates(self, base: u64, per_byte: u64) -> Self {
        Self { allocates: Bound { base, per_byte }, ..self }
    }
}
