//! Puts `getrandom` and `clock_gettime` of entropy.c before the system's.

fn main() {
    println!("cargo:rerun-if-changed=entropy.c");
    cc::Build::new().file("entropy.c").cargo_metadata(false).compile("entropy");
    let out = std::env::var("OUT_DIR").unwrap_or_default();
    println!("cargo:rustc-link-search=native={out}");
    println!("cargo:rustc-link-lib=static:+whole-archive=entropy");
    println!("cargo:rustc-link-arg=-Wl,--export-dynamic-symbol=getrandom");
}
