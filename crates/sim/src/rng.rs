//! SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014). Whole numbers only, so
//! that no library's logarithm can change a trace.

#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator of its own for one purpose: what one part draws changes nothing elsewhere.
    pub fn split(&mut self) -> Self {
        Self(self.draw())
    }

    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The generator of one thing among many, the same however much was drawn for others.
    pub const fn of(seed: u64, thing: u64) -> Self {
        let mut mixed = Self(seed ^ thing.wrapping_mul(0xd134_2543_de82_ef95));
        Self(mixed.draw())
    }

    /// 0 to `bound` - 1.
    pub const fn below(&mut self, bound: u64) -> u64 {
        scaled(self.draw(), bound)
    }

    pub fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).expect("below a usize")
    }

    /// Both ends included.
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    pub const fn per_mille(&mut self, share: u64) -> bool {
        share > 0 && self.below(1000) < share
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())]
    }
}

/// A drawn number, scaled to 0 to `bound` - 1 (Lemire: "Fast random integer generation in an interval", 2019).
pub const fn scaled(drawn: u64, bound: u64) -> u64 {
    ((drawn as u128 * bound as u128) >> 64) as u64
}
