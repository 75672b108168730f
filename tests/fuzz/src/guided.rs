//! The long run: libFuzzer keeps what reaches new code, and mutates by our shapes as well as by its own means.
//! `make fuzz` builds this with counters in the mesh's own crates; MESH_FUZZ_TARGET names the target.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use mesh_fuzz::rng::Rng;
use mesh_fuzz::{Target, corpus, mutate};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("MESH_FUZZ_TARGET").unwrap_or_default();
    mesh_fuzz::find(&name).expect("MESH_FUZZ_TARGET names a target: `mesh-fuzz list`")
});
/// Others to take parts of.
static POOL: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| corpus::of(&TARGET));

fuzz_target!(|input: &[u8]| {
    let allocated = allocation_counter::measure(|| {
        (TARGET.check)(input);
    });
    let bound = TARGET.allocates.of(input);
    assert!(allocated.bytes_max <= bound, "{} bytes were allocated at once, {bound} are allowed", allocated.bytes_max);
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut rng = Rng::new(seed.into());
    if rng.one_in(3) {
        return fuzzer_mutate(data, size, max_size);
    }
    let mut changed = mutate::mutate(&TARGET, data.get(..size).unwrap_or_default(), &POOL, &mut rng);
    changed.truncate(max_size);
    for (place, byte) in data.iter_mut().zip(&changed) {
        *place = *byte;
    }
    changed.len()
});
