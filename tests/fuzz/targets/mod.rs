//! What is fuzzed, as functions of bytes: they panic when a promise is broken. Driven by `tests/fuzz.rs` on
//! every run and by the coverage-guided targets in `fuzz/`, which include this file.

pub mod journal;
pub mod venues;
pub mod wire;

use perpring::config::{Config, ConfigError};

/// The configuration parser: a configuration, or an error that points into the text.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Config::parse("fuzzed", text) {
        Ok(config) => {
            for live in [false, true] {
                if let Err(findings) = config.settings(live) {
                    assert!(!findings.is_empty() && findings.iter().all(|finding| !finding.is_empty()));
                }
            }
        }
        Err(ConfigError::Syntax { line, column, what, .. }) => {
            assert!((1..=text.matches('\n').count() + 1).contains(&line), "line {line}");
            assert!(column >= 1 && !what.is_empty());
        }
        Err(ConfigError::Secret { line, key, .. }) => {
            assert!((1..=text.matches('\n').count() + 1).contains(&line), "line {line} for `{key}`");
        }
        Err(other) => panic!("{other}: nothing was read from a disk"),
    }
}
