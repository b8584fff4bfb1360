//! `cargo +nightly fuzz run frames`: see `targets::wire::frames`.
#![no_main]

#[allow(dead_code)] // each binary uses one of them
#[path = "../../tests/fuzz/targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::wire::frames(data));
