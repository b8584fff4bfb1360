//! `cargo +nightly fuzz run expression`: see `targets::expression`.
#![no_main]

#[allow(dead_code)] // each binary uses one of them
#[path = "../../tests/fuzz/targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::expression(data));
